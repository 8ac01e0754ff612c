"""FeaStNet: convolutions steered by the features."""

from __future__ import annotations

from itertools import pairwise

from geodl.models.node_classifier import ConvolutionalClassifier
from geodl.nn import FeaStConv

__all__ = ["FeaStNet"]


class FeaStNet(ConvolutionalClassifier):
    """Feature-steered network (call and shapes: :class:`~geodl.models.NodeClassifier`).

    Args:
        in_channels: of the nodes.
        out_channels: number of scores.
        hidden: width of the hidden layers.
        windows: filters that a neighbourhood is shared out among.
        layers: number of convolutions.
        dropout: before every convolution.

    Verma, Boyer and Verbeek, CVPR 2018.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int = 16,
        windows: int = 4,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        widths = [in_channels, *[hidden] * (layers - 1), out_channels]
        super().__init__([FeaStConv(c, d, windows) for c, d in pairwise(widths)], dropout=dropout)
