"""GeodesicConv and its windows: equivariance, the Euclidean special case, and what is refused."""

import math

import pytest
import torch
from torch.nn import functional as F

from geodl.geometry import Charts, geodesic_charts, polar_template
from geodl.nn import GeodesicConv, gaussian_windows
from geodl.ops import Neighbors, patch_gather
from geodl.testing import assert_invariant


class Surface:
    def __init__(self, pos: torch.Tensor, face: torch.Tensor) -> None:
        self.pos, self.face = pos, face


def flat_grid(rows: int, columns: int) -> Surface:
    """The unit grid in the plane, every square cut along the same diagonal; vertex (i, j) is at (x, y) = (j, i)."""
    i, j = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    pos = torch.stack([j, i, torch.zeros_like(i)], -1).double().reshape(-1, 3)
    corner = (i[:-1, :-1] * columns + j[:-1, :-1]).reshape(-1)
    lower = torch.stack([corner, corner + 1, corner + columns + 1])
    upper = torch.stack([corner, corner + columns + 1, corner + columns])
    return Surface(pos, torch.cat([lower, upper], 1))


def sphere(subdivisions: int = 3) -> Surface:
    trimesh = pytest.importorskip("trimesh")
    made = trimesh.creation.icosphere(subdivisions)
    return Surface(
        torch.from_numpy(made.vertices.copy()).double(), torch.from_numpy(made.faces.copy()).long().t()
    )


def aligned(charts: Charts, pos: torch.Tensor) -> Charts:
    """Charts of a flat grid with every reference direction along +x."""
    row, col = charts.neighbors.row, charts.neighbors.col
    offset = pos[col] - pos[row]
    theta = torch.remainder(torch.atan2(offset[:, 1], offset[:, 0]), 2 * math.pi)
    away = charts.coords[:, 0] > 0
    turn = torch.zeros(pos.shape[0], dtype=torch.float64)
    turn[row[away]] = (theta - charts.coords[:, 1])[away]
    return charts.rotate(turn)


def test_charts_of_a_flat_grid_are_its_offsets() -> None:
    grid = flat_grid(9, 9)
    charts = aligned(geodesic_charts(grid, 2.1), grid.pos)
    offset = (grid.pos[charts.neighbors.col] - grid.pos[charts.neighbors.row])[:, :2]
    rho, theta = charts.coords.unbind(1)
    torch.testing.assert_close(rho * torch.stack([theta.cos(), theta.sin()]), offset.T, atol=1e-6, rtol=0)


def test_gaussian_windows_sum_to_one_over_every_patch() -> None:
    windows = gaussian_windows(geodesic_charts(sphere(2), 0.7), 3, 6)
    ones = torch.ones(windows.neighbors.num_src, 1, dtype=windows.weight.dtype)
    total = patch_gather(ones, windows.neighbors, windows.weight)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_gaussian_windows_do_not_underflow_on_a_lonely_vertex() -> None:
    neighbors = Neighbors(torch.tensor([0, 1]), torch.tensor([0]), 1)
    charts = Charts(neighbors, torch.zeros(1, 2), "polar", None, 1.0)
    torch.testing.assert_close(gaussian_windows(charts, 40, 8).weight, torch.ones(1, 320))


@pytest.mark.parametrize("kind", ["gaussian", "template"])
@pytest.mark.parametrize("rays", [6, 8])
def test_turned_reference_directions_change_nothing(kind: str, rays: int) -> None:
    mesh, rings, radius = sphere(), 3, 0.35
    charts = geodesic_charts(mesh, radius)
    conv = GeodesicConv(5, 7, rings, rays).double()
    call = torch.randn(mesh.pos.shape[0], 5, dtype=torch.float64), charts

    def on_charts(x: torch.Tensor, charts: Charts) -> torch.Tensor:
        return conv(x, charts if kind == "gaussian" else polar_template(mesh, charts, rings, rays))

    assert_invariant(on_charts, call, under="frames", step=2 * math.pi / rays)
    # Without pooling the rotations are permuted, so the test above is not true of any filter.
    conv.pool = None
    with pytest.raises(AssertionError, match="not invariant under frames"):
        assert_invariant(on_charts, call, under="frames", step=2 * math.pi / rays)


