"""edge_conv's small steps around its two passes over the edges, each in one kernel: a launch costs more than their work."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.launch import ROW_TILES, accumulator, blocks, tile

REPEAT = 16  # blocks of rows that one program adds up


def turned(weight: Tensor, gamma: Tensor | None) -> tuple[Tensor, Tensor]:
    """W1 - W2 and W2 of the filter, turned round by the sign of gamma (1 where gamma is 0)."""
    both = weight.new_empty(2, weight.shape[0] // 2, weight.shape[1])
    if both.numel() > 0:
        _turn[(blocks(both[0].numel(), 256),)](
            weight, gamma, both, both[0].numel(), weight.shape[1],
            ACCUMULATOR=accumulator(weight), BLOCK=256, num_warps=2,
        )  # fmt: skip
    return both[0], both[1]


def turned_back(by_first: Tensor, by_second: Tensor, gamma: Tensor | None) -> Tensor:
    """The gradient of the filter, from those of both of its turned parts."""
    by_weight = by_first.new_empty(2 * by_first.shape[0], by_first.shape[1])
    if by_weight.numel() > 0:
        _turn_back[(blocks(by_first.numel(), 256),)](
            by_first.contiguous(), by_second.contiguous(), gamma, by_weight, by_first.numel(), by_first.shape[1],
            ACCUMULATOR=accumulator(by_weight), BLOCK=256, num_warps=2,
        )  # fmt: skip
    return by_weight


def centred(
    x: Tensor, x_dst: Tensor | None, degree: Tensor, reads: Tensor, edges: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As ``geodl.ops.edge_conv.centred``."""
    x_dst = x if x_dst is None else x_dst
    channels, sums = x.shape[1], torch.promote_types(x.dtype, torch.float32)
    destinations, sources = torch.empty_like(x_dst), torch.empty_like(x)
    if channels == 0:
        return destinations, sources, x.new_empty(0, dtype=sums), x.new_empty(0, dtype=sums)
    block = tile(ROW_TILES, x, channels)
    rows = max(len(x_dst), len(x))
    programs, of_channels = blocks(rows, block.rows * REPEAT), blocks(channels, block.channels)
    points = x_dst, x, degree, reads
    shape = {"ACCUMULATOR": accumulator(x), "ROWS": block.rows, "CHANNELS": block.channels}
    partial = x.new_empty(2, programs, channels, dtype=sums)
    _sum_points[(programs, of_channels, 1)](
        *points, None, partial, len(x_dst), len(x), channels, max(edges, 1), **shape, REPEAT=REPEAT, num_warps=block.warps
    )  # fmt: skip
    # The mean, but for rounding: what is left is small, and so are its errors.
    near = partial[0].sum(0)
    _sum_points[(programs, of_channels, 2)](
        *points, near, partial, len(x_dst), len(x), channels, max(edges, 1), **shape, REPEAT=REPEAT, num_warps=block.warps
    )  # fmt: skip
    rest = partial.sum(1)
    _centre_points[(blocks(rows, block.rows), of_channels, 2)](
        *points,
        near,
        rest,
        destinations,
        sources,
        len(x_dst),
        len(x),
        channels,
        **shape,
        num_warps=block.warps,
    )
    return destinations, sources, near + rest[0], rest[1] - rest[0]


def activated_backward(
    grad: Tensor, out: Tensor, position: Tensor, extremum: Tensor | None, negative_slope: float
) -> tuple[Tensor, Tensor]:
    """The gradient before the activation, ``[N, C]``, and sums over its rows, also times the extremum, ``[2, C]``."""
    rows, channels = grad.shape
    y, sums = torch.empty_like(grad), torch.promote_types(grad.dtype, torch.float32)
    if y.numel() == 0:
        return y, grad.new_zeros(2, channels, dtype=sums)
    block = tile(ROW_TILES, grad, channels)
    programs = blocks(rows, block.rows * REPEAT)
    partial = grad.new_empty(programs, 2, channels, dtype=sums)
    _activate_backward[programs, blocks(channels, block.channels)](
        grad, out, position, extremum, y, partial, rows, channels,
        SLOPE=negative_slope, ACCUMULATOR=accumulator(grad), REPEAT=REPEAT, ROWS=block.rows, CHANNELS=block.channels,
        num_warps=block.warps,
    )  # fmt: skip
    return y, partial.sum(0)


