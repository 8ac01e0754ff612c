"""Clips of motions: what of them is read, by networks and by linear models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from geodl.data import Motion, heading, motion_signal
from geodl.data.locomotion import about_y

FRAMES, EVERY, HOP = 16, 4, 16  # of a window: frames, one of how many is read, and how far windows are apart
SLOWEST, FASTEST, SHAKEN = 0.94, 1.075, 0.005  # of what is trained on; the last in metres


class Windows(NamedTuple):
    x: Tensor  # [N, 22, J, FRAMES]
    motion: Tensor  # [N], which motion it is of
    y: Tensor  # [N]
    beside: Tensor  # [N]


class Take(NamedTuple):
    motion: Motion
    positions: Tensor
    y: int
    beside: int  # what else is known of it: of an action the style, of a style the action


def window(
    positions: Tensor, motion: Motion, hips: tuple[str, str], start: float, speed: float = 1
) -> Tensor:
    """``[22, J, FRAMES]``: places, steps and bones as seen from the first frame, and again from every frame, with how the root
    moves and turns; beyond the ends of a motion it stands still."""
    time = (start + speed * EVERY * torch.arange(FRAMES).float()).clamp(0, len(positions) - 1)
    before = time.long()
    after = (before + 1).clamp(max=len(positions) - 1)
    now = torch.lerp(positions[before], positions[after], (time - before)[:, None, None])
    x = motion_signal(now, *(motion.skeleton.number(name) for name in hips))
    above = motion.skeleton.parents
    above, inner = above.clamp(min=0), (above > 0)[:, None]
    bones = torch.where(inner, x[:3] - x[:3, above], x[:3])
    here = from_every_frame(now, *(motion.skeleton.number(name) for name in hips))
    return torch.cat([x, bones, here, torch.where(inner, here[:3] - here[:3, above], here[:3])])


def from_every_frame(positions: Tensor, left: int, right: int) -> Tensor:
    """``[10, J, T]``: places about the root and ten times their steps, where every frame is seen along its own heading; ten times
    the step of the root, and five times its turn, the same for all joints."""
    facing = heading(positions, left, right)
    turn = about_y(-facing)
    place = (positions - positions[:, :1] * positions.new_tensor([1.0, 0.0, 1.0])) @ turn.mT
    step = 10 * torch.diff(place, dim=0)
    root = 10 * (turn[:-1] @ torch.diff(positions[:, 0], dim=0)[..., None])[..., 0]
    turned = torch.diff(facing)
    turned = 5 * torch.atan2(turned.sin(), turned.cos())[:, None]
    moved = torch.cat([root, turned], 1)[:, None].expand(-1, positions.shape[1], -1)
    moved = torch.cat([step, moved], 2)
    return torch.cat([place, torch.cat([moved, moved[-1:]])], 2).permute(2, 1, 0)


def cut_up(found: Sequence[Take], hips: tuple[str, str]) -> Windows:
    x: list[Tensor] = []
    whose: list[int] = []
    for number, take in enumerate(found):
        for start in range(0, max(len(take.positions) - EVERY * FRAMES, 0) + 1, HOP):
            x.append(window(take.positions, take.motion, hips, start))
            whose.append(number)
    y, beside = (torch.tensor([found[k][n] for k in whose]) for n in (2, 3))
    return Windows(torch.stack(x), torch.tensor(whose), y, beside)


def joined(*parts: Windows) -> Windows:
    """The motions of all, one after the other."""
    begins = [0]
    for part in parts:
        begins.append(begins[-1] + int(part.motion.max()) + 1)
    whose = [part.motion + begin for part, begin in zip(parts, begins, strict=False)]
    x, y, beside = (torch.cat([part[k] for part in parts]) for k in (0, 2, 3))
    return Windows(x, torch.cat(whose), y, beside)


def draw(found: Sequence[Take], hips: tuple[str, str], read: slice, sizes: float, count: int) -> Data:
    """Windows anywhere in the motions, people of other sizes, who are faster or slower, and joints that are not quite there."""
    x, y, others = [], [], []
    for number in torch.randint(len(found), (count,)).tolist():
        motion, positions, label, beside = found[number]
        speed = float(torch.empty(()).uniform_(SLOWEST, FASTEST))
        start = int(torch.randint(-8, max(int(len(positions) - speed * EVERY * FRAMES), 0) + 9, ()))
        positions = positions * (1 + sizes * torch.randn(())) + SHAKEN * torch.randn(positions.shape[1:])
        x.append(window(positions, motion, hips, start, speed)[read])
        y.append(label)
        others.append(beside)
    return Data(x=torch.stack(x), y=torch.tensor(y), beside=torch.tensor(others))
