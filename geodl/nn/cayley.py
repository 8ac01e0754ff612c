"""Cayley convolution: rational functions that zoom into the spectrum of the graph Laplacian."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.glorot import glorot
from geodl.nn.graph_layer import GraphLayer
from geodl.nn.graph_matrix import GraphMatrix, normalized_laplacian
from geodl.nn.sparse_features import Features, multiply_first
from geodl.ops import Neighbors, cayley

__all__ = ["CayleyConv"]


class CayleyConv(GraphLayer):
    r"""Cayley convolution: a rational function of the normalised Laplacian :math:`\Delta` that zooms into its spectrum,

    .. math:: y = x \, W_0 + 2 \, \mathrm{Re} \sum_{j=1}^{r} Q^j x \, W_j + b,
        \qquad Q = (h \Delta + \mathrm{i})^{-1} (h \Delta - \mathrm{i})

    with complex W_j and a learned zoom h > 0 (its logarithm is what is learned). The inverse is some of Jacobi's iterations.

    Args:
        in_channels: ``C``.
        out_channels: C'.
        order: ``r``.
        iterations: of Jacobi.
        zoom: h at the beginning.
        bias: whether b is learned.

    Shapes:
        x ``[N, C]`` (or :class:`~geodl.nn.SparseFeatures`), a graph of N points (:class:`~geodl.nn.GraphLayer`) or a Laplacian
        with its diagonal as :class:`~geodl.nn.GraphMatrix` -> ``[N, C']``.

    Levie, Monti, Bresson and Bronstein, "CayleyNets: graph convolutional neural networks with complex rational spectral
    filters", IEEE TSP 2018.
    """

    reads_matrices = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        order: int,
        iterations: int = 5,
        zoom: float = 1.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not zoom > 0:
            raise ValueError(f"zoom must be positive, got {zoom}")
        self.iterations = iterations
        self.filters = glorot(2 * order + 1, in_channels, out_channels)
        self.log_zoom = nn.Parameter(torch.tensor([zoom]).log())  # sharding takes no scalars
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def convolve(
        self,
        x: Features,
        neighbors: Neighbors | GraphMatrix,
        weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        matrix = normalized_laplacian(neighbors, self.filters.dtype, weight, mask)
        signal, filters = multiply_first(x, self.filters)
        y = cayley(
            signal,
            matrix.neighbors,
            matrix.values,
            filters,
            self.log_zoom.exp().squeeze(0),
            self.iterations,
            matrix.symmetric,
        )
        return y if self.bias is None else y + self.bias
