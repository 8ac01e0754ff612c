"""Kernel point convolution against a loop in float64, and its kernel points against what defines them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from geodl.geometry import Charts
from geodl.nn import KPConv, kernel_points
from geodl.ops import Neighbors, radius


def charts_of(pos: Tensor, r: float) -> Charts:
    neighbors = radius(pos, r)
    return Charts(neighbors, pos[neighbors.col] - pos[neighbors.row], "cartesian")


def by_definition(layer: KPConv, x: Tensor, pos: Tensor) -> Tensor:
    """Equation by equation, over all points: beyond the neighbourhood no kernel point sees any."""
    out = torch.zeros(len(pos), layer.filters.shape[2], dtype=torch.float64)
    for i in range(len(pos)):
        for j in range(len(pos)):
            for m, point in enumerate(layer.points.double() * layer.extent):
                seen = 1 - float((pos[j] - pos[i] - point).norm()) / layer.extent
                if seen > 0:
                    out[i] += seen * (x[j].double() @ layer.filters[m].detach().double())
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kernel_size", [1, 15])
def test_equals_its_definition(dtype: torch.dtype, kernel_size: int) -> None:
    layer = KPConv(3, 4, 0.3, kernel_size).to(dtype)
    pos, x = torch.rand(40, 3, dtype=dtype), torch.randn(40, 3, dtype=dtype)
    found = layer(x, charts_of(pos, 2.5 * 0.3 * 1.01))
    expected = by_definition(layer, x, pos.double())
    assert float(expected.abs().mean()) > 0.1
    torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_the_unit_does_not_matter(scale: float) -> None:
    layer, other = KPConv(2, 3, 0.3), KPConv(2, 3, 0.3 * scale)
    other.load_state_dict(layer.state_dict())
    pos, x = torch.rand(30, 3), torch.randn(30, 2)
    torch.testing.assert_close(
        other(x, charts_of(pos * scale, 0.75 * scale)), layer(x, charts_of(pos, 0.75)), atol=1e-4, rtol=1e-4
    )


def test_gradients() -> None:
    layer = KPConv(2, 3, 0.3, 5).double()
    pos = torch.rand(8, 3, dtype=torch.float64)
    charts = charts_of(pos, 0.7)

    def run(x: Tensor, coords: Tensor, filters: Tensor) -> Tensor:
        made = Charts(charts.neighbors, coords, "cartesian")
        return torch.func.functional_call(layer, {"filters": filters}, (x, made))

    x = torch.randn(8, 2, dtype=torch.float64)
    coords = charts.coords + 0.01 * torch.randn_like(charts.coords)  # a hat has no gradient at its tip
    torch.autograd.gradcheck(
        run, (x.requires_grad_(), coords.requires_grad_(), layer.filters.detach().requires_grad_())
    )


def test_a_point_at_the_tip_of_a_hat_has_finite_gradients() -> None:
    layer = KPConv(2, 3, 0.3)
    charts = charts_of(torch.rand(5, 3), 0.5)
    charts.coords.requires_grad_()
    layer(torch.randn(5, 2), charts).sum().backward()
    assert charts.coords.grad is not None and bool(charts.coords.grad.isfinite().all())


def test_empty_rows_give_zero_and_wrong_charts_are_named() -> None:
    layer = KPConv(2, 3, 0.3)
    empty = Neighbors(torch.tensor([0, 0, 1]), torch.tensor([1]), 2)
    found = layer(torch.randn(2, 2), Charts(empty, torch.zeros(1, 3), "cartesian"))
    assert not bool(found[0].any()) and bool(found[1].any())
    with pytest.raises(ValueError, match="charts must be cartesian with 3 coordinates, not polar with 2"):
        layer(torch.randn(2, 2), Charts(empty, torch.zeros(1, 2), "polar"))
    with pytest.raises(ValueError, match="extent must be positive, got 0"):
        KPConv(2, 3, 0.0)


def energy(free: Tensor) -> Tensor:
    points = torch.cat([free.new_zeros(1, 3), free])
    one, other = torch.triu_indices(len(points), len(points), 1)
    return 5 * free.square().sum() + (1 / (points[one] - points[other]).norm(dim=1)).sum()


@pytest.mark.parametrize("count", [2, 7, 15, 25])
def test_kernel_points_are_a_minimum(count: int) -> None:
    """The gradient vanishes at the scale where that along the radius does, no direction leads down, and no start does better."""
    points = kernel_points(count)
    assert not bool(points[0].any()) and float(points[1:].norm(dim=1).mean()) == pytest.approx(1)
    attraction, repulsion = 5 * points.square().sum(), (1 / torch.pdist(points)).sum()
    free = points[1:] * (repulsion / (2 * attraction)) ** (1 / 3)
    free.requires_grad_()
    assert float(torch.autograd.grad(energy(free), free)[0].abs().max()) < 1e-8
    hessian = torch.autograd.functional.hessian(energy, free.detach()).view(3 * count - 3, -1)
    assert float(torch.linalg.eigvalsh(hessian).min()) > -1e-6
    lowest = float(energy(free))
    for seed in range(3):
        generator = torch.Generator().manual_seed(100 + seed)
        other = torch.randn(count - 1, 3, dtype=torch.float64, generator=generator).requires_grad_()
        optimizer = torch.optim.LBFGS([other], max_iter=300, line_search_fn="strong_wolfe")

        def closure(other: Tensor = other, optimizer: torch.optim.Optimizer = optimizer) -> Tensor:
            optimizer.zero_grad()
            found = energy(other)
            found.backward()
            return found

        optimizer.step(closure)  # type: ignore[arg-type]
        assert float(energy(other)) > lowest * (1 - 1e-6)


def test_kernel_points_are_always_the_same_and_nobody_can_change_them() -> None:
    points = kernel_points(15)
    points += 1
    assert not bool(kernel_points(15)[0].any())
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        kernel_points(0)
