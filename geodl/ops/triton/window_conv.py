"""window_conv: the operators of geodl/ops/window_conv.py (see there): windows read by kernels, filters applied by GEMM.

Forward, all rotations of a filter are a circular correlation over the angle. A ray is ``a = step * p + q`` with T = rotations
positions p, which turns permute cyclically, and step = rays / T offsets q, which they leave alone. A real Fourier transform
over p makes the correlation a product by frequency: one batched GEMM of H = ceil(T / 2) complex frequencies, in which the
zeroth holds the two real ones, 0 and T / 2, as its real and imaginary part. That is T / 4 times less work than applying each
rotation. The inverse transform and the maximum over rotations are one kernel.

Backward, everything comes from P = the windows of the gradient on the transpose, each channel turned back by the rotation
that it has selected: with filters F and patches Y = x F,

    grad_x = P F^T,    grad_F = x^T P,    grad_weight = <grad, Y> by edges and windows,

so that it costs no more than a convolution without rotations. Patches are made for as many rows at a time as fit in
``CHUNK_BYTES``.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from geodl.ops.core import CSR
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.launch import Tile, Tiles, accumulator, blocks, tile
from geodl.ops.triton.windows import Turns, assert_index, edge_products, read
from geodl.ops.window_conv import (
    window_conv,
    window_conv_adjoint,
    window_conv_at,
    window_conv_at_adjoint,
    window_conv_max,
)
from geodl.ops.windows import Windows

# About the second-level cache of a large GPU, so that what a chunk writes is read back from there.
CHUNK_BYTES = 2**25

# Of each row and channel, all rotations.
TILES = Tiles(
    {
        16: Tile(rows=8, channels=16, warps=4),
        32: Tile(rows=4, channels=32, warps=4),
        512: Tile(rows=2, channels=64, warps=4),
    }
)


@window_conv.triton
def _(x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None, rotations: int) -> Tensor:
    out = x.new_empty(graph.num_dst, rotations, filters.shape[-1])
    return _convolve(x, Windows(graph, weight, index), filters, rotations, out, None, pool=False)


@window_conv_max.triton
def _(
    x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None, rotations: int
) -> tuple[Tensor, Tensor]:
    out = x.new_empty(graph.num_dst, filters.shape[-1])
    selection = torch.zeros_like(out, dtype=torch.int16)
    return _convolve(
        x, Windows(graph, weight, index), filters, rotations, out, selection, pool=True
    ), selection


@window_conv_at.triton
def _(
    x: Tensor,
    weight: Tensor,
    filters: Tensor,
    graph: CSR,
    index: Tensor | None,
    rotations: int,
    selection: Tensor,
) -> Tensor:
    out = x.new_empty(graph.num_dst, filters.shape[-1])
    return _convolve(x, Windows(graph, weight, index), filters, rotations, out, selection, pool=False)


@window_conv_adjoint.triton
def _(
    grad: Tensor, x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None, rotations: int,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return _adjoint(grad, x, Windows(graph, weight, index), filters, rotations, None, needs)


@window_conv_at_adjoint.triton
def _(
    grad: Tensor, x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None, rotations: int,
    selection: Tensor, needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return _adjoint(grad, x, Windows(graph, weight, index), filters, rotations, selection, needs)


def _adjoint(
    grad: Tensor,
    x: Tensor,
    windows: Windows,
    filters: Tensor,
    rotations: int,
    selection: Tensor | None,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    need_x, need_weight, need_filters = needs
    rings, rays, channels, out_channels = filters.shape
    num_windows, num_src = rings * rays, x.shape[0]
    anything = grad.numel() and x.numel() and num_windows and windows.graph.num_edges
    new = x.new_empty if anything else x.new_zeros
    grad_x = new(x.shape if need_x else 0)
    grad_weight = new(windows.weight.shape if need_weight else 0)
    sums = torch.promote_types(x.dtype, torch.float32)  # of chunks, which half precision would round
    by_filters = x.new_zeros(channels, num_windows * out_channels, dtype=sums)
    if anything:
        rowptr, row, edge = windows.graph.transpose()
        turns = None if rotations == 1 else Turns(rays, rotations, selection)
        out_first = filters.movedim(3, 2).reshape(num_windows * out_channels, channels)
        channels_first = filters.movedim(2, 0).reshape(channels, num_windows * out_channels)
        for begin, end in _chunks(num_src, num_windows * out_channels, x):
            part = rowptr[begin : end + 1]
            if need_x or need_filters:
                read_back = read(grad, part, row, edge, windows.weight, windows.index, num_windows, turns)
                read_back = read_back.flatten(1)
                if need_x:
                    torch.mm(read_back, out_first, out=grad_x[begin:end])
                if need_filters:
                    by_filters += x[begin:end].t() @ read_back
            if need_weight:
                filtered = torch.mm(x[begin:end], channels_first).view(-1, num_windows, out_channels)
                edge_products(grad, filtered, part, row, edge, windows.index, grad_weight, turns)
    if not need_filters:
        return grad_x, grad_weight, x.new_empty(0)
    by_filters = by_filters.to(x.dtype).view(channels, rings, rays, out_channels)
    return grad_x, grad_weight, by_filters.permute(1, 2, 0, 3).contiguous()


def _convolve(
    x: Tensor,
    windows: Windows,
    filters: Tensor,
    rotations: int,
    out: Tensor,
    selection: Tensor | None,
    pool: bool,
) -> Tensor:
    """Writes all rotations to ``out``; or the one in ``selection``; or the greatest, and which it is to ``selection``."""
    rings, rays, channels, out_channels = filters.shape
    num_windows = rings * rays
    assert_index(windows.index, num_windows)
    if out.numel() == 0 or num_windows * channels == 0:
        return out.zero_()
    by_frequency = filters if rotations == 1 else _transform_filters(filters, rotations)
    for begin, end in _chunks(windows.graph.num_dst, num_windows * channels, x):
        patches = read(
            x,
            windows.graph.rowptr[begin : end + 1],
            windows.graph.col,
            None,
            windows.weight,
            windows.index,
            num_windows,
        )
        if rotations == 1:
            torch.mm(
                patches.flatten(1), filters.view(-1, out_channels), out=out[begin:end].view(-1, out_channels)
            )
            continue
        product = torch.bmm(_transform_patches(patches, rings, rotations), by_frequency)
        block = tile(TILES, x, out_channels, rotations)
        _invert[blocks(end - begin, block.rows), blocks(out_channels, block.channels)](
            product, out[begin:end], None if selection is None else selection[begin:end], end - begin,
            out_channels, POOL=pool, TURN=math.tau / rotations, ROTATIONS=rotations,
            ACCUMULATOR=accumulator(x), ROWS=block.rows, CHANNELS=block.channels,
            BLOCK=triton.next_power_of_2(rotations), num_warps=block.warps,
        )  # fmt: skip
    return out


def _chunks(rows: int, numbers: int, x: Tensor) -> Iterator[tuple[int, int]]:
    """Ranges of rows with so many numbers each, of equal size but for rounding."""
    chunks = blocks(rows * numbers * x.element_size(), CHUNK_BYTES)
    size = blocks(rows, min(chunks, rows))
    return ((begin, min(begin + size, rows)) for begin in range(0, rows, size))


def _transform_patches(patches: Tensor, rings: int, rotations: int) -> Tensor:
    """[n, (ring, p, q), C] to [frequency, n, (part, ring, q, C)]."""
    rows, num_windows, channels = patches.shape
    inner = num_windows // rings // rotations * channels
    frequencies = blocks(rotations, 2)
    out = patches.new_empty(frequencies, rows, 2 * rings * inner)
    block = tile(TILES, patches, inner, rotations)
    _transform[blocks(rows * rings, block.rows), blocks(inner, block.channels)](
        patches, out, rows * rings, rings, inner, TURN=math.tau / rotations, ROTATIONS=rotations,
        ACCUMULATOR=accumulator(patches), ROWS=block.rows, CHANNELS=block.channels,
        BLOCK=triton.next_power_of_2(rotations), num_warps=block.warps,
    )  # fmt: skip
    return out


def _transform_filters(filters: Tensor, rotations: int) -> Tensor:
    """[ring, (p, q), C, C'] to the matrices [frequency, (part, ring, q, C), (part, C')]: products by the conjugate."""
    rings, rays, channels, out_channels = filters.shape
    inner = rays // rotations * channels * out_channels
    frequencies = blocks(rotations, 2)
    out = filters.new_empty(frequencies, 2 * rings * inner // out_channels, 2 * out_channels)
    block = tile(TILES, filters, inner, rotations)
    _transform_to_matrices[rings, blocks(inner, block.channels)](
        filters, out, rings, inner, out_channels, TURN=math.tau / rotations, ROTATIONS=rotations,
        ACCUMULATOR=accumulator(filters), CHANNELS=block.channels,
        BLOCK=triton.next_power_of_2(rotations), num_warps=block.warps,
    )  # fmt: skip
    return out


@triton.jit
def _waves(h, p, TURN: tl.constexpr, ROTATIONS: tl.constexpr, ACCUMULATOR: tl.constexpr):
    """Real and imaginary part of frequency h at positions p; of frequency 0, the real waves 0 and T / 2 (none if T is odd)."""
    angle = ((h * p) % ROTATIONS).to(ACCUMULATOR) * TURN
    alternating = (1 - 2 * (p % 2)).to(ACCUMULATOR) * (1 - ROTATIONS % 2)
    return tl.cos(angle), tl.where(h == 0, alternating, -tl.sin(angle))


@kernel(do_not_specialize=["lines"])
def _transform(
    patches, out, lines, rings, inner,
    TURN: tl.constexpr, ROTATIONS: tl.constexpr, ACCUMULATOR: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    line = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    p = tl.arange(0, BLOCK)
    inside = (line < lines)[:, None] & (c < inner)[None, :]
    at = ((line * ROTATIONS)[:, None] + p[None, :])[:, :, None] * inner + c[None, None, :]
    values = tl.load(patches + at, mask=inside[:, None, :] & (p < ROTATIONS)[None, :, None], other=0).to(
        ACCUMULATOR
    )
    row, ring = line // rings, line % rings
    for h in range((ROTATIONS + 1) // 2):
        real, imaginary = _waves(h, p, TURN, ROTATIONS, ACCUMULATOR)
        to = (((h * (lines // rings) + row) * 2 * rings + ring) * inner)[:, None] + c[None, :]
        part = tl.sum(values * real[None, :, None], axis=1)
        tl.store(out + to, part.to(out.dtype.element_ty), mask=inside)
        part = tl.sum(values * imaginary[None, :, None], axis=1)
        tl.store(out + to + rings * inner, part.to(out.dtype.element_ty), mask=inside)


@kernel()
def _transform_to_matrices(
    filters, out, rings, inner, out_channels,
    TURN: tl.constexpr, ROTATIONS: tl.constexpr, ACCUMULATOR: tl.constexpr,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    ring = tl.program_id(0)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    p = tl.arange(0, BLOCK)
    inside = c < inner
    at = (ring * ROTATIONS + p).to(tl.int64)[:, None] * inner + c[None, :]
    values = tl.load(filters + at, mask=(p < ROTATIONS)[:, None] & inside[None, :], other=0).to(ACCUMULATOR)
    column = c // out_channels * out_channels * 2 + c % out_channels
    none = tl.zeros([CHANNELS], ACCUMULATOR)
    for h in range((ROTATIONS + 1) // 2):
        real, imaginary = _waves(h, p, TURN, ROTATIONS, ACCUMULATOR)
        u = tl.sum(values * real[:, None], axis=0)
        v = tl.sum(values * imaginary[:, None], axis=0)
        # (a + ib) (u - iv) = (a, b) ((u, -v), (v, u)); of frequency 0 the two parts are two real products.
        from_a = out + (h * 2 * rings + ring).to(tl.int64) * inner * 2 + column
        from_b = out + ((h * 2 + 1) * rings + ring).to(tl.int64) * inner * 2 + column
        tl.store(from_a, u.to(out.dtype.element_ty), mask=inside)
        tl.store(from_a + out_channels, tl.where(h == 0, none, -v).to(out.dtype.element_ty), mask=inside)
        tl.store(from_b, tl.where(h == 0, none, v).to(out.dtype.element_ty), mask=inside)
        tl.store(from_b + out_channels, tl.where(h == 0, v, u).to(out.dtype.element_ty), mask=inside)


@kernel(do_not_specialize=["rows"])
def _invert(
    product, out, selection, rows, channels,
    POOL: tl.constexpr, TURN: tl.constexpr, ROTATIONS: tl.constexpr, ACCUMULATOR: tl.constexpr,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    t = tl.arange(0, BLOCK)
    inside = (row < rows)[:, None] & (c < channels)[None, :]
    turned = tl.zeros([ROWS, BLOCK, CHANNELS], ACCUMULATOR)
    for h in range((ROTATIONS + 1) // 2):
        real, imaginary = _waves(h, t, TURN, ROTATIONS, ACCUMULATOR)
        twice = tl.where(h == 0, 1.0, 2.0)  # a frequency and its conjugate
        at = ((row + h * rows) * 2 * channels)[:, None] + c[None, :]
        a = tl.load(product + at, mask=inside, other=0).to(ACCUMULATOR)
        b = tl.load(product + at + channels, mask=inside, other=0).to(ACCUMULATOR)
        turned += twice * (a[:, None, :] * real[None, :, None] + b[:, None, :] * imaginary[None, :, None])
    turned *= 1.0 / ROTATIONS
    at = (row * channels)[:, None] + c[None, :]
    if selection is None:
        every = ((row * ROTATIONS)[:, None] + t[None, :])[:, :, None] * channels + c[None, None, :]
        within = inside[:, None, :] & (t < ROTATIONS)[None, :, None]
        tl.store(out + every, turned.to(out.dtype.element_ty), mask=within)
    elif POOL:
        rotation = tl.zeros([ROWS, BLOCK, CHANNELS], tl.int32) + t[None, :, None]
        exists = rotation < ROTATIONS
        nan = (turned != turned) & exists
        comparable = tl.where(nan | (rotation >= ROTATIONS), float("-inf"), turned)
        greatest = tl.max(comparable, axis=1)
        attained = (comparable == greatest[:, None, :]) & exists
        first = tl.min(tl.where(attained, rotation, BLOCK), axis=1)
        first_nan = tl.min(tl.where(nan, rotation, BLOCK), axis=1)
        is_nan = first_nan < BLOCK
        tl.store(out + at, tl.where(is_nan, float("nan"), greatest).to(out.dtype.element_ty), mask=inside)
        tl.store(selection + at, tl.where(is_nan, first_nan, first).to(tl.int16), mask=inside)
    else:
        selected = tl.load(selection + at, mask=inside, other=0).to(tl.int32)
        taken = tl.where(t[None, :, None] == selected[:, None, :], turned, 0.0)
        tl.store(out + at, tl.sum(taken, axis=1).to(out.dtype.element_ty), mask=inside)
