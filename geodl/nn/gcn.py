"""Graph convolution by the normalised adjacency matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.glorot import glorot
from geodl.nn.graph_layer import GraphLayer
from geodl.nn.graph_matrix import GraphMatrix, normalized_adjacency
from geodl.nn.sparse_features import Features, linear
from geodl.ops import Neighbors

__all__ = ["GCNConv"]


class GCNConv(GraphLayer):
    r"""Graph convolution,

    .. math:: y = \tilde D^{-1/2} (A + I) \tilde D^{-1/2} \, x \, W + b .

    One window, :math:`w(u_{ij}) = 1 / \sqrt{d_i d_j}`. The narrower side of W is what the graph carries.

    Args:
        in_channels: ``C``.
        out_channels: C'.
        bias: whether b is learned.

    Shapes:
        x ``[N, C]`` (or :class:`~geodl.nn.SparseFeatures`), a graph of N points (:class:`~geodl.nn.GraphLayer`) or
        a :class:`~geodl.nn.GraphMatrix` -> ``[N, C']``.

    Kipf and Welling, "Semi-supervised classification with graph convolutional networks", ICLR 2017.
    """

    reads_matrices = True

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = glorot(in_channels, out_channels)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def convolve(
        self,
        x: Features,
        neighbors: Neighbors | GraphMatrix,
        weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        matrix = normalized_adjacency(neighbors, weight, dtype=self.weight.dtype, mask=mask)
        if isinstance(x, Tensor) and self.weight.shape[0] < self.weight.shape[1]:
            y = linear(matrix.step(x, 1.0), self.weight)  # @ can not be traced
        else:
            y = matrix.step(linear(x, self.weight), 1.0)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}, bias={self.bias is not None}"
