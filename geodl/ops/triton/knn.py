"""knn: the primitive of geodl/ops/knn.py (see there): every query against every point of its cloud, a running best k.

Kernels run without fused multiply-adds, so that squared distances have the bits of every other backend.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from geodl.ops.knn import Layout
from geodl.ops.triton.launch import Tile, blocks, device_of, tile

# Queries x points compared at once, by the number of neighbours.
TILES = {
    64: Tile(rows=16, channels=64, warps=4),
    128: Tile(rows=8, channels=128, warps=4),
    512: Tile(rows=2, channels=256, warps=4),
}

NOBODY = tl.constexpr(2**31 - 1)  # an index above that of any point


def nearest(layout: Layout, k: int, loop: bool, rowptr: Tensor, edges: int) -> tuple[Tensor, Tensor]:
    return select(layout, k, None, loop, rowptr, edges)


def select(
    layout: Layout, k: int, limit: Tensor | None, loop: bool, rowptr: Tensor, edges: int
) -> tuple[Tensor, Tensor]:
    """The nearest points of every row, at most k and as many as its place in rowptr holds, up to the limit."""
    col, squared = rowptr.new_empty(edges), layout.x.new_empty(edges)
    if edges == 0:
        return col, squared
    block = tile(TILES, layout.x, max(64, k))
    with device_of(layout.x):
        _nearest_rows[(blocks(layout.rows, block.rows),)](
            *operands(layout, loop), limit, rowptr, col, squared, k,
            K=triton.next_power_of_2(k), OWN=layout.queries is None and not loop,
            ROWS=block.rows, POINTS=block.channels, num_warps=block.warps, enable_fp_fusion=False,
        )  # fmt: skip
    return col, squared


def operands(layout: Layout, loop: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int, int]:
    """What all kernels read: coordinates one after the other, and where the cloud of every query begins and ends."""
    points = layout.x.t().contiguous()
    queries = points if layout.queries is None else layout.queries.t().contiguous()
    first, last = (
        torch.repeat_interleave(ends, layout.query_ptr.diff(), output_size=layout.rows)
        for ends in (layout.ptr[:-1], layout.ptr[1:])
    )
    return points, queries, first, last, points.shape[1], layout.rows, layout.x.shape[1]


@triton.jit
def squared_distances(
    x, queries, row, live, first, last, j, points, rows, dims, OWN: tl.constexpr, ROWS: tl.constexpr,
    POINTS: tl.constexpr,
):  # fmt: skip
    """Squared distances [ROWS, POINTS], infinite for NaN, and which points are candidates of which row."""
    total = tl.zeros([ROWS, POINTS], x.dtype.element_ty)
    for d in range(dims):
        at = d.to(tl.int64) if isinstance(d, tl.tensor) else d
        q = tl.load(queries + at * rows + row, mask=live, other=0)
        p = tl.load(x + at * points + j, mask=j < points, other=0)
        difference = q[:, None] - p[None, :]
        total += difference * difference
    mine = live[:, None] & (j[None, :] >= first[:, None]) & (j[None, :] < last[:, None])
    if OWN:
        mine &= j[None, :] != row[:, None]
    return tl.where(total == total, total, float("inf")), mine


@triton.jit(do_not_specialize=["points", "rows", "k"])
def _nearest_rows(
    x, queries, first_point, last_point, points, rows, dims, limit, rowptr, col, squared, k,
    K: tl.constexpr, OWN: tl.constexpr, ROWS: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """Keeps the best k of each row, in no order, replacing the worst; at the end, writes them in order."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    live = row < rows
    first = tl.load(first_point + row, mask=live, other=points)
    last = tl.load(last_point + row, mask=live, other=0)
    slot = tl.arange(0, K)[None, :] + tl.zeros([ROWS, K], tl.int32)
    # Free places are worse than every point, each with an index of its own; places beyond k are never the worst.
    best = tl.where(slot < k, float("inf"), float("-inf")).to(x.dtype.element_ty)
    index = tl.where(slot < k, NOBODY - 1 - slot, -1)
    for begin in range(tl.min(first), tl.max(last), POINTS):
        j = begin + tl.arange(0, POINTS)
        value, mine = squared_distances(
            x, queries, row, live, first, last, j, points, rows, dims, OWN, ROWS, POINTS
        )
        if limit is not None:
            mine &= value <= tl.load(limit)
        value = tl.where(mine, value, float("inf"))
        candidate = tl.where(mine, j.to(tl.int32)[None, :], NOBODY)
        worst = tl.max(best, axis=1)
        last_worst = tl.max(tl.where(best == worst[:, None], index, -1), axis=1)
        beats = (value < worst[:, None]) | ((value == worst[:, None]) & (candidate < last_worst[:, None]))
        for _ in range(0, tl.max(tl.minimum(tl.sum(beats.to(tl.int32), axis=1), k))):
            nearest = tl.min(value, axis=1)
            winner = tl.min(tl.where(value == nearest[:, None], candidate, NOBODY), axis=1)
            worst = tl.max(best, axis=1)
            last_worst = tl.max(tl.where(best == worst[:, None], index, -1), axis=1)
            takes = (nearest < worst) | ((nearest == worst) & (winner < last_worst))
            place = takes[:, None] & (index == last_worst[:, None]) & (best == worst[:, None])
            best = tl.where(place, nearest[:, None], best)
            index = tl.where(place, winner[:, None], index)
            value = tl.where(candidate == winner[:, None], float("inf"), value)
            candidate = tl.where(candidate == winner[:, None], NOBODY, candidate)
    best = tl.where(slot < k, best, float("inf"))
    index = tl.where(slot < k, index, NOBODY)
    to = tl.load(rowptr + row, mask=live, other=0)
    end = tl.load(rowptr + row + 1, mask=live, other=0)
    for place in range(0, tl.max(end - to).to(tl.int32)):
        nearest = tl.min(best, axis=1)
        winner = tl.min(tl.where(best == nearest[:, None], index, NOBODY), axis=1)
        inside = to + place < end
        tl.store(col + to + place, winner.to(tl.int64), mask=inside)
        tl.store(squared + to + place, nearest, mask=inside)
        best = tl.where(index == winner[:, None], float("inf"), best)
        index = tl.where(index == winner[:, None], NOBODY, index)
