"""GraphSAGE: a point beside an aggregate of its neighbours."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from geodl.nn.glorot import glorot
from geodl.nn.graph_layer import GraphLayer, product, shares
from geodl.nn.sparse_features import Features, SparseFeatures, linear
from geodl.ops import Neighbors, aggregate

__all__ = ["SAGEConv"]


class SAGEConv(GraphLayer):
    r"""Sample-and-aggregate convolution,

    .. math:: y_i = x_i W_0 + \operatorname{mean}_{j \in N(i)} x_j \, W_1 + b .

    The mean commutes with :math:`W_1`, so the narrower side of it is what the graph carries; the maximum, by channel, does not.

    Args:
        in_channels: ``C``.
        out_channels: C'.
        reduce: "mean" or "max" (of the x_j, without a network before it).
        bias: whether b is learned.

    Shapes:
        x ``[N, C]`` (or :class:`~geodl.nn.SparseFeatures`, with the mean), a graph of N points
        (:class:`~geodl.nn.GraphLayer`) -> ``[N, C']``.

    Raises:
        ValueError: no such reduction, or the maximum of sparse features.

    Hamilton, Ying and Leskovec, "Inductive representation learning on large graphs", NeurIPS 2017.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        reduce: Literal["mean", "max"] = "mean",
        bias: bool = True,
    ) -> None:
        super().__init__()
        if reduce not in ("mean", "max"):
            raise ValueError(f"reduce must be 'mean' or 'max', not {reduce!r}")
        self.reduce = reduce
        self.root = glorot(in_channels, out_channels)
        self.weight = glorot(in_channels, out_channels)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def convolve(
        self, x: Features, neighbors: Neighbors, weight: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        sparse = isinstance(x, SparseFeatures)
        if sparse and self.reduce == "max":
            raise ValueError("the maximum needs dense features: x.to_dense()")
        channels, out_channels = self.weight.shape
        reduction: tuple[Tensor | None, str] = mask, self.reduce
        if weight is not None and self.reduce == "mean":
            reduction = product(shares(neighbors, weight), mask), "sum"
        elif weight is not None:  # who is there counts, not how often
            there = weight > 0
            neighbors = neighbors.select(there)
            reduction = None if mask is None else mask[there], "max"
        if sparse or (self.reduce == "mean" and out_channels <= channels):
            own, read = linear(x, torch.cat([self.root, self.weight], 1)).chunk(2, 1)
            y = own + aggregate(read, neighbors, *reduction)
        else:
            assert isinstance(x, Tensor)
            y = x @ self.root + aggregate(x, neighbors, *reduction) @ self.weight
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}, reduce={self.reduce!r}"
