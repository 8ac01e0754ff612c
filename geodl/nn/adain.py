"""AdaIN: adaptive instance normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.equalized import equalize
from geodl.nn.level import Level
from geodl.nn.per_shape import at_points
from geodl.nn.pooling import GlobalMeanPool

__all__ = ["AdaIN"]


class AdaIN(nn.Module):
    r"""Gives every channel of every shape the mean and the deviation that its style says.

    .. math:: y_{ic} = s_c \frac{x_{ic} - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + t_c, \qquad (s, t) = A w + b,

    with mean and variance over the points of a shape, by area on a level. At first :math:`s \approx 1, t \approx 0`.

    Args:
        channels: of the signal.
        style_channels: length of w.

    Shapes:
        w ``[B, style_channels]``; x ``[B, C, *size]``, with a level ``[B, C, V]``, or ``[V, C]`` of B packed shapes, unchanged.

    Raises:
        ValueError: another number of styles than shapes.

    Huang, Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", 2017; Karras, Laine, Aila 2019.
    """

    def __init__(self, channels: int, style_channels: int) -> None:
        super().__init__()
        self.style = equalize(nn.Linear(style_channels, 2 * channels))
        with torch.no_grad():
            self.style.bias[:channels] = 1
        self.pool = GlobalMeanPool()

    def forward(self, x: Tensor, w: Tensor, level: Level | None = None) -> Tensor:
        """x with the mean and deviation of styles ``w [B, style_channels]``, of the shape of x."""
        scale, shift = self.style(w).chunk(2, dim=1)
        scale, shift = at_points(scale, x, level), at_points(shift, x, level)
        x = x - at_points(self.pool(x, level), x, level)
        variance = at_points(self.pool(x.square(), level), x, level)
        return scale * x * torch.rsqrt(variance + 1e-5) + shift
