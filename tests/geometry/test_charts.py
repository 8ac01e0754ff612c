"""Geodesic polar charts against closed forms, other libraries and their own symmetries."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from geodl.geometry import Charts, chart_radius, geodesic_charts, gradient, tangent_frames
from geodl.ops import Neighbors

from .shapes import (
    Shape,
    bumpy,
    fan_angle,
    flat_corner,
    flat_grid,
    flat_random,
    icosphere,
    join,
    lowest_neighbour,
    prism,
    shape,
    wrap,
)

FLAT = {
    "grid": flat_grid(),
    "random": flat_random(),
    "obtuse": flat_random(stretch=8, seed=1),
    "needles": flat_random(stretch=0.03, seed=2),
}


def bearing(vectors: Tensor) -> Tensor:
    return torch.atan2(vectors[:, 1], vectors[:, 0])


def frame_angles(mesh: Shape) -> Tensor:
    """Of a mesh in the plane z = 0, the angle of every vertex's reference direction: away from the middle."""
    a, b, c = mesh.pos[mesh.face]
    area = torch.linalg.cross(b - a, c - a).norm(dim=1, keepdim=True)
    return bearing(mesh.pos - (area * (a + b + c) / 3).sum(0) / area.sum())


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("radius", [0.3, math.inf])
def test_a_flat_mesh_is_the_plane(name: str, radius: float) -> None:
    mesh = FLAT[name]
    charts = geodesic_charts(mesh, radius)
    i, j = charts.neighbors.row, charts.neighbors.col
    offset = mesh.pos[j] - mesh.pos[i]
    distance = torch.cdist(mesh.pos, mesh.pos)
    assert charts.neighbors.num_edges == int((distance <= radius * (1 + 1e-12)).sum())
    assert torch.allclose(charts.rho, offset.norm(dim=1), rtol=1e-9, atol=1e-12)
    frame, other = frame_angles(mesh), i != j
    assert wrap(charts.theta - bearing(offset) + frame[i])[other].abs().max() < 1e-7
    assert charts.transport is not None
    assert wrap(charts.transport - frame[j] + frame[i]).abs().max() < 1e-7


def test_paths_bend_around_a_reflex_corner() -> None:
    mesh = flat_corner()
    charts = geodesic_charts(mesh, math.inf)
    i, j = charts.neighbors.row, charts.neighbors.col
    a, b = mesh.pos[i], mesh.pos[j]
    # The segment leaves the L if it passes the side of the corner (0, 0) where x > 0 and y < 0.
    right, low = (
        torch.where((a[:, 0] > b[:, 0])[:, None], a, b),
        torch.where((a[:, 0] > b[:, 0])[:, None], b, a),
    )
    hidden = (
        (right[:, 0] > 0) & (low[:, 1] < 0) & (right[:, 0] * low[:, 1] - right[:, 1] * low[:, 0] < -1e-12)
    )
    assert 50 < int(hidden.sum()) < len(hidden) / 2
    rho = torch.where(hidden, a.norm(dim=1) + b.norm(dim=1), (a - b).norm(dim=1))
    assert torch.allclose(charts.rho, rho, rtol=1e-9, atol=1e-12)
    first_leg = torch.where(hidden[:, None], -a, b - a)
    frame, other = frame_angles(mesh), i != j
    assert wrap(charts.theta - bearing(first_leg) + frame[i])[other].abs().max() < 1e-7
    assert charts.transport is not None
    assert wrap(charts.transport - frame[j] + frame[i]).abs().max() < 1e-7


def test_a_prism_unrolls() -> None:
    sides, rings = 12, 7
    mesh = prism(sides, rings)
    charts = geodesic_charts(mesh, 5.5)  # less than half-way around, so that one path is shortest
    i, j = charts.neighbors.row, charts.neighbors.col
    along = torch.remainder(j % sides - i % sides + sides // 2, sides) - sides // 2
    up = j // sides - i // sides
    unrolled = torch.stack([along, up], dim=1).double()
    assert torch.allclose(charts.rho, unrolled.norm(dim=1), rtol=1e-9, atol=1e-12)
    # The first direction of the frames, unrolled: it agrees with the edges on average, which the folds turn by a degree.
    assert charts.frames is not None
    x, normal = charts.frames[:, 0], charts.frames[:, 2]
    around = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]).double().expand_as(normal), normal)
    expected = torch.atan2(x[:, 2], (x * around).sum(1))
    edge = (charts.rho - 1).abs() < 1e-9
    frame = torch.zeros(mesh.size, dtype=torch.float64)
    frame[i[edge]] = wrap(bearing(unrolled) - charts.theta)[edge]
    assert wrap(frame - expected).abs().max() < math.radians(1.5)
    assert wrap(charts.theta - bearing(unrolled) + frame[i])[i != j].abs().max() < 1e-7
    assert charts.transport is not None
    assert wrap(charts.transport - frame[j] + frame[i]).abs().max() < 1e-7


