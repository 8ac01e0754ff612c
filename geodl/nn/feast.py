"""FeaStNet's convolution: windows steered by the features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.glorot import glorot
from geodl.nn.graph_layer import GraphLayer, shares
from geodl.nn.graph_matrix import with_weighted_loops
from geodl.nn.sparse_features import Features, linear, patch_conv_of
from geodl.ops import Neighbors

__all__ = ["FeaStConv"]


class FeaStConv(GraphLayer):
    r"""Feature-steered convolution: each neighbour is shared out among M filters by what it is, relative to the centre,

    .. math:: y_i = b + \frac{1}{|N_i|} \sum_{j \in N_i} \sum_m q_m(x_i, x_j) \, x_j W_m, \qquad
        q(x_i, x_j) = \operatorname{softmax}_m\bigl((x_j - x_i) \, U + c\bigr), \qquad N_i = N(i) \cup i .

    Args:
        in_channels: ``C``.
        out_channels: C'.
        windows: ``M``.
        self_loops: whether a point reads itself.
        bias: whether b is learned.

    Shapes:
        x ``[N, C]`` (or :class:`~geodl.nn.SparseFeatures`), a graph of N points (:class:`~geodl.nn.GraphLayer`) -> ``[N, C']``.

    Verma, Boyer and Verbeek, "FeaStNet: feature-steered graph convolutions for 3D shape analysis", CVPR 2018.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        windows: int = 8,
        self_loops: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if windows < 1:
            raise ValueError(f"windows must be at least 1, got {windows}")
        self.self_loops = self_loops
        self.filters = glorot(windows, in_channels, out_channels)
        self.steer = glorot(in_channels, windows)
        self.shift = nn.Parameter(0.1 * torch.randn(windows))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def convolve(
        self, x: Features, neighbors: Neighbors, weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        if self.self_loops:
            neighbors, weight, mask = with_weighted_loops(neighbors, weight, mask)
        with torch.inference_mode(False):  # what neighbors keep must be fit for training
            row = neighbors.row
        u = linear(x, self.steer)
        q = (u[neighbors.col] - u[row] + self.shift).softmax(1)
        share = 1 / neighbors.degree().to(q.dtype)[row] if weight is None else shares(neighbors, weight)
        share = share if mask is None else share * mask
        q = q * share.to(q.dtype)[:, None]
        y = patch_conv_of(x, neighbors, q, self.filters)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        windows, in_channels, out_channels = self.filters.shape
        return f"{in_channels}, {out_channels}, windows={windows}"
