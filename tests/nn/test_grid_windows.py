"""Windows of grid convolutions: torch's convolutions with the same numbers, on the grid and laid into charts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.geometry import Charts
from geodl.nn import GridWindows, chart_windows, grid_windows, transposed_windows
from geodl.ops import Neighbors


def taps_first(weight: Tensor) -> Tensor:
    """torch's ``[C', C, *kernel]`` -> ``[taps, C, C']``."""
    return weight.flatten(2).permute(2, 1, 0)


@pytest.mark.parametrize("signals", [None, 3])
def test_windows_of_a_grid_are_torchs_convolution(signals: int | None) -> None:
    windows = grid_windows((5, 7), (3, 2), (2, 1), ((1, 1), (0, 1)), (1, 2))
    assert isinstance(windows, GridWindows)
    assert windows.taps == 6 and windows.size is not None
    x, weight = torch.randn(signals or 1, 4, 5, 7), torch.randn(6, 4, 3, 2)
    expected = F.conv2d(F.pad(x, (0, 1, 1, 1)), weight, None, (2, 1), 0, (1, 2))
    assert windows.size == tuple(expected.shape[2:])
    flat = x.flatten(2)
    found = windows.convolve(flat if signals else flat[0].t(), taps_first(weight))
    wanted = expected.flatten(2)
    torch.testing.assert_close(found, wanted if signals else wanted[0].t(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_windows_are_torchs_transposed_convolution(groups: int) -> None:
    arguments: Any = ((4, 3), (3, 2), (2, 3), (1, 0), (1, 2), (1, 0))
    windows = transposed_windows(*arguments)
    _, _, stride, padding, dilation, more = arguments
    x, weight = torch.randn(2, 4, 4, 3), torch.randn(4, 6 // groups, 3, 2)
    expected = F.conv_transpose2d(x, weight, None, stride, padding, more, groups, dilation)
    assert windows.size == tuple(expected.shape[2:])
    # torch's filters [C, C' / groups, *kernel] -> ours [taps, C / groups, C'].
    filters = weight.flatten(2).view(groups, 4 // groups, 6 // groups, 6).permute(3, 1, 0, 2).flatten(2)
    found = windows.convolve(x.flatten(2), filters, groups)
    torch.testing.assert_close(found.view_as(expected), expected, rtol=1e-4, atol=1e-5)


def test_transposed_windows_are_the_adjoint() -> None:
    there = grid_windows((6, 5), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))
    back = transposed_windows((3, 3), (3, 3), (2, 2), (1, 1), (1, 1), (1, 0))
    weight = torch.randn(9, 1, 1, dtype=torch.float64)
    x, y = torch.randn(30, 1, dtype=torch.float64), torch.randn(9, 1, dtype=torch.float64)
    assert back.size == (6, 5)
    torch.testing.assert_close((there.convolve(x, weight) * y).sum(), (x * back.convolve(y, weight)).sum())


def test_rows_are_those_of_the_whole() -> None:
    windows = grid_windows((5, 5), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    x, filters, chosen = torch.randn(25, 2), torch.randn(9, 2, 3), torch.tensor([24, 0, 7])
    torch.testing.assert_close(
        windows.rows(chosen).convolve(x, filters), windows.convolve(x, filters)[chosen]
    )


def grid_charts(side: int, reach: int = 3, polar: bool = False) -> Charts:
    """Every point of a grid sees those within ``reach`` steps along either axis, at their offsets."""
    axis = torch.arange(side)
    points = torch.cartesian_prod(axis, axis)
    offset = points[None] - points[:, None]
    row, col = (offset.abs().amax(2) <= reach).nonzero(as_tuple=True)
    neighbors = Neighbors.from_edge_index(torch.stack([col, row]), side**2)
    assert neighbors.order is not None
    u = offset[row, col].double()[neighbors.order]
    if polar:
        u = torch.stack([u.norm(dim=1), torch.atan2(u[:, 1], u[:, 0]).remainder(2 * torch.pi)], 1)
    return Charts(
        neighbors, 0.5 * u if not polar else u * u.new_tensor([0.5, 1]), "polar" if polar else "cartesian"
    )


@pytest.mark.parametrize("polar", [False, True])
@pytest.mark.parametrize("dilation", [1, 2, (1, 2)])
def test_windows_in_the_charts_of_a_grid_are_torchs_convolution(polar: bool, dilation: Any) -> None:
    windows = chart_windows(grid_charts(7, polar=polar), (3, 3), 0.5, dilation)
    x, weight = torch.randn(1, 2, 7, 7, dtype=torch.float64), torch.randn(3, 2, 3, 3, dtype=torch.float64)
    expected = F.conv2d(x, weight, padding=dilation, dilation=dilation).flatten(2)[0].t()
    torch.testing.assert_close(windows.convolve(x.flatten(2)[0].t(), taps_first(weight)), expected)


def test_a_tap_sees_the_weighted_mean_about_it() -> None:
    """Hats against their definition, at neighbours that lie anywhere."""
    u = 1.8 * (torch.rand(40, 2, dtype=torch.float64) - 0.5)
    charts = Charts(Neighbors(torch.tensor([0, 40]), torch.arange(40), 40), u, "cartesian")
    x = torch.randn(40, 1, dtype=torch.float64)
    eye = torch.eye(9, dtype=torch.float64)[:, None]
    found = chart_windows(charts, (3, 3), 0.6).convolve(x, eye)[0]
    for number, tap in enumerate(itertools.product((-1, 0, 1), repeat=2)):
        hat = (1 - (u / 0.6 - torch.tensor(tap)).abs()).clamp(min=0).prod(1)
        torch.testing.assert_close(found[number], (hat @ x / hat.sum()).squeeze())


def test_taps_beyond_a_border_read_zero() -> None:
    charts = Charts(
        Neighbors(torch.tensor([0, 2]), torch.tensor([0, 1]), 2), torch.tensor([[0.0], [1.0]]), "cartesian"
    )
    seen = chart_windows(charts, (3,)).convolve(torch.tensor([[2.0], [3.0]]), torch.eye(3)[:, None])
    assert seen.tolist() == [[0, 2, 3]]


def test_what_does_not_fit_is_named() -> None:
    charts = grid_charts(3)
    with pytest.raises(ValueError, match="spacing must be positive, got 0"):
        chart_windows(charts, (3, 3), 0)
    with pytest.raises(ValueError, match="charts have 2 coordinates but the kernel has 3 axes"):
        chart_windows(charts, (3, 3, 3))
    with pytest.raises(ValueError, match="padding 4 leaves nothing of an axis of 2 points"):
        transposed_windows((2,), (3,), (1,), (4,), (1,), (0,))
    with pytest.raises(ValueError, match="a kernel that spans 5 points does not fit an axis of 4"):
        grid_windows((2,), (3,), (1,), ((1, 1),), (2,))
