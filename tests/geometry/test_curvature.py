"""Curvatures against closed forms; angle deficits against Gauss and Bonnet."""

from __future__ import annotations

import math

import pytest
import torch

from geodl.geometry import angle_deficit, curvature, tangent_frames, validate

from .shapes import Shape, bumpy, flat_random, icosphere, join, prism


def torus(large: float = 2.0, small: float = 0.7, n: int = 96, m: int = 48) -> tuple[Shape, torch.Tensor]:
    """A torus around the z axis, and the angle along its small circle, 0 outside."""
    u = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    v = 2 * math.pi * torch.arange(m, dtype=torch.float64) / m
    u, v = (grid.flatten() for grid in torch.meshgrid(u, v, indexing="ij"))
    across = large + small * v.cos()
    pos = torch.stack([across * u.cos(), across * u.sin(), small * v.sin()], dim=1)
    i, j = (grid.flatten() for grid in torch.meshgrid(torch.arange(n), torch.arange(m), indexing="ij"))
    a, b = i * m + j, (i + 1) % n * m + j
    c, d = (i + 1) % n * m + (j + 1) % m, i * m + (j + 1) % m
    return Shape(pos, torch.cat([torch.stack([a, b, c]), torch.stack([a, c, d])], dim=1)), v


@pytest.mark.parametrize("radius", [1e-4, 1.0, 3e5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sphere(radius, dtype) -> None:
    ball = icosphere(4)
    found = curvature(ball.with_pos((radius * ball.pos).to(dtype)))
    assert found.principal.dtype == dtype and found.defined.all()
    torch.testing.assert_close(found.principal * radius, torch.ones_like(found.principal), atol=0.02, rtol=0)
    torch.testing.assert_close(found.gaussian * radius**2, torch.ones_like(found.mean), atol=0.04, rtol=0)
    inward = curvature(Shape(radius * ball.pos, ball.face.flip(0)))
    assert float((inward.mean * radius + 1).abs().max()) < 0.02


def test_torus() -> None:
    mesh, v = torus()
    found = curvature(mesh)
    other = v.cos() / (2.0 + 0.7 * v.cos())
    torch.testing.assert_close(found.principal[:, 0], torch.full_like(v, 1 / 0.7), atol=0.03, rtol=0)
    torch.testing.assert_close(found.principal[:, 1], other, atol=0.03, rtol=0)
    # The smaller curvature is that of the circle around the axis.
    direction = torch.einsum("vki,vid->vkd", found.directions, tangent_frames(mesh)[:, :2])
    around = torch.stack([-mesh.pos[:, 1], mesh.pos[:, 0], 0 * v], dim=1)
    along = (direction[:, 1] * torch.nn.functional.normalize(around, dim=1)).sum(1).abs()
    assert float(along.min()) > 0.99


def test_cylinder_and_plane() -> None:
    mesh = prism(60, 9)
    radius = 0.5 / math.sin(math.pi / 60)
    inside = (mesh.pos[:, 2] > 0.5) & (mesh.pos[:, 2] < 7.5)
    found = curvature(mesh).principal[inside]
    torch.testing.assert_close(found[:, 0] * radius, torch.ones(len(found)).double(), atol=0.01, rtol=0)
    assert float(found[:, 1].abs().max() * radius) < 0.01
    assert float(curvature(flat_random()).principal.abs().max()) < 1e-10


def test_turning_the_shape_changes_nothing() -> None:
    mesh = bumpy(3)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turn = turn * turn.det().sign()
    torch.testing.assert_close(
        curvature(mesh.with_pos(mesh.pos @ turn.T)).principal, curvature(mesh).principal
    )


@pytest.mark.parametrize(
    "make",
    [lambda: bumpy(2), lambda: torus()[0], flat_random, prism, lambda: join(icosphere(1), icosphere(2))],
    ids=["sphere", "torus", "disk", "annulus", "two spheres"],
)
def test_gauss_bonnet(make) -> None:
    mesh = make()
    total = float(angle_deficit(mesh).sum())
    assert total == pytest.approx(2 * math.pi * validate(mesh).euler_characteristic, abs=1e-9)


def test_vertices_without_a_face_are_told() -> None:
    ball = icosphere(2)
    lonely = Shape(torch.cat([ball.pos, ball.pos[:2] * 2]), ball.face)
    found = curvature(lonely)
    assert found.defined.tolist() == [True] * 162 + [False] * 2 and not found.principal[-2:].any()
    assert not angle_deficit(lonely)[-2:].any()
