"""attention: the four operators of geodl/ops/attention.py (see there), a head a program.

The backward pass keeps two values per edge and head: the weight of the edge and the gradient of its score.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from geodl.ops.attention import (
    Gradients,
    attend,
    attend_backward,
    edge_scores,
    edge_scores_adjoint,
    score_sizes,
)
from geodl.ops.core import CSR
from geodl.ops.triton.bounds import existing, row_ends
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.launch import ROW_TILES, Tile, accumulator, blocks, tile


@attend.triton
def _(
    x: Tensor, source: Tensor, target: Tensor, vector: Tensor | None, scale: Tensor | None, graph: CSR, slope: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    (rows, heads, depth), channels = score_sizes(target), x.shape[2]
    out = x.new_empty(rows, heads, channels)
    statistics = x.new_empty(2, rows, heads, dtype=torch.promote_types(x.dtype, torch.float32))
    if rows == 0:
        return out, statistics
    block = tile(ROW_TILES, x, max(channels, 1))
    _attend_rows[blocks(rows, block.rows), heads, max(blocks(channels, block.channels), 1)](
        x, source, target, vector, scale, graph.rowptr, graph.col, out, *statistics,
        rows, graph.num_edges, len(x), heads, depth, channels, SLOPE=slope, ACCUMULATOR=accumulator(x),
        ROWS=block.rows, UNROLL=block.unroll,
        CHANNELS=block.channels, DEPTH=_depth(block, depth), num_warps=block.warps,
    )  # fmt: skip
    return out, statistics


@attend_backward.triton
def _(
    grad: Tensor, x: Tensor, source: Tensor, target: Tensor, vector: Tensor | None, scale: Tensor | None,
    out: Tensor, statistics: Tensor, graph: CSR, slope: float,
) -> Gradients:  # fmt: skip
    (rows, heads, _), channels, edges = score_sizes(target), x.shape[2], graph.num_edges
    t_rowptr, t_row, perm = graph.transpose()
    mean = (grad * out).sum(2, dtype=statistics.dtype)
    scores = _scores(None, None, source, target, vector, graph, slope, statistics.dtype)
    weight, by_scores = torch.empty_like(scores), torch.empty_like(scores)
    by_scale = None if scale is None else torch.empty_like(scale)
    by_x = torch.empty_like(x)
    block = tile(ROW_TILES, x, max(channels, 1))
    if edges:
        _differentiate_rows[blocks(rows, block.rows), heads](
            grad, x, scores, scale, graph.rowptr, graph.col,
            *statistics, mean, weight, by_scores, by_scale, rows, edges, len(x), heads, channels,
            ACCUMULATOR=accumulator(x), ROWS=block.rows, UNROLL=block.unroll, CHANNELS=block.channels, num_warps=block.warps,
        )  # fmt: skip
    if by_x.numel():
        _scatter_rows[blocks(x.shape[0], block.rows), heads, blocks(channels, block.channels)](
            grad, weight, t_rowptr, t_row, perm, by_x, len(x), edges, rows, heads, channels,
            ACCUMULATOR=accumulator(x), ROWS=block.rows, UNROLL=block.unroll, CHANNELS=block.channels, num_warps=block.warps,
        )  # fmt: skip
    return by_x, *_edge_scores_adjoint(by_scores, source, target, graph, slope), by_scale


@edge_scores.triton
def _(a: Tensor, b: Tensor, source: Tensor, target: Tensor, graph: CSR, slope: float) -> Tensor:
    return _scores(a, b, source, target, None, graph, slope, a.dtype)


@edge_scores_adjoint.triton
def _edge_scores_adjoint(
    u: Tensor, source: Tensor, target: Tensor, graph: CSR, slope: float
) -> tuple[Tensor, Tensor]:
    t_rowptr, t_row, perm = graph.transpose()
    by_source = _adjoint(u, perm, source, target, t_rowptr, t_row, slope)
    return by_source, _adjoint(u, None, target, source, graph.rowptr, graph.col, slope)


def _scores(
    a: Tensor | None,
    b: Tensor | None,
    source: Tensor,
    target: Tensor,
    vector: Tensor | None,
    graph: CSR,
    slope: float,
    dtype: torch.dtype,
) -> Tensor:
    rows, heads, depth = score_sizes(target)
    out = source.new_empty(graph.num_edges, heads, dtype=dtype)
    if out.numel() == 0 or len(source) == 0:
        return out.zero_()
    block = tile(ROW_TILES, source, max(depth, 1))
    _score_rows[blocks(rows, block.rows), heads](
        a, b, source, target, vector, graph.rowptr, graph.col, out,
        rows, graph.num_edges, len(source), heads, depth, SLOPE=slope, ACCUMULATOR=accumulator(source),
        ROWS=block.rows, UNROLL=block.unroll,
        DEPTH=block.channels, num_warps=block.warps,
    )  # fmt: skip
    return out


def _adjoint(
    u: Tensor, edge: Tensor | None, own: Tensor, other: Tensor, rowptr: Tensor, col: Tensor, slope: float
) -> Tensor:  # fmt: skip
    out = torch.empty_like(own)
    if out.numel() == 0:
        return out
    rows, heads, depth = score_sizes(own)
    block = tile(ROW_TILES, own, depth)
    _slope_rows[blocks(rows, block.rows), heads, blocks(depth, block.channels)](
        u, edge, own, other, rowptr, col, out, rows, len(col), len(other), heads, depth, SLOPE=slope,
        ACCUMULATOR=accumulator(own),
        ROWS=block.rows, UNROLL=block.unroll, DEPTH=block.channels, num_warps=block.warps,
    )  # fmt: skip
    return out


def _depth(block: Tile, depth: int) -> int:
    """Of a score, how much is read at once."""
    return min(block.channels, int(triton.next_power_of_2(max(depth, 1))))


@triton.jit
def _score(
    source, target, vector, row, j, live, head, heads, depth,
    SLOPE: tl.constexpr, ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """The score of one edge a row."""
    total = tl.zeros([ROWS], ACCUMULATOR)
    for begin in range(0, depth, DEPTH):
        d = begin + tl.arange(0, DEPTH)
        inside = live[:, None] & (d < depth)[None, :]
        near = tl.load(source + ((j * heads + head) * depth)[:, None] + d[None, :], mask=inside, other=0)
        own = tl.load(target + ((row * heads + head) * depth)[:, None] + d[None, :], mask=inside, other=0)
        z = near.to(ACCUMULATOR) + own.to(ACCUMULATOR)
        value = z
        if vector is not None:
            value *= tl.load(vector + head * depth + d, mask=d < depth, other=0).to(ACCUMULATOR)[None, :]
        total += tl.sum(tl.where(z > 0, value, value * SLOPE), axis=1)
    return total


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _attend_rows(
    x, source, target, vector, scale, rowptr, col, out, maximum, total, rows, edges, sources,
    heads, depth, channels, SLOPE: tl.constexpr, ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr,
    CHANNELS: tl.constexpr, DEPTH: tl.constexpr,
    UNROLL: tl.constexpr,
):  # fmt: skip
    """Weighted mean over the edges of a row; the largest score so far is subtracted from all."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    head = tl.program_id(1)
    c = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    first, last = row_ends(rowptr, row, rows, edges)
    best = tl.full([ROWS], float("-inf"), ACCUMULATOR)
    powers = tl.zeros([ROWS], ACCUMULATOR)
    mean = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    for k in range(0, tl.max(last - first).to(tl.int32), UNROLL):
        for u in tl.static_range(UNROLL):
            e = first + (k + u)
            j, live = existing(col, e, e < last, sources)
            inside = live[:, None] & (c < channels)[None, :]
            score = _score(
                source, target, vector, row, j, live, head, heads, depth, SLOPE, ACCUMULATOR, ROWS, DEPTH
            )
            score = tl.where(live, score, float("-inf"))
            larger = tl.where(score > best, score, best)
            shift = tl.where(larger == float("-inf"), 0.0, larger)
            keep = tl.exp(best - shift)
            power = tl.exp(score - shift)
            best = larger
            powers = powers * keep + power
            if scale is not None:
                power *= tl.load(scale + e * heads + head, mask=live, other=0).to(ACCUMULATOR)
            value = tl.load(x + ((j * heads + head) * channels)[:, None] + c[None, :], mask=inside, other=0)
            mean = mean * keep[:, None] + power[:, None] * value.to(ACCUMULATOR)
    mean = mean / tl.where(powers == 0, 1.0, powers)[:, None]
    at = row * heads + head
    inside = (row < rows)[:, None] & (c < channels)[None, :]
    tl.store(out + (at * channels)[:, None] + c[None, :], mean.to(out.dtype.element_ty), mask=inside)
    if tl.program_id(2) == 0:
        tl.store(maximum + at, tl.where(best == float("-inf"), 0.0, best), mask=row < rows)
        tl.store(total + at, powers, mask=row < rows)


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _differentiate_rows(
    grad, x, scores, scale, rowptr, col, maximum, total, mean, weight, by_scores, by_scale,
    rows, edges, sources, heads, channels, ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr,
    UNROLL: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The weight of every edge of a row, and the gradients of its score and of the factor of its weight."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    head = tl.program_id(1)
    at = row * heads + head
    first, last = row_ends(rowptr, row, rows, edges)
    largest = tl.load(maximum + at, mask=row < rows, other=0)
    powers = tl.load(total + at, mask=row < rows, other=1)
    powers = tl.where(powers == 0, 1.0, powers)
    average = tl.load(mean + at, mask=row < rows, other=0)
    for k in range(0, tl.max(last - first).to(tl.int32), UNROLL):
        for u in tl.static_range(UNROLL):
            e = first + (k + u)
            live = e < last
            j, exists = existing(col, e, live, sources)
            plain = tl.exp(tl.load(scores + e * heads + head, mask=live, other=0) - largest) / powers
            product = tl.zeros([ROWS], ACCUMULATOR)
            for begin in range(0, channels, CHANNELS):
                c = begin + tl.arange(0, CHANNELS)
                inside = exists[:, None] & (c < channels)[None, :]
                left = tl.load(grad + (at * channels)[:, None] + c[None, :], mask=inside, other=0)
                right = tl.load(
                    x + ((j * heads + head) * channels)[:, None] + c[None, :], mask=inside, other=0
                )
                product += tl.sum(left.to(ACCUMULATOR) * right.to(ACCUMULATOR), axis=1)
            scaled = plain
            if scale is not None:
                scaled = plain * tl.load(scale + e * heads + head, mask=live, other=0).to(ACCUMULATOR)
                by_factor = (plain * product).to(by_scale.dtype.element_ty)
                tl.store(by_scale + e * heads + head, by_factor, mask=live)
            tl.store(weight + e * heads + head, scaled, mask=live)
            tl.store(by_scores + e * heads + head, scaled * product - plain * average, mask=live)


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _scatter_rows(
    grad, weight, t_rowptr, t_row, perm, out, rows, edges, sources, heads, channels,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, UNROLL: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Sum over the edges of a row of the transpose of weight times the row of grad."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    head = tl.program_id(1)
    c = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    first, last = row_ends(t_rowptr, row, rows, edges)
    total = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    for k in range(0, tl.max(last - first).to(tl.int32), UNROLL):
        for u in tl.static_range(UNROLL):
            e = first + (k + u)
            i, live = existing(t_row, e, e < last, sources)
            origin, live = existing(perm, e, live, edges)
            inside = live[:, None] & (c < channels)[None, :]
            factor = tl.load(weight + origin * heads + head, mask=live, other=0)
            value = tl.load(
                grad + ((i * heads + head) * channels)[:, None] + c[None, :], mask=inside, other=0
            )
            total += factor[:, None] * value.to(ACCUMULATOR)
    at = ((row * heads + head) * channels)[:, None] + c[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=(row < rows)[:, None] & (c < channels)[None, :])


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _score_rows(
    a, b, source, target, vector, rowptr, col, out, rows, edges, sources, heads, depth,
    SLOPE: tl.constexpr, ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, UNROLL: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """For each edge of a row, the sum over the depth of LeakyReLU'(source + target) (a + b); a and b are those of the score
    if not given."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    head = tl.program_id(1)
    first, last = row_ends(rowptr, row, rows, edges)
    for k in range(0, tl.max(last - first).to(tl.int32), UNROLL):
        for u in tl.static_range(UNROLL):
            e = first + (k + u)
            live = e < last
            j = tl.minimum(tl.maximum(tl.load(col + e, mask=live, other=0), 0), sources - 1)
            total = tl.zeros([ROWS], ACCUMULATOR)
            for begin in range(0, depth, DEPTH):
                d = begin + tl.arange(0, DEPTH)
                # Not masked by what exists, but clamped to it: Triton 3.7 then fails to lay out a tile of 16 channels.
                inside = (row < rows)[:, None] & (d < depth)[None, :]
                there = ((j * heads + head) * depth)[:, None] + d[None, :]
                here = ((row * heads + head) * depth)[:, None] + d[None, :]
                z = tl.load(source + there, mask=inside, other=0).to(ACCUMULATOR)
                z += tl.load(target + here, mask=inside, other=0).to(ACCUMULATOR)
                value = z
                if a is not None:
                    value = tl.load(a + there, mask=inside, other=0).to(ACCUMULATOR)
                    value += tl.load(b + here, mask=inside, other=0).to(ACCUMULATOR)
                if vector is not None:
                    value *= tl.load(vector + head * depth + d, mask=d < depth, other=0).to(ACCUMULATOR)[
                        None, :
                    ]
                total += tl.sum(tl.where(z > 0, value, value * SLOPE), axis=1)
            tl.store(out + e * heads + head, total.to(out.dtype.element_ty), mask=live)


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _slope_rows(
    values, edge, own, other, rowptr, col, out, rows, edges, sources, heads, depth,
    SLOPE: tl.constexpr, ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, UNROLL: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Sum over the edges of a row of a value times LeakyReLU'(own + other); it is at the edge, or where ``edge`` says."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    head = tl.program_id(1)
    d = tl.program_id(2) * DEPTH + tl.arange(0, DEPTH)
    inside = (row < rows)[:, None] & (d < depth)[None, :]
    at = ((row * heads + head) * depth)[:, None] + d[None, :]
    first, last = row_ends(rowptr, row, rows, edges)
    here = tl.load(own + at, mask=inside, other=0).to(ACCUMULATOR)
    total = tl.zeros([ROWS, DEPTH], ACCUMULATOR)
    for k in range(0, tl.max(last - first).to(tl.int32), UNROLL):
        for u in tl.static_range(UNROLL):
            e = first + (k + u)
            j, live = existing(col, e, e < last, sources)
            origin = e
            if edge is not None:
                origin, live = existing(edge, e, live, edges)
            there = ((j * heads + head) * depth)[:, None] + d[None, :]
            beside = tl.load(other + there, mask=live[:, None] & (d < depth)[None, :], other=0)
            z = here + beside.to(ACCUMULATOR)
            factor = tl.load(values + origin * heads + head, mask=live, other=0).to(ACCUMULATOR)[:, None]
            total += tl.where(z > 0, factor, factor * SLOPE)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)
