"""The sets, and what a network reads of a shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform, Compose

from geodl.data import (
    FixedPoints,
    GeodesicOperators,
    Mesh,
    OperatorCache,
    RandomJitter,
    RandomRotate,
    RandomScale,
    SpectralOperators,
    UnitArea,
)
from geodl.datasets import RNA, FAUSTParts, Puppets
from geodl.geometry import heat_kernel_signature, vertex_areas

SEGMENTATION = "SMPL_parts/smpl_vert_segmentation.json"
SIGNATURES, RINGS, RAYS = 16, 3, 8
POINTS = 2048  # of a cloud in training
# Positions of a shape of area 1 are multiplied by this, so that they deviate by about 1: as they are, DiffusionNet learns late.
UNITS = 4.0


@dataclass(frozen=True)
class Settings:
    """What is read of a set, and how long it is trained: the passes of a network on meshes, and of one on points.

    ``eigenvalues`` and ``width`` are DiffusionNet's.
    """

    title: str
    epochs: int
    cloud_epochs: int
    batch: int
    eigenvalues: int
    width: int


SETTINGS = {
    "puppets": Settings("Puppets, 144 + 9", 20, 6, 4, 64, 64),
    "faust": Settings("FAUST, 24 parts, 80 + 20", 20, 6, 1, 64, 64),
    "rna": Settings("RNA", 20, 6, 1, 128, 128),
}


@dataclass(frozen=True)
class Task:
    """Training shapes, test sets by name, each shape with labels ``y``, and the names of the classes."""

    train: Sequence[Mesh]
    tests: Mapping[str, Sequence[Mesh]]
    classes: Sequence[str]


def read(data: str, root: Path | None) -> Task:
    """The set; of FAUST, the remeshed bodies as well where the folder has them."""
    if data == "puppets":
        # Each on a mesh of its own: of a common mesh a network learns the mesh, and is lost on another one.
        train, test = (_puppets(split, "remeshed") for split in ("train", "test"))
        tests = {"test": test, "registrations": _puppets("test", "registrations")}
        return Task(train, tests, Puppets.parts)
    assert root is not None
    if data == "rna":
        train, test = (RNA(root, split, part=True) for split in ("train", "test"))
        return Task(train, {"test": test}, [str(k) for k in range(RNA.num_classes)])  # type: ignore[arg-type, dict-item]
    file = root / SEGMENTATION
    train, test = (FAUSTParts(root, file, split=split) for split in ("train", "test"))
    tests = {"test": test}
    if (root / "FAUST_r").is_dir():
        tests["remeshed"] = FAUSTParts(root, file, "remeshed", "test", registrations=root)
        tests["remeshed, by common points"] = FAUSTParts(root, file, "remeshed", "test")
    return Task(train, tests, train.parts)  # type: ignore[arg-type]


def _puppets(split: Any, variant: Any) -> Any:
    return Puppets(15, 15, split=split, variant=variant, num_vertices=1500, transform=_parts, new_poses=True)


def _parts(mesh: Mesh) -> Mesh:
    mesh.y = mesh.part
    return mesh


def prepared(kind: str, signal: str, eigenvalues: int, cache: OperatorCache) -> Callable[[Mesh], Data]:
    """What makes of a mesh what a network of a kind ("diffusion", "geodesic", "cloud") reads.

    All shapes have area 1, those for networks on points are in the unit ball instead.
    """
    steps: list[Any] = [UnitArea()]
    if kind == "diffusion" or signal == "hks":
        steps.append(SpectralOperators(cache, eigenvalues))
    if kind == "geodesic":
        steps.append(GeodesicOperators(cache, RINGS, RAYS))
    through: Callable[[Mesh], Data] = Compose([*steps, _Reading(kind, signal)])
    return through


class _Reading(BaseTransform):
    """What the network reads and no more: batches are made of it."""

    def __init__(self, kind: str, signal: str) -> None:
        self.kind, self.signal = kind, signal

    def forward(self, mesh: Any) -> Data:
        kept: dict[str, Any] = {"y": mesh.y, "area": vertex_areas(mesh)}
        signature = heat_kernel_signature(mesh.spectrum, SIGNATURES) if self.signal == "hks" else None
        if self.kind == "cloud":
            pos = mesh.pos - mesh.pos.mean(0)
            pos = pos / pos.norm(dim=1).max()
            return Data(pos=pos, **kept) if signature is None else Data(pos=pos, x=signature, **kept)
        kept["x"] = UNITS * mesh.pos if signature is None else signature
        if self.kind == "geodesic":
            return Data(pos=mesh.pos, windows=mesh.windows, **kept)
        return Data(pos=mesh.pos, spectrum=mesh.spectrum, gradient=mesh.gradient, **kept)


def augmentation(kind: str, signal: str) -> BaseTransform | None:
    """Random changes of a training batch: bodies are turned in any direction, unless their signal does not change with it."""
    if kind == "cloud":
        return Compose([FixedPoints(POINTS), RandomRotate("any"), RandomScale(0.8, 1.25), RandomJitter()])
    return RandomRotate("any", vectors=1) if signal == "xyz" else None


def turned(shape: Data, name: str, kind: str, signal: str) -> Data:
    """A test shape in a direction that follows from its name: the sets' shapes all face one way."""
    generator = torch.Generator().manual_seed(crc32(name.encode()))
    vectors = 1 if kind != "cloud" and signal == "xyz" else 0
    found: Data = RandomRotate("any", vectors=vectors, generator=generator)(shape)
    return found