def bumpy(subdivisions: int = 3) -> Surface:
    """A surface that no rotation and no mirror leaves as it was."""
    ball = sphere(subdivisions)
    x, y, z = ball.pos.T
    radius = 1 + 0.25 * torch.sin(3 * x + 1) * torch.cos(4 * y + 0.7) + 0.15 * torch.sin(5 * z + 2 * x)
    return Surface(torch.stack([1.4 * x, y, 0.8 * z], dim=1) * radius[:, None], ball.face)


def renumbered(mesh: Surface, order: torch.Tensor) -> Surface:
    face = order.argsort()[mesh.face].roll(1, dims=0)[:, torch.randperm(mesh.face.shape[1])]
    return Surface(mesh.pos[order], face)


@pytest.mark.parametrize("rotations", [1, None], ids=["no rotation", "all rotations"])
@pytest.mark.parametrize("kind", ["gaussian", "template", "by count"])
def test_neither_numbering_nor_a_rigid_motion_changes_anything(kind: str, rotations: int | None) -> None:
    mesh = bumpy()
    conv = GeodesicConv(4, 5, 3, 8, rotations).double()
    x = torch.randn(len(mesh.pos), 4, dtype=torch.float64)

    def on(mesh: Surface, x: torch.Tensor) -> torch.Tensor:
        charts = geodesic_charts(mesh, size=30) if kind == "by count" else geodesic_charts(mesh, 0.35)
        return conv(x, polar_template(mesh, charts, 3, 8) if kind == "template" else charts)

    y, order = on(mesh, x), torch.randperm(len(mesh.pos))
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    moved = Surface(3 + mesh.pos @ (turn * torch.linalg.det(turn)).T, mesh.face)
    torch.testing.assert_close(on(renumbered(mesh, order), x[order]), y[order], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(on(moved, x), y, atol=1e-6, rtol=1e-6)


def test_numbering_changes_nothing_where_the_shape_tells_no_direction() -> None:
    # Every vertex of a tetrahedron lies straight away from its middle.
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    mesh = Surface(corners, torch.tensor([[0, 0, 0, 1], [1, 2, 3, 3], [2, 3, 1, 2]]))
    conv, x = GeodesicConv(2, 3, 2, 4, rotations=1).double(), torch.randn(4, 2, dtype=torch.float64)
    y = conv(x, geodesic_charts(mesh, 9.0))
    for order in ([1, 2, 3, 0], [3, 1, 0, 2], [2, 0, 1, 3]):
        to = torch.tensor(order)
        torch.testing.assert_close(conv(x[to], geodesic_charts(renumbered(mesh, to), 9.0)), y[to])


def test_charts_of_different_radii_side_by_side() -> None:
    meshes = [bumpy(2), sphere(1)]
    charts = [geodesic_charts(meshes[0], size=12), geodesic_charts(meshes[1], 0.9)]
    x = [torch.randn(len(mesh.pos), 4, dtype=torch.float64) for mesh in meshes]
    conv = GeodesicConv(4, 5).double()
    alone = torch.cat([conv(one, chart) for one, chart in zip(x, charts, strict=True)])
    torch.testing.assert_close(conv(torch.cat(x), Charts.cat(charts)), alone)
    # The radius of a chart is the unit of its windows.
    scaled = geodesic_charts(Surface(7 * meshes[0].pos, meshes[0].face), size=12)
    torch.testing.assert_close(conv(x[0], scaled), conv(x[0], charts[0]))


def test_charts_without_an_end_are_named() -> None:
    charts = geodesic_charts(sphere(1), math.inf)
    with pytest.raises(ValueError, match="reach without end"):
        GeodesicConv(2, 3)(torch.zeros(42, 2), charts)
    assert gaussian_windows(charts, 3, 8, radius=1.0).weight.isfinite().all()
    with pytest.raises(ValueError, match="no radius of their own"):
        gaussian_windows(Charts(charts.neighbors, charts.coords), 3, 8)


def test_rotated_filter_is_seen_at_another_rotation() -> None:
    mesh, rings, rays = sphere(2), 2, 6
    charts = geodesic_charts(mesh, 0.6)
    conv = GeodesicConv(3, 4, rings, rays, pool=None).double()
    x = torch.randn(mesh.pos.shape[0], 3, dtype=torch.float64)
    turned = conv(x, charts.rotate(torch.full((mesh.pos.shape[0],), 2 * math.pi / rays, dtype=torch.float64)))
    shifted = [torch.allclose(turned, conv(x, charts).roll(shift, 1)) for shift in range(rays)]
    assert sum(shifted) == 1 and not shifted[0]


def test_gaussian_conv_on_a_flat_grid_is_the_convolution_with_the_sampled_kernel() -> None:
    size, rings, rays, radius, reach = 15, 3, 8, 3.2, 3
    grid = flat_grid(size, size)
    charts = aligned(geodesic_charts(grid, radius), grid.pos)
    conv = GeodesicConv(2, 3, rings, rays, rotations=1, pool=None).double()
    x = torch.randn(size * size, 2, dtype=torch.float64)
    y = conv(x, charts).squeeze(1).T.reshape(3, size, size)

    # The kernel in closed form: at offset u it is sum_m w_m(u) W_m, with the windows normalised over the disc.
    dy, dx = torch.meshgrid(torch.arange(-reach, reach + 1), torch.arange(-reach, reach + 1), indexing="ij")
    rho = (dx**2 + dy**2).double().sqrt()
    theta = torch.atan2(dy.double(), dx.double())
    kernel = torch.zeros(3, 2, 2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    for r in range(rings):
        for a in range(rays):
            turn = torch.remainder(theta - 2 * math.pi * a / rays + math.pi, 2 * math.pi) - math.pi
            window = torch.exp(-((rho - (r + 0.5) * radius / rings) ** 2) / (2 * (radius / rings / 2) ** 2))
            window = window * torch.where(rho > 0, torch.exp(-(turn**2) / (2 * (math.pi / rays) ** 2)), 1.0)
            window = torch.where(rho <= radius, window, 0.0)
            kernel += conv.filters[r, a].T[:, :, None, None] * (window / window.sum())
    expected = F.conv2d(x.T.reshape(1, 2, size, size), kernel)[0]
    inside = slice(reach, size - reach)
    torch.testing.assert_close(y[:, inside, inside], expected, atol=1e-6, rtol=1e-6)


def test_template_conv_on_a_flat_grid_is_a_stencil() -> None:
    # One ring through the four axis neighbours: the template points are vertices, the windows one-hot.
    size = 9
    grid = flat_grid(size, size)
    charts = aligned(geodesic_charts(grid, 1.5), grid.pos)
    windows = polar_template(grid, charts, 1, 4, radius=1.0)
    conv = GeodesicConv(2, 3, 1, 4, rotations=1, pool=None, bias=False).double()
    x = torch.randn(size * size, 2, dtype=torch.float64)
    y = conv(x, windows).squeeze(1).T.reshape(3, size, size)
    kernel = torch.zeros(3, 2, 3, 3, dtype=torch.float64)
    for ray, (dy, dx) in enumerate([(0, 1), (1, 0), (0, -1), (-1, 0)]):
        kernel[:, :, 1 + dy, 1 + dx] = conv.filters[0, ray].T
    expected = F.conv2d(x.T.reshape(1, 2, size, size), kernel)[0]
    torch.testing.assert_close(y[:, 1:-1, 1:-1], expected, atol=1e-6, rtol=1e-6)


def test_shapes_that_do_not_fit_are_named() -> None:
    charts = geodesic_charts(sphere(1), 1.0)
    with pytest.raises(ValueError, match="charts have 42 vertices but x has 40 rows"):
        GeodesicConv(2, 3)(torch.zeros(40, 2), charts)
    with pytest.raises(ValueError, match="must be positive"):
        gaussian_windows(charts, 0, 8)


def test_mixed_precision_keeps_the_geodesic_layer_in_full_precision() -> None:
    mesh = sphere(1)
    charts = geodesic_charts(Surface(mesh.pos.float(), mesh.face), 1.0)
    conv, x = GeodesicConv(4, 3, 2, 4), torch.randn(42, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(conv(x, charts), conv(x.float(), charts))
