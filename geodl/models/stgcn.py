"""ST-GCN: a grid network on skeleton x time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.models.motion_stack import parents_of
from geodl.nn import GridConv, SignalBatchNorm, motion_levels
from geodl.nn.plain import is_plain

__all__ = ["STGCN"]

# The widths of the published network; where the width grows, the number of frames halves.
_WIDTHS = (64, 64, 64, 64, 128, 128, 128, 256, 256, 256)


class Block(nn.Module):
    """A convolution over joints whose bones weigh as they are learned to, one over frames, and what goes past both."""

    def __init__(
        self, read: int, width: int, joints: int, frames: int, stride: int, dropout: float, adaptive: bool
    ) -> None:
        super().__init__()
        self.stride = stride
        self.importance = nn.Parameter(torch.ones(joints, joints))
        self.beyond = nn.Parameter(1e-6 * torch.randn(3, joints, joints)) if adaptive else None
        self.over_joints = GridConv(read, width, (3, 1))
        self.norm = SignalBatchNorm(width)
        self.over_frames = GridConv(width, width, (1, frames), (1, stride), (0, frames // 2))
        self.norm_after = SignalBatchNorm(width)
        self.dropout = nn.Dropout(dropout)
        past: list[nn.Module] = [GridConv(read, width, (1, 1), (1, stride)), SignalBatchNorm(width)]
        self.past = nn.Sequential(*(past if stride > 1 or read != width else []))

    def forward(self, x: Tensor, windows: Tensor) -> Tensor:
        y = self.norm(self._mixed(x, windows)).relu()
        y = self.dropout(self.norm_after(self.over_frames(y)))
        out: Tensor = (y + self.past(x)).relu()
        return out

    def _mixed(self, x: Tensor, windows: Tensor) -> Tensor:
        """The convolution over joints: windows ``[3, J, J]`` are the same in every frame, so that it is two matrix products."""
        windows = windows.to(self.importance) * self.importance
        windows = windows if self.beyond is None else windows + self.beyond
        conv = self.over_joints
        if not is_plain(conv, GridConv):
            return self._called(x, windows)
        filtered = F.conv2d(x, conv.weight.permute(2, 0, 1, 3).flatten(0, 1)[..., None])
        mixed = torch.einsum("mij,bmcjt->bcit", windows, filtered.unflatten(1, (3, -1)))
        return mixed if conv.bias is None else mixed + conv.bias[:, None, None]

    def _called(self, x: Tensor, windows: Tensor) -> Tensor:
        """The same by a call of the convolution, so that its hooks fire: the joints that a tap sees, as a grid of three rows."""
        seen = torch.einsum("mij,bcjt->bcmit", windows, x)
        y: Tensor = self.over_joints(seen.flatten(3)).unflatten(3, seen.shape[3:])[:, :, 0]
        return y


class STGCN(nn.Module):
    r"""Spatial temporal graph convolutional network: classes of motions.

    Each block is a :class:`~geodl.nn.GridConv` of (3, 1) taps over parent, joint and children, another of (1, 9) taps over frames,
    and a shortcut, on :func:`~geodl.nn.motion_levels`. Every block has a learned importance :math:`M_{ij}` of each bone, and, if
    it is adaptive, a learned matrix :math:`B_m` by which joints read others however far away,

    .. math:: y_i = \sum_m \sum_j \left( M_{ij} \, w_m(u_{ij}) + B_{mij} \right) x_j \, W_m .

    Args:
        in_channels: numbers a joint and frame.
        out_channels: classes.
        skeleton: with ``parents [J]``.
        widths: of the blocks; those of the paper if not given. Where the width grows, the number of frames halves.
        kernel_size: frames that the convolution over time reads, odd.
        dropout: in every block.
        adaptive: with :math:`B_m`, which a published network does not have. A block reads one bone far, a hand and a foot are nine
            bones apart, so that a few blocks see how they move together only so.
        moments: classes are told by the mean and the deviation over frames of what the last block gives, not by the mean alone.

    Shapes:
        x ``[B, in_channels, J, T]`` -> ``[B, out_channels]``.

    Raises:
        ValueError: another number of joints or channels; an even kernel.

    Yan, Xiong, Lin, "Spatial temporal graph convolutional networks for skeleton-based action recognition", 2018; ``adaptive``: Shi,
    Zhang, Cheng, Lu, "Two-stream adaptive graph convolutional networks for skeleton-based action recognition", 2019.
    """

    windows: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        skeleton: Any,
        widths: Sequence[int] = _WIDTHS,
        kernel_size: int = 9,
        dropout: float = 0.0,
        adaptive: bool = False,
        moments: bool = False,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"the convolution over time has an odd number of taps, not {kernel_size}")
        parents = parents_of(skeleton)
        self.joints, self.moments = len(parents), moments
        self.register_buffer("windows", _windows(parents), persistent=False)
        self._parents = parents
        self.register_load_state_dict_post_hook(
            _renew_windows
        )  # those of a network made on "meta" are no numbers
        self.norm = nn.BatchNorm1d(in_channels * self.joints)
        read, strides = (in_channels, *widths), [1] + [1 + (b > a) for a, b in pairwise(widths)]
        self.blocks = nn.ModuleList(
            Block(a, b, self.joints, kernel_size, stride, dropout, adaptive)
            for (a, b), stride in zip(pairwise(read), strides, strict=True)
        )
        self.output = nn.Linear((1 + moments) * widths[-1], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Scores ``[B, out_channels]`` of motions ``[B, in_channels, J, T]``."""
        y: Tensor = self.output(self.features(x))
        return y

    def features(self, x: Tensor) -> Tensor:
        """The means over joints and frames before the last layer, ``[B, widths[-1]]``; with ``moments`` also the deviations over
        frames, ``[B, 2 widths[-1]]``."""
        last = self.signals(x)[-1]
        mean = last.mean((2, 3))
        if not self.moments:
            return mean
        # The root has no gradient at 0, where a signal stands still.
        spread = (last.var(3, correction=0) + 1e-4).sqrt().mean(2)
        return torch.cat([mean, spread], 1)

    def signals(self, x: Tensor) -> list[Tensor]:
        """What every block gives, ``[B, widths[k], J, T_k]``."""
        if x.dim() != 4 or x.shape[2] != self.joints:
            raise ValueError(f"x must be [B, C, {self.joints}, T], one column a joint, not {list(x.shape)}")
        if x.shape[1] * self.joints != self.norm.num_features:
            raise ValueError(f"x has {x.shape[1]} channels, not {self.norm.num_features // self.joints}")
        x = self.norm(x.flatten(1, 2)).view_as(x)
        found = []
        for block in self.blocks:
            x = block(x, self.windows)
            found.append(x)
        return found


def _renew_windows(network: nn.Module, _: Any) -> None:
    assert isinstance(network, STGCN)
    network.windows = _windows(network._parents).to(network.output.weight)


def _windows(parents: tuple[int, ...]) -> Tensor:
    """How much of joint j the tap m of joint i sees, ``[3, J, J]``: the windows of a level of one frame."""
    joints = len(parents)
    with torch.device("cpu"):  # also of a network that is made on another device
        taps = motion_levels(SimpleNamespace(parents=torch.tensor(parents)), 1).windows((3, 1))
        near = taps.neighbors
        made = torch.zeros(3, joints, joints)
        made.index_put_(
            (taps.index, near.row[:, None].expand_as(taps.index), near.col[:, None].expand_as(taps.index)),
            taps.weight.to(made),
            accumulate=True,
        )
    return made
