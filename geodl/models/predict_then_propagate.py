"""What APPNP and BernNet share: every node is judged by itself, and the graph spreads the scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.models.node_classifier import NodeClassifier
from geodl.nn.glorot import glorot
from geodl.nn.sparse_features import Features, dropout, linear
from geodl.ops import Neighbors


class PredictThenPropagate(NodeClassifier):
    """A network of two layers for every node by itself, whose scores the graph then spreads."""

    def __init__(
        self, in_channels: int, out_channels: int, hidden: int, dropout: float, propagation: nn.Module
    ) -> None:
        super().__init__()
        self.weight, self.bias = glorot(in_channels, hidden), nn.Parameter(torch.zeros(hidden))
        self.head = nn.Linear(hidden, out_channels)
        self.dropout, self.propagation = dropout, propagation

    def scores(self, x: Features, neighbors: Neighbors) -> Tensor:
        h = torch.relu(linear(dropout(x, self.dropout, self.training), self.weight) + self.bias)
        y: Tensor = self.propagation(self.head(dropout(h, self.dropout, self.training)), neighbors)
        return y
