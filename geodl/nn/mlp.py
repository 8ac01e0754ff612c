"""The small network that point networks apply to every point, or every edge, alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp(
    widths: Sequence[int], bias: bool = True, negative_slope: float = 0.0, last_activation: bool = True
) -> nn.Sequential:
    """Linear layer, batch norm and (leaky) ReLU, one after another: ``[N, widths[0]]`` -> ``[N, widths[-1]]``."""
    layers: list[nn.Module] = []
    for c, d in pairwise(widths):
        activation = nn.LeakyReLU(negative_slope) if negative_slope else nn.ReLU()
        layers += [nn.Linear(c, d, bias=bias), nn.BatchNorm1d(d), activation]
    return nn.Sequential(*layers if last_activation else layers[:-1])
