"""Graph attention: GAT, and GATv2, whose scores depend on both ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.nn.glorot import glorot
from geodl.nn.graph_layer import GraphLayer
from geodl.nn.graph_matrix import with_weighted_loops
from geodl.nn.sparse_features import Features, linear
from geodl.ops import Neighbors, attention
from geodl.ops.core.watch import constant
from geodl.ops.remembered import remembered_beside

__all__ = ["GATConv", "GATv2Conv"]


class _Attention(GraphLayer):
    """What both layers share: heads, dropout of the attention, self-loops and bias."""

    def __init__(
        self,
        out_channels: int,
        heads: int,
        concat: bool,
        negative_slope: float,
        dropout: float,
        self_loops: bool,
        bias: bool,
    ) -> None:
        super().__init__()
        if heads < 1:
            raise ValueError(f"heads must be at least 1, got {heads}")
        self.heads, self.out_channels, self.concat = heads, out_channels, concat
        self.negative_slope, self.dropout, self.self_loops = negative_slope, dropout, self_loops
        self.bias = (
            nn.Parameter(torch.zeros(heads * out_channels if concat else out_channels)) if bias else None
        )

    def _attend(
        self,
        h: Tensor,
        neighbors: Neighbors,
        weight: Tensor | None,
        mask: Tensor | None,
        source: Tensor,
        target: Tensor,
        vector: Tensor | None = None,
    ) -> Tensor:
        scores = neighbors, source, target, vector
        scale, whole = None if mask is None else self._of_heads(mask, h), None
        if weight is not None:  # w exp(s) over its sum is the softmax of w edges
            counted = self._of_heads(weight, h)
            whole = attention(h.new_ones(*h.shape[:2], 1), *scores, counted, self.negative_slope)
            scale = counted if scale is None else counted * scale
        if self.training and self.dropout > 0:
            kept = functional.dropout(h.new_ones(neighbors.num_edges, self.heads), self.dropout)
            scale = kept if scale is None else scale * kept
        y = attention(h, *scores, scale, self.negative_slope)
        y = y if whole is None else y / whole.masked_fill(whole == 0, 1)
        y = y.flatten(1) if self.concat else y.mean(1)
        return y if self.bias is None else y + self.bias

    def _counted(
        self, neighbors: Neighbors, weight: Tensor | None, mask: Tensor | None
    ) -> tuple[Neighbors, Tensor | None, Tensor | None]:
        """With loops, and without the edges of weight 0, beside whose scores those of all others may vanish.

        Weights that are learned keep these edges, which have a derivative.
        """
        places, by_edge, masked = neighbors, weight, mask
        if self.self_loops:
            places, by_edge, masked = with_weighted_loops(neighbors, weight, mask)
        if weight is None or by_edge is None or not constant(weight):
            return places, by_edge, masked

        def make() -> tuple[Neighbors, Tensor] | None:
            heavy = by_edge != 0
            return None if bool(heavy.all()) else (places.select(heavy), heavy.nonzero().flatten())

        counted = remembered_beside(weight, neighbors, ("counted", self.self_loops), make)
        if counted is None:
            return places, by_edge, masked
        places, edge = counted
        return places, by_edge[edge], None if masked is None else masked[edge]

    def _of_heads(self, value: Tensor, h: Tensor) -> Tensor:
        return value[:, None].expand(-1, self.heads).to(h.dtype)

    def extra_repr(self) -> str:
        return f"{self.out_channels}, heads={self.heads}, concat={self.concat}, dropout={self.dropout}"


class GATConv(_Attention):
    r"""Graph attention: the windows are a softmax, over the neighbours, of a learned score, one a head,

    .. math:: y_{i,h} = \sum_{j \in N(i) \cup i} \operatorname{softmax}_j\bigl(\text{LeakyReLU}(
        a_h \cdot x_j W_h + b_h \cdot x_i W_h)\bigr) \; x_j W_h + c .

    Args:
        in_channels: ``C``.
        out_channels: C' of a head.
        heads: ``H``.
        concat: heads side by side, or their mean.
        negative_slope: of LeakyReLU.
        dropout: probability of dropping a neighbour, by head, after the softmax, and a number of x W, as the authors do,
            when it is summed up but not when it is scored.
        self_loops: whether a point reads itself.
        bias: whether c is learned.

    Shapes:
        x ``[N, C]`` (or :class:`~geodl.nn.SparseFeatures`), a graph of N points (:class:`~geodl.nn.GraphLayer`) ->
        ``[N, H C']`` or ``[N, C']``.

    Velickovic et al., "Graph attention networks", ICLR 2018.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        self_loops: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__(out_channels, heads, concat, negative_slope, dropout, self_loops, bias)
        self.weight = glorot(in_channels, heads * out_channels)
        self.source, self.target = glorot(heads, out_channels), glorot(heads, out_channels)

    def convolve(
        self, x: Features, neighbors: Neighbors, weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        neighbors, weight, mask = self._counted(neighbors, weight, mask)
        h = linear(x, self.weight).view(-1, self.heads, self.out_channels)
        read = functional.dropout(h, self.dropout, self.training)
        return self._attend(read, neighbors, weight, mask, (h * self.source).sum(2), (h * self.target).sum(2))


class GATv2Conv(_Attention):
    r"""Graph attention with scores that rank the neighbours of every point anew,

    .. math:: y_{i,h} = \sum_{j \in N(i) \cup i} \operatorname{softmax}_j\bigl(a_h \cdot
        \text{LeakyReLU}(x_j W_h + x_i V_h + d)\bigr) \; (x_j W_h + d_W) + c, \qquad d = d_W + d_V .

    Arguments and shapes as of :class:`GATConv`; `dropout` drops neighbours alone.

    Brody, Alon and Yahav, "How attentive are graph attention networks?", ICLR 2022.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        self_loops: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__(out_channels, heads, concat, negative_slope, dropout, self_loops, bias)
        width = heads * out_channels
        self.weight, self.target = glorot(in_channels, width), glorot(in_channels, width)
        self.shift = nn.Parameter(torch.zeros(2 * width)) if bias else None
        self.vector = glorot(heads, out_channels)

    def convolve(
        self, x: Features, neighbors: Neighbors, weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        neighbors, weight, mask = self._counted(neighbors, weight, mask)
        both = linear(x, torch.cat([self.weight, self.target], 1))
        both = both if self.shift is None else both + self.shift
        source, target = both.view(-1, 2, self.heads, self.out_channels).unbind(1)
        return self._attend(source, neighbors, weight, mask, source, target, self.vector)
