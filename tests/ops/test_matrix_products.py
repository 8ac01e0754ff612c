"""Sums of matrix products in C++ beside float64 products of PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from geodl.ops.core.dispatch import native
from geodl.ops.matrix_products import native_sum

pytestmark = pytest.mark.skipif(native is None, reason="the C++ extension is not built")

SIZES = [(1, 1, 1), (7, 5, 3), (130, 128, 384), (128, 33, 1300), (3, 200, 2100), (500, 16, 128), (5, 4, 0)]


def transposed(matrix: Tensor) -> Tensor:
    """The same matrix, its rows adjacent in memory."""
    return matrix.t().contiguous().t()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layouts", ["rr", "rt", "tr", "tt"])
@pytest.mark.parametrize("rows, columns, depth", SIZES)
def test_products_in_any_layout(
    rows: int, columns: int, depth: int, layouts: str, dtype: torch.dtype
) -> None:
    a, b = torch.randn(rows, depth, dtype=dtype), torch.randn(depth, columns, dtype=dtype)
    left, right = (
        transposed(matrix) if layout == "t" else matrix
        for matrix, layout in zip((a, b), layouts, strict=True)
    )
    wide = torch.full((rows, columns + 9), 7.0, dtype=dtype)
    found = native_sum(wide[:, 4 : 4 + columns], (left, right))
    torch.testing.assert_close(found.double(), a.double() @ b.double(), rtol=1e-4, atol=1e-4)
    assert (wide[:, :4] == 7).all() and (wide[:, 4 + columns :] == 7).all()
    # The same bits with other threads, and with other rows.
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 3)
        assert torch.equal(native_sum(torch.empty_like(found), (left, right)), found)
    finally:
        torch.set_num_threads(threads)
    if layouts[0] == "r":
        assert torch.equal(native_sum(torch.empty_like(found)[1:], (left[1:], right)), found[1:])


@pytest.mark.parametrize("last", [None, "relu", "relu_derivative", "tanh_derivative"])
@pytest.mark.parametrize("begin", ["nothing", "row", "matrix", "itself", "expanded"])
@pytest.mark.parametrize("by_depth", [False, True])
def test_what_comes_before_and_after_the_products(begin: str, last: Any, by_depth: bool) -> None:
    rows, columns = 70, 21
    terms = [(torch.randn(rows, depth), torch.randn(columns, depth).t()) for depth in (130, 1, 700)]
    if by_depth:
        terms = [(transposed(a), b) for a, b in terms]
    out, units = torch.randn(rows, columns), torch.randn(rows, columns).clamp(-0.9, 0.9)
    starts = {
        "nothing": None,
        "row": torch.randn(columns),
        "matrix": torch.randn(rows, columns + 2)[:, 1:-1],
        "itself": out,
        "expanded": torch.randn(1, 1).expand(rows, columns),
    }
    start = starts[begin]
    expected = torch.zeros(rows, columns).double() if start is None else start.double()
    expected = torch.stack([a.double() @ b.double() for a, b in terms]).sum(0) + expected
    factor = {"relu": expected > 0, "relu_derivative": units > 0, "tanh_derivative": 1 - units.square()}
    expected = expected * factor.get(last, 1)
    given = units if str(last).endswith("derivative") else None
    assert native_sum(out, *terms, start=start, last=last, units=given) is out
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-3)


def test_nan_is_not_rectified() -> None:
    a = torch.tensor([[float("nan")], [-1.0], [2.0]])
    found = native_sum(torch.empty(3, 1), (a, torch.ones(1, 1)), last="relu")
    assert found[0].isnan() and found[1:].flatten().tolist() == [0, 2]
