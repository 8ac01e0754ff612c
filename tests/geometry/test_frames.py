"""Frames turn with the shape, whatever its numbering, unit, winding and neighbours."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from geodl.geometry import curvature, geodesic_charts, gradient, tangent_frames

from .shapes import Shape, bumpy, flat_random, icosphere, join, moebius, wrap


def turned(pos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    turn = turn * turn.det()
    return pos @ turn.T + torch.randn(3, dtype=torch.float64), turn


@pytest.mark.parametrize("factor", [1e-6, 1.0, 2.0**40])
def test_frames_turn_with_the_shape(factor: float) -> None:
    mesh = bumpy()
    frames = tangent_frames(mesh)
    pos, turn = turned(mesh.pos)
    torch.testing.assert_close(tangent_frames(mesh.with_pos(factor * pos)), frames @ turn.T)
    order = torch.randperm(mesh.size)
    other = Shape(mesh.pos[order], order.argsort()[mesh.face][:, torch.randperm(mesh.face.shape[1])])
    torch.testing.assert_close(tangent_frames(other), frames[order])
    torch.testing.assert_close(tangent_frames(join(icosphere(1), mesh))[42:], frames)
    cloud = SimpleNamespace(pos=mesh.pos)
    torch.testing.assert_close(
        tangent_frames(SimpleNamespace(pos=factor * pos)), tangent_frames(cloud) @ turn.T
    )


def test_the_first_direction_leads_away_from_the_middle() -> None:
    frames = tangent_frames(flat_random(400, stretch=2))
    middle = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    away = torch.nn.functional.normalize(flat_random(400, stretch=2).pos - middle, dim=1)
    torch.testing.assert_close(frames[:, 0], away)


def test_where_the_shape_tells_no_direction_a_coordinate_axis_does() -> None:
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    faces = torch.tensor([[0, 0, 0, 1], [1, 2, 3, 3], [2, 3, 1, 2]])
    frames = tangent_frames(Shape(corners, faces))
    # All three axes are as far from the normals: the first is taken.
    assert (frames[:, 0, 0] - math.sqrt(2 / 3)).abs().max() < 1e-12
    lonely = tangent_frames(Shape(torch.cat([corners, corners[:1] * 3]), faces))
    torch.testing.assert_close(lonely[4], torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("mesh", [bumpy(2), moebius()], ids=["closed", "Moebius strip"])
def test_winding_of_single_faces_does_not_matter(mesh: Shape) -> None:
    some = torch.rand(mesh.face.shape[1], generator=torch.Generator().manual_seed(0)) < 0.3
    some[0] = False  # the first face decides
    other = Shape(mesh.pos, torch.where(some, mesh.face[[0, 2, 1]], mesh.face))
    torch.testing.assert_close(tangent_frames(other), tangent_frames(mesh))
    signal = torch.randn(mesh.size, 2, dtype=torch.float64)
    torch.testing.assert_close(gradient(other)(signal), gradient(mesh)(signal))
    torch.testing.assert_close(curvature(other).principal, curvature(mesh).principal)


def test_charts_see_what_frames_see_on_a_curved_surface() -> None:
    mesh = bumpy(4)
    charts, frames = geodesic_charts(mesh, 0.1), tangent_frames(mesh)
    i, j = charts.neighbors.row, charts.neighbors.col
    edge = (frames[i, :2] @ (mesh.pos[j] - mesh.pos[i])[:, :, None]).squeeze(2)
    off = wrap(torch.atan2(edge[:, 1], edge[:, 0]) - charts.theta)[i != j].abs()
    assert off.mean() < math.radians(0.3) and off.max() < math.radians(10)
    # Parallel transport, from the plane of j laid into that of i by the smallest rotation.
    from geodl.geometry.curvature import _rotate

    laid = _rotate(frames[j, :2], frames[j, 2], frames[i, 2])
    angle = torch.atan2((laid[:, 0] * frames[i, 1]).sum(1), (laid[:, 0] * frames[i, 0]).sum(1))
    assert charts.transport is not None
    off = wrap(angle - charts.transport).abs()
    assert off.mean() < math.radians(0.3) and off.max() < math.radians(10)
