"""Pooling: torch's where it coincides, the norm where torch has none, by area on meshes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from geodl.geometry import coarsen, vertex_areas
from geodl.nn import GlobalMeanPool, LpPool, MaxPool, MeanPool, grid_windows, mesh_levels
from geodl.ops import Neighbors
from tests.geometry.shapes import icosphere

P = [1, 2, 3, math.inf]


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("p", P)
def test_norm_on_a_grid_equals_torch_where_that_is_a_norm(dim: int, p: float) -> None:
    x = torch.rand(2, 3, *[7, 6, 5][:dim], dtype=torch.float64)  # not negative
    torch_pool: Any = {1: F.lp_pool1d, 2: F.lp_pool2d, 3: F.lp_pool3d}[dim]
    largest: Any = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[dim]
    expected = largest(x, 2, 2) if p == math.inf else torch_pool(x, p, 2, 2)
    torch.testing.assert_close(LpPool(p, 2)(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("p", P)
def test_norm_of_signed_values_is_the_norm(p: float) -> None:
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    patches = F.unfold(F.pad(x, (1, 1, 1, 1)).view(6, 1, 10, 8), 3, stride=2)  # [6, 9, places]
    expected = torch.linalg.vector_norm(patches, p, dim=1).view(2, 3, 4, 3)
    torch.testing.assert_close(LpPool(p, 3, 2, 1)(x), expected, rtol=1e-12, atol=1e-12)
    if p in (1, 3):
        assert not torch.allclose(F.lp_pool2d(F.pad(x, (1, 1, 1, 1)), p, 3, 2).nan_to_num(), expected)


@pytest.mark.parametrize(
    "pool", [LpPool(1, 3, 2), LpPool(2, 3, 2), LpPool(math.inf, 3, 2), MaxPool(3, 2), MeanPool(3, 2)]
)
@pytest.mark.parametrize("size", [(9,), (9, 7), (5, 7, 5)])
def test_neighbourhoods_that_are_windows_of_a_grid_give_the_grid(pool: Any, size: tuple[int, ...]) -> None:
    dim = len(size)
    windows = grid_windows(size, (3,) * dim, (2,) * dim, ((0, 0),) * dim, (1,) * dim)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    grid, general = pool(x).flatten(2), pool(x.flatten(2), windows.neighbors)
    torch.testing.assert_close(general, grid, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(grid)
    gradients = [torch.autograd.grad((y * weights).sum(), x, retain_graph=True)[0] for y in (grid, general)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        pool(x[0].flatten(1).t(), windows.neighbors), grid[0].t(), rtol=1e-12, atol=1e-12
    )


def test_mesh_pooling_is_weighted_by_area() -> None:
    sphere = icosphere(2)
    sphere.pos = sphere.pos * torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    area, cells = vertex_areas(sphere), coarsen(sphere, 20)
    x = torch.randn(sphere.size, 4, dtype=torch.float64)
    for c in range(cells.num_nodes):
        inside = cells.cluster == c
        a, f = area[inside, None], x[inside]
        expected = {
            MeanPool(): (a * f).sum(0) / a.sum(), MaxPool(): f.amax(0), LpPool(1): (a * f.abs()).sum(0),
            LpPool(2): (a * f.square()).sum(0).sqrt(), LpPool(math.inf): f.abs().amax(0),
        }  # fmt: skip
        for pool, value in expected.items():
            torch.testing.assert_close(pool(x, cells)[c], value, rtol=1e-10, atol=1e-12)
    # The norm of the whole is the norm of the parts' norms.
    whole = LpPool(2)(x, cells).square().sum(0)
    torch.testing.assert_close(whole, (area[:, None] * x.square()).sum(0))


def test_areas_of_neighbourhoods_may_be_given() -> None:
    neighbors = Neighbors(torch.tensor([0, 2, 2, 3]), torch.tensor([0, 2, 1]), 3)
    x, area = torch.tensor([[3.0], [-4.0], [1.0]]), torch.tensor([1.0, 2.0, 3.0])
    assert MeanPool()(x, neighbors, area).flatten().tolist() == [1.5, 0.0, -4.0]
    assert LpPool(1)(x, neighbors, area).flatten().tolist() == [6.0, 0.0, 8.0]
    assert MeanPool()(x, neighbors, torch.zeros(3)).flatten().tolist() == [
        2.0,
        0.0,
        -4.0,
    ]  # no area: the plain mean
    with pytest.raises(ValueError, match=r"area must have shape \[3\]"):
        MeanPool()(x, neighbors, torch.zeros(2))


def test_the_gradient_of_a_norm_of_zeros_is_zero() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    LpPool(2, 2)(x).sum().backward()
    assert x.grad is not None and torch.equal(x.grad, torch.zeros_like(x))


def test_the_global_mean_is_the_integral_over_the_area() -> None:
    sphere = icosphere(1)
    level = mesh_levels(sphere)
    x = torch.randn(sphere.size, 3, dtype=torch.float64)
    area = vertex_areas(sphere)
    expected = (area[:, None] * x).sum(0, keepdim=True) / area.sum()
    torch.testing.assert_close(GlobalMeanPool()(x, level), expected)
    torch.testing.assert_close(GlobalMeanPool()(x.t()[None], level), expected)
    image = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(GlobalMeanPool()(image), image.mean((2, 3)))


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="it is no norm"):
        LpPool(0.5)
    with pytest.raises(ValueError, match="kernel_size must be given"):
        MaxPool()(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match="the coarsest"):
        MaxPool()(torch.zeros(42, 1), mesh_levels(icosphere(1)))
