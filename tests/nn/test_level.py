"""Levels: the taps of a grid kernel in the charts of meshes and graphs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from geodl.data import Grid
from geodl.nn import GridConv, Level, MaxPool, SignalBatchNorm, graph_levels, mesh_levels
from tests.geometry.shapes import bumpy, flat_grid, icosphere


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
