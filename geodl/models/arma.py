"""ARMA: rational filters by recursions."""

from __future__ import annotations

from geodl.models.node_classifier import ConvolutionalClassifier
from geodl.nn import ARMAConv

__all__ = ["ARMA"]


class ARMA(ConvolutionalClassifier):
    """ARMA network for nodes (call and shapes: :class:`~geodl.models.NodeClassifier`), two layers.

    Args:
        in_channels: of the nodes.
        out_channels: number of scores.
        hidden: width of the hidden layer.
        num_stacks: recursions side by side.
        num_layers: steps of a recursion, as of :class:`~geodl.nn.ARMAConv`.
        dropout: before the second layer; 0.5 in the paper.
        skip_dropout: of the signal that is added in every step; 0.75 in the paper.
        recursion_dropout: of the signal that a recursion begins with, as it enters the sums over neighbours.

    Bianchi, Grattarola, Livi and Alippi, IEEE TPAMI 2021. They drop out the added signal alone; both are dropped out in the
    network that Fey and Lenssen measured ("Fast graph representation learning with PyTorch Geometric", 2019).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int = 16,
        num_stacks: int = 2,
        num_layers: int = 1,
        dropout: float = 0.0,
        skip_dropout: float = 0.0,
        recursion_dropout: float = 0.0,
    ) -> None:
        convs = [
            ARMAConv(
                *channels, num_stacks, num_layers, dropout=skip_dropout, recursion_dropout=recursion_dropout
            )
            for channels in ((in_channels, hidden), (hidden, out_channels))
        ]
        super().__init__(convs, dropout=dropout, input_dropout=0.0)
