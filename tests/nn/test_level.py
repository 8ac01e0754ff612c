"""Levels: the taps of a grid kernel in the charts of meshes and graphs."""

from __future__ import annotations

import math
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from geodl.data import Grid
from geodl.geometry import geodesic_charts, hierarchy, surface_area
from geodl.nn import (
    GridConv,
    GridConvTranspose,
    Level,
    MaxPool,
    MeanPool,
    SignalBatchNorm,
    graph_levels,
    mesh_levels,
)
from tests.geometry.shapes import Shape, book, bumpy, flat_grid, icosphere, join, moebius
from tests.nn.pixels import pixel_levels


def test_on_the_graph_of_pixels_the_convolution_is_the_grids() -> None:
    level = graph_levels(Grid(torch.zeros(1, 9, 7, dtype=torch.float64)).to_graph(radius=1.5), kernel_size=5)
    conv = GridConv(2, 3, 5, padding=2).double()
    x = torch.randn(4, 2, 9, 7, dtype=torch.float64)
    torch.testing.assert_close(conv(x.flatten(2), level), conv(x).flatten(2), rtol=1e-12, atol=1e-12)
    dilated = GridConv(2, 3, 3, padding=2, dilation=2).double()
    torch.testing.assert_close(dilated(x.flatten(2), level), dilated(x).flatten(2), rtol=1e-12, atol=1e-12)
    volume = graph_levels(Grid(torch.zeros(1, 4, 3, 5, dtype=torch.float64)).to_graph())
    conv = GridConv(2, 3, 3, padding=1, dim=3).double()
    x = torch.randn(1, 2, 4, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(conv(x.flatten(2), volume), conv(x).flatten(2), rtol=1e-12, atol=1e-12)


def test_on_a_flat_mesh_the_direction_is_axis_0() -> None:
    size = 9
    mesh = flat_grid(size)
    # A vertex's share of the area is a little less than a square of the lattice: the border's is half.
    mesh.pos = mesh.pos * size
    level = mesh_levels(mesh, kernel_size=3, direction=torch.tensor([1.0, 0.0, 0.0]))
    ramp = torch.arange(size, dtype=torch.float64)[:, None].expand(size, size).reshape(-1, 1)
    along, across = GridConv(1, 1, 3, bias=False).double(), GridConv(1, 1, 3, bias=False).double()
    with torch.no_grad():
        for conv, tap in ((along, (2, 1)), (across, (1, 2))):
            conv.weight.zero_()
            conv.weight[0, 0][tap] = 1
    inner = slice(2, -2)
    moved = [(conv(ramp, level) - ramp).view(size, size)[inner, inner] for conv in (along, across)]
    assert bool((moved[0] > 0.8).all()) and bool((moved[0] < 1.2).all())
    torch.testing.assert_close(moved[1], torch.zeros_like(moved[1]), rtol=0, atol=1e-6)


def test_levels_descend_and_strides_read_the_coarser_points() -> None:
    level = mesh_levels(icosphere(2), (40, 12))
    sizes = [162, 40, 12]
    at: Level | None = level
    for size in sizes:
        assert at is not None and at.num_nodes == size == len(at.area)
        torch.testing.assert_close(at.area.sum(), level.area.sum())
        at = at.coarser
    conv, strided = GridConv(2, 3, 3).double(), GridConv(2, 3, 3, stride=2).double()
    strided.load_state_dict(conv.state_dict())
    x = torch.randn(162, 2, dtype=torch.float64)
    assert level.coarsening is not None
    torch.testing.assert_close(strided(x, level), conv(x, level)[level.coarsening.centers])
    own = GridConv(2, 2, 1, bias=False).double()  # one tap is the point itself
    with torch.no_grad():
        own.weight[:, :, 0, 0] = torch.eye(2)
    torch.testing.assert_close(own(x, level), x)
    with pytest.raises(ValueError, match="12 points is the coarsest"):
        level.after().after().after()


def test_constants_stay_constant_away_from_borders() -> None:
    level = mesh_levels(icosphere(3), (160,), kernel_size=5)
    for at in (level, level.after()):
        seen = at.windows((5, 5)).convolve(
            torch.ones(at.num_nodes, 1).double(), torch.eye(25).double()[:, None]
        )
        # Every tap of every chart of a closed surface sees something, and means it.
        assert float((seen - 1).abs().max()) < 1e-6


def test_packed_shapes_equal_each_alone() -> None:
    levels = [mesh_levels(icosphere(1), (12,)), mesh_levels(icosphere(2), (40,))]
    signals = [torch.randn(level.num_nodes, 2, dtype=torch.float64) for level in levels]
    conv, pool = GridConv(2, 3, 3).double(), MaxPool()
    both = Level.cat(levels)
    packed = pool(conv(torch.cat(signals), both), both)
    alone = [pool(conv(x, level), level) for x, level in zip(signals, levels, strict=True)]
    torch.testing.assert_close(packed, torch.cat(alone))
    assert both.ptr is not None and both.ptr.tolist() == [0, 42, 204]
    with pytest.raises(ValueError, match="same number of levels"):
        Level.cat([levels[0], levels[1].after()])


def test_a_direction_turns_with_the_shape() -> None:
    # Without symmetries: of two shortest paths of one length either may be found.
    mesh, x = bumpy(2), torch.randn(162, 2, dtype=torch.float64)
    down = torch.tensor([0.3, -0.2, -1.0], dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    turn = turn * torch.linalg.det(turn)
    conv = GridConv(2, 3, 3).double()
    y = conv(x, mesh_levels(mesh, direction=down))
    turned = conv(x, mesh_levels(mesh.with_pos(mesh.pos @ turn.T), direction=turn @ down))
    torch.testing.assert_close(turned, y, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(conv(x, mesh_levels(mesh, direction=-down)), y)


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 5), (2, 3, 4, 5), (1, 3, 2, 4, 5)])
def test_batch_norm_on_any_domain(shape: tuple[int, ...]) -> None:
    norm, x = SignalBatchNorm(3), torch.randn(shape)
    rows = x.movedim(1, -1).reshape(-1, 3)
    expected = F.batch_norm(rows, None, None, training=True).view(x.movedim(1, -1).shape).movedim(-1, 1)
    torch.testing.assert_close(norm(x), expected)