def test_a_sphere_has_great_circles() -> None:
    mesh = icosphere(4)
    charts = geodesic_charts(mesh, 0.9)
    i, j = charts.neighbors.row, charts.neighbors.col
    keep = i != j
    i, j, rho, theta = i[keep], j[keep], charts.rho[keep], charts.theta[keep]
    p, q = mesh.pos[i], mesh.pos[j]
    arc = torch.atan2(torch.linalg.cross(p, q).norm(dim=1), (p * q).sum(1))
    assert ((rho - arc) / arc).abs().max() < 4e-3  # an edge of this mesh is up to 0.2 % shorter than its arc
    # Tangent frames of the sphere itself: x along the charts' own, y to its left seen from outside.
    assert charts.frames is not None
    x = charts.frames[:, 0]
    x = torch.nn.functional.normalize(x - (x * mesh.pos).sum(1, keepdim=True) * mesh.pos)
    y = torch.linalg.cross(mesh.pos, x)
    leg = q - (p * q).sum(1, keepdim=True) * p
    error = wrap(theta - torch.atan2((leg * y[i]).sum(1), (leg * x[i]).sum(1))).abs()
    assert error.median() < math.radians(0.3) and error.quantile(0.99) < math.radians(2)
    # Levi-Civita: the rotation that carries q to p along the great circle carries the frame of j.
    axis = torch.nn.functional.normalize(torch.linalg.cross(q, p))
    turned = x[j] * arc.cos()[:, None] + torch.linalg.cross(axis, x[j]) * arc.sin()[:, None]
    turned = turned + axis * (axis * x[j]).sum(1, keepdim=True) * (1 - arc.cos())[:, None]
    assert charts.transport is not None
    error = wrap(charts.transport[keep] - torch.atan2((turned * y[i]).sum(1), (turned * x[i]).sum(1))).abs()
    assert error.median() < math.radians(0.5) and error.quantile(0.99) < math.radians(3)


def chart(charts: Charts, i: int) -> tuple[Tensor, Tensor, Tensor]:
    row = slice(int(charts.neighbors.rowptr[i]), int(charts.neighbors.rowptr[i + 1]))
    return charts.neighbors.col[row], charts.rho[row], charts.theta[row]


def test_distances_and_directions_agree_with_exact_paths() -> None:
    geodesic = pytest.importorskip("pygeodesic.geodesic", reason="needs pygeodesic (extra: test)")
    mesh = bumpy()
    solver = geodesic.PyGeodesicAlgorithmExact(mesh.pos.numpy(), mesh.face.T.numpy())
    charts = geodesic_charts(mesh, math.inf)
    for i in (0, 77, 400):
        expected, _ = solver.geodesicDistances(np.array([i]))
        col, rho, theta = chart(charts, i)
        assert torch.equal(col, torch.arange(mesh.size))
        np.testing.assert_allclose(rho.numpy(), expected, rtol=1e-9, atol=1e-12)
        start = int(lowest_neighbour(mesh)[i])
        for j in range(5, mesh.size, 31):
            if j == i:
                continue
            _, path = solver.geodesicDistance(i, j)
            path = path if np.allclose(path[0], mesh.pos[i]) else path[::-1]
            steps = np.linalg.norm(path - path[0], axis=1) > 1e-9
            angle = fan_angle(mesh, i, path[np.argmax(steps)] - path[0])
            assert abs(wrap(theta[j] - theta[start] - angle)) < 1e-5, (i, j)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_hold_themselves_and_ascend(dtype: torch.dtype) -> None:
    mesh = bumpy()
    charts = geodesic_charts(mesh.with_pos(mesh.pos.to(dtype)), 0.4)
    assert charts.coords.dtype == dtype and charts.transport is not None and charts.transport.dtype == dtype
    assert charts.num_charts == mesh.size and charts.radius is not None
    assert torch.equal(charts.radius, torch.full((mesh.size,), 0.4, dtype=dtype))
    i, j = charts.neighbors.row, charts.neighbors.col
    assert bool(((i[1:] > i[:-1]) | (j[1:] > j[:-1])).all())
    self_edges = i == j
    assert int(self_edges.sum()) == mesh.size
    assert bool((charts.coords[self_edges] == 0).all()) and bool((charts.transport[self_edges] == 0).all())
    assert charts.arrival is not None and bool((charts.arrival[self_edges] == 0).all())
    assert float(charts.arrival.min()) >= 0 and float(charts.arrival.max()) < 2 * math.pi
    assert float(charts.theta.min()) >= 0 and float(charts.theta.max()) < 2 * math.pi
    assert float(charts.rho.max()) <= 0.4 * (1 + 1e-6)
    assert float(charts.transport.abs().max()) <= math.pi * (1 + 1e-6)