def normalised_backward(
    y: Tensor,
    selected: Tensor,
    of_readers: Tensor,
    of_y: Tensor,
    total: Tensor,
    v: Tensor,
    gamma: Tensor,
    variance: Tensor,
    eps: float,
    degree: Tensor,
    reads: Tensor,
    edges: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of both parts of the messages, and of gamma."""
    channels = y.shape[1]
    by_u, by_v, by_gamma = torch.empty_like(y), torch.empty_like(selected), torch.empty_like(gamma)
    rows = max(len(y), len(selected))
    if channels == 0 or rows == 0:
        return by_u, by_v, by_gamma
    block = tile(ROW_TILES, y, channels)
    _normalise_backward[blocks(rows, block.rows), blocks(channels, block.channels), 2](
        y, selected, of_readers, of_y, total, v, gamma, variance, degree, reads, by_u, by_v, by_gamma,
        len(y), len(selected), channels, max(edges, 1),
        EPS=eps, ACCUMULATOR=accumulator(y), ROWS=block.rows, CHANNELS=block.channels, num_warps=block.warps,
    )  # fmt: skip
    return by_u, by_v, by_gamma


@triton.jit
def sign_of(gamma, c, channels, ACCUMULATOR: tl.constexpr):
    """-1 where gamma is negative, else 1."""
    return tl.where(tl.load(gamma + c, mask=c < channels, other=0).to(ACCUMULATOR) < 0, -1.0, 1.0).to(
        ACCUMULATOR
    )


@kernel()
def _turn(weight, gamma, both, size, channels, ACCUMULATOR: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    first = tl.load(weight + at, mask=at < size, other=0).to(ACCUMULATOR)
    second = tl.load(weight + size + at, mask=at < size, other=0).to(ACCUMULATOR)
    if gamma is not None:
        sign = sign_of(gamma, at % channels, channels, ACCUMULATOR)
        first, second = first * sign, second * sign
    tl.store(both + at, (first - second).to(both.dtype.element_ty), mask=at < size)
    tl.store(both + size + at, second.to(both.dtype.element_ty), mask=at < size)


@kernel()
def _turn_back(
    by_first, by_second, gamma, by_weight, size, channels, ACCUMULATOR: tl.constexpr, BLOCK: tl.constexpr
):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    first = tl.load(by_first + at, mask=at < size, other=0).to(ACCUMULATOR)
    second = tl.load(by_second + at, mask=at < size, other=0).to(ACCUMULATOR)
    if gamma is not None:
        sign = sign_of(gamma, at % channels, channels, ACCUMULATOR)
        first, second = first * sign, second * sign
    tl.store(by_weight + at, first.to(by_weight.dtype.element_ty), mask=at < size)
    tl.store(by_weight + size + at, (second - first).to(by_weight.dtype.element_ty), mask=at < size)


@triton.jit
def _points(x, count, row, c, rows, channels, ACCUMULATOR: tl.constexpr):
    """Rows of x, and how many edges each has; a point at no edge is in no message, not even as NaN."""
    number = tl.load(count + row, mask=row < rows, other=0)
    inside = (number > 0)[:, None] & (c < channels)[None, :]
    value = tl.load(x + (row * channels)[:, None] + c[None, :], mask=inside, other=0).to(ACCUMULATOR)
    return value, number


@kernel(do_not_specialize=["rows_dst", "rows_src", "edges"])
def _sum_points(
    x_dst, x, degree, reads, near, partial, rows_dst, rows_src, channels, edges,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, REPEAT: tl.constexpr,
):  # fmt: skip
    """Parts of the means over all edges, less ``near``: of the destinations, and of the sources."""
    program, side = tl.program_id(0).to(tl.int64), tl.program_id(2)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    total = tl.zeros([CHANNELS], ACCUMULATOR)
    shift = tl.zeros([CHANNELS], ACCUMULATOR)
    if near is not None:
        shift = tl.load(near + c, mask=c < channels, other=0)
    for n in range(REPEAT):
        row = (program * REPEAT + n) * ROWS + tl.arange(0, ROWS)
        if side == 0:
            value, number = _points(x_dst, degree, row, c, rows_dst, channels, ACCUMULATOR)
        else:
            value, number = _points(x, reads, row, c, rows_src, channels, ACCUMULATOR)
        total += tl.sum((value - shift[None, :]) * number.to(ACCUMULATOR)[:, None], axis=0)
    at = (side * tl.num_programs(0) + program) * channels + c
    tl.store(partial + at, total / edges.to(ACCUMULATOR), mask=c < channels)


@kernel(do_not_specialize=["rows_dst", "rows_src"])
def _centre_points(
    x_dst, x, degree, reads, near, rest, destinations, sources, rows_dst, rows_src, channels,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    side = tl.program_id(2)
    at = (row * channels)[:, None] + c[None, :]
    first = tl.load(near + c, mask=c < channels, other=0)
    second = tl.load(rest + side * channels + c, mask=c < channels, other=0)
    if side == 0:
        value, _ = _points(x_dst, degree, row, c, rows_dst, channels, ACCUMULATOR)
        value = value - first[None, :] - second[None, :]
        inside = (row < rows_dst)[:, None] & (c < channels)[None, :]
        tl.store(destinations + at, value.to(destinations.dtype.element_ty), mask=inside)
    else:
        value, _ = _points(x, reads, row, c, rows_src, channels, ACCUMULATOR)
        value = value - first[None, :] - second[None, :]
        inside = (row < rows_src)[:, None] & (c < channels)[None, :]
        tl.store(sources + at, value.to(sources.dtype.element_ty), mask=inside)


@kernel(do_not_specialize=["rows"])
def _activate_backward(
    grad, out, position, extremum, y, partial, rows, channels,
    SLOPE: tl.constexpr, ACCUMULATOR: tl.constexpr, REPEAT: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    sums, products = tl.zeros([CHANNELS], ACCUMULATOR), tl.zeros([CHANNELS], ACCUMULATOR)
    for n in range(REPEAT):
        row = (program * REPEAT + n) * ROWS + tl.arange(0, ROWS)
        inside = (row < rows)[:, None] & (c < channels)[None, :]
        at = (row * channels)[:, None] + c[None, :]
        g = tl.load(grad + at, mask=inside, other=0).to(ACCUMULATOR)
        g = tl.where(tl.load(out + at, mask=inside, other=1) > 0, g, g * SLOPE)
        g = tl.where(tl.load(position + at, mask=inside, other=-1) < 0, 0.0, g)
        tl.store(y + at, g.to(y.dtype.element_ty), mask=inside)
        sums += tl.sum(g, axis=0)
        if extremum is not None:
            products += tl.sum(g * tl.load(extremum + at, mask=inside, other=0).to(ACCUMULATOR), axis=0)
    tl.store(partial + 2 * program * channels + c, sums, mask=c < channels)
    tl.store(partial + (2 * program + 1) * channels + c, products, mask=c < channels)


@kernel(do_not_specialize=["rows_dst", "rows_src", "edges"])
def _normalise_backward(
    y, selected, of_readers, of_y, total, v, gamma, variance, degree, reads, by_u, by_v, by_gamma,
    rows_dst, rows_src, channels, edges,
    EPS: tl.constexpr, ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The norm's gradient less its mean and its projection on the messages, summed over the edges of a point."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    at = (row * channels)[:, None] + c[None, :]
    sign = sign_of(gamma, c, channels, ACCUMULATOR)
    inverse = tl.rsqrt(tl.load(variance + c, mask=c < channels, other=1).to(ACCUMULATOR) + EPS)
    by_scale = tl.load(of_y + channels + c, mask=c < channels, other=0) * inverse
    factor = tl.load(gamma + c, mask=c < channels, other=0).to(ACCUMULATOR) * sign * inverse
    mean = factor * tl.load(of_y + c, mask=c < channels, other=0) / edges.to(ACCUMULATOR)
    slope = factor * inverse * by_scale / edges.to(ACCUMULATOR)
    if tl.program_id(2) == 0:
        inside = (row < rows_dst)[:, None] & (c < channels)[None, :]
        number = tl.load(degree + row, mask=row < rows_dst, other=0).to(ACCUMULATOR)[:, None]
        value = (
            factor[None, :] * tl.load(y + at, mask=inside, other=0).to(ACCUMULATOR) - number * mean[None, :]
        )
        value -= slope[None, :] * tl.load(total + at, mask=inside, other=0).to(ACCUMULATOR)
        tl.store(by_u + at, value.to(by_u.dtype.element_ty), mask=inside)
        if tl.program_id(0) == 0:
            tl.store(by_gamma + c, (sign * by_scale).to(by_gamma.dtype.element_ty), mask=c < channels)
    else:
        inside = (row < rows_src)[:, None] & (c < channels)[None, :]
        number = tl.load(reads + row, mask=row < rows_src, other=0).to(ACCUMULATOR)[:, None]
        value = (
            factor[None, :] * tl.load(selected + at, mask=inside, other=0).to(ACCUMULATOR)
            - number * mean[None, :]
        )
        own = number * tl.load(v + at, mask=inside, other=0).to(ACCUMULATOR)
        value -= slope[None, :] * (own + tl.load(of_readers + at, mask=inside, other=0).to(ACCUMULATOR))
        tl.store(by_v + at, value.to(by_v.dtype.element_ty), mask=inside)
