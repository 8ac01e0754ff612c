"""knn: the primitive of geodl/ops/knn.py (see there): queries against points, tile by tile, a running best k.

Kernels run without fused multiply-adds, so that squared distances have the bits of every other backend. In large clouds of few
dimensions points are sorted along a space-filling curve first; a tile whose box is farther than the k-th best is left out.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from geodl.ops.knn import Layout, in_rows
from geodl.ops.knn import nearest as knn_operator
from geodl.ops.triton.curve import along_curve, as_given, few, is_sorted
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.knn_keys import FARTHEST, LONGEST, MOST_KEYS, one_of_the_least
from geodl.ops.triton.knn_small import is_small, nearest_in_small_clouds
from geodl.ops.triton.launch import Tile, Tiles, blocks, tile

# Queries x points compared at once, by the number of neighbours; as keys of 64 bits, and otherwise.
KEY_TILES = Tiles(
    {
        64: Tile(rows=8, channels=512, warps=8),
        512: Tile(rows=4, channels=512, warps=8),
    }
)
SORTED_TILES = Tiles(
    {
        128: Tile(rows=8, channels=128, warps=4),
        512: Tile(rows=4, channels=256, warps=4),
    }
)
TILES = Tiles(
    {
        64: Tile(rows=16, channels=64, warps=4),
        128: Tile(rows=8, channels=128, warps=4),
        512: Tile(rows=2, channels=256, warps=4),
    }
)

NOBODY = tl.constexpr(2**31 - 1)  # an index above that of any point


def nearest(layout: Layout, k: int, loop: bool, rowptr: Tensor, edges: int) -> tuple[Tensor, Tensor]:
    if is_small(layout, k):
        return nearest_in_small_clouds(layout, k, loop, rowptr, edges)
    return select(layout, k, None, loop, rowptr, edges)


knn_operator.triton(in_rows(nearest))


def select(
    layout: Layout, k: int, limit: Tensor | None, loop: bool, rowptr: Tensor, edges: int
) -> tuple[Tensor, Tensor]:
    """The nearest points of every row, at most k and as many as its place in rowptr holds, up to the limit."""
    col, squared = rowptr.new_empty(edges), layout.x.new_empty(edges)
    if edges == 0:
        return col, squared
    own, width = layout.queries is None and not loop, triton.next_power_of_2(k)
    if layout.x.dtype == torch.float32 and width <= MOST_KEYS:
        block = tile(SORTED_TILES if is_sorted(layout) else KEY_TILES, layout.x, max(width, 32))
        places = along_curve(layout, block.rows, block.channels)
        programs = blocks(layout.rows, block.rows)
        chosen = rowptr.new_empty(programs * block.rows * width)
        _nearest_keys[(programs,)](
            *places, limit, rowptr, chosen, col, squared, K=width, DIMS=few(layout), OWN=own,
            ROWS=block.rows, POINTS=block.channels, num_warps=block.warps, enable_fp_fusion=False,
        )  # fmt: skip
    else:
        block = tile(TILES, layout.x, max(64, k))
        _nearest_rows[(blocks(layout.rows, block.rows),)](
            *as_given(layout), limit, rowptr, col, squared, k, K=width, OWN=own,
            ROWS=block.rows, POINTS=block.channels, num_warps=block.warps, enable_fp_fusion=False,
        )  # fmt: skip
    return col, squared


@triton.jit
def squared_distances(
    x, queries, row, live, first, last, j, points, rows, dims, DIMS: tl.constexpr, ROWS: tl.constexpr,
    POINTS: tl.constexpr,
):  # fmt: skip
    """Squared distances [ROWS, POINTS], infinite for NaN, and which points are in the cloud of which row."""
    total = tl.zeros([ROWS, POINTS], x.dtype.element_ty)
    if DIMS > 0:
        for _ in tl.static_range(DIMS):
            q, p = tl.load(queries + row, mask=live, other=0), tl.load(x + j, mask=j < points, other=0)
            total += (q[:, None] - p[None, :]) * (q[:, None] - p[None, :])
            queries += rows
            x += points
    else:
        for _ in tl.range(0, dims, loop_unroll_factor=2):
            q, p = tl.load(queries + row, mask=live, other=0), tl.load(x + j, mask=j < points, other=0)
            total += (q[:, None] - p[None, :]) * (q[:, None] - p[None, :])
            queries += rows
            x += points
    mine = live[:, None] & (j[None, :] >= first[:, None]) & (j[None, :] < last[:, None])
    return tl.where(total == total, total, float("inf")), mine


@triton.jit
def rows_of_a_program(first_point, last_point, row_index, points, rows, ROWS: tl.constexpr):
    """Places of a program's queries, which of them there are, their given rows, and where their clouds begin and end."""
    place = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    live = place < rows
    first = tl.load(first_point + place, mask=live, other=points).to(tl.int32)
    last = tl.load(last_point + place, mask=live, other=0).to(tl.int32)
    row = place
    if row_index is not None:
        row = tl.load(row_index + place, mask=live, other=0).to(tl.int32)
    return place, live, row, first, last


