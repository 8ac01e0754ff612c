"""patch_conv against its definition, its derivatives, and its errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from geodl.ops import patch_conv, use_backend

from .patches import FORMS, gather_by_definition, random_neighbors, random_windows

SIZES = [
    (6, 5, 20, 4, 3, 2),
    (70, 60, 600, 7, 33, 35),
    (1, 1, 1, 1, 1, 1),
    (4, 3, 0, 5, 2, 3),
    (5, 4, 12, 3, 0, 2),
    (5, 4, 12, 3, 2, 0),
    (0, 3, 0, 2, 2, 2),
]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("num_dst", "num_src", "edges", "num_windows", "channels", "out_channels"), SIZES)
def test_mixes_the_windows(
    num_dst, num_src, edges, num_windows, channels, out_channels, form, dtype, backend
):
    neighbors = random_neighbors(num_dst, num_src, edges)
    weight, index = random_windows(neighbors, num_windows, form, dtype)
    x = torch.randn(num_src, channels, dtype=dtype)
    filters = torch.randn(num_windows, channels, out_channels, dtype=dtype)
    with use_backend(backend):
        out = patch_conv(x, neighbors, weight, filters, index)
    patches = gather_by_definition(x, neighbors, weight, index, num_windows)
    expected = np.einsum("nmc,mco->no", patches, filters.double().numpy())
    assert out.dtype == dtype and out.shape == expected.shape
    np.testing.assert_allclose(
        out.numpy(), expected, rtol=0, atol=TOLERANCE[dtype] * (1 + np.abs(expected).max(initial=0))
    )


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("form", FORMS)
def test_derivatives(form, backend):
    neighbors = random_neighbors(5, 4, 13)
    weight, index = random_windows(neighbors, 3, form)
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    weight.requires_grad_()
    with use_backend(backend):
        assert gradcheck(lambda x, w, f: patch_conv(x, neighbors, w, f, index), (x, weight, filters))
        assert gradgradcheck(lambda x, w, f: patch_conv(x, neighbors, w, f, index), (x, weight, filters))


def test_errors_name_the_argument():
    neighbors = random_neighbors(3, 2, 5)
    x, weight = torch.randn(2, 3), torch.randn(5, 4)
    with pytest.raises(ValueError, match=r"filters must have shape \[M, C, C'\], not \[4, 3\]"):
        patch_conv(x, neighbors, weight, torch.randn(4, 3))
    with pytest.raises(
        ValueError, match=r"filters must have shape \[4, 3, C'\] for these windows and x, not \[4, 2, 6\]"
    ):
        patch_conv(x, neighbors, weight, torch.randn(4, 2, 6))
    with pytest.raises(ValueError, match="weight has 4 windows but 5 are expected"):
        patch_conv(x, neighbors, weight, torch.randn(5, 3, 6))
    with pytest.raises(ValueError, match=r"filters are torch\.float64 but x is torch\.float32"):
        patch_conv(x, neighbors, weight, torch.randn(4, 3, 6, dtype=torch.float64))
    with pytest.raises(IndexError, match=r"index holds windows 0\.\.7, but there are 4 windows"):
        patch_conv(
            x,
            neighbors,
            weight,
            torch.randn(4, 3, 6),
            index=torch.zeros(5, 4, dtype=torch.int64).fill_diagonal_(7),
        )
