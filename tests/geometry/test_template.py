"""Template points: interpolation is exact for linear signals in the plane, and turns with the references."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from geodl.geometry import Charts, geodesic_charts, polar_template, tangent_frames, template_coverage
from geodl.ops import Neighbors, PolarWindows

from .shapes import Shape, bumpy, flat_grid, flat_random, icosphere


def read(windows: PolarWindows, signal: Tensor) -> Tensor:
    """What every window sees of a signal [V, C], ``[V, rings, rays, C]``, by the definition of sparse windows."""
    assert windows.index is not None
    slot = windows.neighbors.row * windows.num_windows + windows.index[:, 0]
    seen = signal.new_zeros(windows.neighbors.num_dst * windows.num_windows, signal.shape[1])
    seen.index_add_(0, slot, windows.weight * signal[windows.neighbors.col])
    return seen.view(-1, windows.rings, windows.rays, signal.shape[1])


def template_points(mesh: Shape, rings: int, rays: int, radius: float) -> Tensor:
    """Of a mesh in the plane, where the template points lie, ``[V, rings, rays, 2]``."""
    to = tangent_frames(mesh)[:, 0]
    angle = torch.atan2(to[:, 1], to[:, 0])[:, None] + 2 * math.pi * torch.arange(rays).double() / rays
    rho = (torch.arange(rings).double() + 1) / rings * radius
    offset = torch.stack([angle.cos(), angle.sin()], dim=-1)[:, None] * rho[:, None, None]
    return mesh.pos[:, None, None, :2] + offset


@pytest.mark.parametrize("mesh", [flat_grid(), flat_random(stretch=1.5)], ids=["grid", "random"])
@pytest.mark.parametrize(("rings", "rays"), [(1, 1), (3, 8), (4, 5)])
def test_points_of_a_flat_mesh(mesh: Shape, rings: int, rays: int) -> None:
    charts, radius = geodesic_charts(mesh, math.inf), 0.3
    points = template_points(mesh, rings, rays, radius)
    seen = read(polar_template(mesh, charts, rings, rays, radius), mesh.pos[:, :2])
    extent = mesh.pos[:, :2].amax(dim=0)
    # The whole rectangle is drawn in every chart: a point outside it reads its projection.
    clipped = torch.minimum(points.clamp(min=0), extent)
    assert torch.allclose(seen, clipped, rtol=0, atol=1e-7)
    inside = ((points > -1e-9) & (points < extent + 1e-9)).all(dim=-1)
    coverage = template_coverage(mesh, charts, rings, rays, radius)
    certain = (points - clipped).abs().amax(dim=(1, 2, 3)) < 1e-9
    certain |= ((points - clipped).abs().amax(dim=-1) > 1e-6).flatten(1).eq(~inside.flatten(1)).all(dim=1)
    assert torch.allclose(coverage[certain], inside.double().mean(dim=(1, 2))[certain])
    assert float(coverage.max()) == 1


def test_windows_are_those_that_operators_take() -> None:
    mesh = bumpy()
    windows = polar_template(mesh, geodesic_charts(mesh, 0.5), 3, 8)
    assert (windows.rings, windows.rays) == (3, 8) and windows.weight.shape == (mesh.size * 72, 1)
    assert bool((windows.neighbors.degree() == 72).all())
    assert bool((windows.weight >= 0).all()) and windows.weight.dtype == torch.float64
    ones = read(windows, torch.ones(mesh.size, 1, dtype=torch.float64))
    assert torch.allclose(ones, torch.ones_like(ones), rtol=0, atol=1e-8)
    # Only vertices of the chart are read.
    charts = geodesic_charts(mesh, 0.5)
    seen = set(zip(charts.neighbors.row.tolist(), charts.neighbors.col.tolist(), strict=True))
    assert set(zip(windows.neighbors.row.tolist(), windows.neighbors.col.tolist(), strict=True)) <= seen


@pytest.mark.parametrize("rays", [4, 8])
def test_turning_every_chart_by_whole_rays_permutes_the_windows(rays: int) -> None:
    mesh = bumpy()
    charts = geodesic_charts(mesh, 0.5)
    steps = torch.randint(rays, (mesh.size,))
    turned = charts.rotate(2 * math.pi * steps.double() / rays)
    signal = torch.randn(mesh.size, 3, dtype=torch.float64)
    before, after = (
        read(polar_template(mesh, charts, 3, rays), signal),
        read(polar_template(mesh, turned, 3, rays), signal),
    )
    for step in range(rays):
        chosen = steps == step
        assert torch.allclose(after[chosen], before[chosen].roll(step, dims=2), rtol=0, atol=1e-7)


def test_a_fine_closed_surface_is_covered() -> None:
    mesh = icosphere(3)
    charts = geodesic_charts(mesh, 0.6)
    assert float(template_coverage(mesh, charts, 5, 8).mean()) == 1
    assert (
        float(template_coverage(mesh, charts, 5, 8, radius=0.6).mean()) < 0.9
    )  # triangles are missing at the border


def test_a_chart_of_one_vertex_reads_itself() -> None:
    mesh = icosphere(1)
    charts = geodesic_charts(mesh, 1e-3)
    windows = polar_template(mesh, charts, 2, 4)
    signal = torch.randn(mesh.size, 1, dtype=torch.float64)
    assert torch.equal(read(windows, signal), signal[:, None, None].expand(-1, 2, 4, 1))
    assert float(template_coverage(mesh, charts, 2, 4).max()) == 0


def test_threads_change_nothing() -> None:
    mesh, threads = bumpy(), torch.get_num_threads()
    charts = geodesic_charts(mesh, 0.5)
    try:
        results = []
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(polar_template(mesh, charts, 3, 8))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0].weight, results[1].weight)
    assert torch.equal(results[0].neighbors.col, results[1].neighbors.col)


def test_arguments_are_checked() -> None:
    mesh = icosphere(1)
    charts = geodesic_charts(mesh, 0.8)
    with pytest.raises(ValueError, match="at least one ring and one ray, not 0 rings and 8 rays"):
        polar_template(mesh, charts, 0, 8)
    with pytest.raises(ValueError, match="the mesh has 162 vertices but there are 42 charts"):
        polar_template(icosphere(2), charts, 2, 4)
    with pytest.raises(ValueError, match="radius must be positive and finite"):
        polar_template(mesh, geodesic_charts(mesh, math.inf), 2, 4)
    with pytest.raises(ValueError, match="radius must be given"):
        polar_template(mesh, Charts(charts.neighbors, charts.coords), 2, 4)
    cartesian = Charts(
        Neighbors(torch.zeros(43, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 42),
        torch.zeros(0, 3),
        "cartesian",
    )
    with pytest.raises(ValueError, match="needs polar charts, not cartesian"):
        polar_template(mesh, cartesian, 2, 4)