def test_charts_see_each_other() -> None:
    mesh = bumpy()
    charts = geodesic_charts(mesh, 0.6)
    transposed, perm = charts.neighbors.t()
    assert torch.equal(transposed.rowptr, charts.neighbors.rowptr) and torch.equal(
        transposed.col, charts.neighbors.col
    )
    assert charts.transport is not None
    assert torch.allclose(charts.rho, charts.rho[perm], rtol=1e-12, atol=1e-14)
    assert wrap(charts.transport + charts.transport[perm]).abs().max() < 1e-9
    # The definition of transport by the two directions of a geodesic, where no vertex bends it.
    assert charts.arrival is not None
    assert wrap(charts.arrival - charts.theta[perm]).abs().max() < 1e-9
    straight = wrap(charts.transport - charts.theta + charts.arrival + math.pi).abs() < 1e-9
    assert straight[charts.neighbors.row != charts.neighbors.col].double().mean() > 0.9


def turned(mesh: Shape) -> Shape:
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    rotation *= torch.sign(torch.linalg.det(rotation))
    return mesh.with_pos(mesh.pos @ rotation.T + torch.randn(3, dtype=torch.float64))


@pytest.mark.parametrize(
    "mesh", [bumpy(), flat_random(stretch=3), flat_corner()], ids=["closed", "flat", "corner"]
)
def test_a_rigid_motion_changes_nothing(mesh: Shape) -> None:
    before, after = geodesic_charts(mesh, 0.5), geodesic_charts(turned(mesh), 0.5)
    assert torch.equal(before.neighbors.col, after.neighbors.col)
    assert torch.allclose(before.rho, after.rho, rtol=1e-9, atol=1e-12)
    assert wrap(before.theta - after.theta).abs().max() < 1e-6
    assert before.transport is not None and after.transport is not None
    assert wrap(before.transport - after.transport).abs().max() < 1e-6


@pytest.mark.parametrize("factor", [1e-3, 1e6, 2.0**40])
def test_the_unit_of_length_changes_nothing(factor: float) -> None:
    mesh = bumpy()
    before, after = (
        geodesic_charts(mesh, 0.5),
        geodesic_charts(mesh.with_pos(mesh.pos * factor), 0.5 * factor),
    )
    assert torch.equal(before.neighbors.col, after.neighbors.col)
    assert torch.allclose(before.rho * factor, after.rho, rtol=1e-9, atol=0)
    assert wrap(before.theta - after.theta).abs().max() < 1e-7
    assert before.report == after.report


def test_numbering_vertices_otherwise_changes_nothing() -> None:
    mesh = bumpy()
    order = torch.randperm(mesh.size)
    place = order.argsort()
    other = Shape(mesh.pos[order], place[mesh.face].roll(1, dims=0)[:, torch.randperm(mesh.face.shape[1])])
    before, after = geodesic_charts(mesh, 0.5), geodesic_charts(other, 0.5)
    for v in range(0, mesh.size, 17):
        col, rho, theta = chart(before, v)
        moved, rho_moved, theta_moved = chart(after, int(place[v]))
        back = order[moved].argsort()
        assert torch.equal(order[moved][back], col)
        assert torch.allclose(rho_moved[back], rho, rtol=1e-9, atol=1e-12)
        assert wrap(theta_moved[back] - theta).abs().max() < 1e-7


