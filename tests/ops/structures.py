"""Two shapes of different sizes of every operator type, and what it means that two are the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from geodl.data import Skeleton
from geodl.geometry import (
    ChartReport,
    Charts,
    Coarsening,
    FieldDerivative,
    Gradient,
    Laplacian,
    LaplacianReport,
    Spectrum,
    SpectrumReport,
)
from geodl.nn import GraphMatrix, GridWindows, Level, SparseFeatures
from geodl.ops import Neighbors, PolarWindows
from geodl.ops.core.structure import Structure


def _neighbors(points: int) -> Neighbors:
    generator = torch.Generator().manual_seed(points)
    edge_index = torch.randint(points, (2, 3 * points), generator=generator)
    return Neighbors.from_edge_index(edge_index, points)


def _charts(points: int) -> Charts:
    neighbors = _neighbors(points)
    coords, transport, arrival = (torch.rand(neighbors.num_edges, *size) for size in ((2,), (), ()))
    radius, frames = torch.rand(points) + 1, torch.rand(points, 3, 3)
    centers = torch.randperm(points, generator=torch.Generator().manual_seed(points))
    report = ChartReport(points)
    return Charts(neighbors, coords, "polar", transport, radius, report, centers, arrival, frames)


def _spectrum(points: int) -> Spectrum:
    report = SpectrumReport("dense", 1 / points)
    return Spectrum(torch.rand(4), torch.rand(points, 4), torch.rand(points), reports=(report,))


def _coarsening(points: int) -> Coarsening:
    cells = points // 2
    cluster = torch.arange(points) % cells
    member = Neighbors.from_edge_index(torch.stack([torch.arange(points), cluster]), cells, points)
    return Coarsening(
        cluster,
        torch.arange(cells),
        dataclasses.replace(member, order=None),
        torch.rand(points),
        torch.rand(cells).double(),
        torch.tensor([[0, cells - 1], [cells - 1, 0]]),
        torch.rand(2),
        torch.rand(cells, 3),
        Neighbors.from_edge_index(torch.stack([cluster, torch.arange(points)]), points, cells),
        torch.rand(points).double(),
    )


def _level(points: int) -> Level:
    flat = [Charts(_neighbors(n), torch.rand(3 * n, 2), "cartesian") for n in (points, points // 2)]
    coarser = Level(flat[1], torch.rand(points // 2))
    return Level(flat[0], torch.rand(points), None, _coarsening(points), coarser, reach=float(points))


def _polar(points: int, sparse: bool) -> PolarWindows:
    neighbors = _neighbors(points)
    weight = torch.rand(3 * points, 2 if sparse else 6)
    index = torch.randint(6, weight.shape) if sparse else None
    return PolarWindows(neighbors, weight, index, 2, 3)


def _laplacian(points: int) -> Laplacian:
    report = LaplacianReport("tufted", points, flat_faces=points)
    return Laplacian(_neighbors(points), torch.rand(3 * points).double(), torch.rand(points).double(), report)


def _sparse(points: int) -> SparseFeatures:
    return SparseFeatures.from_dense(torch.rand(points, 5).relu() * (torch.rand(points, 5) > 0.5))


def _skeleton(points: int) -> Skeleton:
    parents = torch.tensor([-1, -1, *(joint // 2 for joint in range(points - 2))])  # two trees
    return Skeleton(tuple(f"joint {joint}" for joint in range(points)), parents, torch.rand(points, 3))


MAKE: dict[str, Callable[[int], Structure]] = {
    "Neighbors": _neighbors,
    "PolarWindows": lambda points: _polar(points, False),
    "PolarWindows, sparse": lambda points: _polar(points, True),
    "GridWindows": lambda points: GridWindows(
        _neighbors(points), torch.rand(3 * points, 2), torch.randint(9, (3 * points, 2)), (3, 3)
    ),
    "Charts": _charts,
    "Spectrum": _spectrum,
    "Gradient": lambda points: Gradient(_neighbors(points), torch.rand(3 * points, 2)),
    "FieldDerivative": lambda points: FieldDerivative(_neighbors(points), torch.rand(3 * points, 2)),
    "Laplacian": _laplacian,
    "Coarsening": _coarsening,
    "Level": _level,
    "GraphMatrix": lambda points: GraphMatrix(_neighbors(points), torch.rand(3 * points), points > 9),
    "SparseFeatures": _sparse,
    "Skeleton": _skeleton,
}


def difference(a: Any, b: Any, path: str = "") -> str:
    """Where two structures differ in values, dtypes or devices; empty if nowhere."""
    if type(a) is not type(b):
        return f"{path}: {type(a).__name__} and {type(b).__name__}"
    if isinstance(a, Tensor):
        same = a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
        return "" if same else f"{path}: {a} and {b}"
    if isinstance(a, Structure):
        parts = (difference(getattr(a, f), getattr(b, f), f"{path}.{f}") for f in a.layout)
        return next((part for part in parts if part), "")
    return "" if a == b else f"{path}: {a} and {b}"
