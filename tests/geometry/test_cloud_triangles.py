"""Clouds whose sides lie closer than their points: normals outward, triangles on one side, the Laplacian of the surface."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay
from torch import Tensor

from geodl.data import PointCloud
from geodl.geometry import Laplacian, laplacian, spectrum
from geodl.geometry import cloud as cloud_module
from geodl.geometry.cloud import oriented_normals
from geodl.geometry.cloud_triangles import local_normals, local_triangles, oriented_laplacian


def sphere(points: int) -> Tensor:
    """Points spread evenly by the golden angle."""
    k = torch.arange(points, dtype=torch.float64)
    z = 1 - (2 * k + 1) / points
    angle = k * math.pi * (3 - math.sqrt(5))
    radius = (1 - z**2).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], 1)


def lens(points: int, height: float) -> tuple[Tensor, Tensor]:
    """Points of a flat ellipsoid, and its normals."""
    axes = torch.tensor([1.0, 1.0, height], dtype=torch.float64)
    unit = sphere(points)
    return unit * axes, torch.nn.functional.normalize(unit / axes, dim=1)


def test_triangles_of_a_plane_are_delaunays() -> None:
    random = np.random.default_rng(0)
    flat = (
        np.stack(np.meshgrid(np.arange(18), np.arange(18)), -1).reshape(-1, 2) + 0.6 * random.random((324, 2))
    ) / 18
    pos = torch.from_numpy(np.pad(flat, ((0, 0), (0, 1))))
    normal = torch.tensor([0.0, 0, 1], dtype=torch.float64).repeat(324, 1)
    found = {tuple(sorted(row)) for row in local_triangles(pos, normal).tolist()}
    inner = ((flat > 0.15) & (flat < 0.85)).all(1)
    right = {tuple(sorted(row)) for row in Delaunay(flat).simplices.tolist() if inner[row].all()}
    assert right <= found
    assert {row for row in found if inner[list(row)].all()} == right


def test_cells_of_a_grid_are_covered_once() -> None:
    """Four corners of a cell lie on one circle: each is cut one way."""
    x, y = np.meshgrid(np.arange(9.0), np.arange(9.0))
    pos = torch.from_numpy(np.stack([x, y, 0 * x], -1).reshape(-1, 3))
    normal = torch.tensor([0.0, 0, 1], dtype=torch.float64).repeat(81, 1)
    made = oriented_laplacian(pos, normal, laplacian(PointCloud(pos), "points"))
    inside = (pos[:, :2] > 1.5).all(1) & (pos[:, :2] < 6.5).all(1)
    assert float(made.mass.sum()) == pytest.approx(64, rel=0.02)
    assert bool((made.mass[inside] - 1).abs().max() < 0.4)


def test_sides_of_a_thin_body_are_told_apart() -> None:
    pos, right = lens(600, 0.3)
    made = oriented_normals(PointCloud(pos), laplacian(PointCloud(pos)).mass)
    assert float(((made * right).sum(1) > 0).double().mean()) > 0.97
    middle = pos[:, :2].norm(dim=1) < 0.8
    assert bool(((made * right).sum(1)[middle] > 0.95).all())
    triangles = local_triangles(pos, made)
    sides = pos[triangles[middle[triangles].all(1)]][..., 2].sign()
    assert bool((sides == sides[:, :1]).all())


def test_many_points_take_their_side_from_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_module, "_DIPOLES", 300)
    pos, right = lens(900, 0.3)
    made = oriented_normals(PointCloud(pos), laplacian(PointCloud(pos)).mass)
    assert bool(((made * right).sum(1) > 0.5).all())


def test_components_each_look_outward() -> None:
    ball = sphere(200)
    pos = torch.cat([ball, 0.5 * ball + 9])
    made = oriented_normals(PointCloud(pos), laplacian(PointCloud(pos)).mass)
    assert bool(((made * torch.cat([ball, ball])).sum(1) > 0.9).all())


def test_given_normals_keep_their_lines() -> None:
    pos, right = lens(300, 0.5)
    mass = laplacian(PointCloud(pos)).mass
    torch.testing.assert_close(oriented_normals(PointCloud(pos, normal=right), mass), right)
    coin = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], (300, 1)))
    torch.testing.assert_close(oriented_normals(PointCloud(pos, normal=coin * right), mass), right)


def test_numbering_place_and_size_do_not_matter() -> None:
    pos, _ = lens(300, 0.2)
    order = torch.from_numpy(np.random.default_rng(0).permutation(300))
    turn = torch.linalg.qr(torch.from_numpy(np.random.default_rng(1).normal(size=(3, 3)))).Q
    turn = turn * torch.linalg.det(turn)
    moved = 1e-3 * pos[order] @ turn.T + 5
    made = [oriented_normals(PointCloud(p), laplacian(PointCloud(p)).mass) for p in (pos, moved)]
    torch.testing.assert_close(made[1], made[0][order] @ turn.T, atol=1e-4, rtol=0)


def test_laplacian_of_a_sphere() -> None:
    pos = sphere(1000)
    made = oriented_laplacian(pos, pos, laplacian(PointCloud(pos), "points"))
    assert float(made.mass.sum()) == pytest.approx(4 * math.pi, rel=0.01)
    expected = torch.tensor([0.0] + 3 * [2.0] + 5 * [6.0])
    torch.testing.assert_close(spectrum(made, 9).evals.float(), expected, rtol=0.03, atol=1e-6)
    torch.testing.assert_close(local_normals(pos, pos), pos, atol=0.03, rtol=0)


def test_normals_that_say_nothing_and_points_at_one_place() -> None:
    pos = sphere(100)
    plain = laplacian(PointCloud(pos), "points")
    assert oriented_laplacian(pos, torch.zeros_like(pos), plain) is plain
    twice = torch.cat([pos, pos[:7]])
    made = oriented_laplacian(twice, twice, laplacian(PointCloud(twice), "points"))
    alone = oriented_laplacian(pos, pos, plain)
    assert isinstance(made, Laplacian) and made.report.duplicate_points == 7
    torch.testing.assert_close(made.mass.sort().values[7:], alone.mass.sort().values, rtol=1e-3, atol=0)
    assert int((made.mass == 0).sum()) == 7