def test_threads_change_nothing() -> None:
    mesh, threads = bumpy(), torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            results.append(geodesic_charts(mesh, 0.5))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert torch.equal(results[0].neighbors.rowptr, other.neighbors.rowptr)
        assert torch.equal(results[0].neighbors.col, other.neighbors.col)
        assert torch.equal(results[0].coords, other.coords)
        assert results[0].transport is not None and other.transport is not None
        assert torch.equal(results[0].transport, other.transport)


def test_winding_of_single_faces_does_not_matter() -> None:
    mesh = bumpy()
    some = torch.rand(mesh.face.shape[1]) < 0.3
    some[0] = False  # the first face decides
    face = torch.where(some, mesh.face[[0, 2, 1]], mesh.face)
    before, after = geodesic_charts(mesh, 0.5), geodesic_charts(Shape(mesh.pos, face), 0.5)
    assert after.report is not None and after.report.turned_faces == int(some.sum())
    assert torch.allclose(before.rho, after.rho, rtol=1e-12)
    assert wrap(before.theta - after.theta).abs().max() < 1e-7


@pytest.mark.parametrize("size", [8, 30, 60])
def test_chart_radius_holds_the_size(size: int) -> None:
    mesh = bumpy()
    charts = geodesic_charts(mesh, chart_radius(mesh, size))
    assert charts.neighbors.num_edges / mesh.size == pytest.approx(size, rel=0.1)


@pytest.mark.parametrize("size", [1, 2, 30, 200])
def test_charts_by_count_hold_the_nearest(size: int) -> None:
    mesh = bumpy()
    every, charts = geodesic_charts(mesh, math.inf), geodesic_charts(mesh, size=size)
    assert torch.equal(charts.neighbors.degree(), torch.full((mesh.size,), size))  # no two are equally far
    distance = every.rho.view(mesh.size, mesh.size)
    nearest = distance.argsort(dim=1)[:, :size].sort(dim=1).values
    assert torch.equal(charts.neighbors.col.view(mesh.size, size), nearest)
    rho = distance.gather(1, nearest)
    assert torch.allclose(charts.rho.view(mesh.size, size), rho, rtol=1e-12, atol=1e-14)
    theta = every.theta.view(mesh.size, mesh.size).gather(1, nearest)
    assert wrap(charts.theta.view(mesh.size, size) - theta).abs().max() < 1e-9
    assert charts.radius is not None
    limits = distance.sort(dim=1).values[:, size - 1 : size + 1]
    assert torch.allclose(charts.radius, limits.mean(dim=1), rtol=1e-12)
    again = geodesic_charts(mesh, charts.radius)
    assert torch.equal(again.neighbors.col, charts.neighbors.col)
    assert torch.equal(again.coords, charts.coords) and again.report == charts.report


def test_charts_by_count_take_ties_together_and_all_that_can_be_reached() -> None:
    charts = geodesic_charts(flat_grid(9), size=4)
    assert int(charts.neighbors.degree()[40]) == 5  # itself and four just as far
    lonely = Shape(torch.cat([icosphere(1).pos, torch.ones(1, 3).double()]), icosphere(1).face)
    charts = geodesic_charts(lonely, size=100)
    assert charts.neighbors.degree().tolist() == [42] * 42 + [1]
    assert charts.radius is not None and float(charts.radius.min()) > 0


def test_a_radius_for_every_chart() -> None:
    mesh = bumpy()
    radius = 0.2 + 0.4 * torch.rand(mesh.size, dtype=torch.float64)
    every, charts = geodesic_charts(mesh, 0.6), geodesic_charts(mesh, radius)
    kept = every.rho <= radius[every.neighbors.row]
    assert torch.equal(charts.neighbors.col, every.neighbors.col[kept])
    assert torch.equal(charts.coords, every.coords[kept])
    assert charts.radius is not None and torch.equal(charts.radius, radius)
    for bad, told in (
        ((0.5, 30), "a radius or a size, not both"),
        ((None, None), "a radius or a size, not neither"),
        ((None, 0), "size must be at least 1, got 0"),
        ((radius[:9], None), rf"radius must have shape \[{mesh.size}\], one a chart, not \[9\]"),
        ((radius.long(), None), "radius must be floating point, not torch.int64"),
        ((radius.index_fill(0, torch.tensor([7]), math.nan), None), "positive, got nan for chart 7"),
    ):
        with pytest.raises(ValueError, match=told):
            geodesic_charts(mesh, bad[0], size=bad[1])


