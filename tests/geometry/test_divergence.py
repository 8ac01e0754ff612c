"""Divergence and curl against closed forms, the Laplacian, Stokes and each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geodl.geometry import (
    FieldDerivative,
    curl,
    divergence,
    gradient,
    laplacian,
    tangent_frames,
    vertex_areas,
    vertex_normals,
)
from geodl.ops import aggregate

from .shapes import Shape, bumpy, flat_grid, flat_random, icosphere

FLAT = {"grid": flat_grid(), "random": flat_random(), "obtuse": flat_random(stretch=8, seed=1)}


def in_frames(mesh: Shape, vectors: Tensor) -> Tensor:
    return (tangent_frames(mesh)[:, :2] @ vectors[:, :, None]).transpose(1, 2)


def inside(mesh: Shape) -> Tensor:
    x, y, _ = mesh.pos.T
    return (x > 1e-9) & (x < x.max() - 1e-9) & (y > 1e-9) & (y < 1 - 1e-9)


def nearest_areas(mesh: Shape) -> Tensor:
    """Of a mesh in the plane, the cells around the vertices between the faces' circumcentres, negative parts included."""
    pos = mesh.pos[:, :2]
    a, b, c = pos[mesh.face]
    right = torch.stack([(b.square() - a.square()).sum(1), (c.square() - a.square()).sum(1)], dim=1) / 2
    centre = torch.linalg.solve(torch.stack([b - a, c - a], dim=1), right)
    area = torch.zeros(mesh.size, dtype=torch.float64)
    for k in range(3):
        here, after, before = (pos[mesh.face[(k + step) % 3]] for step in (0, 1, 2))
        corners = [here, (here + after) / 2, centre, (here + before) / 2]
        for p, q in zip(corners, corners[1:] + corners[:1], strict=True):
            area.index_add_(0, mesh.face[k], (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]) / 2)
    return area


@pytest.mark.parametrize("name", FLAT)
def test_linear_fields_in_the_plane(name: str) -> None:
    mesh = FLAT[name]
    x, y, z = mesh.pos.T
    # On the grid alone a third of the faces is what lies nearest to a vertex.
    even = name == "grid"
    nearest = nearest_areas(mesh) / vertex_areas(mesh)
    fields = {
        (2.0, 0.0): torch.stack([x, y, z], dim=1),
        (0.0, 2.0): torch.stack([-y, x, z], dim=1),
        (3.0, -4.0): torch.stack([1.5 * x + 2 * y, 1.5 * y - 2 * x, z], dim=1),
        (0.0, 0.0): torch.tensor([0.4, -1.0, 0.0], dtype=torch.float64).expand(mesh.size, 3),
    }
    if even:
        fields |= {(1.5, -4.0): torch.stack([0.5 * x + 3 * y, y - x, z], dim=1)}
    for (spreads, turns), vectors in fields.items():
        field = in_frames(mesh, vectors)
        found = divergence(mesh)(field)[inside(mesh), 0]
        torch.testing.assert_close(found, (spreads * nearest)[inside(mesh)], atol=1e-6, rtol=1e-6)
        assert not even or (found - spreads).abs().max() < 1e-9
        found = curl(mesh)(field)[:, 0]  # up to the border
        torch.testing.assert_close(found, torch.full_like(found, turns), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", FLAT)
def test_of_linear_gradients_in_the_plane_exactly(name: str) -> None:
    mesh = FLAT[name]
    f = mesh.pos @ torch.randn(3, 2, dtype=torch.float64)
    field = gradient(mesh)(f)
    found = divergence(mesh)(field) * vertex_areas(mesh)[:, None]
    stiff = laplacian(mesh, "cotangent")
    torch.testing.assert_close(found, -aggregate(f, stiff.neighbors, stiff.values), atol=1e-9, rtol=0)
    assert curl(mesh)(field).abs().max() < 1e-9


def test_divergence_of_a_gradient_tends_to_the_laplacian_and_its_curl_to_zero() -> None:
    missed = []
    for fineness in (3, 4, 5):
        mesh = icosphere(fineness)
        x, y, z = mesh.pos.T
        f = torch.stack([z, x * y, z**2 + x], dim=1)
        expected = torch.stack([-2 * z, -6 * x * y, 2 - 6 * z**2 - 2 * x], dim=1)
        area, stiff = vertex_areas(mesh)[:, None], laplacian(mesh, "cotangent")
        field = gradient(mesh)(f)
        found, turned = divergence(mesh)(field), curl(mesh)(field)
        weak = aggregate(f, stiff.neighbors, stiff.values)
        missed.append(float((found * area + weak).norm() / weak.norm()))
        size = (expected.square() * area).sum()
        assert ((found - expected).square() * area).sum() < (1.2 * missed[-1]) ** 2 * size
        assert (turned.square() * area).sum() < 0.03**2 * size
    assert missed[0] < 0.06 and missed[2] < missed[1] / 1.4 < missed[0] / 1.9


def test_on_an_uneven_mesh_they_are_right_on_average() -> None:
    mesh = flat_random(2000)
    x, y, _ = mesh.pos.T
    f = (torch.sin(3 * x) * torch.cos(2 * y))[:, None]
    weight = vertex_areas(mesh) * torch.sin(torch.pi * x).square() * torch.sin(torch.pi * y).square()
    field = gradient(mesh)(f)
    expected = float((weight * -13 * f[:, 0]).sum())
    assert float((weight * divergence(mesh)(field)[:, 0]).sum()) == pytest.approx(expected, rel=0.01)
    assert abs(float((weight * curl(mesh)(field)[:, 0]).sum())) < 0.01 * abs(expected)


def test_rotation_about_an_axis_of_the_sphere() -> None:
    mesh = icosphere(4)
    spin = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]).double().expand(mesh.size, 3), mesh.pos)
    field = in_frames(mesh, spin)
    assert (curl(mesh)(field)[:, 0] - 2 * mesh.pos[:, 2]).abs().max() < 0.02
    assert divergence(mesh)(field).abs().max() < 0.05