def test_a_graph_without_edges_is_named() -> None:
    graph = SimpleNamespace(pos=torch.zeros(3, 2), edge_index=torch.zeros(2, 0, dtype=torch.int64))
    with pytest.raises(ValueError, match="no edges"):
        graph_levels(graph)


def test_charts_of_coarser_levels_are_those_of_the_whole_mesh_among_their_points() -> None:
    mesh, sizes = bumpy(3), (160, 40, 10)
    level = mesh_levels(mesh, sizes)
    points = torch.arange(mesh.size)
    for at, step in zip(level.pyramid(), [None, *hierarchy(mesh, sizes)], strict=True):
        points = points if step is None else points[step.centers]
        spacing = math.sqrt(float(surface_area(mesh)) / len(points))
        charts = geodesic_charts(mesh, math.sqrt(8) * spacing)
        row, col = charts.neighbors.row, charts.neighbors.col
        among = torch.isin(row, points) & torch.isin(col, points)
        assert torch.equal(points[at.charts.neighbors.row], row[among])
        assert torch.equal(points[at.charts.neighbors.col], col[among])
        u = torch.stack([charts.theta.cos(), charts.theta.sin()], 1) * charts.rho[:, None] / spacing
        torch.testing.assert_close(at.charts.coords, u[among], rtol=1e-12, atol=1e-12)


def test_a_kernel_wider_than_the_charts_is_refused() -> None:
    level = mesh_levels(bumpy(2), (40,), kernel_size=5)
    wide = torch.full((1, 1, 7, 7), 1.0)
    for at in (level, level.to(torch.float32), Level.cat([level, level]), pickle.loads(pickle.dumps(level))):
        with pytest.raises(
            ValueError, match=r"kernel of \(7, 7\) taps reads 5.66 .* of this level reach 4.24"
        ):
            GridConv(1, 1, 7)(torch.ones(at.num_nodes, 1).to(at.charts.coords), at)
        with pytest.raises(ValueError, match=r"\(3, 3\) taps with dilation \(3, 3\) reads 5.66"):
            GridConv(1, 1, 3, dilation=3)(torch.ones(at.num_nodes, 1).to(at.charts.coords), at)
        with pytest.raises(ValueError, match=r"kernel of \(7, 7\) taps reads 4.95 .* reach 4.24"):
            MaxPool(7, 1)(torch.ones(at.num_nodes, 1), at)
    conv = GridConv(1, 1, 7, bias=False).double()
    conv.weight.data = wide.double()
    seen = conv(torch.ones(162, 1, dtype=torch.float64), mesh_levels(icosphere(2), kernel_size=7))
    torch.testing.assert_close(seen, torch.full_like(seen, 49.0))
    # Of two packed shapes the charts of one may reach less far.
    both = Level.cat([mesh_levels(bumpy(2), kernel_size=7), mesh_levels(bumpy(2), kernel_size=3)])
    assert both.reach == pytest.approx(math.sqrt(8)) and both[0].reach == pytest.approx(math.sqrt(32))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution_is_the_adjoint(stride: int, groups: int) -> None:
    level = mesh_levels(bumpy(2), (40,))
    there = GridConv(4, 6, 3, stride, groups=groups, bias=False).double()
    back = GridConvTranspose(6, 4, 3, stride, groups=groups, bias=False).double()
    back.load_state_dict(there.state_dict())
    x, y = torch.randn(162, 4).double(), torch.randn(40 if stride == 2 else 162, 6).double()
    torch.testing.assert_close((there(x, level) * y).sum(), (x * back(y, level)).sum())
    signals = torch.stack([y, 2 * y]).mT
    torch.testing.assert_close(back(signals, level), torch.stack([back(y, level), 2 * back(y, level)]).mT)


