"""radius: the primitive of geodl/ops/radius.py (see there): counts every row, then lists it, then sorts.

The one wait for the device is between counting and listing: how many edges there are depends on the points.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from geodl.ops.knn import Layout
from geodl.ops.radius import in_balls
from geodl.ops.radius import within as radius_operator
from geodl.ops.triton.curve import Places, along_curve, few
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.knn import candidates, rows_of_a_program, select, squared_distance_of_a_box
from geodl.ops.triton.launch import Tile, Tiles, blocks, tile

# Queries x points compared at once.
TILES = Tiles({512: Tile(rows=16, channels=128, warps=4)})


def within(
    layout: Layout, limit: float, max_neighbors: int | None, loop: bool
) -> tuple[Tensor, Tensor, Tensor]:
    bound, places = layout.x.new_full((1,), limit), searched(layout)
    degree = count(layout, places, bound, loop)
    if max_neighbors is not None:
        degree = degree.clamp(max=max_neighbors)
    rowptr = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    edges, longest = torch.stack([rowptr[-1], torch.cat([degree, degree.new_zeros(1)]).max()]).tolist()
    if max_neighbors is not None:
        return rowptr, *select(layout, max(longest, 1), bound, loop, rowptr, edges)
    return rowptr, *list_all(layout, places, bound, loop, degree, rowptr, edges)


radius_operator.triton(in_balls(within))


def searched(layout: Layout) -> Places:
    """What both kernels read."""
    block = tile(TILES, layout.x, 64)
    return along_curve(layout, block.rows, block.channels)


def count(layout: Layout, places: Places, bound: Tensor, loop: bool) -> Tensor:
    """How many points every row has."""
    degree = layout.ptr.new_zeros(layout.rows)
    block = tile(TILES, layout.x, 64)
    if layout.rows > 0:
        _count_rows[(blocks(layout.rows, block.rows),)](
            *places, bound, degree, OWN=layout.queries is None and not loop, DIMS=few(layout),
            ROWS=block.rows, POINTS=block.channels, num_warps=block.warps, enable_fp_fusion=False,
        )  # fmt: skip
    return degree


def list_all(
    layout: Layout, places: Places, bound: Tensor, loop: bool, degree: Tensor, rowptr: Tensor, edges: int
) -> tuple[Tensor, Tensor]:
    """All points of every row in order."""
    col, squared = rowptr.new_empty(edges), layout.x.new_empty(edges)
    if edges == 0:
        return col, squared
    block = tile(TILES, layout.x, 64)
    _list_rows[(blocks(layout.rows, block.rows),)](
        *places, bound, rowptr, col, squared, OWN=layout.queries is None and not loop, DIMS=few(layout),
        ROWS=block.rows, POINTS=block.channels, num_warps=block.warps, enable_fp_fusion=False,
    )  # fmt: skip
    rows = torch.repeat_interleave(torch.arange(layout.rows, device=col.device), degree, output_size=edges)
    order = col.argsort()
    for key in (squared, rows):
        order = order[key[order].argsort(stable=True)]
    return col[order], squared[order]


@kernel(do_not_specialize=["points", "rows"])
def _count_rows(
    x, queries, first_point, last_point, points, rows, dims, point_index, row_index, start, low, high, limit, degree,
    OWN: tl.constexpr, DIMS: tl.constexpr, ROWS: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """How many points every row lists."""
    place, live, row, first, last = rows_of_a_program(first_point, last_point, row_index, points, rows, ROWS)
    bound = tl.load(limit)
    count = tl.zeros([ROWS], tl.int32)
    for at in range(tl.min(first) // POINTS, (tl.max(last) + POINTS - 1) // POINTS):
        if _is_near(queries, place, live, low, high, at, rows, bound, DIMS, ROWS):
            mine = _inside(
                x, queries, place, row, live, first, last, at, points, rows, dims, point_index, bound,
                OWN, DIMS, ROWS, POINTS,
            )[0]  # fmt: skip
            count += tl.sum(mine.to(tl.int32), axis=1)
    tl.store(degree + row, count.to(tl.int64), mask=live)


@kernel(do_not_specialize=["points", "rows"])
def _list_rows(
    x, queries, first_point, last_point, points, rows, dims, point_index, row_index, start, low, high,
    limit, rowptr, col, squared,
    OWN: tl.constexpr, DIMS: tl.constexpr, ROWS: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """The points of every row, in no order."""
    place, live, row, first, last = rows_of_a_program(first_point, last_point, row_index, points, rows, ROWS)
    bound = tl.load(limit)
    to = tl.load(rowptr + row, mask=live, other=0)
    for at in range(tl.min(first) // POINTS, (tl.max(last) + POINTS - 1) // POINTS):
        if _is_near(queries, place, live, low, high, at, rows, bound, DIMS, ROWS):
            mine, value, index = _inside(
                x, queries, place, row, live, first, last, at, points, rows, dims, point_index, bound,
                OWN, DIMS, ROWS, POINTS,
            )  # fmt: skip
            slot = to[:, None] + tl.cumsum(mine.to(tl.int32), axis=1) - 1
            tl.store(col + slot, index.to(tl.int64)[None, :] + tl.zeros([ROWS, POINTS], tl.int64), mask=mine)
            tl.store(squared + slot, value, mask=mine)
            to += tl.sum(mine.to(tl.int32), axis=1)


@triton.jit
def _is_near(queries, place, live, low, high, at, rows, bound, DIMS: tl.constexpr, ROWS: tl.constexpr):
    """Whether a tile may hold a point of some row; without boxes, any may."""
    near = True
    if low is not None:
        lower = squared_distance_of_a_box(queries, place, live, low, high, at, rows, DIMS, ROWS)
        near = tl.max((live & ~(lower > bound)).to(tl.int32)) == 1
    return near


@triton.jit
def _inside(
    x, queries, place, row, live, first, last, at, points, rows, dims, point_index, bound,
    OWN: tl.constexpr, DIMS: tl.constexpr, ROWS: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """Which points of a tile are in the ball of which row, their squared distances, and their indices."""
    value, mine, index = candidates(
        x, queries, place, row, live, first, last, at, points, rows, dims, point_index, OWN, DIMS, ROWS, POINTS
    )  # fmt: skip
    return mine & (value <= bound), value, index
