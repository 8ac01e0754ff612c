"""The edge convolution of DGCNN."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.nn.edge_max import is_plain_norm, message_max, statistics
from geodl.nn.edge_sum import edge_sum
from geodl.nn.graph_layer import Adjacency, as_neighbors
from geodl.nn.mlp import mlp
from geodl.nn.plain import is_plain
from geodl.ops import Neighbors, edge_conv
from geodl.ops.dynamic_size import at_least

__all__ = ["EdgeConv"]


class EdgeConv(nn.Module):
    r"""Edge convolution: the maximum over the neighbours of a network that reads a point and the offset to its neighbour,

    .. math:: \text{out}_i = \max_{j \in N(i)} \; h\bigl([x_i, \; x_j - x_i]\bigr)

    with h layers of linear map, batch norm over all edges and leaky ReLU. One layer is fused (:func:`~geodl.ops.edge_conv`):
    nothing is stored for an edge. The first of several still costs two products a point instead of one an edge, and the last is
    fused with its norm and the maximum.

    Args:
        in_channels: ``C``.
        out_channels: C'.
        hidden: widths of layers before the last; none if not given.
        negative_slope: of the leaky ReLU; 0 for the ReLU.

    Shapes:
        x ``[num_src, C]``, neighbors, and ``x_dst [N, C]`` where the destinations are not the sources -> ``[N, C']``. As in PyG
        ``edge_index [2, E]`` may stand for neighbors, and the pair ``(x, x_dst)`` for x.
        An empty row gives 0.

    Raises:
        ValueError: shapes or dtypes that do not fit; fewer than two edges in training.

    Wang et al., "Dynamic graph CNN for learning on point clouds", ACM TOG 2019, eq. 7-8.
    """

    def __init__(
        self, in_channels: int, out_channels: int, hidden: Sequence[int] = (), negative_slope: float = 0.2
    ) -> None:
        super().__init__()
        widths = [*hidden, out_channels]
        self.in_channels, self.negative_slope = in_channels, negative_slope
        # The rows that read x_i, then those that read x_j - x_i.
        self.weight = nn.Parameter(torch.empty(2 * in_channels, widths[0]))
        nn.init.uniform_(self.weight, -1 / math.sqrt(2 * in_channels), 1 / math.sqrt(2 * in_channels))
        self.norm = nn.BatchNorm1d(widths[0])
        self.rest = mlp(widths, bias=False, negative_slope=negative_slope)

    def forward(
        self, x: Tensor | tuple[Tensor, Tensor], neighbors: Adjacency, x_dst: Tensor | None = None
    ) -> Tensor:
        """``x [N, C]`` and a graph of N points -> ``[N, C']``; points may also read others, see the shapes above."""
        if isinstance(x, tuple):
            x, x_dst = x
        if x.dim() != 2 or x.shape[1] != self.in_channels:
            raise ValueError(f"x must have shape [num_src, {self.in_channels}], not {list(x.shape)}")
        neighbors = as_neighbors(neighbors, (x if x_dst is None else x_dst).shape[0], x.shape[0])
        at_least(neighbors.num_edges, 2 if self.training else 1)
        if is_plain(self.rest, nn.Sequential) and not len(self.rest) and is_plain_norm(self.norm):
            norm = statistics(self.norm)
            return edge_conv(x, neighbors, self.weight, None, norm, self.negative_slope, x_dst)
        return self._edge_wise(x, neighbors, x if x_dst is None else x_dst)

    def _edge_wise(self, x: Tensor, neighbors: Neighbors, x_dst: Tensor) -> Tensor:
        own, offset = self.weight.split(self.in_channels)
        messages = self.norm(edge_sum(x_dst @ (own - offset), x @ offset, neighbors))
        return message_max(self.rest, functional.leaky_relu(messages, self.negative_slope), neighbors)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.weight.shape[1]}, negative_slope={self.negative_slope}"
