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
from geodl.ops.triton.knn import operands, select, squared_distances
from geodl.ops.triton.launch import Tile, blocks, device_of, tile

# Queries x points compared at once.
TILES = {512: Tile(rows=16, channels=128, warps=4)}


def within(
    layout: Layout, limit: float, max_neighbors: int | None, loop: bool
) -> tuple[Tensor, Tensor, Tensor]:
    bound = layout.x.new_full((1,), limit)
    degree = count(layout, bound, loop)
    if max_neighbors is not None:
        degree = degree.clamp(max=max_neighbors)
    rowptr = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    edges, longest = torch.stack([rowptr[-1], torch.cat([degree, degree.new_zeros(1)]).max()]).tolist()
    if max_neighbors is not None:
        return rowptr, *select(layout, max(longest, 1), bound, loop, rowptr, edges)
    return rowptr, *list_all(layout, bound, loop, degree, rowptr, edges)


def count(layout: Layout, bound: Tensor, loop: bool) -> Tensor:
    """How many points every row has."""
    degree = layout.ptr.new_zeros(layout.rows)
    block = tile(TILES, layout.x, 64)
    if layout.rows > 0:
        with device_of(layout.x):
            _count_rows[(blocks(layout.rows, block.rows),)](
                *operands(layout, loop), bound, degree, OWN=layout.queries is None and not loop,
                ROWS=block.rows, POINTS=block.channels, num_warps=block.warps, enable_fp_fusion=False,
            )  # fmt: skip
    return degree


def list_all(
    layout: Layout, bound: Tensor, loop: bool, degree: Tensor, rowptr: Tensor, edges: int
) -> tuple[Tensor, Tensor]:
    """All points of every row in order."""
    col, squared = rowptr.new_empty(edges), layout.x.new_empty(edges)
    if edges == 0:
        return col, squared
    block = tile(TILES, layout.x, 64)
    with device_of(layout.x):
        _list_rows[(blocks(layout.rows, block.rows),)](
            *operands(layout, loop), bound, rowptr, col, squared, OWN=layout.queries is None and not loop,
            ROWS=block.rows, POINTS=block.channels, num_warps=block.warps, enable_fp_fusion=False,
        )  # fmt: skip
    rows = torch.repeat_interleave(torch.arange(layout.rows, device=col.device), degree, output_size=edges)
    order = squared.argsort(stable=True)  # rows list ascending indices: ties stay in their order
    order = order[rows[order].argsort(stable=True)]
    return col[order], squared[order]


@triton.jit(do_not_specialize=["points", "rows"])
def _count_rows(
    x, queries, first_point, last_point, points, rows, dims, limit, degree,
    OWN: tl.constexpr, ROWS: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """How many points every row lists."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    live = row < rows
    first = tl.load(first_point + row, mask=live, other=points)
    last = tl.load(last_point + row, mask=live, other=0)
    bound = tl.load(limit)
    count = tl.zeros([ROWS], tl.int32)
    for begin in range(tl.min(first), tl.max(last), POINTS):
        j = begin + tl.arange(0, POINTS)
        value, mine = squared_distances(
            x, queries, row, live, first, last, j, points, rows, dims, OWN, ROWS, POINTS
        )
        count += tl.sum((mine & (value <= bound)).to(tl.int32), axis=1)
    tl.store(degree + row, count.to(tl.int64), mask=live)


@triton.jit(do_not_specialize=["points", "rows"])
def _list_rows(
    x, queries, first_point, last_point, points, rows, dims, limit, rowptr, col, squared,
    OWN: tl.constexpr, ROWS: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """The points of every row in ascending order of their indices."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    live = row < rows
    first = tl.load(first_point + row, mask=live, other=points)
    last = tl.load(last_point + row, mask=live, other=0)
    bound = tl.load(limit)
    to = tl.load(rowptr + row, mask=live, other=0)
    for begin in range(tl.min(first), tl.max(last), POINTS):
        j = begin + tl.arange(0, POINTS)
        value, mine = squared_distances(
            x, queries, row, live, first, last, j, points, rows, dims, OWN, ROWS, POINTS
        )
        mine &= value <= bound
        place = to[:, None] + tl.cumsum(mine.to(tl.int32), axis=1) - 1
        indices = j.to(tl.int64)[None, :] + tl.zeros([ROWS, POINTS], tl.int64)
        tl.store(col + place, indices, mask=mine)
        tl.store(squared + place, value, mask=mine)
        to += tl.sum(mine.to(tl.int32), axis=1)
