"""patch_conv against its definition, its derivatives, and its errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from geodl.ops import Neighbors, patch_conv, use_backend

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


def grid_of(height: int, width: int, size: int) -> tuple[Neighbors, torch.Tensor]:
    """Every pixel and the taps of a size x size kernel around it, where they exist: neighbours and tap of each edge."""
    edges, taps = [], []
    for i, (row, column) in enumerate(itertools.product(range(height), range(width))):
        for tap, (down, right) in enumerate(itertools.product(range(size), repeat=2)):
            y, x = row + down - size // 2, column + right - size // 2
            if 0 <= y < height and 0 <= x < width:
                edges.append((y * width + x, i))
                taps.append(tap)
    neighbors = Neighbors.from_edge_index(torch.tensor(edges).T, height * width)
    return neighbors, torch.tensor(taps)[neighbors.order]


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize(
    ("channels", "out_channels", "groups"), [(6, 4, 1), (6, 4, 2), (6, 6, 6), (5, 15, 5)]
)
def test_is_conv2d_on_a_grid(channels, out_channels, groups, form, backend):
    """One-hot windows on the taps; values and gradients of signal and filters."""
    neighbors, tap = grid_of(5, 7, 3)
    if form == "dense":
        weight, index = torch.nn.functional.one_hot(tap, 9).double(), None
    else:
        weight, index = torch.ones(len(tap), 1, dtype=torch.float64), tap[:, None]
    image = torch.randn(1, channels, 5, 7, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(out_channels, channels // groups, 3, 3, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.conv2d(image, kernel, padding=1, groups=groups)
    with use_backend(backend):
        filters = kernel.flatten(2).permute(2, 1, 0)
        out = patch_conv(image.flatten(2)[0].T, neighbors, weight, filters, index, groups)
        grad = torch.randn_like(out)
        ours = torch.autograd.grad(out, (image, kernel), grad)
    torch.testing.assert_close(out, expected.flatten(2)[0].T)
    theirs = torch.autograd.grad(expected, (image, kernel), grad.T.view_as(expected))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("form", FORMS)
def test_depthwise_sums_many_edges_in_parts(form):
    """More edges than one part of the gradient of filters has; bitwise the same for any number of threads."""
    neighbors = random_neighbors(300, 250, 20_000)
    weight, index = random_windows(neighbors, 7, form)
    x = torch.randn(250, 19, dtype=torch.float64)
    filters = torch.randn(7, 1, 38, dtype=torch.float64)
    computed = []
    before = torch.get_num_threads()
    try:
        for backend, threads in (("reference", 1), ("native", 1), ("native", 2), ("native", 3)):
            torch.set_num_threads(threads)
            leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, filters)]
            with use_backend(backend):
                out = patch_conv(leaves[0], neighbors, leaves[1], leaves[2], index, groups=19)
                computed.append((out.detach(), *torch.autograd.grad(out.square().sum(), leaves)))
    finally:
        torch.set_num_threads(before)
    for exact, native in zip(computed[0], computed[1], strict=True):
        torch.testing.assert_close(native, exact, rtol=1e-10, atol=1e-9)
    for again in computed[2:]:
        assert all(torch.equal(a, b) for a, b in zip(again, computed[1], strict=True))


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_no_windows_see_nothing(groups, backend):
    neighbors, x = random_neighbors(6, 5, 40), torch.randn(5, 4)
    torch.full((6, 4), torch.nan)  # so that memory that nobody writes is not zero by chance
    with use_backend(backend):
        out = patch_conv(x, neighbors, torch.zeros(40, 0), torch.zeros(0, 4 // groups, 4), groups=groups)
    assert torch.equal(out, torch.zeros(6, 4))


def test_errors_name_the_argument():
    neighbors = random_neighbors(3, 2, 5)
    x, weight = torch.randn(2, 3), torch.randn(5, 4)
    with pytest.raises(ValueError, match=r"filters must have shape \[M, R, D\], not \[4, 3\]"):
        patch_conv(x, neighbors, weight, torch.randn(4, 3))
    with pytest.raises(ValueError, match=r"filters read 2 channels a group, but x has 3 for 1 groups"):
        patch_conv(x, neighbors, weight, torch.randn(4, 2, 6))
    with pytest.raises(ValueError, match="weight has 4 windows but 5 are expected"):
        patch_conv(x, neighbors, weight, torch.randn(5, 3, 6))
    with pytest.raises(ValueError, match=r"x is torch\.float32 but filters is torch\.float64"):
        patch_conv(x, neighbors, weight, torch.randn(4, 3, 6, dtype=torch.float64))
    with pytest.raises(ValueError, match="groups must divide 3 and 6 channels, got 2"):
        patch_conv(x, neighbors, weight, torch.randn(4, 1, 6), groups=2)
    with pytest.raises(ValueError, match=r"filters read 3 channels a group, but x has 3 for 3 groups"):
        patch_conv(x, neighbors, weight, torch.randn(4, 3, 6), groups=3)
    with pytest.raises(IndexError, match=r"index holds (7\.\.7|7 at edge 0), but there are 4 windows"):
        patch_conv(x, neighbors, weight, torch.randn(4, 1, 6), torch.full((5, 4), 7), groups=3)
    with pytest.raises(IndexError, match=r"index holds (0\.\.7|7 at edge 0), but there are 4 windows"):
        patch_conv(
            x,
            neighbors,
            weight,
            torch.randn(4, 3, 6),
            index=torch.zeros(5, 4, dtype=torch.int64).fill_diagonal_(7),
        )
