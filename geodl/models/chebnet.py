"""ChebNet: polynomials of the Laplacian."""

from __future__ import annotations

from itertools import pairwise

from geodl.models.node_classifier import ConvolutionalClassifier
from geodl.nn import ChebConv

__all__ = ["ChebNet"]


class ChebNet(ConvolutionalClassifier):
    """Chebyshev network for nodes (call and shapes: :class:`~geodl.models.NodeClassifier`).

    Args:
        in_channels: of the nodes.
        out_channels: number of scores.
        hidden: width of the hidden layers.
        order: number of polynomials of a filter.
        layers: number of convolutions.
        dropout: before every convolution.

    Defferrard, Bresson and Vandergheynst, NeurIPS 2016; for nodes as in Kipf and Welling, ICLR 2017.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int = 16,
        order: int = 3,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        widths = [in_channels, *[hidden] * (layers - 1), out_channels]
        super().__init__([ChebConv(c, d, order) for c, d in pairwise(widths)], dropout=dropout)
