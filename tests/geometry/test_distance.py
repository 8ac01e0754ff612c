"""Exact distances of pairs: against pygeodesic, closed forms and the charts; bounds, groups and borders."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from geodl.geometry import geodesic_charts, geodesic_distance

from .shapes import Shape, book, bumpy, flat_random, icosphere, join, moebius, shape

MESHES = {
    "closed": bumpy(),
    "boundary": flat_random(stretch=4),
    "not orientable": moebius(),
}


def all_pairs(mesh: Shape) -> tuple[torch.Tensor, torch.Tensor]:
    ends = torch.cartesian_prod(torch.arange(0, mesh.size, 7), torch.arange(mesh.size))
    return ends[:, 0], ends[:, 1]


@pytest.mark.parametrize("name", MESHES)
def test_distances_are_those_of_pygeodesic(name: str) -> None:
    geodesic = pytest.importorskip("pygeodesic.geodesic", reason="needs pygeodesic (extra: test)")
    mesh = MESHES[name]
    solver = geodesic.PyGeodesicAlgorithmExact(mesh.pos.numpy(), mesh.face.T.numpy())
    sources, targets = all_pairs(mesh)
    found = geodesic_distance(mesh, sources, targets).view(-1, mesh.size).numpy()
    for row, source in enumerate(sources[:: mesh.size].tolist()):
        expected, _ = solver.geodesicDistances(np.array([source]))
        expected = np.where(expected > 1e30, np.inf, expected)
        np.testing.assert_allclose(found[row], expected, rtol=1e-9, atol=1e-12)


def test_distances_are_those_of_the_charts() -> None:
    mesh = bumpy()
    charts = geodesic_charts(mesh, 0.7)
    distance = geodesic_distance(mesh, charts.neighbors.row, charts.neighbors.col)
    assert torch.allclose(distance, charts.rho, rtol=1e-12, atol=1e-14)


def test_any_order_of_pairs_gives_the_same_bits() -> None:
    mesh = bumpy()
    sources, targets = torch.randint(mesh.size, (2, 500))
    order = torch.randperm(500)
    distance = geodesic_distance(mesh, sources, targets)
    assert torch.equal(geodesic_distance(mesh, sources[order], targets[order]), distance[order])
    assert torch.equal(
        geodesic_distance(mesh, torch.cat([sources, targets]), torch.cat([targets, sources])),
        distance.repeat(2),
    )
    single = torch.stack([geodesic_distance(mesh, sources[k : k + 1], targets[k : k + 1]) for k in range(40)])
    assert torch.allclose(single[:, 0], distance[:40], rtol=1e-12, atol=1e-14)


def test_threads_change_nothing() -> None:
    mesh, threads = bumpy(), torch.get_num_threads()
    sources, targets = torch.randint(mesh.size, (2, 500))
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(geodesic_distance(mesh, sources, targets))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


@pytest.mark.parametrize("bound", [0.0, 0.3, 1.0])
def test_beyond_the_bound_is_infinite(bound: float) -> None:
    mesh = bumpy()
    sources, targets = torch.randint(mesh.size, (2, 800))
    targets[:20] = sources[:20]
    full = geodesic_distance(mesh, sources, targets)
    bounded = geodesic_distance(mesh, sources, targets, max_distance=bound)
    near = full <= bound
    assert torch.allclose(bounded[near], full[near], rtol=1e-12, atol=0)
    assert bool(torch.isinf(bounded[~near]).all())
    assert bool((bounded[:20] == 0).all())


def test_nothing_leads_to_another_component_or_an_isolated_vertex() -> None:
    mesh = join(icosphere(1), icosphere(1))
    mesh = mesh.with_pos(torch.cat([mesh.pos, torch.ones(1, 3, dtype=torch.float64)]))
    last = mesh.size - 1
    distance = geodesic_distance(mesh, torch.tensor([0, 0, last, last]), torch.tensor([1, 42, 0, last]))
    assert torch.isfinite(distance).tolist() == [True, False, False, True]
    assert float(distance[3]) == 0


def test_paths_do_not_cross_an_edge_of_three_faces() -> None:
    pages, n = 3, 4
    mesh = book(pages, n)
    page = torch.atan2(mesh.pos[:, 1], mesh.pos[:, 0])
    tip = mesh.pos[:, :2].norm(dim=1) > 0.99
    spine = mesh.pos[:, :2].norm(dim=1) < 1e-9
    first, second = (
        torch.nonzero(tip & ((page - turn).abs() < 1e-6)).flatten() for turn in (0.0, 2 * math.pi / 3)
    )
    # Vertices of the spine are shared, so a path may turn from page to page there, but only there.
    centre = torch.nonzero(spine).flatten()
    z, distance = mesh.pos[:, 2], geodesic_distance(mesh, first, second)
    legs = [(1 + (z[first] - z[c]) ** 2).sqrt() + (1 + (z[second] - z[c]) ** 2).sqrt() for c in centre]
    assert torch.allclose(distance, torch.stack(legs).amin(dim=0), rtol=1e-9)


@pytest.mark.parametrize("factor", [1e-3, 1e6])
def test_the_unit_of_length_scales_distances(factor: float) -> None:
    mesh = bumpy()
    sources, targets = torch.randint(mesh.size, (2, 300))
    expected = geodesic_distance(mesh, sources, targets) * factor
    assert torch.allclose(
        geodesic_distance(mesh.with_pos(mesh.pos * factor), sources, targets), expected, rtol=1e-9
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_pairs_and_dtypes(dtype: torch.dtype) -> None:
    mesh = icosphere(1)
    none = torch.zeros(0, dtype=torch.int64)
    distance = geodesic_distance(mesh.with_pos(mesh.pos.to(dtype)), none, none)
    assert distance.shape == (0,) and distance.dtype == dtype


def test_arguments_are_checked() -> None:
    mesh, two = icosphere(1), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="2 sources but 1 targets"):
        geodesic_distance(mesh, two, two[:1])
    with pytest.raises(IndexError, match=r"targets hold 0\.\.42, but vertices go from 0 to 41"):
        geodesic_distance(mesh, two, torch.tensor([0, 42]))
    with pytest.raises(IndexError, match=r"sources hold -1\.\.0"):
        geodesic_distance(mesh, torch.tensor([0, -1]), two)
    with pytest.raises(ValueError, match="sources must hold integers"):
        geodesic_distance(mesh, two.float(), two)
    with pytest.raises(ValueError, match=r"targets must have shape \[P\]"):
        geodesic_distance(mesh, two, two[None])
    with pytest.raises(ValueError, match="max_distance must not be negative"):
        geodesic_distance(mesh, two, two, max_distance=-1)


@pytest.mark.parametrize("name", ["cow.off", "decimated-knight.off", "3holes.off"])
def test_scanned_and_modelled_meshes(name: str, shared_data: Path) -> None:
    geodesic = pytest.importorskip("pygeodesic.geodesic", reason="needs pygeodesic (extra: test)")
    path = shared_data / "meshes" / name
    if not path.is_file():
        pytest.skip(f"needs meshes/{name} in the data folder")
    loaded = trimesh.load(path, process=False)
    mesh = shape(np.array(loaded.vertices), np.array(loaded.faces))
    solver = geodesic.PyGeodesicAlgorithmExact(mesh.pos.numpy(), mesh.face.T.numpy())
    targets = torch.arange(mesh.size)
    for source in (0, mesh.size // 2):
        expected, _ = solver.geodesicDistances(np.array([source]))
        found = geodesic_distance(mesh, torch.full_like(targets, source), targets)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)
