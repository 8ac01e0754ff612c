"""A U-Net on skeleton x time: motions in, motions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geodl.models.motion_stack import level_of, parents_of
from geodl.nn import GridConv, JointLinear, Level, MeanPool, SignalBatchNorm, Upsample
from geodl.nn.motion_level import Pooling

__all__ = ["SkeletonUNet"]


class Residual(nn.Module):
    """Two convolutions over joints and frames, beside which the signal goes through."""

    def __init__(self, read: int, width: int, frames: int) -> None:
        super().__init__()
        self.first = GridConv(read, width, (3, frames))
        self.norm = SignalBatchNorm(width)
        self.second = GridConv(width, width, (3, frames))
        self.norm_after = SignalBatchNorm(width)
        self.past = GridConv(read, width, (1, 1)) if read != width else None

    def forward(self, x: Tensor, level: Level) -> Tensor:
        past = x if self.past is None else self.past(x, level)
        x = self.norm(self.first(x, level)).relu()
        y: Tensor = self.norm_after(self.second(x, level)) + past
        return y.relu()


class SkeletonUNet(nn.Module):
    """Convolutions over joints and frames at ever fewer of both, and the way back, with what was seen on the way there.

    Every joint has a linear layer of its own before and after them.

    Args:
        in_channels, out_channels: numbers a joint and frame.
        skeleton: with ``parents [J]``.
        widths: at every level, the finest first.
        pooling: between them, see :func:`~geodl.nn.motion_levels`; one less.
        kernel_size: frames that a convolution reads, odd.

    Shapes:
        x ``[B, in_channels, J, T]`` -> ``[B, out_channels, J, T]``.

    Raises:
        ValueError: another number of poolings than between the widths; an even kernel; another number of joints or channels.

    Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015, on the pooling of Aberman
    et al., "Skeleton-aware networks for deep motion retargeting", 2020.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        skeleton: Any,
        widths: Sequence[int] = (32, 48, 64),
        pooling: Sequence[Pooling] = ("both", "both"),
        kernel_size: int = 5,
    ) -> None:
        super().__init__()
        if len(pooling) != len(widths) - 1:
            raise ValueError(
                f"between {len(widths)} widths there are {len(widths) - 1} poolings, not {len(pooling)}"
            )
        if kernel_size % 2 == 0:
            raise ValueError(f"a convolution over time has an odd number of taps, not {kernel_size}")
        self.parents, self.pooling, self.kernel_size = parents_of(skeleton), tuple(pooling), kernel_size
        self.input = JointLinear(in_channels, widths[0], len(self.parents))
        read = (widths[0], *widths)
        self.down = nn.ModuleList(Residual(a, b, kernel_size) for a, b in zip(read, widths, strict=False))
        self.up = nn.ModuleList(
            Residual(widths[k] + widths[k + 1], widths[k], kernel_size) for k in range(len(pooling))
        )
        self.output = JointLinear(widths[0], out_channels, len(self.parents))
        self.pool, self.upsample = MeanPool(), Upsample(mode="bilinear")

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, J, T]`` -> ``[B, out_channels, J, T]``."""
        level = level_of(self.parents, x, self.pooling, self.kernel_size)
        y, levels, seen = self.input(x).flatten(2), level.pyramid(), []
        for number, block in enumerate(self.down):
            if number:
                seen.append(y)
                y = self.pool(y, levels[number - 1])
            y = block(y, levels[number])
        for number in reversed(range(len(self.up))):
            y = torch.cat([self.upsample(y, levels[number]), seen[number]], 1)
            y = self.up[number](y, levels[number])
        made: Tensor = self.output(y.unflatten(2, x.shape[2:]))
        return made
