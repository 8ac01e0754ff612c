"""GAT and GATv2: graph attention networks."""

from __future__ import annotations

from torch.nn import functional

from geodl.models.node_classifier import ConvolutionalClassifier
from geodl.nn import GATConv, GATv2Conv

__all__ = ["GAT", "GATv2"]


class GAT(ConvolutionalClassifier):
    """Graph attention network (call and shapes: :class:`~geodl.models.NodeClassifier`), two layers with ELU between.

    Args:
        in_channels: of the nodes.
        out_channels: number of scores.
        hidden: width of a head of the first layer.
        heads: of the first layer, side by side.
        output_heads: of the second, whose mean is taken.
        dropout: before every layer, and of the attention; 0.6 in the paper.

    Velickovic et al., ICLR 2018.
    """

    _layer: type[GATConv] | type[GATv2Conv] = GATConv

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int = 8,
        heads: int = 8,
        output_heads: int = 1,
        dropout: float = 0.0,
    ) -> None:
        convs = [
            self._layer(in_channels, hidden, heads, dropout=dropout),
            self._layer(hidden * heads, out_channels, output_heads, concat=False, dropout=dropout),
        ]
        super().__init__(convs, functional.elu, dropout)


class GATv2(GAT):
    """GAT with the scores of GATv2; arguments as of :class:`GAT`.

    Brody, Alon and Yahav, ICLR 2022.
    """

    _layer = GATv2Conv