@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_convolution_on_levels_of_pixels_is_torchs(stride: int) -> None:
    level, side = pixel_levels(8, 1), 8 // stride
    conv = GridConvTranspose(3, 2, 3, stride, padding=1, output_padding=stride - 1).double()
    x = torch.randn(2, 3, side, side, dtype=torch.float64)
    torch.testing.assert_close(conv(x.flatten(2), level), conv(x).flatten(2))
    with pytest.raises(ValueError, match="16 points is the coarsest"):
        GridConvTranspose(3, 2, 3, 2).double()(x.flatten(2), level.after())
    with pytest.raises(ValueError, match="but x has 5"):
        conv(torch.zeros(5, 3).double(), level)


def test_pooling_with_stride_1_covers_what_the_kernel_does() -> None:
    level, x = pixel_levels(7, 0), torch.randn(2, 3, 7, 7, dtype=torch.float64)
    torch.testing.assert_close(MaxPool(3, 1, 1)(x.flatten(2), level), MaxPool(3, 1, 1)(x).flatten(2))
    mean = MeanPool(3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(mean(x.flatten(2), level), mean(x).flatten(2))
    with pytest.raises(ValueError, match="2 coordinates but the kernel has 3 axes"):
        MaxPool((3, 3, 3), 1)(x.flatten(2), level)


def _flat_face() -> Shape:
    mesh = bumpy(2)
    return Shape(
        torch.cat([mesh.pos, mesh.pos[:1]]), torch.cat([mesh.face, torch.tensor([[0], [162], [1]])], 1)
    )


@pytest.mark.parametrize(
    "mesh",
    [
        join(bumpy(2), icosphere(1)),
        flat_grid(9),
        book(3, 6),
        moebius(40),
        _flat_face(),
        Shape(torch.cat([bumpy(2).pos, torch.ones(3, 3).double()]), bumpy(2).face),
    ],
    ids=[
        "components",
        "boundary",
        "not a manifold",
        "not orientable",
        "a face without area",
        "lone vertices",
    ],
)
def test_unusual_meshes_have_levels(mesh: Any) -> None:
    level = mesh_levels(mesh, (30, 10), direction=torch.tensor([0.1, 0.2, 1.0]))
    conv, pool = GridConv(2, 3, 3, 2).double(), MaxPool()
    x = torch.randn(mesh.size, 2, dtype=torch.float64)
    y = pool(conv(x, level), level.after())
    back = GridConvTranspose(3, 2, 3, 2).double()(level.after().cells().prolong(y, smooth=True), level)
    assert back.shape == x.shape and bool(back.isfinite().all())
    ones = torch.ones(level.after().num_nodes, 1).double()
    torch.testing.assert_close(level.cells().prolong(ones, smooth=True), torch.ones(mesh.size, 1).double())


def test_what_has_no_levels_is_named() -> None:
    line = torch.arange(6)[:, None] * torch.tensor([1.0, 0.0, 0.0])
    flat = Shape(line, torch.tensor([[0, 2], [1, 3], [2, 4]]))
    with pytest.raises(ValueError, match="the mesh has no area"):
        mesh_levels(flat)
    with pytest.raises(ValueError, match="level of 40 points wants more than the 12 that the mesh has"):
        mesh_levels(icosphere(0), (40, 10))
    with pytest.raises(ValueError, match="sizes must descend"):
        mesh_levels(icosphere(2), (40, 40))
    with pytest.raises(ValueError, match="not finite"):
        mesh_levels(Shape(torch.full((3, 3), torch.nan), torch.tensor([[0], [1], [2]])))
    with pytest.raises(ValueError, match="no faces"):
        mesh_levels(Shape(torch.rand(3, 3), torch.zeros(3, 0, dtype=torch.int64)))
    direction = torch.rand(42, 3)
    direction[7, 1] = torch.nan
    with pytest.raises(ValueError, match="direction is not finite at vertex 7"):
        mesh_levels(icosphere(1), direction=direction)
    with pytest.raises(ValueError, match="direction is not finite"):
        mesh_levels(icosphere(1), direction=torch.tensor([0.0, torch.inf, 0.0]))
    with pytest.raises(ValueError, match=r"direction must have shape \[3\], \[42, 3\], .* not \[41, 3\]"):
        mesh_levels(icosphere(1), direction=direction[:41])
    loops = SimpleNamespace(pos=torch.rand(3, 2), edge_index=torch.arange(3).expand(2, 3))
    with pytest.raises(ValueError, match="no edges"):
        graph_levels(loops)
    ring = torch.stack([torch.arange(6), torch.arange(6).roll(1)])
    with pytest.raises(ValueError, match="lie where a neighbour does"):
        graph_levels(SimpleNamespace(pos=torch.zeros(6, 2), edge_index=ring))
    with pytest.raises(ValueError, match="level of 9 points wants more than the 6 that the graph has"):
        graph_levels(SimpleNamespace(pos=torch.rand(6, 2), edge_index=ring), (9,))
    with pytest.raises(ValueError, match=r"pos must have shape \[V, 2\] or \[V, 3\], not \[6, 4\]"):
        graph_levels(SimpleNamespace(pos=torch.rand(6, 4), edge_index=ring))
