"""GIN: networks of sums over the neighbours."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from geodl.models.node_classifier import ConvolutionalClassifier
from geodl.nn import GINConv

__all__ = ["GIN"]


class GIN(ConvolutionalClassifier):
    """Graph isomorphism network (call and shapes: :class:`~geodl.models.NodeClassifier`).

    Args:
        in_channels: of the nodes.
        out_channels: number of scores.
        hidden: width of the hidden layers, and within each.
        layers: number of convolutions, each with a network of two layers.
        dropout: before every convolution.

    Xu, Hu, Leskovec and Jegelka, ICLR 2019, whose eps is 0 here (GIN-0).
    """

    def __init__(
        self, in_channels: int, out_channels: int, hidden: int = 16, layers: int = 2, dropout: float = 0.0
    ) -> None:
        widths = [in_channels, *[hidden] * (layers - 1), out_channels]
        mlps = [
            nn.Sequential(nn.Linear(c, hidden), nn.ReLU(), nn.Linear(hidden, d)) for c, d in pairwise(widths)
        ]
        super().__init__([GINConv(mlp) for mlp in mlps], dropout=dropout)
