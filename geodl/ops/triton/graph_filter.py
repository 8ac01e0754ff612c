"""graph_filter: the sparse product with its epilogue of geodl/ops/graph_filter.py (see there); dense products are PyTorch's."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import triton.language as tl
from torch import Tensor

from geodl.ops.graph_filter import filter_step, recur, recurrence, step_once
from geodl.ops.triton.bounds import existing, row_ends
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.launch import ROW_TILES, accumulator, blocks, tile


def _write_step(
    x: Tensor, values: Tensor, edge: Tensor | None, rowptr: Tensor, col: Tensor, alpha: float, d: Tensor | None,
    beta: float, f: Tensor | None, out: Tensor,
) -> None:  # fmt: skip
    rows, channels = out.shape
    if out.numel() == 0:
        return
    block = tile(ROW_TILES, x, channels)
    strides = [0 if tensor is None else tensor.stride(0) for tensor in (x, d, f, out)]
    _step[blocks(rows, block.rows), blocks(channels, block.channels)](
        x, values, edge, rowptr, col, d, f, out, *strides, rows, len(col), len(x), channels,
        ALPHA=float(alpha), BETA=float(beta),
        ACCUMULATOR=accumulator(x), ROWS=block.rows, CHANNELS=block.channels, UNROLL=block.unroll,
        num_warps=block.warps,
    )  # fmt: skip


recurrence.triton(lambda *given: recur(_write_step, *given))
filter_step.triton(lambda *given: step_once(_write_step, *given))


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _step(
    x, values, edge, rowptr, col, d, f, out, x_row, d_row, f_row, out_row, rows, edges, sources, channels,
    ALPHA: tl.constexpr, BETA: tl.constexpr,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    first, last = row_ends(rowptr, row, rows, edges)
    total = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    for k in range(0, tl.max(last - first).to(tl.int32), UNROLL):
        for u in tl.static_range(UNROLL):
            e = first + (k + u)
            j, live = existing(col, e, e < last, sources)
            origin = e
            if edge is not None:
                origin, live = existing(edge, e, live, edges)
            inside = live[:, None] & (c < channels)[None, :]
            value = tl.load(values + origin, mask=live, other=0).to(ACCUMULATOR)
            term = tl.load(x + (j * x_row)[:, None] + c[None, :], mask=inside, other=0).to(ACCUMULATOR)
            total += value[:, None] * term
    total *= ALPHA
    inside = (row < rows)[:, None] & (c < channels)[None, :]
    if d is not None:
        total += tl.load(d + (row * d_row)[:, None] + c[None, :], mask=inside, other=0).to(ACCUMULATOR)
    if f is not None:
        total += BETA * tl.load(f + (row * f_row)[:, None] + c[None, :], mask=inside, other=0).to(ACCUMULATOR)
    tl.store(out + (row * out_row)[:, None] + c[None, :], total.to(out.dtype.element_ty), mask=inside)
