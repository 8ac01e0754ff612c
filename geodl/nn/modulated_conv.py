"""ModulatedConv: a convolution whose weights are scaled by a style, StyleGAN2's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.equalized import equalize
from geodl.nn.grid_conv import GridConv
from geodl.nn.level import Level
from geodl.nn.per_shape import at_points

__all__ = ["ModulatedConv"]


class ModulatedConv(nn.Module):
    r"""Convolution with weight modulation and demodulation, on grids and on every level.

    A style w of every shape gives each channel that is read a scale :math:`s = A w + b`. With weights g,

    .. math:: g'_{mcd} = s_c \, g_{mcd}, \qquad
              g''_{mcd} = g'_{mcd} \Big/ \sqrt{\textstyle\sum_{m, c} g'^2_{mcd} + \epsilon}, \qquad
              y_i = b + \sum_m D_m x(i) \, g''_m .

    As the scales belong to channels, the signal is scaled before and after one convolution of the whole batch, and no shape has
    weights of its own. Learning rates are equalised.

    Args:
        in_channels, out_channels, kernel_size, dim: as of :class:`~geodl.nn.GridConv`, whose padding keeps the size.
        style_channels: length of w.
        demodulate: whether to divide by the norm, which keeps the deviation of uncorrelated input.

    Shapes:
        - w ``[B, style_channels]``.
        - x ``[B, C, *size]``; with a level ``[B, C, V]``, or ``[V, C]`` of B packed shapes. y the same with C'.

    Raises:
        ValueError: an even kernel; another number of styles than shapes; what GridConv refuses.

    Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and improving the image quality of StyleGAN", 2020.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        style_channels: int,
        demodulate: bool = True,
        dim: int = 2,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd to keep the size of a grid, not {kernel_size}")
        conv = GridConv(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False, dim=dim)
        self.conv = equalize(conv)
        self.style = equalize(nn.Linear(style_channels, in_channels))
        nn.init.ones_(self.style.bias)
        self.bias = nn.Parameter(torch.zeros(1, out_channels))
        self.demodulate = demodulate

    def forward(self, x: Tensor, w: Tensor, level: Level | None = None) -> Tensor:
        """x as styles ``w [B, style_channels]`` scale it, convolved: C channels become C'."""
        scale = self.style(w)  # [B, C]
        y: Tensor = self.conv(x * at_points(scale, x, level), level)
        if self.demodulate:
            energy = self.conv.weight.square().flatten(2).sum(2)  # [C', C]
            norm = torch.rsqrt(scale.square() @ energy.t() + 1e-8)
            y = y * at_points(norm, y, level)
        return y + at_points(self.bias, y, level)
