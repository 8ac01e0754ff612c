"""edge_conv: the two passes of geodl/ops/edge_conv.py (see there), products by cuBLAS and edges by two kernels.

The other steps, each on points or on channels, are those of edge_norm.py.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from geodl.ops.core import CSR
from geodl.ops.edge_conv import (
    Results,
    check_norm,
    edge_max,
    edge_max_backward,
    new_results,
    parts_of,
    reads_of,
)
from geodl.ops.triton.bounds import existing, row_ends
from geodl.ops.triton.edge_norm import (
    activated_backward,
    centred,
    normalised_backward,
    sign_of,
    turned,
    turned_back,
)
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.launch import ROW_TILES, accumulator, blocks, tile


@edge_max.triton
def _(
    x: Tensor, x_dst: Tensor | None, weight: Tensor, bias: Tensor | None, gamma: Tensor | None, beta: Tensor | None,
    graph: CSR, negative_slope: float, eps: float,
) -> Results:  # fmt: skip
    out, position, statistics, terms = results = new_results(x, x_dst, weight, bias, gamma, beta, graph)
    first, second = turned(weight, gamma)
    if gamma is None:
        u, v = (x if x_dst is None else x_dst) @ first, x @ second
        _reduce(u, v, bias, graph, negative_slope, out, position, None)
        return results
    assert statistics is not None
    (mean, variance), (u, extremum, total, v) = statistics, parts_of(terms, graph)
    destinations, sources, m, offset = centred(
        x, x_dst, graph.rowptr.diff(), reads_of(graph), graph.num_edges
    )
    torch.mm(destinations, first, out=u)
    torch.mm(sources, second, out=v)
    of_mean = torch.cat([m, offset]) @ weight.to(m)
    mean.copy_(of_mean if bias is None else of_mean + bias)
    squares = _reduce(u, v, None, graph, 1.0, extremum, position, total)
    torch.div(squares.sum(0), graph.num_edges, out=variance)
    if out.numel() == 0:
        return results
    block = tile(ROW_TILES, x, out.shape[1])
    _activate_rows[blocks(out.shape[0], block.rows), blocks(out.shape[1], block.channels)](
        extremum, position, gamma, variance, beta, out, *out.shape,
        SLOPE=negative_slope, EPS=eps, ACCUMULATOR=accumulator(x), ROWS=block.rows, CHANNELS=block.channels,
        num_warps=block.warps,
    )  # fmt: skip
    return results


@edge_max_backward.triton
def _(
    grad: Tensor, x: Tensor, x_dst: Tensor | None, weight: Tensor, gamma: Tensor | None, graph: CSR, negative_slope: float,
    eps: float, out: Tensor, position: Tensor, statistics: Tensor | None, terms: Tensor | None, need_x: bool,
) -> Results:  # fmt: skip
    check_norm(x_dst, gamma, graph, statistics, terms)
    u, extremum, total, v = parts_of(terms, graph)
    graph = graph.with_transpose()
    first, second = turned(weight, gamma)
    y, of_y = activated_backward(grad, out, position, extremum, negative_slope)
    selected, of_readers = _sum_over_readers(y, u, position, graph)
    destinations, sources = x if x_dst is None else x_dst, x
    by_u, by_v, by_bias, by_gamma, by_beta = y, selected, of_y[0].to(x.dtype), None, None
    if gamma is not None and statistics is not None:
        degree, reads = graph.rowptr.diff(), reads_of(graph)
        destinations, sources, _, _ = centred(x, x_dst, degree, reads, graph.num_edges)
        by_u, by_v, by_gamma = normalised_backward(
            y, selected, of_readers, of_y, total, v, gamma, statistics[1], eps, degree, reads, graph.num_edges
        )
        by_bias, by_beta = torch.zeros_like(by_bias), by_bias
    by_weight = turned_back(destinations.T @ by_u, sources.T @ by_v, gamma)
    by_dst = by_x = None
    if need_x and x_dst is None:
        by_x = torch.addmm(by_v @ second.T, by_u, first.T)
    elif need_x:
        by_dst, by_x = by_u @ first.T, by_v @ second.T
    return by_x, by_dst, by_weight, by_bias, by_gamma, by_beta


def _reduce(
    u: Tensor,
    v: Tensor,
    shift: Tensor | None,
    graph: CSR,
    slope: float,
    extremum: Tensor,
    position: Tensor,
    total: Tensor | None,
) -> Tensor:
    """Writes the greatest message, shifted and activated, its place, and sums of messages; gives parts of those of squares."""
    rows, channels = extremum.shape
    sums = torch.promote_types(u.dtype, torch.float32)
    if extremum.numel() == 0:
        return u.new_zeros(0, channels, dtype=sums)
    block = tile(ROW_TILES, u, channels)
    programs = blocks(rows, block.rows)
    squares = u.new_empty(programs, channels, dtype=sums)
    _reduce_rows[programs, blocks(channels, block.channels)](
        u, v, shift, graph.rowptr, graph.col, extremum, position, total, squares, rows, graph.num_edges, len(v), channels,
        SLOPE=slope, ACCUMULATOR=accumulator(u), ROWS=block.rows, CHANNELS=block.channels, UNROLL=block.unroll,
        num_warps=block.warps,
    )  # fmt: skip
    return squares


def _sum_over_readers(y: Tensor, u: Tensor | None, position: Tensor, graph: CSR) -> tuple[Tensor, Tensor]:
    sources, channels = graph.num_src, y.shape[1]
    selected = y.new_empty(sources, channels)
    sums = y.new_empty(0 if u is None else selected.shape)
    if selected.numel() == 0:
        return selected, sums
    block = tile(ROW_TILES, y, channels)
    _sum_readers[blocks(sources, block.rows), blocks(channels, block.channels)](
        y, u, position, graph.rowptr, *graph[3:], selected, sums, sources, graph.num_edges, len(y), channels,
        ACCUMULATOR=accumulator(y), ROWS=block.rows, CHANNELS=block.channels, UNROLL=block.unroll,
        num_warps=block.warps,
    )  # fmt: skip
    return selected, sums


@kernel(do_not_specialize=["rows", "edges", "sources"])
def _reduce_rows(
    u, v, shift, rowptr, col, extremum, position, total, squares, rows, edges, sources, channels,
    SLOPE: tl.constexpr, ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Of the messages u_i + v_j of a row, the greatest, the place of the first that is, and sums; a NaN is the greatest."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    first, last = row_ends(rowptr, row, rows, edges)
    at = (row * channels)[:, None] + c[None, :]
    stored = (row < rows)[:, None] & (c < channels)[None, :]
    own = tl.load(u + at, mask=stored, other=0).to(ACCUMULATOR)
    best = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    sums = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    square = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    place = tl.full([ROWS, CHANNELS], -1, tl.int32)
    for k in range(0, tl.max(last - first).to(tl.int32), UNROLL):
        for n in tl.static_range(UNROLL):
            e = first + (k + n)
            j, live = existing(col, e, e < last, sources)
            inside = live[:, None] & (c < channels)[None, :]
            other = tl.load(v + (j * channels)[:, None] + c[None, :], mask=inside, other=0).to(ACCUMULATOR)
            message = tl.where(inside, own + other, 0.0)
            if total is not None:
                sums += message
                square += message * message
            takes = inside & ((message > best) | (place < 0) | ((message != message) & (best == best)))
            best = tl.where(takes, message, best)
            place = tl.where(takes, k + n, place)
    tl.store(position + at, place, mask=stored)
    if total is not None:
        tl.store(total + at, sums.to(total.dtype.element_ty), mask=stored)
        part = squares + tl.program_id(0).to(tl.int64) * channels + c
        tl.store(part, tl.sum(square, axis=0), mask=c < channels)
    else:
        if shift is not None:
            best += tl.load(shift + c, mask=c < channels, other=0).to(ACCUMULATOR)[None, :]
        best = tl.where(best > 0, best, best * SLOPE)
        best = tl.where(place < 0, 0.0, best)
    tl.store(extremum + at, best.to(extremum.dtype.element_ty), mask=stored)


@kernel(do_not_specialize=["rows"])
def _activate_rows(
    extremum, position, gamma, variance, shift, out, rows, channels,
    SLOPE: tl.constexpr, EPS: tl.constexpr, ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """LeakyReLU(gamma (variance + eps)^(-1/2) * turned extremum + shift), 0 where the row is empty."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    at = (row * channels)[:, None] + c[None, :]
    stored = (row < rows)[:, None] & (c < channels)[None, :]
    y = tl.load(extremum + at, mask=stored, other=0).to(ACCUMULATOR)
    factor = tl.load(gamma + c, mask=c < channels, other=0).to(ACCUMULATOR) * sign_of(
        gamma, c, channels, ACCUMULATOR
    )
    factor *= tl.rsqrt(tl.load(variance + c, mask=c < channels, other=1).to(ACCUMULATOR) + EPS)
    y *= factor[None, :]
    if shift is not None:
        y += tl.load(shift + c, mask=c < channels, other=0).to(ACCUMULATOR)[None, :]
    y = tl.where(y > 0, y, y * SLOPE)
    y = tl.where(tl.load(position + at, mask=stored, other=-1) < 0, 0.0, y)
    tl.store(out + at, y.to(out.dtype.element_ty), mask=stored)


