"""Chebyshev convolution: polynomials of the graph Laplacian."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.glorot import glorot
from geodl.nn.graph_layer import GraphLayer
from geodl.nn.graph_matrix import GraphMatrix, scaled_laplacian
from geodl.nn.sparse_features import Features, multiply_first
from geodl.ops import Neighbors, chebyshev

__all__ = ["ChebConv"]


class ChebConv(GraphLayer):
    r"""Chebyshev convolution: a polynomial of the scaled normalised Laplacian,

    .. math:: y = \sum_{k=0}^{K-1} T_k(\hat L) \, x \, W_k + b, \qquad
        \hat L = 2 (I - D^{-1/2} A D^{-1/2}) / \lambda_{max} - I .

    D counts the edges that a point reads (PyG's those that read it, which differs where weights are not symmetric).

    Args:
        in_channels: ``C``.
        out_channels: C'.
        order: K, the number of polynomials; a point reads points up to K - 1 edges away.
        lambda_max: the largest eigenvalue of the normalised Laplacian, or the bound 2.
        bias: whether b is learned.

    Shapes:
        x ``[N, C]`` (or :class:`~geodl.nn.SparseFeatures`), a graph of N points (:class:`~geodl.nn.GraphLayer`) or the scaled
        Laplacian as :class:`~geodl.nn.GraphMatrix` -> ``[N, C']``.

    Defferrard, Bresson and Vandergheynst, "Convolutional neural networks on graphs with fast localized spectral filtering",
    NeurIPS 2016.
    """

    reads_matrices = True

    def __init__(
        self, in_channels: int, out_channels: int, order: int, lambda_max: float = 2.0, bias: bool = True
    ) -> None:
        super().__init__()
        if order < 1:
            raise ValueError(f"order must be at least 1, got {order}")
        self.lambda_max = lambda_max
        self.filters = glorot(order, in_channels, out_channels)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def convolve(
        self,
        x: Features,
        neighbors: Neighbors | GraphMatrix,
        weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        matrix = scaled_laplacian(neighbors, self.lambda_max, self.filters.dtype, weight, mask)
        signal, filters = multiply_first(x, self.filters)
        y = chebyshev(signal, matrix.neighbors, matrix.values, filters, matrix.symmetric)
        return y if self.bias is None else y + self.bias
