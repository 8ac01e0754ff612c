"""Coarsenings keep constants and integrals, and their cells stay together."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from geodl.geometry import (
    Coarsening,
    coarsen,
    edges,
    hierarchy,
    laplacian,
    spectrum,
    surface_area,
    vertex_areas,
)

from .shapes import Shape, bumpy, flat_grid, flat_random, icosphere, join


def graph_of(mesh: Shape, **more) -> SimpleNamespace:
    return SimpleNamespace(edge_index=edges(mesh), num_nodes=mesh.size, pos=None, face=None, **more)


MAKERS = {
    "mesh": lambda: bumpy(3),
    "components": lambda: join(icosphere(2), Shape(icosphere(2).pos + 3, icosphere(2).face)),
    "cloud": lambda: SimpleNamespace(pos=bumpy(3).pos),
    "graph": lambda: graph_of(bumpy(3)),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("points", [1, 40])
def test_constants_and_integrals_are_kept(name, points) -> None:
    shape = MAKERS[name]()
    found = coarsen(shape, points)
    size = found.cluster.numel()
    mass = (
        vertex_areas(shape)
        if hasattr(shape, "face") and shape.face is not None
        else torch.ones(size).double()
    )
    f, g = torch.randn(size, 3, dtype=torch.float64), torch.randn(found.num_nodes, 3, dtype=torch.float64)
    torch.testing.assert_close(found.restrict(torch.ones_like(f)), torch.ones_like(g))
    torch.testing.assert_close(found.prolong(torch.ones_like(g)), torch.ones_like(f))
    torch.testing.assert_close(found.mass @ found.restrict(f), mass @ f)
    torch.testing.assert_close(mass @ found.prolong(g), found.mass @ g)
    torch.testing.assert_close(found.restrict(found.prolong(g)), g)
    inner = (found.mass[:, None] * found.restrict(f) * g).sum()
    torch.testing.assert_close((mass[:, None] * f * found.prolong(g)).sum(), inner)
    assert found.num_nodes == (2 if name == "components" and points == 1 else points)
    assert torch.equal(found.cluster[found.centers], torch.arange(found.num_nodes))
    largest = torch.stack([f[found.cluster == c].amax(0) for c in range(found.num_nodes)])
    torch.testing.assert_close(found.restrict(f, "max"), largest)


def test_every_cell_is_connected_and_nearest_along_the_surface() -> None:
    mesh = bumpy(3)
    found = coarsen(mesh, 30)
    start, end = edges(mesh)
    inside = found.cluster[start] == found.cluster[end]
    shape = SimpleNamespace(
        edge_index=torch.stack([start[inside], end[inside]]), num_nodes=mesh.size, pos=None, face=None
    )
    zeros = int((spectrum(laplacian(shape), 40).evals < 1e-9).sum())
    assert zeros == 30
    crossing = torch.stack([found.cluster[start[~inside]], found.cluster[end[~inside]]])
    pairs = {tuple(pair) for pair in torch.cat([crossing, crossing.flip(0)], 1).T.tolist()}
    assert {tuple(pair) for pair in found.edge_index.T.tolist()} == pairs
    assert float(found.edge_weight.sum()) == 2 * int((~inside).sum())


def test_hierarchy_of_a_mesh_keeps_its_area() -> None:
    mesh = bumpy(3)
    levels = hierarchy(mesh, [200, 50, 8])
    assert [level.num_nodes for level in levels] == [200, 50, 8]
    x = torch.randn(mesh.size, 2, dtype=torch.float64)
    integral = vertex_areas(mesh) @ x
    for level in levels:
        x = level.restrict(x)
        torch.testing.assert_close(level.mass @ x, integral)
        torch.testing.assert_close(level.mass.sum(), surface_area(mesh))
    with pytest.raises(ValueError, match="sizes must descend"):
        hierarchy(mesh, [20, 20])


def test_matching_pairs_along_heavy_edges() -> None:
    path = SimpleNamespace(
        edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]),
        edge_weight=torch.tensor([9.0, 1.0, 9.0]),
        num_nodes=4,
        pos=None,
    )
    assert coarsen(path, 2).cluster.tolist() == [0, 0, 1, 1]
    assert coarsen(path, 1).num_nodes == 1
    apart = SimpleNamespace(edge_index=torch.zeros(2, 0, dtype=torch.int64), num_nodes=3, pos=None)
    assert coarsen(apart, 1).num_nodes == 3


def test_cat_packs() -> None:
    one, two = coarsen(bumpy(2), 20), coarsen(icosphere(2), 10)
    both = Coarsening.cat([one, two])
    x, y = torch.randn(162, 2), torch.randn(162, 2)
    torch.testing.assert_close(
        both.restrict(torch.cat([x, y])), torch.cat([one.restrict(x), two.restrict(y)])
    )
    g = both.restrict(torch.cat([x, y]))
    torch.testing.assert_close(both.prolong(g), torch.cat([one.prolong(g[:20]), two.prolong(g[20:])]))
    assert both.num_nodes == 30 and int(both.edge_index.max()) < 30


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="points must be at least 1"):
        coarsen(icosphere(1), 0)
    with pytest.raises(ValueError, match="method must be one of"):
        coarsen(icosphere(1), 4, "voxel")
    with pytest.raises(ValueError, match="needs positions"):
        coarsen(graph_of(icosphere(1)), 4, "farthest")
    with pytest.raises(ValueError, match="reduce must be"):
        coarsen(icosphere(1), 4).restrict(torch.zeros(42, 1), "sum")


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("points", [1, 2, 40])
def test_smooth_prolongation_is_a_mean(name, points) -> None:
    shape = MAKERS[name]()
    found = coarsen(shape, points)
    size = found.cluster.numel()
    ones = found.prolong(torch.ones(found.num_nodes, 1).double(), smooth=True)
    torch.testing.assert_close(ones, torch.ones(size, 1).double(), rtol=1e-12, atol=1e-12)
    g = torch.rand(found.num_nodes, 3, dtype=torch.float64)
    smooth = found.prolong(g, smooth=True)
    assert bool((smooth >= g.amin(0) - 1e-12).all()) and bool((smooth <= g.amax(0) + 1e-12).all())
    signals = torch.stack([g, 2 * g]).mT
    torch.testing.assert_close(found.prolong(signals, smooth=True), torch.stack([smooth, 2 * smooth]).mT)
    torch.testing.assert_close(
        found.prolong(signals), torch.stack([found.prolong(g), 2 * found.prolong(g)]).mT
    )
    torch.testing.assert_close(found.restrict(found.prolong(signals)), signals)


@pytest.mark.parametrize("mesh", [flat_grid(33), flat_random(900)], ids=["grid", "random"])
def test_smooth_prolongation_of_linear_functions_is_linear(mesh) -> None:
    found = coarsen(mesh, mesh.size // 6)
    apart = found.num_nodes**-0.5
    linear = found.prolong(found.pos, smooth=True) - mesh.pos
    inner = ((mesh.pos[:, :2] > 0.1) & (mesh.pos[:, :2] < 0.9)).all(1)
    assert float(linear[inner].norm(dim=1).max()) < 1e-3 * apart
    assert float(linear.norm(dim=1).max()) < 0.6 * apart  # beyond the last coarse points
    plain = found.prolong(found.pos) - mesh.pos
    assert float(plain[inner].norm(dim=1).max()) > 0.4 * apart

    def wave(pos: Tensor) -> Tensor:
        return torch.sin(0.6 / apart * pos[:, :1]) * torch.cos(0.6 / apart * pos[:, 1:2])

    wrong = [(found.prolong(wave(found.pos), smooth) - wave(mesh.pos))[inner] for smooth in (True, False)]
    assert float(wrong[0].abs().mean()) < 0.6 * float(wrong[1].abs().mean())


def test_smooth_prolongation_does_not_cross_a_gap() -> None:
    sheet = flat_grid(17)
    above = Shape(sheet.pos + torch.tensor([0.0, 0.0, 0.01]).double(), sheet.face)
    found = coarsen(join(sheet, above), 60)
    upper = (found.pos[:, 2:] > 0.005).double()
    torch.testing.assert_close(found.prolong(upper, smooth=True)[:289], torch.zeros(289, 1).double())


def test_smooth_prolongation_turns_and_scales_with_the_shape() -> None:
    mesh = bumpy(3)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    one, two = coarsen(mesh, 80), coarsen(mesh.with_pos(1000 * mesh.pos @ turn.T + 5), 80)
    assert torch.equal(one.centers, two.centers)
    x = torch.randn(80, 2, dtype=torch.float64)
    torch.testing.assert_close(one.prolong(x, True), two.prolong(x, True), rtol=1e-5, atol=1e-5)


def test_a_coarsening_without_smooth_prolongation_says_so() -> None:
    found = replace(coarsen(bumpy(2), 20), smooth=None, smooth_weight=None)
    with pytest.raises(ValueError, match="without a smooth prolongation"):
        found.prolong(torch.zeros(20, 1), smooth=True)
    with pytest.raises(ValueError, match=r"x must have shape \[V, C\] or \[B, C, V\], not \[20\]"):
        found.prolong(torch.zeros(20))