def test_chart_radius_scales_with_the_mesh() -> None:
    mesh = bumpy()
    assert chart_radius(mesh.with_pos(mesh.pos * 1e6), 20) == pytest.approx(
        1e6 * chart_radius(mesh, 20), rel=1e-6
    )


def test_chart_radius_tells_what_cannot_be_reached() -> None:
    with pytest.raises(ValueError, match=r"no radius holds 100 vertices on average: only 42\.0"):
        chart_radius(join(icosphere(1), icosphere(1)), 100)
    with pytest.raises(ValueError, match="size must be at least 2, got 1"):
        chart_radius(icosphere(1), 1)


@pytest.mark.parametrize("radius", [0, -1.0, math.nan])
def test_the_radius_must_be_positive(radius: float) -> None:
    with pytest.raises(ValueError, match="radius must be positive"):
        geodesic_charts(icosphere(1), radius)


def test_rotating_the_references() -> None:
    mesh = bumpy()
    charts = geodesic_charts(mesh, 0.5)
    angle = torch.rand(mesh.size, dtype=torch.float64) * 20 - 10
    rotated = charts.rotate(angle)
    i, j = charts.neighbors.row, charts.neighbors.col
    assert rotated.transport is not None and charts.transport is not None
    assert wrap(rotated.theta - charts.theta - angle[i])[i != j].abs().max() < 1e-12
    assert wrap(rotated.transport - charts.transport - angle[i] + angle[j]).abs().max() < 1e-12
    assert float(rotated.theta.min()) >= 0 and float(rotated.theta.max()) < 2 * math.pi
    assert bool((rotated.coords[i == j] == 0).all())
    assert rotated.arrival is not None and charts.arrival is not None
    assert wrap(rotated.arrival - charts.arrival - angle[j])[i != j].abs().max() < 1e-12
    back = rotated.rotate(-angle)
    assert wrap(back.theta - charts.theta).abs().max() < 1e-12
    # A tangent vector carried from j to i is the same vector in every choice of frames.
    phi = torch.rand(mesh.size, dtype=torch.float64)
    carried, carried_rotated = phi[j] + charts.transport, (phi + angle)[j] + rotated.transport
    assert wrap(carried_rotated - angle[i] - carried).abs().max() < 1e-12
    # So is what an angle stands for in space.
    assert rotated.frames is not None and charts.frames is not None
    for angles, frames in ((phi, charts.frames), (phi + angle, rotated.frames)):
        ray = angles.cos()[:, None] * frames[:, 0] + angles.sin()[:, None] * frames[:, 1]
        if angles is phi:
            first = ray
    assert (ray - first).abs().max() < 1e-12


@pytest.mark.parametrize("name", FLAT)
def test_transport_carries_a_constant_gradient_to_itself(name: str) -> None:
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    mesh = FLAT[name].with_pos(FLAT[name].pos @ turn.T)
    slope = torch.randn(3, 1, dtype=torch.float64)
    charts, found = geodesic_charts(mesh, 0.4), gradient(mesh)(mesh.pos @ slope)[:, 0]
    i, j = charts.neighbors.row, charts.neighbors.col
    assert charts.transport is not None and charts.frames is not None
    vector = torch.view_as_complex(found)
    carried = torch.polar(torch.ones_like(charts.transport), charts.transport) * vector[j]
    assert (carried - vector[i]).abs().max() < 1e-6
    torch.testing.assert_close(charts.frames, tangent_frames(mesh))


