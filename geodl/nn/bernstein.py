"""Bernstein filters: polynomials of the graph Laplacian whose response is nowhere negative."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.glorot import glorot
from geodl.nn.graph_layer import GraphLayer
from geodl.nn.graph_matrix import GraphMatrix, scaled_laplacian
from geodl.nn.sparse_features import Features, linear
from geodl.ops import Neighbors, bernstein

__all__ = ["BernConv"]


class BernConv(GraphLayer):
    r"""Bernstein convolution: a linear map, then a polynomial of the normalised Laplacian L whose response is nowhere negative,

    .. math:: y = \sum_{k=0}^{K} \text{ReLU}(\theta_k) \binom{K}{k} \left(1 - \tfrac{L}{2}\right)^{K-k}
        \left(\tfrac{L}{2}\right)^k (x W + b) .

    :math:`\theta_k` is about the response at the eigenvalue 2 k / K. All channels share the filter, as in the paper; it begins
    as the identity.

    Args:
        in_channels: ``C``.
        out_channels: C'.
        order: ``K``.
        bias: whether b is learned.

    Shapes:
        x ``[N, C]`` (or :class:`~geodl.nn.SparseFeatures`), a graph of N points (:class:`~geodl.nn.GraphLayer`) or L - 1 as
        :class:`~geodl.nn.GraphMatrix` -> ``[N, C']``.

    He, Wei, Huang and Xu, "BernNet: learning arbitrary graph spectral filters via Bernstein approximation", NeurIPS 2021.
    """

    reads_matrices = True

    def __init__(self, in_channels: int, out_channels: int, order: int = 10, bias: bool = True) -> None:
        super().__init__()
        if order < 0:
            raise ValueError(f"order must not be negative, got {order}")
        self.weight = glorot(in_channels, out_channels)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.theta = nn.Parameter(torch.ones(order + 1))

    def convolve(
        self,
        x: Features,
        neighbors: Neighbors | GraphMatrix,
        weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        matrix = scaled_laplacian(neighbors, 2.0, self.weight.dtype, weight, mask)
        y = linear(x, self.weight)
        y = y if self.bias is None else y + self.bias
        eye = torch.eye(y.shape[1], dtype=y.dtype, device=y.device)
        filters = self.theta.to(y.dtype).relu()[:, None, None] * eye
        return bernstein(y, matrix.neighbors, matrix.values, filters, matrix.symmetric)
