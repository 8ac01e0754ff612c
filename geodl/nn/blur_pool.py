"""BlurPool: half the points, after a blur that leaves no aliases."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.level import Level
from geodl.ops import Neighbors, aggregate
from geodl.ops.remembered import Shelf, remembered

__all__ = ["BlurPool"]

_MATRICES = Shelf(64)


class BlurPool(nn.Module):
    r"""Smooth downsampling: a binomial filter, read at every second point.

    On a grid the filter is :math:`(1, 3, 3, 1) / 8` along each axis, and the border is repeated. On a level it is :math:`(1, 2,
    1) / 4` along each axis of the charts, around the points of the next coarser one; taps beyond a border do not count. Constants
    stay constant.

    Shapes:
        ``[B, C, *size]`` with 1 to 3 axes -> ``[B, C, *size // 2]``; with a level ``[V, C]`` -> ``[V', C]`` or ``[B, C, V]`` ->
        ``[B, C, V']``.

    Raises:
        ValueError: a grid of one point along an axis; the coarsest level; shapes that do not fit.

    Zhang, "Making convolutional networks shift-invariant again", 2019.
    """

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        """Half the points along every axis of a grid ``[B, C, *size]``, or the next coarser level's."""
        if level is None:
            return _on_grid(x)
        neighbors, weight = remembered(level, ("blur",), lambda: _blur(level))
        weight = weight.to(x.dtype)
        if x.dim() == 2:
            return aggregate(x, neighbors, weight)
        if x.dim() != 3:
            raise ValueError(f"x must have shape [V, C] or [B, C, V], not {list(x.shape)}")
        batch, channels, points = x.shape
        y = aggregate(x.permute(2, 0, 1).reshape(points, -1), neighbors, weight)
        return y.view(-1, batch, channels).permute(1, 2, 0)


def _on_grid(x: Tensor) -> Tensor:
    if x.dim() not in (3, 4, 5) or min(x.shape[2:]) < 2:
        raise ValueError(
            f"x must have shape [B, C, *size] with 1 to 3 axes of at least 2 points, not {list(x.shape)}"
        )
    # A product with a matrix along each axis is faster than a convolution that mixes no channels, and so is its derivative. The
    # last axis comes first, so that the derivative is contiguous: the activation before reads another one ten times slower.
    for axis in reversed(range(2, x.dim())):
        x = (x.movedim(axis, -1) @ _halving(x.shape[axis]).to(x)).movedim(-1, axis)
    return x.contiguous()


def _halving(points: int) -> Tensor:
    """What every second point reads of each point along an axis, ``[points, points // 2]``."""

    def make() -> Tensor:
        place = 2 * torch.arange(points // 2)
        matrix = torch.zeros(points, points // 2, dtype=torch.float64)
        for offset, weight in zip((-1, 0, 1, 2), (1, 3, 3, 1), strict=True):
            matrix[(place + offset).clamp(0, points - 1), torch.arange(points // 2)] += weight / 8
        return matrix

    return remembered(_MATRICES, points, make)


def _blur(level: Level) -> tuple[Neighbors, Tensor]:
    """The points around those of the coarser level, and what each of them counts ``[E]``."""
    axes = level.charts.coords.shape[1]
    kernel = line = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64, device=level.area.device)
    for _ in range(axes - 1):
        kernel = kernel[..., None] * line
    windows = level.windows((3,) * axes, (2,))
    weight = (windows.weight * kernel.flatten()[windows.index].to(windows.weight)).sum(1)
    row = windows.neighbors.row
    total = weight.new_zeros(windows.neighbors.num_dst).index_add(0, row, weight)
    return windows.neighbors, weight / total[row]
