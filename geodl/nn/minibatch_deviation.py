"""MinibatchDeviation: what a discriminator sees of the variety of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.level import Level
from geodl.nn.pooling import GlobalMeanPool

__all__ = ["MinibatchDeviation"]


class MinibatchDeviation(nn.Module):
    r"""One channel more: how much the samples of a group differ, the same number at every point of the group.

    .. math:: d = \operatorname{mean}_{i, c} \sqrt{\operatorname{var}_{b} \, x_{bic} + \epsilon}

    A generator that always gives the same is told apart by it. The mean over points is by area on a level.

    Args:
        group: samples in a group; all of the batch, if there are fewer. Sample b is in group b modulo the number of groups.

    Shapes:
        ``[B, C, *size]``, or ``[B, C, V]`` with a level -> the same with C + 1 channels.

    Raises:
        ValueError: a batch that does not divide into groups; packed shapes ``[V, C]``, which have no points in common.

    Karras, Aila, Laine, Lehtinen, "Progressive growing of GANs for improved quality, stability, and variation", 2018.
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        if group < 2:
            raise ValueError(f"a group must have at least 2 samples to differ, not {group}")
        self.group = group
        self.pool = GlobalMeanPool()

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        """x with one channel more."""
        if x.dim() < 3:
            raise ValueError(f"x must have shape [B, C, *size] or [B, C, V], not {list(x.shape)}")
        batch = x.shape[0]
        group = min(self.group, batch)
        if batch % group:
            raise ValueError(f"a batch of {batch} does not divide into groups of {group}")
        groups = x.unflatten(0, (group, -1))
        variance = (groups - groups.mean(0)).square().mean(0)
        deviation = (variance + 1e-8).sqrt()  # [groups, C, *size]
        found = self.pool(deviation, level).mean(1).repeat(group)
        channel = found.view(-1, *[1] * (x.dim() - 1)).expand(-1, 1, *x.shape[2:])
        return torch.cat([x, channel], 1)

    def extra_repr(self) -> str:
        return f"group={self.group}"