@kernel(do_not_specialize=["rows", "edges", "destinations"])
def _sum_readers(
    y, u, position, rowptr, t_rowptr, t_row, perm, selected, sums, rows, edges, destinations, channels,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """Sums over the destinations that read a source: of y where they have selected it, and of u."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    first, last = row_ends(t_rowptr, row, rows, edges)
    taken = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    every = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    for k in range(0, tl.max(last - first).to(tl.int32), UNROLL):
        for n in tl.static_range(UNROLL):
            e = first + (k + n)
            i, live = existing(t_row, e, e < last, destinations)
            inside = live[:, None] & (c < channels)[None, :]
            place = tl.load(perm + e, mask=live, other=0) - tl.load(rowptr + i, mask=live, other=0)
            of_i = (i * channels)[:, None] + c[None, :]
            term = tl.load(y + of_i, mask=inside, other=0).to(ACCUMULATOR)
            taken += tl.where(tl.load(position + of_i, mask=inside, other=-1) == place[:, None], term, 0.0)
            if u is not None:
                every += tl.load(u + of_i, mask=inside, other=0).to(ACCUMULATOR)
    at = (row * channels)[:, None] + c[None, :]
    stored = (row < rows)[:, None] & (c < channels)[None, :]
    tl.store(selected + at, taken.to(selected.dtype.element_ty), mask=stored)
    if u is not None:
        tl.store(sums + at, every.to(sums.dtype.element_ty), mask=stored)