@triton.jit
def candidates(
    x, queries, place, row, live, first, last, at, points, rows, dims, point_index,
    OWN: tl.constexpr, DIMS: tl.constexpr, ROWS: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """Of a tile of points, the squared distances to every row, which are a row's candidates, and their given indices."""
    j = at * POINTS + tl.arange(0, POINTS)
    value, mine = squared_distances(
        x, queries, place, live, first, last, j, points, rows, dims, DIMS, ROWS, POINTS
    )
    index = j
    if point_index is not None:
        index = tl.load(point_index + j, mask=j < points, other=0).to(tl.int32)
    if OWN:
        mine &= index[None, :] != row[:, None]
    return value, mine, index


@triton.jit
def squared_distance_of_a_box(
    queries, row, live, low, high, at, rows, DIMS: tl.constexpr, ROWS: tl.constexpr
):
    """Of every row, no more than the squared distance of any point in the box: rounding keeps the order of two numbers."""
    total = tl.zeros([ROWS], queries.dtype.element_ty)
    for d in tl.static_range(DIMS):
        q = tl.load(queries + d * rows + row, mask=live, other=0)
        below, above = tl.load(low + at * DIMS + d) - q, q - tl.load(high + at * DIMS + d)
        gap = tl.where(below > 0, below, tl.where(above > 0, above, 0.0))
        total += gap * gap
    return total


@kernel(do_not_specialize=["points", "rows"])
def _nearest_keys(
    x, queries, first_point, last_point, points, rows, dims, point_index, row_index, start, low, high,
    limit, rowptr, chosen, col, squared,
    K: tl.constexpr, DIMS: tl.constexpr, OWN: tl.constexpr, ROWS: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """The nearest points of every row in order, by keys (knn_keys.py)."""
    place, live, row, first, last = rows_of_a_program(first_point, last_point, row_index, points, rows, ROWS)
    slot = tl.arange(0, K)[None, :]
    to = tl.load(rowptr + row, mask=live, other=0)
    wanted_of_row = (tl.load(rowptr + row + 1, mask=live, other=0) - to).to(tl.int32)
    best = tl.full([ROWS, K], FARTHEST, tl.int64)
    # Bits of the last wanted distance; as integers these are in order.
    worst = tl.full([ROWS], LONGEST, tl.int32)
    chosen += (tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS))[:, None] * K
    begin, end = tl.min(first) // POINTS, (tl.max(last) + POINTS - 1) // POINTS
    centre, steps = begin, end - begin
    if start is not None:  # from the tile of the queries to both sides
        centre = tl.minimum(tl.maximum(tl.load(start + tl.program_id(0)).to(tl.int32), begin), end - 1)
        steps = 2 * tl.maximum(centre - begin, end - 1 - centre) + 1
    for step in range(0, steps):
        at = centre + step
        if start is not None:
            at = centre + tl.where(step % 2 == 1, (step + 1) // 2, -(step // 2))
        wanted = (at >= begin) & (at < end)
        if start is not None:
            lower = squared_distance_of_a_box(
                queries, place, live, low, high, tl.minimum(tl.maximum(at, begin), end - 1), rows, DIMS, ROWS
            )
            # A box of NaN is no farther than anything, and neither is any while a row has free places.
            farther = lower > worst.to(tl.float32, bitcast=True)
            wanted &= tl.max((live & ~farther).to(tl.int32)) == 1
        if wanted:
            value, mine, index = candidates(
                x, queries, place, row, live, first, last, at, points, rows, dims, point_index, OWN, DIMS, ROWS, POINTS
            )  # fmt: skip
            if limit is not None:
                mine &= value <= tl.load(limit)
            bits = value.to(tl.int32, bitcast=True)
            mine &= bits <= worst[:, None]
            bits = tl.where(mine, bits, LONGEST)
            mine &= one_of_the_least(bits, index, wanted_of_row, K, ROWS, POINTS)
            place_of = tl.cumsum(mine.to(tl.int32), axis=1) - 1
            key = (bits.to(tl.int64) << 32) | index[None, :]
            tl.store(chosen + place_of, ~key, mask=mine)
            tl.debug_barrier()  # what a thread has written another may read
            some = tl.load(
                chosen + slot, mask=slot < tl.sum(mine.to(tl.int32), axis=1)[:, None], other=FARTHEST
            )
            best = tl.topk(tl.reshape(tl.join(best, some), [ROWS, 2 * K]), K)
            last_wanted = tl.max(tl.where(slot == wanted_of_row[:, None] - 1, best, FARTHEST), axis=1)
            worst = (~last_wanted >> 32).to(tl.int32)
            tl.debug_barrier()
    found = live[:, None] & (slot < wanted_of_row[:, None])
    tl.store(col + to[:, None] + slot, ~best & 0xFFFFFFFF, mask=found)
    tl.store(
        squared + to[:, None] + slot, (~best >> 32).to(tl.int32).to(tl.float32, bitcast=True), mask=found
    )


@kernel(do_not_specialize=["points", "rows", "k"])
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
            x, queries, row, live, first, last, j, points, rows, dims, 0, ROWS, POINTS
        )
        if OWN:
            mine &= j[None, :] != row[:, None]
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
