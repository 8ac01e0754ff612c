"""polar_conv against its definition, its derivatives, its symmetry, and its errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from geodl.ops import PolarWindows, patch_conv, polar_conv, use_backend

from .patches import FORMS, polar_by_definition, random_neighbors, random_polar

SIZES = [
    # points, sources, edges, rings, rays, rotations, C, C'
    (6, 5, 20, 2, 4, 4, 3, 2),
    (70, 60, 900, 3, 8, 8, 33, 35),
    (70, 60, 900, 2, 8, 4, 16, 32),
    (30, 30, 400, 2, 6, 3, 5, 40),
    (30, 30, 400, 1, 5, 5, 4, 4),
    (30, 30, 400, 1, 12, 6, 4, 4),
    (30, 30, 400, 2, 16, 16, 4, 4),
    (30, 30, 400, 2, 8, 1, 4, 4),
    (30, 30, 200, 2, 1, 1, 4, 4),
    (20, 20, 200, 1, 2, 2, 4, 4),
    (1, 1, 1, 1, 3, 3, 1, 1),
    (4, 3, 0, 2, 4, 4, 2, 3),
    (5, 4, 12, 1, 4, 2, 0, 2),
    (5, 4, 12, 1, 4, 2, 2, 0),
    (0, 3, 0, 1, 4, 4, 2, 2),
]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("num_dst", "num_src", "edges", "rings", "rays", "rotations", "channels", "out_channels"), SIZES
)
def test_applies_every_rotation(
    num_dst, num_src, edges, rings, rays, rotations, channels, out_channels, form, dtype, backend
):
    windows = random_polar(random_neighbors(num_dst, num_src, edges), rings, rays, form, dtype)
    x = torch.randn(num_src, channels, dtype=dtype)
    filters = torch.randn(rings, rays, channels, out_channels, dtype=dtype)
    with use_backend(backend):
        rotated = polar_conv(x, windows, filters, rotations, pool=None)
        pooled = polar_conv(x, windows, filters, rotations)
    expected = polar_by_definition(x, windows, filters, rotations)
    assert rotated.dtype == pooled.dtype == dtype and rotated.shape == expected.shape
    close = dict(rtol=0, atol=TOLERANCE[dtype] * (1 + np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(rotated.numpy(), expected, **close)
    np.testing.assert_allclose(pooled.numpy(), expected.max(1), **close)


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("rays", "rotations", "pool"), [(4, 4, "max"), (4, 2, "max"), (4, 4, None), (3, 1, "max"), (3, 3, None)]
)
def test_derivatives(form, rays, rotations, pool, backend):
    windows = random_polar(random_neighbors(5, 4, 13), 2, rays, form)
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(2, rays, 2, 2, dtype=torch.float64, requires_grad=True)
    weight = windows.weight.clone().requires_grad_()

    def convolve(x, weight, filters):
        turned = PolarWindows(windows.neighbors, weight, windows.index, 2, rays)
        return polar_conv(x, turned, filters, rotations, pool)

    with use_backend(backend):
        assert gradcheck(convolve, (x, weight, filters))
        assert gradgradcheck(convolve, (x, weight, filters))


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_maximum_ignores_where_rays_start(backend):
    windows = random_polar(random_neighbors(50, 50, 600), 3, 8, "sparse")
    turns = torch.randint(8, (50,))
    ring, ray = windows.index // 8, windows.index % 8
    turned = PolarWindows(
        windows.neighbors, windows.weight, ring * 8 + (ray + turns[windows.neighbors.row, None]) % 8, 3, 8
    )
    x, filters = torch.randn(50, 7, dtype=torch.float64), torch.randn(3, 8, 7, 9, dtype=torch.float64)
    with use_backend(backend):
        torch.testing.assert_close(
            polar_conv(x, turned, filters), polar_conv(x, windows, filters), rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_one_rotation_is_patch_conv(backend):
    windows = random_polar(random_neighbors(30, 20, 200), 2, 4, "sparse")
    x, filters = torch.randn(20, 3, dtype=torch.float64), torch.randn(2, 4, 3, 5, dtype=torch.float64)
    with use_backend(backend):
        expected = patch_conv(x, windows.neighbors, windows.weight, filters.flatten(0, 1), windows.index)
        torch.testing.assert_close(polar_conv(x, windows, filters, rotations=1), expected)


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_is_not_lost_in_the_maximum(dtype, backend):
    windows = random_polar(random_neighbors(30, 30, 300), 2, 8, "single", dtype)
    x = torch.randn(30, 4, dtype=dtype)
    x[3, 2] = torch.nan
    with use_backend(backend):
        out = polar_conv(x, windows, torch.randn(2, 8, 4, 6, dtype=dtype))
    neighbors = windows.neighbors
    reads = torch.zeros(30, dtype=torch.bool)
    reads[neighbors.row[neighbors.col == 3]] = True
    assert torch.equal(out.isnan().any(1), reads) and torch.equal(out.isnan().all(1), reads)


def test_errors_name_the_argument():
    windows = random_polar(random_neighbors(5, 4, 13), 2, 4, "sparse", torch.float32)
    x, filters = torch.randn(4, 3), torch.randn(2, 4, 3, 5)
    with pytest.raises(ValueError, match=r"neighbors have 4 sources but x has shape \[5, 3\]"):
        polar_conv(torch.randn(5, 3), windows, filters)
    with pytest.raises(ValueError, match=r"filters must have shape \[2, 4, C, C'\] .*, not \[4, 2, 3, 5\]"):
        polar_conv(x, windows, filters.transpose(0, 1))
    with pytest.raises(ValueError, match="rotations must divide the 4 rays, got 3"):
        polar_conv(x, windows, filters, rotations=3)
    with pytest.raises(ValueError, match="rotations must divide the 4 rays, got 0"):
        polar_conv(x, windows, filters, rotations=0)
    with pytest.raises(ValueError, match="pool must be \"max\" or None, not 'mean'"):
        polar_conv(x, windows, filters, pool="mean")
    with pytest.raises(ValueError, match=r"x is torch\.float64 but weight is torch\.float32"):
        polar_conv(x.double(), windows, filters)
