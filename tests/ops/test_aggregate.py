"""aggregate beyond the conformance suite: special values, other libraries' results, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse
import torch
from torch_geometric.utils import scatter

from geodl.ops import Neighbors, aggregate, use_backend

from .devices import BACKENDS

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_agrees_with_pyg_scatter(reduce):
    """Values and gradients of random floats, where no two are equal."""
    src, dst = torch.randint(300, (5000,)), torch.randint(200, (5000,))
    neighbors = Neighbors.from_edge_index(torch.stack([src, dst]), 200, 300)
    x = torch.randn(300, 19, requires_grad=True)
    weight = torch.rand(5000, requires_grad=True)
    ours = aggregate(x, neighbors, weight[neighbors.order], reduce)
    theirs = scatter(x[src] * weight[:, None], dst, dim_size=200, reduce=reduce)
    torch.testing.assert_close(ours, theirs)
    g = torch.randn_like(ours)
    for mine, other in zip(
        torch.autograd.grad(ours, (x, weight), g), torch.autograd.grad(theirs, (x, weight), g), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_sum_agrees_with_scipy():
    src, dst = torch.randint(50, (400,)), torch.randint(40, (400,))
    neighbors = Neighbors.from_edge_index(torch.stack([src, dst]), 40, 50)
    x, weight = torch.randn(50, 8, dtype=torch.float64), torch.randn(400, dtype=torch.float64)
    matrix = scipy.sparse.coo_array((weight, (neighbors.row, neighbors.col)), shape=(40, 50))
    np.testing.assert_allclose(aggregate(x, neighbors, weight), matrix @ x.numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 16, 40])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("column", "largest", "smallest", "at_largest", "at_smallest"),
    [
        ([1.0, 5.0, 5.0, 1.0], 5.0, 1.0, 1, 0),  # ties: the first edge
        ([-0.0, 0.0, -0.0], 0.0, 0.0, 0, 0),
        ([-INF, -INF], -INF, -INF, 0, 0),
        ([INF, 2.0, INF], INF, 2.0, 0, 1),
        ([3.0, NAN, 7.0], NAN, NAN, 1, 1),  # NaN wins, and the first NaN
        ([NAN, 3.0, INF], NAN, NAN, 0, 0),
        ([INF, 3.0, NAN, NAN], NAN, NAN, 2, 2),
        ([-INF, NAN], NAN, NAN, 1, 1),
    ],
)
def test_special_values_of_extrema(column, largest, smallest, at_largest, at_smallest, backend, channels):
    n = len(column)
    neighbors = Neighbors(torch.tensor([0, n]), torch.arange(n), n)
    for reduce, value, edge in (("max", largest, at_largest), ("min", smallest, at_smallest)):
        x = torch.tensor(column)[:, None].repeat(1, channels).requires_grad_()
        with use_backend(backend):
            out = aggregate(x, neighbors, reduce=reduce)
            (gradient,) = torch.autograd.grad(out.sum(), x)
        assert torch.equal(
            out.detach().nan_to_num(nan=12345.0), torch.full((1, channels), value).nan_to_num(nan=12345.0)
        )
        expected = torch.zeros(n, channels)
        expected[edge] = 1
        assert torch.equal(gradient, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sum_propagates_nan_to_its_rows_alone(backend):
    x = torch.tensor([[NAN], [1.0], [2.0]])
    neighbors = Neighbors(torch.tensor([0, 2, 3, 3]), torch.tensor([0, 1, 2]), 3)
    with use_backend(backend):
        out = aggregate(x, neighbors)
    assert out[0].isnan() and out[1] == 2 and out[2] == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_unselected_nan_gradients_do_not_leak(backend):
    """The gradient of a maximum reads the selected edge alone, whatever stands at the others."""
    x = torch.tensor([[1.0], [-INF]], requires_grad=True)
    weight = torch.ones(2, requires_grad=True)
    neighbors = Neighbors(torch.tensor([0, 2]), torch.tensor([0, 1]), 2)
    with use_backend(backend):
        by_x, by_weight = torch.autograd.grad(aggregate(x, neighbors, weight, "max").sum(), (x, weight))
    assert by_x.flatten().tolist() == [1, 0] and by_weight.tolist() == [1, 0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min"])
def test_second_derivative_without_a_foreseen_transpose(reduce, backend):
    """x asks for no gradient in the forward pass, but the gradient of weight does in the second."""
    neighbors = Neighbors(torch.tensor([0, 2, 2, 4]), torch.tensor([0, 1, 1, 2]), 3)
    x = torch.randn(3, 2, dtype=torch.float64)
    weight = torch.rand(4, dtype=torch.float64, requires_grad=True)
    with use_backend(backend):
        (gradient,) = torch.autograd.grad(
            aggregate(x, neighbors, weight, reduce).exp().sum(), weight, create_graph=True
        )
        (second,) = torch.autograd.grad(gradient.sum(), weight)
    assert "t" not in neighbors.memory().answers

    def loss(weight: torch.Tensor) -> torch.Tensor:
        rows = [weight[:2, None] * x[[0, 1]], weight[2:, None] * x[[1, 2]]]
        name = {"max": "amax", "min": "amin"}.get(reduce, reduce)
        return torch.stack([getattr(torch, name)(row, 0) for row in rows]).exp().sum()

    torch.testing.assert_close(second, torch.autograd.functional.hessian(loss, weight.detach()).sum(0))


@pytest.mark.parametrize("channels", [3, 40])
@pytest.mark.parametrize("reduce", ["sum", "max", "min"])
def test_long_rows_are_cut_the_same_for_any_number_of_threads(reduce, channels):
    """Rows of 20,000 edges among short ones, and sources as often read: values, gradients, and bitwise repeats."""
    degrees = torch.tensor([3, 20_000, 0, 4096, 4097, 2, 0, 9000])
    rowptr = torch.cat([torch.zeros(1, dtype=torch.int64), degrees.cumsum(0)])
    col = torch.randint(50, (int(rowptr[-1]),))
    col[::2] = 7
    neighbors = Neighbors(rowptr, col, 50)
    x = torch.randint(-30, 30, (50, channels)).double()  # many ties, and among them the first edge
    x[7] = 5.0
    weight = torch.randint(1, 4, (len(col),)).double()
    g = torch.randn(len(degrees), channels, dtype=torch.float64)

    def run(backend, threads, dtype):
        torch.set_num_threads(threads)
        leaves = x.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_()
        with use_backend(backend):
            out = aggregate(leaves[0], neighbors, leaves[1], reduce)
            return out.detach(), *torch.autograd.grad(out, leaves, g.to(dtype))

    before = torch.get_num_threads()
    try:
        for dtype in (torch.float64, torch.float32):
            runs = [run("native", threads, dtype) for threads in (1, 2, 3)]
            for again in runs[1:]:
                assert all(torch.equal(a, b) for a, b in zip(again, runs[0], strict=True))
            for ours, theirs in zip(runs[0], run("reference", 1, torch.float64), strict=True):
                scale = 1 + float(theirs.abs().max())
                tolerance = 1e-12 if dtype == torch.float64 else 1e-4  # equal terms round the same way
                torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=tolerance * scale)
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_compiles_with_inductor():
    neighbors = Neighbors(torch.tensor([0, 2, 2, 4]), torch.tensor([0, 1, 1, 2]), 3)
    x = torch.randn(3, 8, requires_grad=True)

    def call(x, neighbors):
        return aggregate(x, neighbors, reduce="max").exp()

    torch._dynamo.reset()
    out = torch.compile(call, fullgraph=True)(x, neighbors)
    torch.testing.assert_close(out, call(x, neighbors))
    torch.testing.assert_close(
        torch.autograd.grad(out.sum(), x)[0], torch.autograd.grad(call(x, neighbors).sum(), x)[0]
    )


NEIGHBORS = Neighbors(torch.tensor([0, 2]), torch.tensor([0, 1]), 2)
X = torch.zeros(2, 3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[0], NEIGHBORS), r"x must have shape \[S, C\] = \[2, C\], not \[3\]"),
        ((torch.zeros(3, 2), NEIGHBORS), r"neighbors have 2 sources but x has shape \[3, 2\]"),
        ((X.long(), NEIGHBORS), "x must be floating point, not torch.int64"),
        ((X.to("meta"), NEIGHBORS), "x is on meta but neighbors are on cpu"),
        ((X, NEIGHBORS, torch.ones(3)), r"neighbors have 2 edges but weight has shape \[3\]"),
        (
            (X, NEIGHBORS, torch.ones(2, 1)),
            r"weight must have shape \[E\] or \[E, C\] = \[2, 3\], not \[2, 1\]",
        ),
        ((X, NEIGHBORS, torch.ones(2).double()), "x is torch.float32 but weight is torch.float64"),
        ((X, NEIGHBORS, torch.ones(2).to("meta")), "weight is on meta but neighbors are on cpu"),
        ((X, NEIGHBORS, None, "median"), "reduce must be one of sum, mean, max, min, not 'median'"),
    ],
)
def test_refuses(arguments, message, backend):
    with use_backend(backend), pytest.raises(ValueError, match=message):
        aggregate(*arguments)
