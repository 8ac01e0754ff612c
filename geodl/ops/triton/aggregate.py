"""aggregate: the four operators of geodl/ops/aggregate.py (see there) as gathers, over the CSR or over its transpose."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from geodl.ops.aggregate import edge_dot, gather_max, gather_sum, scatter_sum
from geodl.ops.core import CSR
from geodl.ops.triton.bounds import existing, row_ends
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.launch import ROW_TILES, accumulator, blocks, row_tiles, tile

PIECE = 4096  # edges of a sum that one program adds up: a power of two, longer rows are cut into pieces


@gather_sum.triton
def _(x: Tensor, weight: Tensor | None, graph: CSR, position: Tensor | None) -> Tensor:
    if position is None:
        return _sum(x, weight, None, None, None, graph.rowptr, graph.col)
    out = torch.empty_like(position, dtype=x.dtype)
    rows, channels = out.shape
    if out.numel() == 0:
        return out
    block = tile(ROW_TILES, x, channels)
    _take_rows[blocks(rows, block.rows), blocks(channels, block.channels)](
        x, weight, position, graph.rowptr, graph.col, out, rows, graph.num_edges, len(x), channels,
        ACCUMULATOR=accumulator(x), ROWS=block.rows, CHANNELS=block.channels, num_warps=block.warps,
    )  # fmt: skip
    return out


@scatter_sum.triton
def _(g: Tensor, weight: Tensor | None, graph: CSR, position: Tensor | None) -> Tensor:
    t_rowptr, t_row, perm = graph.transpose()
    return _sum(g, weight, perm, position, graph.rowptr, t_rowptr, t_row)


@edge_dot.triton
def _(g: Tensor, x: Tensor, graph: CSR, position: Tensor | None) -> Tensor:
    rows, channels = g.shape
    if graph.num_edges == 0 or channels == 0:
        return g.new_zeros(graph.num_edges)
    out = g.new_empty(graph.num_edges)
    block = tile(ROW_TILES, x, channels)
    _dot_rows[(blocks(rows, block.rows),)](
        g, x, position, graph.rowptr, graph.col, out, rows, graph.num_edges, len(x), channels,
        ACCUMULATOR=accumulator(x), ROWS=block.rows, CHANNELS=block.channels, UNROLL=block.unroll,
        num_warps=block.warps,
    )  # fmt: skip
    return out


@gather_max.triton
def _(x: Tensor, weight: Tensor | None, graph: CSR, largest: bool) -> tuple[Tensor, Tensor]:
    rows, channels = graph.num_dst, x.shape[1]
    values = x.new_empty(rows, channels)
    position = x.new_empty(rows, channels, dtype=torch.int32)
    if values.numel() == 0:
        return values, position
    block = tile(row_tiles(rows, channels, graph.num_edges), x, channels)
    _max_rows[blocks(rows, block.rows), blocks(channels, block.channels)](
        x, weight, graph.rowptr, graph.col, values, position, rows, graph.num_edges, len(x), channels,
        LARGEST=largest, ACCUMULATOR=accumulator(x), ROWS=block.rows, CHANNELS=block.channels,
        UNROLL=block.unroll, num_warps=block.warps,
    )  # fmt: skip
    return values, position


def _sum(
    x: Tensor,
    weight: Tensor | None,
    edge: Tensor | None,
    position: Tensor | None,
    start: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
) -> Tensor:
    rows, channels = rowptr.numel() - 1, x.shape[1]
    out = x.new_empty(rows, channels)
    if out.numel() == 0:
        return out
    edges, block = col.numel(), tile(ROW_TILES, x, channels)
    terms, partial = (x, weight, edge, position, start), None
    if edges > PIECE:
        sums = torch.promote_types(x.dtype, torch.float32)
        partial = x.new_empty(2 * blocks(edges, PIECE), channels, dtype=sums)
        _sum_pieces[len(partial), blocks(channels, block.channels)](
            *terms, rowptr, col, partial, rows, edges, len(x), channels,
            PIECE=PIECE, ACCUMULATOR=accumulator(x), ROWS=block.rows, CHANNELS=block.channels,
            num_warps=block.warps,
        )  # fmt: skip
    block = tile(row_tiles(rows, channels, edges), x, channels)
    _sum_rows[blocks(rows, block.rows), blocks(channels, block.channels)](
        *terms, rowptr, col, partial, out, rows, edges, len(x), channels,
        PIECE=PIECE, ACCUMULATOR=accumulator(x), ROWS=block.rows, CHANNELS=block.channels,
        UNROLL=block.unroll, num_warps=block.warps,
    )  # fmt: skip
    return out


@triton.jit
def _terms(
    x, weight, edge, position, start, col, e, live, c, edges, sources, channels, ACCUMULATOR: tl.constexpr
):  # fmt: skip
    """What the edges ``e`` add to a sum. With ``position``, their row is one of the transpose: a channel counts only where
    edge ``edge[k]`` is the one that destination col[k], whose edges begin at start[col[k]], has selected."""
    j, live = existing(col, e, live, sources)
    origin = e
    if edge is not None:
        origin, live = existing(edge, e, live, edges)
    inside = live[:, None] & (c < channels)[None, :]
    term = tl.load(x + (j * channels)[:, None] + c[None, :], mask=inside, other=0).to(ACCUMULATOR)
    if weight is not None:
        term *= tl.load(weight + origin, mask=live, other=0).to(ACCUMULATOR)[:, None]
    if position is not None:
        place = origin - tl.load(start + j, mask=live, other=0)
        taken = tl.load(position + (j * channels)[:, None] + c[None, :], mask=inside, other=-1)
        term = tl.where(taken == place[:, None], term, 0.0)
    return term


# Piece k of a row of more than PIECE edges begins at its edge k PIECE. Of all edges, a block of PIECE holds the beginnings of
# at most two pieces: one of the row that its first edge belongs to, and one of a long row that begins later in it. These two
# are the partial sums 2 b and 2 b + 1 of block b, so that nobody needs to count pieces, and where a row is cut depends on it
# alone.


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _sum_pieces(
    x, weight, edge, position, start, rowptr, col, partial, rows, edges, sources, channels,
    PIECE: tl.constexpr, ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The partial sum of a piece of a long row, if there is one."""
    slot = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    later, begin = slot % 2, slot // 2 * PIECE
    end = tl.minimum(begin + PIECE, edges)
    at = tl.where(later == 1, end - 1, begin)
    row, above = slot * 0, slot * 0 + rows
    while row + 1 < above:  # the row of edge `at` lies in [row, above)
        middle = (row + above) // 2
        before = tl.load(rowptr + middle) <= at
        row, above = tl.where(before, middle, row), tl.where(before, above, middle)
    first, last = row_ends(rowptr, row, rows, edges)
    e = first + (tl.maximum(begin - first, 0) + PIECE - 1) // PIECE * PIECE
    present = (last - first > PIECE) & (e < tl.minimum(last, end)) & ((later == 0) | (first > begin))
    count = tl.where(present, tl.minimum(last - e, PIECE), 0).to(tl.int32)
    total = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    for k in range(0, count, ROWS):
        own = k + tl.arange(0, ROWS)
        total += _terms(
            x,
            weight,
            edge,
            position,
            start,
            col,
            e + own,
            own < count,
            c,
            edges,
            sources,
            channels,
            ACCUMULATOR,
        )
    tl.store(partial + slot * channels + c, tl.sum(total, axis=0), mask=(c < channels) & present)


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _sum_rows(
    x, weight, edge, position, start, rowptr, col, partial, out, rows, edges, sources, channels,
    PIECE: tl.constexpr, ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Sum over the edges of a row, or over the partial sums of a long one."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    first, last = row_ends(rowptr, row, rows, edges)
    total = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    end = last
    if partial is not None:
        end = tl.where(last - first > PIECE, first, last)
        pieces = tl.where(last - first > PIECE, (last - first + PIECE - 1) // PIECE, 0)
        for k in range(0, tl.max(pieces).to(tl.int32)):
            e = first + k * PIECE
            slot = e // PIECE * 2 + (first > e // PIECE * PIECE).to(tl.int64)
            inside = (k < pieces)[:, None] & (c < channels)[None, :]
            total += tl.load(partial + (slot * channels)[:, None] + c[None, :], mask=inside, other=0)
    for k in range(0, tl.max(end - first).to(tl.int32), UNROLL):
        for u in tl.static_range(UNROLL):
            e = first + (k + u)
            total += _terms(
                x, weight, edge, position, start, col, e, e < end, c, edges, sources, channels, ACCUMULATOR
            )
    at = (row * channels)[:, None] + c[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=(row < rows)[:, None] & (c < channels)[None, :])


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _take_rows(
    x, weight, position, rowptr, col, out, rows, edges, sources, channels,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The term of the selected edge of each row and channel."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = (row < rows)[:, None] & (c < channels)[None, :]
    at = (row * channels)[:, None] + c[None, :]
    place = tl.load(position + at, mask=inside, other=-1)
    first, last = row_ends(rowptr, row, rows, edges)
    taken = inside & (place >= 0) & (place < (last - first)[:, None])
    e = first[:, None] + place
    j, taken = existing(col, e, taken, sources)
    term = tl.load(x + j * channels + c[None, :], mask=taken, other=0).to(ACCUMULATOR)
    if weight is not None:
        term *= tl.load(weight + e, mask=taken, other=0).to(ACCUMULATOR)
    tl.store(out + at, term.to(out.dtype.element_ty), mask=inside)


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _dot_rows(
    g, x, position, rowptr, col, out, rows, edges, sources, channels,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """For each edge of a row, the product of the row of g and the row of x that it reads, over (selected) channels."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    first, last = row_ends(rowptr, row, rows, edges)
    for k in range(0, tl.max(last - first).to(tl.int32), UNROLL):
        for u in tl.static_range(UNROLL):
            e = first + (k + u)
            live = e < last
            j, exists = existing(col, e, live, sources)
            total = tl.zeros([ROWS], ACCUMULATOR)
            for begin in range(0, channels, CHANNELS):
                c = begin + tl.arange(0, CHANNELS)
                inside = exists[:, None] & (c < channels)[None, :]
                at = (row * channels)[:, None] + c[None, :]
                term = tl.load(g + at, mask=inside, other=0).to(ACCUMULATOR)
                term *= tl.load(x + (j * channels)[:, None] + c[None, :], mask=inside, other=0).to(
                    ACCUMULATOR
                )
                if position is not None:
                    term = tl.where(tl.load(position + at, mask=inside, other=-1) == k + u, term, 0.0)
                total += tl.sum(term, axis=1)
            tl.store(out + e, total.to(out.dtype.element_ty), mask=live)


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _max_rows(
    x, weight, rowptr, col, values, position, rows, edges, sources, channels,
    LARGEST: tl.constexpr, ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
    UNROLL: tl.constexpr,
):  # fmt: skip
    """Extremum over the edges of a row, and the place of the first edge that attains it; a NaN is the most extreme."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    first, last = row_ends(rowptr, row, rows, edges)
    best = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    place = tl.full([ROWS, CHANNELS], -1, tl.int32)
    for k in range(0, tl.max(last - first).to(tl.int32), UNROLL):
        for u in tl.static_range(UNROLL):
            e = first + (k + u)
            j, live = existing(col, e, e < last, sources)
            inside = live[:, None] & (c < channels)[None, :]
            value = tl.load(x + (j * channels)[:, None] + c[None, :], mask=inside, other=0).to(ACCUMULATOR)
            if weight is not None:
                value *= tl.load(weight + e, mask=live, other=0).to(ACCUMULATOR)[:, None]
                value = value.to(x.dtype.element_ty).to(ACCUMULATOR)  # what is equal once stored is a tie
            beyond = value > best if LARGEST else value < best
            takes = inside & (beyond | (place < 0) | ((value != value) & (best == best)))
            best = tl.where(takes, value, best)
            place = tl.where(takes, k + u, place)
    at = (row * channels)[:, None] + c[None, :]
    inside = (row < rows)[:, None] & (c < channels)[None, :]
    tl.store(values + at, best.to(values.dtype.element_ty), mask=inside)
    tl.store(position + at, place, mask=inside)
