"""patch_gather: the operators of geodl/ops/patch_gather.py (see there)."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence

import triton.language as tl
from torch import Tensor

from geodl.ops.core import CSR
from geodl.ops.patch_gather import read_patches, read_patches_adjoint
from geodl.ops.triton.bounds import existing, row_ends
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.launch import Tile, Tiles, accumulator, blocks, tile
from geodl.ops.triton.windows import assert_index, edge_products, read

SPREAD_TILES = Tiles(
    {
        4: Tile(rows=16, windows=16, channels=4, warps=4),
        16: Tile(rows=8, windows=8, channels=16, warps=4),
        32: Tile(rows=4, windows=8, channels=32, warps=4),
        64: Tile(rows=2, windows=8, channels=64, warps=4),
        512: Tile(rows=1, windows=8, channels=128, warps=4),
    }
)


@read_patches.triton
def _(x: Tensor, weight: Tensor, graph: CSR, index: Tensor | None, num_windows: int) -> Tensor:
    assert_index(index, num_windows)
    return read(x, graph.rowptr, graph.col, None, weight, index, num_windows)


@read_patches_adjoint.triton
def _(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    graph: CSR,
    index: Tensor | None,
    num_windows: int,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor]:
    need_x, need_weight = needs
    grad_x = x.new_empty(x.shape if need_x else 0)
    new = weight.new_empty if grad.numel() else weight.new_zeros
    grad_weight = new(weight.shape if need_weight else 0)
    if grad_x.numel():
        rows, channels = x.shape
        columns = weight.shape[1]
        block = tile(SPREAD_TILES, x, channels, columns)
        _spread[blocks(rows, block.rows), blocks(channels, block.channels)](
            grad, *graph.transpose(), weight, index, grad_x, rows, graph.num_edges, len(grad), columns, grad.shape[1],
            channels,
            ACCUMULATOR=accumulator(x), ROWS=block.rows, COLUMNS=block.windows, CHANNELS=block.channels,
            num_warps=block.warps,
        )  # fmt: skip
    if grad_weight.numel() and grad.numel():
        edge_products(x, grad, graph.rowptr, graph.col, None, index, grad_weight)
    return grad_x, grad_weight


@kernel(do_not_specialize=["rows", "edges", "destinations"])
def _spread(
    grad, rowptr, col, edge, weight, index, out, rows, edges, destinations, columns, num_windows, channels,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """What all windows that see a source give back to it: a sum over the edges of the transpose and their windows."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    first, last = row_ends(rowptr, row, rows, edges)
    total = tl.zeros([ROWS, COLUMNS, CHANNELS], ACCUMULATOR)
    for begin in range(0, columns, COLUMNS):
        s = begin + tl.arange(0, COLUMNS)
        for k in range(tl.max(last - first).to(tl.int32)):
            e = first + k
            i, live = existing(col, e, e < last, destinations)
            origin, live = existing(edge, e, live, edges)
            seen = live[:, None] & (s < columns)[None, :]
            line = (origin * columns)[:, None] + s[None, :]
            window = tl.zeros([ROWS, COLUMNS], tl.int64) + s[None, :]
            if index is not None:
                window, seen = existing(index, line, seen, num_windows)
            w = tl.load(weight + line, mask=seen, other=0).to(ACCUMULATOR)
            at = ((i * num_windows)[:, None] + window)[:, :, None] * channels + c[None, None, :]
            value = tl.load(grad + at, mask=seen[:, :, None] & (c < channels)[None, None, :], other=0)
            total += w[:, :, None] * value.to(ACCUMULATOR)
    at = (row * channels)[:, None] + c[None, :]
    inside = (row < rows)[:, None] & (c < channels)[None, :]
    tl.store(out + at, tl.sum(total, axis=1).to(out.dtype.element_ty), mask=inside)