def test_charts_turn_towards_a_direction() -> None:
    mesh = FLAT["random"]
    charts = geodesic_charts(mesh, 0.3)
    i, j = charts.neighbors.row, charts.neighbors.col
    field = torch.randn(mesh.size, 3, dtype=torch.float64)
    field[3] = torch.tensor([0.0, 0.0, 2.0])
    assert charts.frames is not None
    within = (charts.frames[:, :2] @ field[:, :, None]).squeeze(2)
    for direction in (field, within):
        theta = charts.towards(direction).theta
        expected = bearing(mesh.pos[j] - mesh.pos[i]) - bearing(field)[i]
        other = (i != j) & (i != 3)
        assert wrap(theta - expected)[other].abs().max() < 1e-7
        assert torch.equal(theta[i == 3], charts.theta[i == 3])
    up = charts.towards(torch.tensor([0.0, 1.0, 0.0])).theta
    assert wrap(up - bearing(mesh.pos[j] - mesh.pos[i]) + math.pi / 2)[i != j].abs().max() < 1e-7
    field[5, 1] = math.nan
    with pytest.raises(ValueError, match="direction is not finite at vertex 5"):
        charts.towards(field)
    with pytest.raises(ValueError, match=r"direction must have shape \[3\], \[\d+, 3\], or .* not \[7, 3\]"):
        charts.towards(field[:7])
    with pytest.raises(ValueError, match="no frames"):
        Charts(charts.neighbors, charts.coords).towards(field)


def test_charts_around_some_vertices_are_rows_of_all() -> None:
    mesh = bumpy()
    sources = torch.randperm(mesh.size)[:40]
    every, some = geodesic_charts(mesh, 0.5), geodesic_charts(mesh, 0.5, sources)
    assert (some.num_charts, some.neighbors.num_src) == (40, mesh.size)
    assert some.centers is not None and torch.equal(some.centers, sources)
    assert some.report is not None and some.report.charts == 40
    turn = torch.rand(mesh.size, dtype=torch.float64)
    for one, other in ((every, some), (every.rotate(turn), some.rotate(turn))):
        for row, v in enumerate(sources.tolist()):
            for mine, its in zip(chart(other, row), chart(one, v), strict=True):
                assert torch.equal(mine, its)
            pointer, start = other.neighbors.rowptr, int(one.neighbors.rowptr[v])
            assert one.transport is not None and other.transport is not None
            mine = other.transport[int(pointer[row]) : int(pointer[row + 1])]
            assert torch.equal(mine, one.transport[start : start + len(mine)])
    both = Charts.cat([some, geodesic_charts(flat_grid(4), 0.5, torch.tensor([3, 1]))])
    assert both.centers is not None and both.centers.tolist() == [
        *sources.tolist(),
        mesh.size + 3,
        mesh.size + 1,
    ]
    for mine, its in zip(both.split()[0].tensors(), some.tensors(), strict=True):
        assert torch.equal(mine, its)
    assert geodesic_charts(mesh, 0.5, sources[:0]).num_charts == 0


def test_bad_sources_are_named() -> None:
    mesh = icosphere(1)
    with pytest.raises(IndexError, match=r"sources holds 0\.\.42, but there are 42 points"):
        geodesic_charts(mesh, 0.5, torch.tensor([0, 42]))
    with pytest.raises(ValueError, match=r"sources must hold integers, not torch.float32"):
        geodesic_charts(mesh, 0.5, torch.zeros(2))


def test_packing_charts() -> None:
    first, second = geodesic_charts(icosphere(1), 0.8), geodesic_charts(flat_grid(4), 0.8)
    both = Charts.cat([first, second])
    assert both.num_charts == first.num_charts + second.num_charts
    assert torch.equal(both.coords, torch.cat([first.coords, second.coords]))
    assert int(both.neighbors.col[first.neighbors.num_edges :].min()) == first.num_charts
    assert both.report is not None and both.report.components == 2 and both.report.boundary_edges == 12
    other = geodesic_charts(flat_grid(4), 0.5)
    mixed = Charts.cat([first, other])
    assert mixed.radius is not None and mixed.radius.tolist() == [0.8] * 42 + [0.5] * 16
    for one, again in zip((first, other), pickle.loads(pickle.dumps(mixed)).split(), strict=True):
        assert all(map(torch.equal, one.tensors(), again.tensors())) and one.report == again.report
    assert torch.equal(both.to("cpu").coords, both.coords)
    joined = geodesic_charts(join(icosphere(1), flat_grid(4)), 0.8)
    assert torch.equal(joined.neighbors.col, both.neighbors.col)
    assert torch.allclose(joined.rho, both.rho, rtol=1e-9, atol=1e-12)
    assert wrap(joined.theta - both.theta).abs().max() < 1e-9


