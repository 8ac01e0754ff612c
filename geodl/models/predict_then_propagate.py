"""What APPNP and BernNet share: every node is judged by itself, and the graph spreads the scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.models.node_classifier import NodeClassifier
from geodl.nn.glorot import glorot
from geodl.nn.sparse_features import Features, dropout, linear


class PredictThenPropagate(NodeClassifier):
    """A network of two layers for every node by itself, whose scores the graph then spreads; here is the first layer."""

    def __init__(self, in_channels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.weight, self.bias = glorot(in_channels, hidden), nn.Parameter(torch.zeros(hidden))
        self.dropout = dropout

    def hidden(self, x: Features) -> Tensor:
        """What the second layer reads, ``[N, hidden]``."""
        h = torch.relu(linear(dropout(x, self.dropout, self.training), self.weight) + self.bias)
        dropped = dropout(h, self.dropout, self.training)
        assert isinstance(dropped, Tensor)
        return dropped
