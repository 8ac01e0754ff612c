"""ST-GCN: a grid network on skeleton x time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from geodl.models.motion_stack import level_of, parents_of
from geodl.nn import GlobalMeanPool, GridConv, GridWindows, Level, SignalBatchNorm

__all__ = ["STGCN"]

# The widths of the published network; where the width grows, the number of frames halves.
_WIDTHS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)


class Block(nn.Module):
    """A convolution over joints whose bones weigh as they are learned to, one over frames, and what goes past both."""

    def __init__(self, read: int, width: int, joints: int, frames: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.stride = stride
        self.importance = nn.Parameter(torch.ones(joints, joints))
        self.over_joints = GridConv(read, width, (3, 1))
        self.norm = SignalBatchNorm(width)
        self.over_frames = GridConv(width, width, (1, frames), (1, stride))
        self.norm_after = SignalBatchNorm(width)
        self.dropout = nn.Dropout(dropout)
        past: list[nn.Module] = [GridConv(read, width, (1, 1), (1, stride)), SignalBatchNorm(width)]
        self.past = nn.ModuleList(past if stride > 1 or read != width else [])

    def forward(self, x: Tensor, level: Level) -> Tensor:
        past = x
        for layer in self.past:
            past = layer(past, level) if isinstance(layer, GridConv) else layer(past)
        x = self.norm(self.over_joints(x, self._weighed(level))).relu()
        x = self.dropout(self.norm_after(self.over_frames(x, level)))
        return (x + past).relu()

    def _weighed(self, level: Level) -> GridWindows:
        windows = level.windows((3, 1))
        near = windows.neighbors
        frames = level.num_nodes // len(self.importance)
        weight = self.importance[near.row // frames, near.col // frames]
        return GridWindows(near, windows.weight.to(weight) * weight[:, None], windows.index, (3, 1))


class STGCN(nn.Module):
    r"""Spatial temporal graph convolutional network: classes of motions.

    Each block is a :class:`~geodl.nn.GridConv` of (3, 1) taps over parent, joint and children, another of (1, 9) taps over frames,
    and a shortcut, on :func:`~geodl.nn.motion_levels`. Every block has a learned importance :math:`M_{ij}` of each bone,

    .. math:: y_i = \sum_m \sum_j M_{ij} \, w_m(u_{ij}) \, x_j \, W_m .

    Args:
        in_channels: numbers a joint and frame.
        out_channels: classes.
        skeleton: with ``parents [J]``.
        widths: of the blocks; those of the paper if not given. Where the width grows, the number of frames halves.
        kernel_size: frames that the convolution over time reads, odd.
        dropout: in every block.

    Shapes:
        x ``[B, in_channels, J, T]`` -> ``[B, out_channels]``.

    Raises:
        ValueError: another number of joints or channels; an even kernel.

    Yan, Xiong, Lin, "Spatial temporal graph convolutional networks for skeleton-based action recognition", 2018.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        skeleton: Any,
        widths: Sequence[int] = _WIDTHS,
        kernel_size: int = 9,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"the convolution over time has an odd number of taps, not {kernel_size}")
        self.parents = parents_of(skeleton)
        self.kernel_size = kernel_size
        joints = len(self.parents)
        self.norm = nn.BatchNorm1d(in_channels * joints)
        read, strides = (in_channels, *widths), [1] + [1 + (b > a) for a, b in pairwise(widths)]
        self.blocks = nn.ModuleList(
            Block(a, b, joints, kernel_size, stride, dropout)
            for (a, b), stride in zip(pairwise(read), strides, strict=True)
        )
        self.pool = GlobalMeanPool()
        self.output = nn.Linear(widths[-1], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.output(self.features(x))
        return y

    def features(self, x: Tensor) -> Tensor:
        """The means over joints and frames before the last layer, ``[B, widths[-1]]``."""
        level, signals = self._run(x)
        pooled: Tensor = self.pool(signals[-1], level)
        return pooled

    def signals(self, x: Tensor) -> list[Tensor]:
        """What every block gives, ``[B, widths[k], J T_k]``."""
        return self._run(x)[1]

    def _run(self, x: Tensor) -> tuple[Level, list[Tensor]]:
        halved = len([block for block in self.blocks if block.stride > 1])  # type: ignore[operator]
        level = level_of(self.parents, x, ["time"] * halved, self.kernel_size)
        if x.shape[1] * len(self.parents) != self.norm.num_features:
            raise ValueError(
                f"x has {x.shape[1]} channels, not {self.norm.num_features // len(self.parents)}"
            )
        x = self.norm(x.flatten(1, 2)).flatten(1).view(len(x), -1, level.num_nodes)
        found = []
        for block in self.blocks:
            assert isinstance(block, Block)
            x = block(x, level)
            found.append(x)
            level = level.after(block.stride)
        return level, found
