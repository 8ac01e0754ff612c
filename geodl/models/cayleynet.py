"""CayleyNet: rational filters with a learned zoom."""

from __future__ import annotations

from itertools import pairwise

from geodl.models.node_classifier import ConvolutionalClassifier
from geodl.nn import CayleyConv

__all__ = ["CayleyNet"]


class CayleyNet(ConvolutionalClassifier):
    """Cayley network for nodes (call and shapes: :class:`~geodl.models.NodeClassifier`).

    Args:
        in_channels: of the nodes.
        out_channels: number of scores.
        hidden: width of the hidden layers.
        order: r, of the Cayley polynomials.
        iterations: of Jacobi.
        layers: number of convolutions.
        dropout: before every convolution.

    Levie, Monti, Bresson and Bronstein, IEEE TSP 2018.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int = 16,
        order: int = 1,
        iterations: int = 5,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        widths = [in_channels, *[hidden] * (layers - 1), out_channels]
        super().__init__([CayleyConv(c, d, order, iterations) for c, d in pairwise(widths)], dropout=dropout)
