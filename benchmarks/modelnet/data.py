"""The sets of clouds, held as one tensor each, and how training clouds are changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform, Compose

from geodl.data import FixedPoints, RandomJitter, RandomRotate, RandomScale, RandomTranslate
from geodl.datasets import ModelNet, ModelNetOccupancy, Solids

Clouds = Solids | ModelNet | ModelNetOccupancy


@dataclass(frozen=True)
class Settings:
    """What is read of a set, and how long it is trained.

    Attributes:
        title: name and split.
        held: points kept of every training cloud, of which each epoch samples ``points``.
        points: that a network reads, in training and in the test.
        epochs: passes over the training clouds.
        turn: largest random angle about the vertical, degrees.
        scale, translate: limits of the random changes.
    """

    title: str
    held: int
    points: int
    epochs: int
    turn: float
    scale: float
    translate: float


SETTINGS = {
    "solids": Settings("Solids, 100 + 100 a class", 1024, 256, 8, 180.0, 1.25, 0.1),
    "occupancy10": Settings("ModelNet10 occupancy, 3991 + 908", 2048, 1024, 40, 10.0, 1.25, 0.1),
    "modelnet10": Settings("ModelNet10, 3991 + 908", 2048, 1024, 60, 15.0, 1.5, 0.2),
    "modelnet40": Settings("ModelNet40, 9843 + 2468", 2048, 1024, 200, 15.0, 1.5, 0.2),
}


@dataclass(frozen=True)
class Part:
    """The clouds of a split.

    Attributes:
        pos: ``[N, P, 3]``; zeros, where a shape has no surface.
        y: ``[N]``, their classes.
        there: ``[N]``, whether a shape has a surface; a test shape that has none counts as taken for something else.
        classes: names.
        up: axis that points up.
    """

    pos: Tensor
    y: Tensor
    there: Tensor
    classes: Sequence[str]
    up: Literal["y", "z"]

    def to(self, device: torch.device) -> Part:
        return Part(self.pos.to(device), self.y.to(device), self.there, self.classes, self.up)


def read(data: str, root: Path | None, points: int) -> tuple[Part, Part]:
    """Training clouds of as many points as are held, of shapes that have a surface; test clouds of ``points``, of all."""
    held = max(points, SETTINGS[data].held)
    train = _part(_open(data, root, "train", held))
    there = train.there
    train = Part(train.pos[there], train.y[there], there[there], train.classes, train.up)
    return train, _part(_open(data, root, "test", points))


def _open(data: str, root: Path | None, split: str, points: int) -> Clouds:
    part: dict[str, object] = {"split": split, "num_points": points}
    if data == "solids":
        return Solids(**part)  # type: ignore[arg-type]
    assert root is not None
    if data == "occupancy10":
        return ModelNetOccupancy(root, **part)  # type: ignore[arg-type]
    return ModelNet(root, data.removeprefix("modelnet"), **part)  # type: ignore[arg-type]


def _part(found: Clouds) -> Part:
    there = torch.ones(len(found), dtype=torch.bool)
    if isinstance(found, ModelNetOccupancy):
        there = torch.from_numpy(found.occupancy.any((1, 2, 3)))
    pos = torch.zeros(len(found), found.num_points, 3)
    for number in there.nonzero()[:, 0].tolist():
        pos[number] = found[number].pos
    return Part(
        pos,
        found.labels,
        there,
        found.classes,
        "y" if getattr(found, "form", "") in ("text", "hdf5") else "z",
    )


def augmentation(data: str, points: int, up: Literal["y", "z"]) -> BaseTransform:
    """Random changes of a packed batch: a sample of the points, a turn, scales of the axes, a move, noise."""
    chosen = SETTINGS[data]
    return Compose(
        [
            FixedPoints(points),
            RandomRotate(up, chosen.turn),
            RandomScale(1 / chosen.scale, chosen.scale, anisotropic=True),
            RandomTranslate(chosen.translate),
            RandomJitter(),
        ]
    )


def packed(clouds: Tensor | Sequence[Tensor]) -> Data:
    """Clouds side by side, with ``ptr``."""
    sizes = torch.tensor([0, *(len(cloud) for cloud in clouds)])
    pos = clouds.flatten(0, 1) if isinstance(clouds, Tensor) else torch.cat(list(clouds))
    return Data(pos=pos, ptr=sizes.cumsum(0).to(pos.device))
