"""BernNet: predict, then filter by a learned response."""

from __future__ import annotations

from torch import Tensor

from geodl.models.predict_then_propagate import PredictThenPropagate
from geodl.nn import BernConv
from geodl.nn.sparse_features import Features
from geodl.ops import Neighbors

__all__ = ["BernNet"]


class BernNet(PredictThenPropagate):
    """BernNet (call and shapes: :class:`~geodl.models.NodeClassifier`).

    Args:
        in_channels: of the nodes.
        out_channels: number of scores.
        hidden: width of the hidden layer.
        order: of the Bernstein polynomials.
        dropout: before both layers.

    He, Wei, Huang and Xu, NeurIPS 2021, without dropout before the filter.
    """

    def __init__(
        self, in_channels: int, out_channels: int, hidden: int = 64, order: int = 10, dropout: float = 0.0
    ) -> None:
        super().__init__(in_channels, hidden, dropout)
        self.conv = BernConv(hidden, out_channels, order)

    def scores(self, x: Features, neighbors: Neighbors, edge_weight: Tensor | None) -> Tensor:
        y: Tensor = self.conv(self.hidden(x), neighbors, edge_weight)
        return y
