"""Every function of geometry, on every kind of bad mesh: an answer, or an error that names the trouble."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from geodl.geometry import (
    chart_radius,
    edges,
    face_areas,
    geodesic_charts,
    geodesic_distance,
    polar_template,
    template_coverage,
    vertex_normals,
)

from .shapes import Shape, book, bumpy, flat_grid, icosphere, join, moebius

START, END = torch.tensor([0]), torch.tensor([1])
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "geodesic_charts": lambda mesh: geodesic_charts(mesh, 1.0),
    "chart_radius": lambda mesh: chart_radius(mesh, 5),
    "geodesic_distance": lambda mesh: geodesic_distance(mesh, START, END),
    "polar_template": lambda mesh: polar_template(mesh, geodesic_charts(icosphere(1), 1.0), 2, 4),
    "edges": edges,
    "face_areas": face_areas,
    "vertex_normals": vertex_normals,
}


def spoil(position: float | None = None, corner: int | None = None) -> Shape:
    mesh = icosphere(1)
    pos, face = mesh.pos.clone(), mesh.face.clone()
    if position is not None:
        pos[17, 1] = position
    if corner is not None:
        face[2, 33] = corner
    return Shape(pos, face)


ERRORS: dict[str, tuple[Any, type[Exception], str]] = {
    "NaN vertex": (spoil(position=math.nan), ValueError, r"vertex 17 is not finite: \[.*nan"),
    "infinite vertex": (spoil(position=math.inf), ValueError, r"vertex 17 is not finite: \[.*inf"),
    "face index too large": (
        spoil(corner=42),
        IndexError,
        r"face 33 is \[.*42\], but vertices go from 0 to 41",
    ),
    "negative face index": (spoil(corner=-1), IndexError, r"face 33 is \[.*-1\]"),
    "no vertices": (
        Shape(torch.zeros(0, 3), torch.zeros(3, 0, dtype=torch.int64)),
        ValueError,
        "the mesh is empty: it has no vertices",
    ),
    "no faces": (
        Shape(torch.zeros(4, 3), torch.zeros(3, 0, dtype=torch.int64)),
        ValueError,
        r"the mesh has no faces \(but 4 vertices\)",
    ),
    "face of five rows": (
        Shape(icosphere(1).pos, icosphere(1).face.reshape(5, -1)),
        ValueError,
        r"face must have shape \[3, F\] or \[F, 3\], not \[5, 48\]",
    ),
    "pos of 2D": (
        Shape(icosphere(1).pos[:, :2], icosphere(1).face),
        ValueError,
        r"pos must have shape \[V, 3\], not \[42, 2\]",
    ),
    "integer pos": (
        Shape(icosphere(1).pos.long(), icosphere(1).face),
        ValueError,
        "pos must be floating point, not torch.int64",
    ),
    "float face": (
        Shape(icosphere(1).pos, icosphere(1).face.float()),
        ValueError,
        "face must hold integers, not torch.float32",
    ),
    "no face": (
        SimpleNamespace(pos=icosphere(1).pos, face=None),
        ValueError,
        r"needs a tensor \.face, but it is NoneType",
    ),
}


@pytest.mark.parametrize("trouble", ERRORS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_errors_name_the_trouble(function: str, trouble: str) -> None:
    mesh, kind, message = ERRORS[trouble]
    if (function, trouble) == ("geodesic_charts", "no face"):
        assert geodesic_charts(mesh, 1.0).num_charts == 42  # a cloud's, in its tangent planes
        return
    with pytest.raises(kind, match=message):
        FUNCTIONS[function](mesh)


def test_a_mesh_without_size() -> None:
    with pytest.raises(ValueError, match="all 3 vertices lie in one point"):
        geodesic_charts(Shape(torch.ones(3, 3), torch.tensor([[0], [1], [2]])), 1.0)


def test_isolated_vertices_are_alone_in_their_chart() -> None:
    mesh = icosphere(1)
    mesh = mesh.with_pos(torch.cat([mesh.pos, mesh.pos[:2] * 1.01]))
    charts = geodesic_charts(mesh, 10.0)
    assert charts.neighbors.degree().tolist() == [42] * 42 + [1, 1]
    assert charts.neighbors.col[-2:].tolist() == [42, 43]
    assert (
        charts.report is not None and charts.report.isolated_vertices == 2 and charts.report.components == 1
    )
    assert "2 isolated vertices" in str(charts.report)
    assert template_coverage(mesh, charts, 2, 4, radius=0.5)[-2:].tolist() == [0, 0]


def test_charts_stay_in_their_component() -> None:
    mesh = join(icosphere(1), icosphere(1))  # in the same place
    charts = geodesic_charts(mesh, 10.0)
    i, j = charts.neighbors.row, charts.neighbors.col
    assert bool(((i < 42) == (j < 42)).all()) and bool((charts.neighbors.degree() == 42).all())
    assert charts.report is not None and charts.report.components == 2


def test_a_boundary_is_reported() -> None:
    report = geodesic_charts(flat_grid(9), 0.15).report
    assert report is not None and report.boundary_edges == 32
    assert report.charts_at_boundary < report.charts == 81 and "charts end there" in str(report)


def test_a_moebius_strip_is_cut_where_it_cannot_be_oriented() -> None:
    mesh = moebius(24)
    charts = geodesic_charts(mesh, 0.5)
    assert charts.report is not None and charts.report.seam_edges == 1 and charts.report.charts_at_seam > 0
    assert "cannot be oriented" in str(charts.report)
    # Away from the cut the charts are those of the strip, so nothing is lost but paths over the seam.
    i, j = charts.neighbors.row, charts.neighbors.col
    over = geodesic_distance(mesh, i, j)
    assert bool((over <= charts.rho * (1 + 1e-9) + 1e-12).all())
    assert torch.isclose(over, charts.rho, rtol=1e-9).double().mean() > 0.8


def test_charts_end_at_edges_of_three_faces() -> None:
    mesh = book(3, 6)
    charts = geodesic_charts(mesh, 0.55)
    assert charts.report is not None and charts.report.non_manifold_edges == 5
    assert charts.report.charts_at_non_manifold_edge > 0
    i, j = charts.neighbors.row, charts.neighbors.col
    axis = mesh.pos[:, :2].norm(dim=1) < 1e-9
    turn = torch.atan2(mesh.pos[:, 1], mesh.pos[:, 0])
    same_page = axis[i] | axis[j] | ((turn[i] - turn[j]).abs() < 1e-6)
    expected = (mesh.pos[i] - mesh.pos[j]).norm(dim=1)
    assert torch.allclose(charts.rho[same_page], expected[same_page], rtol=1e-9, atol=1e-12)
    # From page to page only through a vertex of the spine.
    spine = mesh.pos[axis][:, 2]
    across = ~same_page
    a, b = mesh.pos[i[across]], mesh.pos[j[across]]
    legs = [
        (a[:, :2].norm(dim=1) ** 2 + (a[:, 2] - z) ** 2).sqrt()
        + (b[:, :2].norm(dim=1) ** 2 + (b[:, 2] - z) ** 2).sqrt()
        for z in spine
    ]
    assert torch.allclose(charts.rho[across], torch.stack(legs).amin(dim=0), rtol=1e-9)


def with_degenerate_faces() -> Shape:
    """The grid with an edge split by a vertex on it (a face without area), two vertices in one place, and a corner named twice."""
    grid = flat_grid(5)
    face = grid.face.T.tolist()
    a, b, c = face.pop(10)  # the needle hangs on the boundary edge from 0 to 1
    middle, twin = grid.size, grid.size + 1
    pos = torch.cat([grid.pos, (grid.pos[[a]] + grid.pos[[b]]) / 2, grid.pos[[0]]])
    face += [[a, middle, c], [middle, b, c], [a, b, middle], [0, 1, 1], [1, 0, twin]]
    return Shape(pos, torch.tensor(face).T.contiguous())


def test_degenerate_faces_do_no_harm() -> None:
    mesh = with_degenerate_faces()
    charts = geodesic_charts(mesh, math.inf)
    assert (
        charts.report is not None and charts.report.skipped_faces == 1 and charts.report.degenerate_faces >= 1
    )
    assert bool(torch.isfinite(charts.coords).all())
    i, j = charts.neighbors.row, charts.neighbors.col
    both = (i < 25) & (j < 25)
    expected = (mesh.pos[i] - mesh.pos[j]).norm(dim=1)
    assert int(both.sum()) == 25 * 25
    assert torch.allclose(charts.rho[both], expected[both], rtol=1e-5, atol=1e-6)
    assert torch.isfinite(template_coverage(mesh, charts, 3, 8, radius=0.3)).all()
    normals = vertex_normals(mesh)
    assert bool(torch.isfinite(normals).all())


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e6])
def test_the_unit_of_length_does_not_matter(factor: float) -> None:
    for mesh in (bumpy(2), with_degenerate_faces(), moebius()):
        scaled = mesh.with_pos(mesh.pos * factor)
        before, after = geodesic_charts(mesh, 0.57), geodesic_charts(scaled, 0.57 * factor)
        assert before.report == after.report
        assert torch.equal(before.neighbors.col, after.neighbors.col)
        assert torch.allclose(before.rho * factor, after.rho, rtol=1e-9, atol=1e-12 * factor)