def test_charts_check_what_they_are_made_of() -> None:
    neighbors = Neighbors(torch.tensor([0, 2]), torch.tensor([0, 1]), 2)
    with pytest.raises(ValueError, match=r"coords must have shape \[2, d\]"):
        Charts(neighbors, torch.zeros(3, 2))
    with pytest.raises(ValueError, match="polar coords are"):
        Charts(neighbors, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="kind must be"):
        Charts(neighbors, torch.zeros(2, 2), kind="spherical")
    with pytest.raises(ValueError, match=r"transport must have shape \[2\]"):
        Charts(neighbors, torch.zeros(2, 2), transport=torch.zeros(1))
    with pytest.raises(ValueError, match=r"coords are torch\.float32 but transport is torch\.float64"):
        Charts(neighbors, torch.zeros(2, 2), transport=torch.zeros(2).double())
    with pytest.raises(ValueError, match=r"radius must be positive, got -1\.0 for chart 0"):
        Charts(neighbors, torch.zeros(2, 2), radius=-torch.ones(1))
    for radius in (0.5, torch.tensor([0.5], dtype=torch.float64)):
        charts = Charts(neighbors, torch.zeros(2, 2), radius=radius)  # type: ignore[arg-type]
        assert charts.radius is not None and torch.equal(charts.radius, torch.tensor([0.5]))
    moved = charts.to(torch.float64)
    assert moved.radius is not None and moved.radius.dtype == moved.coords.dtype == torch.float64
    with pytest.raises(ValueError, match=r"frames must have shape \[2, 3, 3\], not \[1, 3, 3\]"):
        Charts(neighbors, torch.zeros(2, 2), frames=torch.eye(3)[None])
    with pytest.raises(ValueError, match="only polar charts"):
        _ = Charts(neighbors, torch.zeros(2, 3), kind="cartesian").rho
    with pytest.raises(ValueError, match="at least one part"):
        Charts.cat([])
    with pytest.raises(ValueError, match="one kind"):
        Charts.cat(
            [Charts(neighbors, torch.zeros(2, 2)), Charts(neighbors, torch.zeros(2, 3), kind="cartesian")]
        )


def faust(shared_data: Path) -> Shape:
    path = shared_data / "MPI-FAUST" / "training" / "registrations" / "tr_reg_000.ply"
    if not path.is_file():
        pytest.skip("needs MPI-FAUST/training/registrations/tr_reg_000.ply in the data folder")
    scan = trimesh.load(path, process=False)
    return shape(np.array(scan.vertices), np.array(scan.faces))


def test_faust_distances_agree_with_pygeodesic(shared_data: Path) -> None:
    geodesic = pytest.importorskip("pygeodesic.geodesic", reason="needs pygeodesic (extra: test)")
    mesh = faust(shared_data)
    charts = geodesic_charts(mesh, chart_radius(mesh, 60))
    solver = geodesic.PyGeodesicAlgorithmExact(mesh.pos.numpy(), mesh.face.T.numpy())
    for i in (3, 1500, 4000):
        expected, _ = solver.geodesicDistances(np.array([i]))
        col, rho, _ = chart(charts, i)
        assert charts.radius is not None and int((expected <= float(charts.radius[i])).sum()) == len(col)
        np.testing.assert_allclose(rho.numpy(), expected[col], rtol=1e-9, atol=1e-12)


def test_faust_directions_agree_with_the_vector_heat_method(shared_data: Path) -> None:
    potpourri3d = pytest.importorskip("potpourri3d", reason="needs potpourri3d (extra: test)")
    mesh = faust(shared_data)
    charts = geodesic_charts(mesh, chart_radius(mesh, 60))
    # A short heat time, because the mean edge of this mesh is ten times the edges of its toes.
    solver = potpourri3d.MeshVectorHeatSolver(mesh.pos.numpy(), mesh.face.T.numpy(), t_coef=0.01)
    errors = []
    for i in range(0, mesh.size, 400):
        col, rho, theta = chart(charts, i)
        away = col != i
        log = torch.from_numpy(solver.compute_log_map(i, strategy="AffineLocal"))[col[away]]
        turn = theta[away] - bearing(log)
        # The two frames differ by one angle, which near vertices tell best.
        offset = torch.atan2((turn.sin() / rho[away]).sum(), (turn.cos() / rho[away]).sum())
        errors.append(wrap(turn - offset).abs())
    assert torch.cat(errors).median() < math.radians(2)
