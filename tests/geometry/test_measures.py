"""Edges, areas and normals against closed forms and trimesh; their derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh
from torch.autograd import gradcheck, gradgradcheck

from geodl.geometry import (
    edges,
    face_areas,
    face_normals,
    mean_edge_length,
    surface_area,
    vertex_areas,
    vertex_normals,
)

from .shapes import Shape, bumpy, flat_grid, flat_random, icosphere, join, moebius


@pytest.mark.parametrize("mesh", [bumpy(), flat_random(), moebius(), join(icosphere(1), flat_grid(4))])
def test_edges_areas_and_normals_are_those_of_trimesh(mesh: Shape) -> None:
    other = trimesh.Trimesh(mesh.pos.numpy(), mesh.face.T.numpy(), process=False)
    found = edges(mesh)
    assert torch.equal(found, torch.from_numpy(np.unique(other.edges_sorted, axis=0).T.astype(np.int64)))
    np.testing.assert_allclose(face_areas(mesh), other.area_faces, rtol=1e-9, atol=1e-15)
    assert float(surface_area(mesh)) == pytest.approx(other.area, rel=1e-12)
    np.testing.assert_allclose(face_normals(mesh), other.face_normals, atol=1e-9)
    assert float(mean_edge_length(mesh)) == pytest.approx(other.edges_unique_length.mean(), rel=1e-12)


def test_vertex_areas_sum_to_the_surface() -> None:
    mesh = flat_grid(5)
    areas = vertex_areas(mesh)
    assert float(areas.sum()) == pytest.approx(1)
    assert float(areas[12]) == pytest.approx(1 / 16)  # six of the triangles of 1/32, a third each


def test_vertex_normals_of_a_sphere_point_outward() -> None:
    mesh = icosphere(3)
    assert torch.allclose(vertex_normals(mesh), mesh.pos, atol=0.02)


@pytest.mark.parametrize("factor", [1e-3, 1e6, 1e-18])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scales(factor: float, dtype: torch.dtype) -> None:
    mesh = bumpy(2)
    scaled = mesh.with_pos((mesh.pos * factor).to(dtype))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    assert torch.allclose(vertex_normals(scaled).double(), vertex_normals(mesh), atol=tolerance)
    assert torch.allclose(face_normals(scaled).double(), face_normals(mesh), atol=tolerance)
    if factor > 1e-10:
        assert float(surface_area(scaled)) == pytest.approx(factor**2 * float(surface_area(mesh)), rel=1e-4)


@pytest.mark.parametrize(
    "measure", [face_areas, surface_area, vertex_areas, face_normals, vertex_normals, mean_edge_length]
)
def test_derivatives(measure: object) -> None:
    mesh = icosphere(0)
    pos = (mesh.pos + 0.1 * torch.randn_like(mesh.pos)).requires_grad_()

    def of(x: torch.Tensor) -> torch.Tensor:
        assert callable(measure)
        result = measure(mesh.with_pos(x))
        assert isinstance(result, torch.Tensor)
        return result

    assert gradcheck(of, (pos,))
    assert gradgradcheck(of, (pos,))


def test_faces_without_area_have_no_normal_and_finite_gradients() -> None:
    pos = torch.tensor(
        [[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0], [5, 5, 5]], dtype=torch.float64, requires_grad=True
    )
    mesh = Shape(pos, torch.tensor([[0, 0, 1], [1, 1, 1], [2, 3, 3]]))
    assert face_normals(mesh)[0].tolist() == [0, 0, 0]
    assert vertex_normals(mesh)[4].tolist() == [0, 0, 0]
    (face_areas(mesh).sum() + face_normals(mesh).sum() + vertex_normals(mesh).sum()).backward()
    assert pos.grad is not None and bool(torch.isfinite(pos.grad).all())


def test_area_of_a_sphere() -> None:
    assert float(surface_area(icosphere(4))) == pytest.approx(4 * math.pi, rel=3e-3)
