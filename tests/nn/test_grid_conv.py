"""GridConv: on the reference backend equal to torch's convolution, in random combinations of all arguments."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import nn

from geodl.geometry import Charts
from geodl.nn import GridConv, GridConvTranspose, grid_windows
from geodl.ops import Neighbors, use_backend

PLAIN = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MODES = ["zeros", "circular", "reflect", "replicate"]


def drawn(seed: int, transposed: bool) -> tuple[int, dict[str, Any], list[int], int]:
    """Arguments of a convolution, the size of a grid that it fits, and the number of signals."""
    draw = random.Random(seed)
    dim = 1 + seed % 3
    groups = draw.choice([1, 1, 2, 3])
    kernel = [draw.randint(1, 4 if dim < 3 else 3) for _ in range(dim)]
    stride = [draw.randint(1, 3) for _ in range(dim)]
    dilation = [draw.randint(1, 2) for _ in range(dim)]
    size = [d * (k - 1) + draw.randint(2, 5 if dim < 3 else 3) for k, d in zip(kernel, dilation, strict=True)]
    padding = [draw.randint(0, min(2, n - 1)) for n in size]
    given: dict[str, Any] = dict(
        in_channels=groups * draw.randint(1, 2), out_channels=groups * draw.randint(1, 3), kernel_size=tuple(kernel),
        stride=tuple(stride), padding=tuple(padding), dilation=tuple(dilation), groups=groups, bias=draw.random() < 0.7,
    )  # fmt: skip
    if transposed:
        given["output_padding"] = tuple(
            draw.randint(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True)
        )
        size = [max(n, 2 * p + 1) for n, p in zip(size, padding, strict=True)]
    else:
        given["padding_mode"] = draw.choice(MODES)
        if draw.random() < 0.1:
            given |= dict(padding="same", stride=1)
    return dim, given, size, draw.choice([0, 1, 2])


def same(ours: nn.Module, peer: nn.Module, x: torch.Tensor) -> None:
    peer.load_state_dict(ours.state_dict())
    results = []
    for layer, reference in ((ours, True), (peer, False)):
        signal = x.clone().requires_grad_()
        if reference:
            with use_backend("reference"):
                y = layer(signal)
        else:
            y = layer(signal)
        results.append(
            [y, *torch.autograd.grad((y * torch.cos(y.detach())).sum(), [signal, *layer.parameters()])]
        )
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)
    assert torch.equal(ours(x), results[1][0])  # dispatched: torch's own numbers


@pytest.mark.parametrize("batch", range(8))
def test_convolution_equals_torch(batch: int) -> None:
    for seed in range(30 * batch, 30 * batch + 30):
        dim, given, size, signals = drawn(seed, transposed=False)
        x = torch.randn(*([signals] if signals else []), given["in_channels"], *size, dtype=torch.float64)
        same(GridConv(**given).double(), PLAIN[dim](**given).double(), x)


@pytest.mark.parametrize("batch", range(4))
def test_transposed_convolution_equals_torch(batch: int) -> None:
    for seed in range(30 * batch, 30 * batch + 30):
        dim, given, size, signals = drawn(seed, transposed=True)
        x = torch.randn(*([signals] if signals else []), given["in_channels"], *size, dtype=torch.float64)
        same(GridConvTranspose(**given).double(), TRANSPOSED[dim](**given).double(), x)


def test_output_size_picks_a_size() -> None:
    ours, peer = GridConvTranspose(2, 3, 3, 2).double(), nn.ConvTranspose2d(2, 3, 3, 2).double()
    peer.load_state_dict(ours.state_dict())
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    with use_backend("reference"):
        ours_y = ours(x, output_size=[10, 9])
    torch.testing.assert_close(ours_y, peer(x, output_size=[10, 9]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("shape", ["packed", "signals"])
def test_charts_of_integer_offsets_are_the_grid(dim: int, shape: str) -> None:
    size, kernel = [5, 6, 4][:dim], [3, 5, 3][:dim]
    places = torch.stack(torch.meshgrid(*map(torch.arange, size), indexing="ij"), -1).reshape(-1, dim)
    col, row = torch.meshgrid(torch.arange(len(places)), torch.arange(len(places)), indexing="xy")
    neighbors = Neighbors(torch.arange(len(places) + 1) * len(places), col.flatten(), len(places))
    charts = Charts(neighbors, (places[col.flatten()] - places[row.flatten()]).double(), "cartesian")
    conv = GridConv(4, 6, kernel, padding=[(k - 1) // 2 for k in kernel], groups=2).double()
    x = torch.randn(2, 4, *size, dtype=torch.float64)
    expected = conv(x).flatten(2)
    if shape == "packed":
        torch.testing.assert_close(conv(x[0].flatten(1).t(), charts), expected[0].t(), rtol=1e-12, atol=1e-12)
    else:
        torch.testing.assert_close(conv(x.flatten(2), charts), expected, rtol=1e-12, atol=1e-12)


def test_a_fully_connected_layer_is_a_stencil_that_covers_the_grid() -> None:
    conv = GridConv(3, 7, (4, 5)).double()
    linear = nn.Linear(60, 7).double()
    linear.load_state_dict({"weight": conv.weight.flatten(1), "bias": conv.bias})
    x = torch.randn(6, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(conv(x).flatten(1), linear(x.flatten(1)), rtol=1e-12, atol=1e-12)
    with use_backend("reference"):
        torch.testing.assert_close(conv(x).flatten(1), linear(x.flatten(1)), rtol=1e-12, atol=1e-12)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="1, 2 or 3 dimensions, not 4"):
        GridConv(1, 1, (1, 1, 1, 1))
    with pytest.raises(ValueError, match=r"2 axes but \(1, 1, 1\) has 3"):
        GridConv(1, 1, 3, stride=(1, 1, 1))
    with use_backend("reference"), pytest.raises(ValueError, match="does not fit an axis of 2"):
        GridConv(1, 1, 3)(torch.zeros(1, 1, 2, 5))
    with use_backend("reference"), pytest.raises(ValueError, match="x must have shape"):
        GridConv(2, 1, 3)(torch.zeros(1, 1, 5, 5))
    charts = Charts(Neighbors(torch.tensor([0, 1]), torch.tensor([0]), 1), torch.zeros(1, 2), "cartesian")
    with pytest.raises(ValueError, match="needs a Level"):
        GridConv(1, 1, 3, stride=2)(torch.zeros(1, 1), charts)
    with pytest.raises(ValueError, match="1 vertices but x has 4"):
        GridConv(1, 1, 3)(torch.zeros(4, 1), charts)
    with pytest.raises(ValueError, match="2 coordinates but the kernel has 3 axes"):
        GridConv(1, 1, 3, dim=3)(torch.zeros(1, 1), charts)


def test_windows_of_a_stride_are_rows_of_those_without() -> None:
    whole = grid_windows((6, 7), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    strided = grid_windows((6, 7), (3, 3), (2, 3), ((1, 1), (1, 1)), (1, 1))
    picked = whole.rows(torch.arange(42).view(6, 7)[::2, ::3].flatten())
    assert torch.equal(picked.neighbors.rowptr, strided.neighbors.rowptr)
    assert torch.equal(picked.neighbors.col, strided.neighbors.col) and torch.equal(
        picked.index, strided.index
    )
