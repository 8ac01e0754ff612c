"""Points and queries as the kernels of knn and radius read them: coordinates one after the other, near ones near in memory."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.ops.knn import Layout, of_pointer

MANY = 4096  # points of a cloud from which on sorting them pays
MOST_DIMS = 3
BITS = 10  # of a coordinate's cell on the curve


class Places(NamedTuple):
    """What a kernel reads; the last five are None where points are in the given order.

    Attributes:
        x, queries: ``[D, P]`` and ``[D, Q]``.
        first, last: ``[Q]``, where the cloud of every query begins and ends.
        points, rows, dims: P, Q and D.
        point_index, row_index: the given row of every point and query.
        start: for every block of queries, the tile of points to begin with.
        low, high: ``[tiles, D]``, the box of every tile of points.
    """

    x: Tensor
    queries: Tensor
    first: Tensor
    last: Tensor
    points: int
    rows: int
    dims: int
    point_index: Tensor | None = None
    row_index: Tensor | None = None
    start: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None


def as_given(
    layout: Layout,
) -> tuple[Tensor, Tensor, Tensor, Tensor, int, int, int]:
    """Coordinates one after the other, and where the cloud of every query begins and ends."""
    points = layout.x.t().contiguous()
    queries = points if layout.queries is None else layout.queries.t().contiguous()

    def ends() -> list[Tensor]:
        sizes, both = layout.query_ptr.diff(), (layout.ptr[:-1], layout.ptr[1:])
        return [torch.repeat_interleave(end, sizes, output_size=layout.rows) for end in both]

    first, last = of_pointer(layout.ptr, "ends", ends) if layout.ptr is layout.query_ptr else ends()
    return points, queries, first, last, points.shape[1], layout.rows, layout.x.shape[1]


def few(layout: Layout) -> int:
    """The number of coordinates, if a loop over them is worth unrolling; else 0."""
    return layout.x.shape[1] if layout.x.shape[1] <= 4 else 0


def is_sorted(layout: Layout) -> bool:
    """Whether points are many to a cloud, on average, and of few dimensions, so that sorting them pays."""
    clouds = max(layout.ptr.shape[0] - 1, 1)
    return layout.x.shape[0] >= MANY * clouds and 1 <= layout.x.shape[1] <= MOST_DIMS


def along_curve(layout: Layout, rows: int, tile: int) -> Places:
    """Many points of few dimensions sorted by cloud and along a Morton curve; others as they are given.

    Args:
        layout: the points and queries.
        rows: queries of a block.
        tile: points of a tile.
    """
    if not is_sorted(layout):
        return Places(*as_given(layout))
    dims = layout.x.shape[1]
    low, high = layout.x.amin(0), layout.x.amax(0)

    def codes(x: Tensor, ptr: Tensor) -> Tensor:
        cell = (x.double() - low) / (high - low).double().clamp(min=torch.finfo(torch.float64).tiny)
        cell = (cell.nan_to_num(0.0, 1.0, 0.0) * 2**BITS).long().clamp(0, 2**BITS - 1)
        code = torch.repeat_interleave(
            torch.arange(ptr.shape[0] - 1, device=x.device), ptr.diff(), output_size=x.shape[0]
        )
        for bit in range(BITS - 1, -1, -1):
            for d in range(dims):
                code = (code << 1) | (cell[:, d] >> bit & 1)
        return code

    sorted_codes, order = codes(layout.x, layout.ptr).sort()
    x = layout.x[order]
    if layout.queries is None:
        queries, row_index, query_codes = x, order, sorted_codes
    else:
        query_codes, row_index = codes(layout.queries, layout.query_ptr).sort()
        queries = layout.queries[row_index]
    start = torch.searchsorted(sorted_codes, query_codes[::rows].contiguous()) // tile
    padded = torch.cat([x, x[-1:].expand(-len(x) % tile, dims)]).view(-1, tile, dims)
    sorted_layout = layout._replace(x=x, queries=None if layout.queries is None else queries)
    return Places(*as_given(sorted_layout), order, row_index, start, padded.amin(1), padded.amax(1))
