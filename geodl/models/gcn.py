"""GCN: two graph convolutions."""

from __future__ import annotations

from itertools import pairwise

from geodl.models.node_classifier import ConvolutionalClassifier
from geodl.nn import GCNConv

__all__ = ["GCN"]


class GCN(ConvolutionalClassifier):
    """Graph convolutional network (call and shapes: :class:`~geodl.models.NodeClassifier`).

    Args:
        in_channels: of the nodes.
        out_channels: number of scores.
        hidden: width of the hidden layers.
        layers: number of convolutions.
        dropout: before every convolution; 0.5 in the paper.

    Kipf and Welling, ICLR 2017.
    """

    def __init__(
        self, in_channels: int, out_channels: int, hidden: int = 16, layers: int = 2, dropout: float = 0.0
    ) -> None:
        widths = [in_channels, *[hidden] * (layers - 1), out_channels]
        super().__init__([GCNConv(c, d) for c, d in pairwise(widths)], dropout=dropout)
