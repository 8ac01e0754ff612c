"""MoNet: mixtures of Gaussians on learned coordinates of the degrees."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from geodl.geometry import Charts
from geodl.models.node_classifier import ConvolutionalClassifier
from geodl.nn import GMMConv, degree_charts
from geodl.nn.sparse_features import Features
from geodl.ops import Neighbors

__all__ = ["MoNet"]


class MoNet(ConvolutionalClassifier):
    r"""Mixture model network for nodes (call and shapes: :class:`~geodl.models.NodeClassifier`).

    Every layer has coordinates of its own, :math:`\tanh(A u + b)` of :math:`u_{ij} = (1 / \sqrt{d_i}, 1 / \sqrt{d_j})`;
    degrees are numbers of neighbours, whatever their edges weigh.

    Args:
        in_channels: of the nodes.
        out_channels: number of scores.
        hidden: width of the hidden layers.
        windows: number of Gaussians.
        dim: of the learned coordinates.
        layers: number of convolutions.
        dropout: before every convolution.

    Monti et al., CVPR 2017.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int = 16,
        windows: int = 3,
        dim: int = 2,
        layers: int = 2,
        dropout: float = 0.0,
    ) -> None:
        widths = [in_channels, *[hidden] * (layers - 1), out_channels]
        convs = [_OnDegrees(GMMConv(c, d, windows, dim), dim) for c, d in pairwise(widths)]
        super().__init__(convs, dropout=dropout)


class _OnDegrees(nn.Module):
    def __init__(self, conv: GMMConv, dim: int) -> None:
        super().__init__()
        self.conv, self.coordinates = conv, nn.Linear(2, dim)

    def forward(self, x: Features, neighbors: Neighbors, edge_weight: Tensor | None = None) -> Tensor:
        charts = degree_charts(neighbors, x.dtype)
        coords = torch.tanh(self.coordinates(charts.coords))
        y: Tensor = self.conv(x, Charts(neighbors, coords, "cartesian"), None, edge_weight)
        return y
