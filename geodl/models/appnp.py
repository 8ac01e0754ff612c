"""APPNP: predict, then propagate."""

from __future__ import annotations

from torch import Tensor, nn

from geodl.models.predict_then_propagate import PredictThenPropagate
from geodl.nn import PersonalizedPageRank
from geodl.nn.sparse_features import Features
from geodl.ops import Neighbors

__all__ = ["APPNP"]


class APPNP(PredictThenPropagate):
    """Approximate personalised propagation of neural predictions (call and shapes: :class:`~geodl.models.NodeClassifier`).

    Args:
        in_channels: of the nodes.
        out_channels: number of scores.
        hidden: width of the hidden layer.
        K: steps of the power iteration.
        alpha: probability of the restart.
        dropout: before both layers; 0.5 in the paper.

    Gasteiger, Bojchevski and Günnemann, ICLR 2019, without dropout of edges.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int = 64,
        K: int = 10,
        alpha: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(in_channels, hidden, dropout)
        self.head = nn.Linear(hidden, out_channels)
        self.propagation = PersonalizedPageRank(K, alpha)

    def scores(self, x: Features, neighbors: Neighbors, edge_weight: Tensor | None) -> Tensor:
        y: Tensor = self.propagation(self.head(self.hidden(x)), neighbors, edge_weight)
        return y
