"""What a pixel sees of the picture around it: depth and normals at taps that lie along directions, ever farther away."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Data

from benchmarks.shading.data import FINE, SIDE, Screens

AROUND = 12  # directions
AWAY = (1.0, 2.0, 3.0, 4.5, 7.0, 10.0, 15.0, 22.0, 33.0, 50.0, 75.0)  # in fine pixels
KNOWN = 9  # numbers that a pixel knows of a tap
QUERIES = 48  # pixels of a view that a training step asks for
TURNS = 3  # an answer is the mean of so many, by taps between the others


class Taps(Dataset[Any]):
    """Pixels of views with their taps; in training some of a view, another few each time and turned any way, and else all, one
    turn after the other."""

    def __init__(self, screens: Screens, seed: int, training: bool) -> None:
        self.training = training
        # A sheet that is seen from below shows no outer side.
        self.views = [view for view in screens.views if not training or bool(view.valid.any())]
        self.random = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int) -> Data:
        view = self.views[index]
        pixel = view.valid.view(-1).nonzero()[:, 0]
        step = 2 * math.pi / (AROUND * TURNS)
        turn = step * torch.arange(TURNS).repeat_interleave(len(pixel))
        if self.training:
            pixel = pixel[torch.randint(len(pixel), (QUERIES,), generator=self.random)]
            turn = 2 * math.pi * torch.rand(QUERIES, generator=self.random)
        else:
            pixel = pixel.repeat(TURNS)
        return Data(x=tapped(view.fine, pixel, turn), target=view.occlusion.view(-1)[pixel])


def tapped(fine: Tensor, pixel: Tensor, turn: Tensor) -> Tensor:
    """``[P, 12, 11, 9]``: what pixels ``[P]`` know of their taps, those of each turned by its angle of ``turn [P]``.

    Of a tap it knows whether something is seen there, how far that rises above its own tangent plane, whether it faces it, how
    their normals differ, how far it lies (log, in pixels of the picture), whether it is nearer to the camera; and how its own
    normal leans, towards the camera and along the direction. None changes where view and shape turn together about the axis of
    sight, or the unit does.
    """
    side = FINE * SIDE
    row, column = (FINE * part + FINE // 2 for part in (pixel // SIDE, pixel % SIDE))
    angle = turn[:, None] + 2 * math.pi * torch.arange(AROUND) / AROUND
    towards = torch.stack([angle.cos(), angle.sin()], dim=2)[:, :, None]  # right, up
    step = (towards * torch.tensor(AWAY)[:, None]).round().long()
    x, y = column[:, None, None] + step[..., 0], row[:, None, None] - step[..., 1]
    inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    other = fine.flatten(1)[:, (y * side + x).where(inside, 0)]
    own = fine[:, row, column]
    there = inside & other[3].isfinite()
    up, facing = own[:3].T[:, None, None], other[:3].movedim(0, 3)
    rise = (own[3][:, None, None] - other[3]).where(there, 0.0)
    offset = torch.cat([step.float(), rise[..., None]], dim=3)
    distance = offset.norm(dim=3)
    offset = offset / distance[..., None]
    known = [
        there.float(),
        (offset * up).sum(dim=3),
        -(offset * facing).sum(dim=3),
        (facing * up).sum(dim=3),
        (distance / FINE).log() / 4,
        offset[..., 2],
        facing[..., 2],
    ]
    leaning = [up[..., 2].expand_as(rise), (towards * up[..., :2]).sum(dim=3).expand_as(rise)]
    return torch.stack([*(part * there for part in known), *leaning], dim=3)
