"""patch_gather against its definition, its derivatives, and its errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from geodl.ops import Neighbors, patch_gather, use_backend

from .patches import FORMS, gather_by_definition, random_neighbors, random_windows

SIZES = [
    (6, 5, 20, 4, 3),
    (40, 40, 300, 7, 33),
    (1, 1, 1, 1, 1),
    (4, 3, 0, 5, 2),
    (5, 4, 12, 3, 0),
    (3, 0, 0, 2, 2),
    (0, 3, 0, 2, 2),
]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("num_dst", "num_src", "edges", "num_windows", "channels"), SIZES)
def test_is_one_sparse_product_a_window(num_dst, num_src, edges, num_windows, channels, form, dtype, backend):
    neighbors = random_neighbors(num_dst, num_src, edges)
    weight, index = random_windows(neighbors, num_windows, form, dtype)
    x = torch.randn(num_src, channels, dtype=dtype)
    with use_backend(backend):
        out = patch_gather(x, neighbors, weight, index, num_windows)
    expected = gather_by_definition(x, neighbors, weight, index, num_windows)
    assert out.dtype == dtype
    np.testing.assert_allclose(
        out.numpy(), expected, rtol=0, atol=TOLERANCE[dtype] * (1 + np.abs(expected).max(initial=0))
    )


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("form", FORMS)
def test_derivatives(form, backend):
    neighbors = random_neighbors(5, 4, 13)
    weight, index = random_windows(neighbors, 3, form)
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    weight.requires_grad_()
    with use_backend(backend):
        assert gradcheck(lambda x, w: patch_gather(x, neighbors, w, index, 3), (x, weight))
        assert gradgradcheck(lambda x, w: patch_gather(x, neighbors, w, index, 3), (x, weight))


def test_errors_name_the_argument():
    neighbors = Neighbors(torch.tensor([0, 2, 3]), torch.tensor([0, 1, 1]), 2)
    x, weight = torch.randn(2, 3), torch.randn(3, 4)
    with pytest.raises(ValueError, match=r"neighbors have 2 sources but x has shape \[5, 3\]"):
        patch_gather(torch.randn(5, 3), neighbors, weight)
    with pytest.raises(ValueError, match=r"neighbors have 3 edges but weight has shape \[2, 4\]"):
        patch_gather(x, neighbors, weight[:2])
    with pytest.raises(ValueError, match=r"x is torch\.float64 but weight is torch\.float32"):
        patch_gather(x.double(), neighbors, weight)
    with pytest.raises(ValueError, match=r"index must have shape \[E, W\] = \[3, 4\], not \[3, 2\]"):
        patch_gather(x, neighbors, weight, torch.zeros(3, 2, dtype=torch.int64), 4)
    with pytest.raises(ValueError, match=r"index must be int64, not torch\.int32"):
        patch_gather(x, neighbors, weight, torch.zeros(3, 4, dtype=torch.int32), 4)
    with pytest.raises(ValueError, match="num_windows must be given with index"):
        patch_gather(x, neighbors, weight, torch.zeros(3, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="weight has 4 windows but 5 are expected"):
        patch_gather(x, neighbors, weight, num_windows=5)


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [(4, r"index holds (0\.\.4|4 at edge 3500), but there are 4"), (-1, r"-1(\.\.0| at edge 3500)")],
)
def test_window_out_of_range(bad, message, backend):
    neighbors = random_neighbors(200, 200, 4000)
    index = torch.zeros(4000, 1, dtype=torch.int64)
    index[3500] = bad
    with use_backend(backend), pytest.raises(IndexError, match=message):
        patch_gather(torch.randn(200, 8), neighbors, torch.randn(4000, 1), index, 4)
