"""depthwise_conv: the operators of geodl/ops/depthwise_conv.py (see there).

Dense windows are read into registers and meet the filters there, once a row; of sparse ones, each edge looks up the few
filters that it meets. The gradient of the signal is the same over the transpose. That of filters is the one that needs
the patches in memory, for as many rows at a time as fit in ``CHUNK_BYTES``.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton.language as tl
from torch import Tensor

from geodl.ops.core import CSR
from geodl.ops.depthwise_conv import depthwise_conv, depthwise_conv_adjoint
from geodl.ops.triton.bounds import existing, row_ends
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.launch import Tile, Tiles, accumulator, blocks, tile
from geodl.ops.triton.windows import assert_index, read
from geodl.ops.windows import Windows

# About the second-level cache of a large GPU, so that what a chunk writes is read back from there.
CHUNK_BYTES = 2**25

DENSE_TILES = Tiles(
    {
        4: Tile(rows=16, windows=16, channels=4, warps=4),
        16: Tile(rows=4, windows=16, channels=16, warps=4),
        32: Tile(rows=2, windows=16, channels=32, warps=4),
        512: Tile(rows=1, windows=16, channels=64, warps=4),
    }
)
SPARSE_TILES = Tiles(
    {
        4: Tile(rows=128, channels=4, warps=4),
        16: Tile(rows=32, channels=16, warps=4),
        32: Tile(rows=16, channels=32, warps=4),
        64: Tile(rows=8, channels=64, warps=4),
        512: Tile(rows=4, channels=128, warps=4),
    }
)
PRODUCT_TILES = Tiles(
    {
        16: Tile(rows=4, windows=16, channels=16, warps=4),
        32: Tile(rows=2, windows=16, channels=32, warps=4),
        512: Tile(rows=1, windows=16, channels=64, warps=4),
    }
)


@depthwise_conv.triton
def _(x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None) -> Tensor:
    assert_index(index, len(filters))
    return _sum(x, graph.rowptr, graph.col, None, Windows(graph, weight, index), filters)


@depthwise_conv_adjoint.triton
def _(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    filters: Tensor,
    graph: CSR,
    index: Tensor | None,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    by_x = by_weight = by_filters = x.new_empty(0)
    windows = Windows(graph, weight, index)
    if needs[0]:
        by_x = _sum(grad, *graph.transpose(), windows, filters)
    if needs[1]:
        by_weight = _products(grad, x, windows, filters)
    if needs[2]:
        by_filters = _by_filters(grad, x, windows, filters)
    return by_x, by_weight, by_filters


def _sum(
    x: Tensor, rowptr: Tensor, col: Tensor, edge: Tensor | None, windows: Windows, filters: Tensor
) -> Tensor:
    """Over the CSR, or over its transpose, whose k-th edge is ``edge[k]``."""
    rows, channels = rowptr.numel() - 1, x.shape[1]
    columns = windows.weight.shape[1]
    out = x.new_empty(rows, channels)
    if out.numel() == 0 or windows.weight.numel() == 0:
        return out.zero_()
    dense = windows.index is None
    block = tile(DENSE_TILES if dense else SPARSE_TILES, x, channels, columns if dense else 1)
    _sum_rows[blocks(rows, block.rows), blocks(channels, block.channels)](
        x, rowptr, col, edge, windows.weight, windows.index, filters, out, rows, len(col), len(x), len(filters),
        columns, channels, ACCUMULATOR=accumulator(x), ROWS=block.rows, WINDOWS=block.windows, CHANNELS=block.channels,
        num_warps=block.warps,
    )  # fmt: skip
    return out


def _products(grad: Tensor, x: Tensor, windows: Windows, filters: Tensor) -> Tensor:
    """The gradient of weight, [E, columns]."""
    rows, channels = grad.shape
    columns = windows.weight.shape[1]
    out = torch.empty_like(windows.weight)
    if out.numel() == 0 or channels == 0:
        return out.zero_()
    block = tile(PRODUCT_TILES, x, channels, columns)
    column_blocks = blocks(columns, block.windows)
    _multiply_edges[(blocks(rows, block.rows) * column_blocks,)](
        grad, x, windows.graph.rowptr, windows.graph.col, windows.index, filters, out, rows, windows.graph.num_edges,
        len(x), len(filters), columns, column_blocks, channels, ACCUMULATOR=accumulator(x),
        ROWS=block.rows, COLUMNS=block.windows,
        CHANNELS=block.channels, num_warps=block.warps,
    )  # fmt: skip
    return out


def _by_filters(grad: Tensor, x: Tensor, windows: Windows, filters: Tensor) -> Tensor:
    rows, (num_windows, channels) = len(grad), filters.shape
    sums = torch.promote_types(x.dtype, torch.float32)  # of chunks, which half precision would round
    out = torch.zeros_like(filters, dtype=sums)
    chunk = max(1, CHUNK_BYTES // max(1, num_windows * channels * x.element_size()))
    for begin in range(0, rows, chunk):
        rowptr = windows.graph.rowptr[begin : begin + chunk + 1]
        patches = read(x, rowptr, windows.graph.col, None, windows.weight, windows.index, num_windows)
        out += patches.mul_(grad[begin : begin + chunk].unsqueeze(1)).sum(0, dtype=sums)
    return out.to(x.dtype)


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _sum_rows(
    x, rowptr, col, edge, weight, index, filters, out, rows, edges, sources, windows, columns, channels,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, WINDOWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    first, last = row_ends(rowptr, row, rows, edges)
    degree = tl.max(last - first).to(tl.int32)
    total = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    if index is None:
        for begin in range(0, columns, WINDOWS):
            m = begin + tl.arange(0, WINDOWS)
            patch = tl.zeros([ROWS, WINDOWS, CHANNELS], ACCUMULATOR)
            for k in range(degree):
                e = first + k
                j, live = existing(col, e, e < last, sources)
                origin = e
                if edge is not None:
                    origin, live = existing(edge, e, live, edges)
                value = tl.load(
                    x + (j * channels)[:, None] + c[None, :],
                    mask=live[:, None] & (c < channels)[None, :], other=0,
                ).to(ACCUMULATOR)  # fmt: skip
                w = tl.load(
                    weight + (origin * columns)[:, None] + m[None, :],
                    mask=live[:, None] & (m < columns)[None, :], other=0,
                ).to(ACCUMULATOR)  # fmt: skip
                patch += w[:, :, None] * value[:, None, :]
            meets = (m < columns)[:, None] & (c < channels)[None, :]
            f = tl.load(filters + (m * channels)[:, None] + c[None, :], mask=meets, other=0).to(ACCUMULATOR)
            # A product with 0 would carry a NaN or an infinity into windows that do not exist.
            total += tl.sum(tl.where(meets[None, :, :], patch * f[None, :, :], 0.0), axis=1)
    else:
        for k in range(degree):
            e = first + k
            j, live = existing(col, e, e < last, sources)
            origin = e
            if edge is not None:
                origin, live = existing(edge, e, live, edges)
            inside = live[:, None] & (c < channels)[None, :]
            factor = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
            for s in range(columns):
                w = tl.load(weight + origin * columns + s, mask=live, other=0).to(ACCUMULATOR)
                m, exists = existing(index, origin * columns + s, live, windows)
                met = inside & exists[:, None]
                f = tl.load(filters + (m * channels)[:, None] + c[None, :], mask=met, other=0)
                factor += w[:, None] * f.to(ACCUMULATOR)
            value = tl.load(x + (j * channels)[:, None] + c[None, :], mask=inside, other=0)
            total += factor * value.to(ACCUMULATOR)
    at = (row * channels)[:, None] + c[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=(row < rows)[:, None] & (c < channels)[None, :])


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _multiply_edges(
    grad, x, rowptr, col, index, filters, out, rows, edges, sources, windows, columns, column_blocks, channels,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """For each edge, the product over channels of the gradient of its row, what it reads and each filter that it meets."""
    row = (tl.program_id(0) // column_blocks).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    s = (tl.program_id(0) % column_blocks) * COLUMNS + tl.arange(0, COLUMNS)
    first, last = row_ends(rowptr, row, rows, edges)
    for k in range(tl.max(last - first).to(tl.int32)):
        e = first + k
        j, live = existing(col, e, e < last, sources)
        line = (e * columns)[:, None] + s[None, :]
        written = (e < last)[:, None] & (s < columns)[None, :]
        seen = live[:, None] & (s < columns)[None, :]
        window = tl.zeros([ROWS, COLUMNS], tl.int64) + s[None, :]
        if index is not None:
            window, seen = existing(index, line, seen, windows)
        total = tl.zeros([ROWS, COLUMNS], ACCUMULATOR)
        for begin in range(0, channels, CHANNELS):
            c = begin + tl.arange(0, CHANNELS)
            inside = live[:, None] & (c < channels)[None, :]
            value = tl.load(x + (j * channels)[:, None] + c[None, :], mask=inside, other=0).to(ACCUMULATOR)
            value *= tl.load(grad + (row * channels)[:, None] + c[None, :], mask=inside, other=0).to(
                ACCUMULATOR
            )
            f = tl.load(
                filters + (window * channels)[:, :, None] + c[None, None, :],
                mask=seen[:, :, None] & inside[:, None, :], other=0,
            ).to(ACCUMULATOR)  # fmt: skip
            total += tl.sum(f * value[:, None, :], axis=2)
        tl.store(out + line, total.to(out.dtype.element_ty), mask=written)
