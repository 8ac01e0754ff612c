"""Windows around every point, read in the two ways that all operators on windows need.

``weight`` is dense, [E, M], or sparse, [E, S] with the windows ``index`` [E, S]. A destination's edges are given by a CSR
(rowptr, col); where ``edge`` [E] is given it is that of the transpose, whose k-th edge is edge[k]. rowptr may be a slice of
a longer one: results are those of its rows alone.

Turned windows: where windows lie on rings x rays, turn t of T moves window (r, a) to ray a + t * rays / T.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton.language as tl
from torch import Tensor

from geodl.ops.triton.bounds import existing, row_ends
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.launch import Tile, Tiles, accumulator, blocks, tile
from geodl.ops.windows import check_index

# Sums a thread holds: 4 to 8. The sparse form passes over all edges of a row once for each block of windows, so its
# blocks hold more of them.
DENSE_TILES = Tiles(
    {
        4: Tile(rows=16, windows=16, channels=4, warps=4, unroll=4),
        16: Tile(rows=4, windows=16, channels=16, warps=4, unroll=4),
        32: Tile(rows=2, windows=16, channels=32, warps=4, unroll=4),
        512: Tile(rows=1, windows=16, channels=64, warps=4, unroll=4),
    }
)
SPARSE_TILES = Tiles(
    {
        4: Tile(rows=8, windows=64, channels=4, warps=4, unroll=4),
        16: Tile(rows=2, windows=64, channels=16, warps=4, unroll=4),
        512: Tile(rows=1, windows=64, channels=32, warps=4, unroll=4),
    }
)
PRODUCT_TILES = Tiles(
    {
        16: Tile(rows=4, windows=16, channels=16, warps=4),
        32: Tile(rows=2, windows=16, channels=32, warps=4),
        512: Tile(rows=1, windows=16, channels=64, warps=4),
    }
)


@dataclass(frozen=True)
class Turns:
    """How windows on rings x rays are turned: by each of T turns, or by the one of them that each channel has selected."""

    rays: int
    rotations: int
    selection: Tensor | None

    @property
    def step(self) -> int:
        return self.rays // self.rotations

    @property
    def signals(self) -> int:
        """How many turns of a signal are given: [N, signals, C]."""
        return self.rotations if self.selection is None else 1


def assert_index(index: Tensor | None, num_windows: int) -> None:
    """Checks that every window exists. On a GPU it does not wait for the answer: a device-side assertion fails later."""
    if index is None or not index.is_cuda:
        check_index(index, num_windows)
    elif index.numel():
        low, high = index.aminmax()
        torch._assert_async((low >= 0) & (high < num_windows), f"index must hold windows below {num_windows}")


def read(
    x: Tensor,
    rowptr: Tensor,
    col: Tensor,
    edge: Tensor | None,
    weight: Tensor,
    index: Tensor | None,
    num_windows: int,
    turns: Turns | None = None,
) -> Tensor:
    """Every row's windows on the signals that its edges read, ``[rows, M, C]``.

    Without turns the signal is x [P, C]. With turns it is x [P, signals, C], and what window (r, a) reads of turn t is
    weighted as window (r, a + t * rays / T): the adjoint of all rotations of a filter, gathered over the transpose.
    """
    rows, channels = rowptr.numel() - 1, x.shape[-1]
    out = x.new_empty(rows, num_windows, channels)
    if out.numel() == 0:
        return out
    block = tile(DENSE_TILES if index is None else SPARSE_TILES, x, channels, num_windows)
    window_blocks = blocks(num_windows, block.windows)
    _gather_rows[blocks(rows, block.rows) * window_blocks, blocks(channels, block.channels)](
        x, turns.selection if turns else None, rowptr, col, edge, weight, index, out,
        rows, len(col), len(x), weight.shape[1], num_windows, window_blocks, channels, turns.signals if turns else 1,
        TURNED=turns is not None, RAYS=turns.rays if turns else 1, STEP=turns.step if turns else 1,
        ACCUMULATOR=accumulator(x), ROWS=block.rows, WINDOWS=block.windows, CHANNELS=block.channels,
        UNROLL=block.unroll, num_warps=block.warps,
    )  # fmt: skip
    return out


def edge_products(
    x: Tensor,
    patches: Tensor,
    rowptr: Tensor,
    col: Tensor,
    edge: Tensor | None,
    index: Tensor | None,
    out: Tensor,
    turns: Turns | None = None,
) -> None:
    """Product over channels of what each edge reads, x, and each of its windows in ``patches [rows, M, C]``.

    Writes the lines of ``out`` (shaped like weight) of the edges of these rows. With turns it is summed over x
    [P, signals, C], and what was read as window (r, a) of turn t is window (r, a - t * rays / T) of the patches: the
    gradient of weight, gathered over the transpose.
    """
    rows, num_windows, channels = patches.shape
    columns = out.shape[1]
    if rows == 0 or out.numel() == 0:
        return
    block = tile(PRODUCT_TILES, x, channels, columns)
    column_blocks = blocks(columns, block.windows)
    _edge_products[(blocks(rows, block.rows) * column_blocks,)](
        x, turns.selection if turns else None, patches, rowptr, col, edge, index, out,
        rows, len(col), len(x), columns, num_windows, column_blocks, channels, turns.signals if turns else 1,
        TURNED=turns is not None, RAYS=turns.rays if turns else 1, STEP=turns.step if turns else 1,
        ACCUMULATOR=accumulator(x), ROWS=block.rows, COLUMNS=block.windows, CHANNELS=block.channels,
        num_warps=block.warps,
    )  # fmt: skip


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _gather_rows(
    x, selection, rowptr, col, edge, weight, index, out,
    rows, edges, sources, columns, num_windows, window_blocks, channels, signals,
    TURNED: tl.constexpr, RAYS: tl.constexpr, STEP: tl.constexpr, ACCUMULATOR: tl.constexpr,
    ROWS: tl.constexpr, WINDOWS: tl.constexpr, CHANNELS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) // window_blocks).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    m = (tl.program_id(0) % window_blocks) * WINDOWS + tl.arange(0, WINDOWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    first, last = row_ends(rowptr, row, rows, edges)
    total = tl.zeros([ROWS, WINDOWS, CHANNELS], ACCUMULATOR)
    for k in range(0, tl.max(last - first).to(tl.int32), UNROLL):
        for u in tl.static_range(UNROLL):
            e = first + (k + u)
            j, live = existing(col, e, e < last, sources)
            origin = e
            if edge is not None:
                origin, live = existing(edge, e, live, edges)
            inside = live[:, None] & (c < channels)[None, :]
            line = origin * columns
            for t in range(signals):
                value = tl.load(
                    x + ((j * signals + t) * channels)[:, None] + c[None, :], mask=inside, other=0
                ).to(ACCUMULATOR)
                turn = tl.full([ROWS, CHANNELS], 0, tl.int32) + t * STEP
                if selection is not None:
                    turn = tl.load(selection + (j * channels)[:, None] + c[None, :], mask=inside, other=0)
                    turn = turn.to(tl.int32) * STEP
                if index is not None:
                    for s in range(columns):
                        w = tl.load(weight + line + s, mask=live, other=0).to(ACCUMULATOR)
                        window = tl.load(index + line + s, mask=live, other=-1).to(tl.int32)
                        # A product with 0 would carry a NaN into windows that do not see it.
                        term = (w[:, None] * value)[:, None, :]
                        if TURNED:
                            ring, ray = window // RAYS, window % RAYS
                            origins = (ring * RAYS)[:, None] + (ray[:, None] - turn + RAYS) % RAYS
                            seen = (origins[:, None, :] == m[None, :, None]) & live[:, None, None]
                            total += tl.where(seen, term, 0.0)
                        else:
                            total += tl.where((window[:, None] == m[None, :])[:, :, None], term, 0.0)
                elif TURNED:
                    ring, ray = m // RAYS, m % RAYS
                    turned = (ring * RAYS)[None, :, None] + (ray[None, :, None] + turn[:, None, :]) % RAYS
                    seen = inside[:, None, :] & (m < num_windows)[None, :, None]
                    seen &= (turned >= 0) & (turned < columns)
                    w = tl.load(weight + line[:, None, None] + turned, mask=seen, other=0).to(ACCUMULATOR)
                    total += w * value[:, None, :]
                else:
                    seen = live[:, None] & (m < num_windows)[None, :]
                    w = tl.load(weight + line[:, None] + m[None, :], mask=seen, other=0).to(ACCUMULATOR)
                    total += w[:, :, None] * value[:, None, :]
    at = ((row * num_windows)[:, None] + m[None, :])[:, :, None] * channels + c[None, None, :]
    inside = ((row < rows)[:, None] & (m < num_windows)[None, :])[:, :, None] & (c < channels)[None, None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _edge_products(
    x, selection, patches, rowptr, col, edge, index, out,
    rows, edges, sources, columns, num_windows, column_blocks, channels, signals,
    TURNED: tl.constexpr, RAYS: tl.constexpr, STEP: tl.constexpr, ACCUMULATOR: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) // column_blocks).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    s = (tl.program_id(0) % column_blocks) * COLUMNS + tl.arange(0, COLUMNS)
    first, last = row_ends(rowptr, row, rows, edges)
    for k in range(tl.max(last - first).to(tl.int32)):
        e = first + k
        j, live = existing(col, e, e < last, sources)
        origin, written = e, e < last
        if edge is not None:
            origin, written = existing(edge, e, written, edges)
            live &= written
        line = (origin * columns)[:, None] + s[None, :]
        seen = live[:, None] & (s < columns)[None, :]
        window = tl.zeros([ROWS, COLUMNS], tl.int32) + s[None, :]
        if index is not None:
            window, seen = existing(index, line, seen, num_windows)
            window = window.to(tl.int32)
        total = tl.zeros([ROWS, COLUMNS], ACCUMULATOR)
        for t in range(signals):
            for begin in range(0, channels, CHANNELS):
                c = begin + tl.arange(0, CHANNELS)
                inside = live[:, None] & (c < channels)[None, :]
                value = tl.load(
                    x + ((j * signals + t) * channels)[:, None] + c[None, :], mask=inside, other=0
                ).to(ACCUMULATOR)
                source = tl.zeros([ROWS, COLUMNS, CHANNELS], tl.int32) + window[:, :, None]
                if TURNED:
                    turn = tl.full([ROWS, CHANNELS], 0, tl.int32) + t * STEP
                    if selection is not None:
                        turn = tl.load(selection + (j * channels)[:, None] + c[None, :], mask=inside, other=0)
                        turn = turn.to(tl.int32) * STEP
                    ring, ray = window // RAYS, window % RAYS
                    source = (ring * RAYS)[:, :, None] + (ray[:, :, None] - turn[:, None, :] + RAYS) % RAYS
                at = ((row * num_windows)[:, None, None] + source) * channels + c[None, None, :]
                met = seen[:, :, None] & inside[:, None, :] & (source >= 0) & (source < num_windows)
                patch = tl.load(patches + at, mask=met, other=0).to(ACCUMULATOR)
                total += tl.sum(patch * value[:, None, :], axis=2)
        tl.store(out + line, total.to(out.dtype.element_ty), mask=written[:, None] & (s < columns)[None, :])
