"""GraphSAGE: a node beside the mean of its neighbours, layer by layer."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from geodl.models.node_classifier import ConvolutionalClassifier
from geodl.nn import SAGEConv

__all__ = ["GraphSAGE"]


class GraphSAGE(ConvolutionalClassifier):
    """GraphSAGE (call and shapes: :class:`~geodl.models.NodeClassifier`), made for sampled neighbourhoods.

    Args:
        in_channels: of the nodes.
        out_channels: number of scores.
        hidden: width of the hidden layers.
        layers: number of convolutions.
        dropout: before every convolution.
        reduce: "mean" or "max" over the neighbours.

    Hamilton, Ying and Leskovec, NeurIPS 2017; without the normalisation to unit length.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int = 16,
        layers: int = 2,
        dropout: float = 0.0,
        reduce: Literal["mean", "max"] = "mean",
    ) -> None:
        widths = [in_channels, *[hidden] * (layers - 1), out_channels]
        super().__init__([SAGEConv(c, d, reduce) for c, d in pairwise(widths)], dropout=dropout)
