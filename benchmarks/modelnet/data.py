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

from geodl.data import Jitter, RandomSample, RandomScale, RandomTranslate, RandomTurn
from geodl.datasets import ModelNet, ModelNetOccupancy, Solids
from geodl.datasets.classification import ClassificationSet


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
    "solids": Settings("Solids, 100 + 100 a class", 1024, 256, 20, 180.0, 1.25, 0.1),
    "occupancy10": Settings("ModelNet10 occupancy, 3991 + 908", 2048, 1024, 25, 15.0, 1.5, 0.2),
    "modelnet10": Settings("ModelNet10, 3991 + 908", 2048, 1024, 60, 15.0, 1.5, 0.2),
    "modelnet40": Settings("ModelNet40, 9843 + 2468", 2048, 1024, 200, 15.0, 1.5, 0.2),
}


@dataclass(frozen=True)
class Part:
    """The clouds of a split, ``pos [N, P, 3]`` and ``y [N]``; ``up`` is the axis that points up, "y" or "z"."""

    pos: Tensor
    y: Tensor
    classes: Sequence[str]
    up: Literal["y", "z"]

    def to(self, device: torch.device) -> Part:
        return Part(self.pos.to(device), self.y.to(device), self.classes, self.up)


def read(data: str, root: Path | None, points: int) -> tuple[Part, Part]:
    """Training clouds of as many points as are held, test clouds of ``points``."""
    held = max(points, SETTINGS[data].held)
    return _part(_open(data, root, "train", held)), _part(_open(data, root, "test", points))


def _open(data: str, root: Path | None, split: str, points: int) -> ClassificationSet:
    part: dict[str, object] = {"split": split, "num_points": points}
    if data == "solids":
        return Solids(**part)  # type: ignore[arg-type]
    assert root is not None
    if data == "occupancy10":
        return ModelNetOccupancy(root, **part)  # type: ignore[arg-type]
    return ModelNet(root, data.removeprefix("modelnet"), **part)  # type: ignore[arg-type]


def _part(found: ClassificationSet) -> Part:
    pos = torch.stack([found[number].pos for number in range(len(found))])
    return Part(
        pos, found.labels, found.classes, "y" if getattr(found, "form", "") in ("text", "hdf5") else "z"
    )


def augmentation(data: str, points: int, up: Literal["y", "z"]) -> BaseTransform:
    """Random changes of a packed batch: a sample of the points, a turn, scales of the axes, a move, noise."""
    chosen = SETTINGS[data]
    return Compose(
        [
            RandomSample(points),
            RandomTurn(up, chosen.turn),
            RandomScale(1 / chosen.scale, chosen.scale, anisotropic=True),
            RandomTranslate(chosen.translate),
            Jitter(),
        ]
    )


def packed(clouds: Tensor | Sequence[Tensor]) -> Data:
    """Clouds side by side, with ``ptr``."""
    sizes = torch.tensor([0, *(len(cloud) for cloud in clouds)])
    pos = clouds.flatten(0, 1) if isinstance(clouds, Tensor) else torch.cat(list(clouds))
    return Data(pos=pos, ptr=sizes.cumsum(0).to(pos.device))
