"""SplineConv and its windows: the partition of unity, the formula, and the 2-D convolution on a flat mesh."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch.nn import functional as F

from geodl.geometry import Charts, geodesic_charts, polar_template
from geodl.nn import GeodesicConv, GridConv, SplineConv, spline_windows
from tests.geometry.shapes import flat_grid, icosphere
from tests.nn.test_geodesic import aligned


def cartesian(charts: Charts, radius: float | None = None) -> Charts:
    u = charts.rho[:, None] * torch.stack([charts.theta.cos(), charts.theta.sin()], dim=1)
    return Charts(charts.neighbors, u, "cartesian", radius=radius)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_windows_are_scipys_splines(degree: int) -> None:
    u = torch.rand(50, 2, dtype=torch.float64) * 7 - 1  # also outside
    sizes = (5, 4)
    weight, index = spline_windows(u, sizes, degree)
    dense = torch.zeros(50, 20, dtype=torch.float64).scatter_add_(1, index, weight)

    def basis(control: int, at: torch.Tensor) -> torch.Tensor:
        spline = BSpline.basis_element(np.arange(control - degree, control + 2), extrapolate=False)
        return torch.from_numpy(np.nan_to_num(spline(at.numpy())))

    expected = torch.stack([basis(a, u[:, 0]) * basis(b, u[:, 1]) for a in range(5) for b in range(4)], dim=1)
    torch.testing.assert_close(dense, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("closed", [(False, False), (True, False)])
def test_windows_sum_to_one_where_they_overlap(degree: int, closed: tuple[bool, bool]) -> None:
    sizes = torch.tensor([6.0, 5.0], dtype=torch.float64)
    u = torch.rand(40, 2, dtype=torch.float64) * torch.where(torch.tensor(closed), sizes, sizes - degree)
    weight, index = spline_windows(u, (6, 5), degree, closed)
    torch.testing.assert_close(weight.sum(1), torch.ones(40, dtype=torch.float64))
    assert 0 <= int(index.min()) <= int(index.max()) < 30
    if closed[0]:
        turned = spline_windows(u + torch.tensor([6.0, 0.0]), (6, 5), degree, closed)
        torch.testing.assert_close(turned[0], weight)
        assert torch.equal(turned[1], index)


@pytest.mark.parametrize("kernel", [(3, 3), (5, 5)])
def test_degree_one_on_a_flat_mesh_is_the_convolution(kernel: tuple[int, int]) -> None:
    size, reach = 11, (kernel[0] - 1) // 2
    mesh = flat_grid(size)
    mesh.pos = mesh.pos * (size - 1)
    charts = aligned(geodesic_charts(mesh, math.sqrt(2) * reach + 0.4), mesh.pos)
    charts = cartesian(charts, float(reach))
    # The square that the taps fill: what lies outside of it would count at its border.
    conv = SplineConv(2, 3, kernel, degree=1, mean=False, root=False).double()
    inside = (charts.coords.abs() < reach + 1e-6).all(1)
    assert bool(inside.all()) == (reach == 1)
    neighbors = charts.neighbors.from_edge_index(charts.neighbors.to_edge_index()[:, inside], size**2)
    charts = Charts(neighbors, charts.coords[inside], "cartesian", radius=float(reach))
    x = torch.randn(size**2, 2, dtype=torch.float64)
    y = conv(x, charts).t().reshape(3, size, size)
    kernels = conv.filters.permute(2, 1, 0).reshape(3, 2, *kernel)
    expected = F.conv2d(x.t().reshape(1, 2, size, size), kernels, conv.bias)[0]
    middle = slice(reach, size - reach)
    torch.testing.assert_close(y[:, middle, middle], expected, rtol=1e-6, atol=1e-6)
    # So does the grid's own layer, with the same weights.
    grid = GridConv(2, 3, kernel, padding=reach).double()
    grid.load_state_dict({"weight": kernels, "bias": conv.bias})
    on_charts = grid(x, charts).t().reshape(3, size, size)
    torch.testing.assert_close(on_charts, grid(x.t().reshape(1, 2, size, size))[0], rtol=1e-5, atol=1e-5)


def test_geodesic_convolution_with_one_rotation_is_a_stencil() -> None:
    # Two rings through the axis neighbours at distances 1 and 2: every template point is a vertex.
    size = 11
    mesh = flat_grid(size)
    mesh.pos = mesh.pos * (size - 1)
    charts = aligned(geodesic_charts(mesh, 3.1), mesh.pos)
    conv = GeodesicConv(2, 3, 2, 4, rotations=1, pool=None).double()
    x = torch.randn(size**2, 2, dtype=torch.float64)
    y = conv(x, polar_template(mesh, charts, 2, 4, radius=2.0)).squeeze(1).t().reshape(3, size, size)
    kernel = torch.zeros(3, 2, 5, 5, dtype=torch.float64)
    for ray, (di, dj) in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)]):
        for ring in range(2):
            kernel[:, :, 2 + (ring + 1) * di, 2 + (ring + 1) * dj] = conv.filters[ring, ray].t()
    expected = F.conv2d(x.t().reshape(1, 2, size, size), kernel, conv.bias)[0]
    torch.testing.assert_close(y[:, 2:-2, 2:-2], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mean", [True, False])
def test_polar_charts_have_a_closed_angle(mean: bool) -> None:
    mesh = icosphere(2)
    charts = geodesic_charts(mesh, 0.5)
    conv = SplineConv(3, 4, (3, 6), degree=2, mean=mean).double()
    x = torch.randn(mesh.size, 3, dtype=torch.float64)
    y = conv(x, charts)
    expected = torch.zeros_like(y)
    rho, theta = (charts.rho / 0.5).clamp(max=1), charts.theta / (2 * math.pi)
    weight, index = spline_windows(torch.stack([rho * 1, theta * 6], 1), (3, 6), 2, (False, True))
    for e, (i, j) in enumerate(
        zip(charts.neighbors.row.tolist(), charts.neighbors.col.tolist(), strict=True)
    ):
        filters = (weight[e][:, None, None] * conv.filters[index[e]]).sum(0)
        expected[i] += x[j] @ filters
    if mean:
        expected = expected / charts.neighbors.degree()[:, None]
    assert conv.root is not None and conv.bias is not None
    torch.testing.assert_close(y, expected + conv.root(x) + conv.bias)
    # A whole turn of every chart changes nothing.
    turned = charts.rotate(torch.full((mesh.size,), 2 * math.pi, dtype=torch.float64))
    torch.testing.assert_close(conv(x, turned), y, rtol=1e-8, atol=1e-8)


def test_what_does_not_fit_is_named() -> None:
    charts = geodesic_charts(icosphere(1), 1.0)
    with pytest.raises(ValueError, match="degree must be 1, 2 or 3"):
        SplineConv(1, 1, degree=4)
    with pytest.raises(ValueError, match="need more than 2 control points"):
        SplineConv(1, 1, (2, 2), degree=2)
    with pytest.raises(ValueError, match="42 vertices but x has 40"):
        SplineConv(1, 1)(torch.zeros(40, 1, dtype=torch.float64), charts)
    with pytest.raises(ValueError, match="2 coordinates but the kernel has 3"):
        SplineConv(1, 1, (3, 3, 3)).double()(torch.zeros(42, 1, dtype=torch.float64), charts)
    with pytest.raises(ValueError, match="radius must be given"):
        SplineConv(1, 1).double()(torch.zeros(42, 1, dtype=torch.float64), cartesian(charts))