@pytest.mark.parametrize("mesh", [bumpy(), flat_random()], ids=["closed", "open"])
def test_divergence_is_minus_the_adjoint_of_the_differential(mesh: Shape) -> None:
    # Sums over the faces, edge by edge, of the integrals of the field along them.
    u, f = torch.randn(mesh.size, 1, 2, dtype=torch.float64), torch.randn(mesh.size, dtype=torch.float64)
    frames = tangent_frames(mesh)
    paired = 0.0
    for k in range(3):
        i, j, across = mesh.face[(k + 1) % 3], mesh.face[(k + 2) % 3], mesh.pos[mesh.face[k]]
        one, two = mesh.pos[i] - across, mesh.pos[j] - across
        cot = (one * two).sum(1) / torch.linalg.cross(one, two).norm(dim=1)
        edge = mesh.pos[j] - mesh.pos[i]
        along = torch.zeros(len(i), dtype=torch.float64)
        for v in (i, j):
            flat = (frames[v, :2] @ edge[:, :, None]).squeeze(2)
            flat = flat / flat.norm(dim=1, keepdim=True) * edge.norm(dim=1, keepdim=True)
            along += 0.5 * (u[v, 0] * flat).sum(1)
        paired += float((0.5 * cot * along * (f[j] - f[i])).sum())
    found = divergence(mesh)(u)[:, 0] * vertex_areas(mesh)
    assert float((found * f).sum()) == pytest.approx(-paired, rel=1e-9)
    assert abs(float(found.sum())) < 1e-9


def test_frames_and_packing() -> None:
    mesh = bumpy(2)
    field, angle = torch.randn(mesh.size, 3, 2, dtype=torch.float64), torch.rand(mesh.size).double() * 6
    turn = torch.polar(torch.ones_like(angle), angle)[:, None]
    turned = torch.view_as_real(torch.view_as_complex(field) * turn)
    for make in (divergence, curl):
        operator = make(mesh)
        torch.testing.assert_close(operator.rotate(angle)(turned), operator(field))
        both = FieldDerivative.cat([operator, operator])
        torch.testing.assert_close(both(torch.cat([field, 2 * field]))[mesh.size :], 2 * operator(field))
        assert all(map(torch.equal, both[1].tensors(), operator.tensors()))
        single = make(mesh.with_pos(mesh.pos.float()))
        assert single.values.dtype == torch.float32
        torch.testing.assert_close(single(field.float()), operator(field).float(), atol=1e-3, rtol=1e-3)
        with pytest.raises(ValueError, match=r"shape \[V, C, 2\]"):
            operator(field[..., 0])
        with pytest.raises(ValueError, match="one a frame"):
            operator.rotate(angle[1:])
    # Curl changes its sign with the side that is looked at, divergence does not.
    inside_out = Shape(mesh.pos, mesh.face.flip(0))
    vectors = torch.linalg.cross(vertex_normals(mesh), torch.randn(mesh.size, 3).double())
    for make, sign in ((divergence, 1), (curl, -1)):
        one, other = make(mesh)(in_frames(mesh, vectors)), make(inside_out)(in_frames(inside_out, vectors))
        torch.testing.assert_close(other, sign * one)


def test_what_has_no_area_is_told() -> None:
    lonely = Shape(torch.cat([icosphere(1).pos, torch.ones(1, 3).double()]), icosphere(1).face)
    assert not divergence(lonely)(torch.randn(43, 1, 2).double())[42].any()
    flat = Shape(torch.arange(3).double()[:, None].expand(3, 3), torch.tensor([[0], [1], [2]]))
    for make in (divergence, curl):
        with pytest.raises(ValueError, match="none of the 1 faces has an area"):
            make(flat)
