"""Fixed linear filters, the same for every channel: on a grid depthwise, on a level one number an edge."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.nn import Level
from geodl.ops import Neighbors, patch_gather
from geodl.ops.remembered import remembered
from geodl.synthesis.windows import surface_windows

__all__ = ["halve", "smooth", "stencil"]

_BINOMIAL = {3: (0.25, 0.5, 0.25), 5: (0.0625, 0.25, 0.375, 0.25, 0.0625)}


def stencil(
    x: Tensor, kernels: Tensor, level: Level | None = None, stride: int = 1, circular: bool = False
) -> Tensor:
    """Every channel through each of K filters.

    Args:
        x: ``[B, C, H, W]`` on a grid, ``[V, C]`` on a level.
        kernels: ``[K, k, k]``, k odd.
        level: None for a grid.
        stride: 1, or 2: read at every second point of a grid, or at the points of the next coarser level.
        circular: a grid goes on at its other side; else it is reflected.

    Returns:
        ``[B, K * C, H', W']`` or ``[V', K * C]``, the channels of one filter side by side.
    """
    taps = kernels.shape[1]
    if level is not None:
        neighbors, weight = _on_edges(level, kernels, stride)
        read = patch_gather(x, neighbors, weight.to(x.dtype))  # [V', K, C]
        return read.flatten(1)
    x = F.pad(x, (taps // 2,) * 4, mode="circular" if circular else "reflect")
    channels = x.shape[1]
    filters = kernels.to(x)[:, None].repeat(channels, 1, 1, 1)
    read = F.conv2d(x, filters, stride=stride, groups=channels)  # the filters of one channel side by side
    return read if len(kernels) == 1 else read.unflatten(1, (channels, -1)).transpose(1, 2).flatten(1, 2)


def halve(x: Tensor, level: Level | None = None, circular: bool = False) -> Tensor:
    """The next octave: a binomial filter of 5 x 5 taps, read at half the resolution."""
    return stencil(x, _binomial(5), level, 2, circular)


def smooth(x: Tensor, level: Level | None = None, circular: bool = False) -> Tensor:
    """Smoothed by one tap: a binomial filter of 3 x 3."""
    return stencil(x, _binomial(3), level, 1, circular)


def _binomial(taps: int) -> Tensor:
    row = torch.tensor(_BINOMIAL[taps])
    return (row[:, None] * row)[None]


def _on_edges(level: Level, kernels: Tensor, stride: int) -> tuple[Neighbors, Tensor]:
    """What each filter reads of every neighbour, ``[E, K]``."""

    def make() -> tuple[Neighbors, Tensor]:
        taps = kernels.shape[1]
        windows = surface_windows(level, taps, stride)
        by_tap = kernels.flatten(1).t().to(windows.weight)
        weight = sum(
            windows.weight[:, s, None] * by_tap[windows.index[:, s]] for s in range(windows.index.shape[1])
        )
        assert isinstance(weight, Tensor)
        return windows.neighbors, weight

    key = ("stencil", kernels.shape, tuple(kernels.flatten().tolist()), stride)
    found: tuple[Neighbors, Tensor] = remembered(level, key, make)
    return found
