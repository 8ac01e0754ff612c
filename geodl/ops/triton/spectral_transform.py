"""spectral_transform: the primitives of geodl/ops/spectral_transform.py (see there); ptr is read on the device alone."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from geodl.ops.spectral_transform import expand, project
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.launch import Tile, Tiles, accumulator, blocks, tile

# Rows of a tile are eigenvectors of a projection, vertices of an expansion; the inner sum takes so many at once.
DEPTH = 16
TILES = Tiles(
    {
        16: Tile(rows=64, channels=16, warps=4),
        32: Tile(rows=64, channels=32, warps=4),
        512: Tile(rows=64, channels=64, warps=4),
    }
)


@project.triton
def _(x: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    shapes, size, channels = ptr.shape[0] - 1, evecs.shape[1], x.shape[1]
    out = x.new_empty(shapes, size, channels)
    if out.numel() == 0:
        return out
    block = tile(TILES, x, channels)
    _project[shapes, blocks(size, block.rows), blocks(channels, block.channels)](
        x, evecs, ptr, out, len(x), size, channels, ACCUMULATOR=accumulator(x), ROWS=block.rows,
        CHANNELS=block.channels, DEPTH=DEPTH, num_warps=block.warps,
    )  # fmt: skip
    return out


@expand.triton
def _(coefficients: Tensor, evecs: Tensor, ptr: Tensor) -> Tensor:
    (vertices, size), channels = evecs.shape, coefficients.shape[2]
    out = evecs.new_empty(vertices, channels)
    if out.numel() == 0:
        return out
    shape = torch.searchsorted(ptr, torch.arange(vertices, device=ptr.device), right=True) - 1
    block = tile(TILES, evecs, channels)
    _expand[blocks(vertices, block.rows), blocks(channels, block.channels)](
        coefficients, evecs, shape, out, vertices, len(coefficients), size, channels, ACCUMULATOR=accumulator(evecs),
        ROWS=block.rows, CHANNELS=block.channels, DEPTH=DEPTH, num_warps=block.warps,
    )  # fmt: skip
    return out


@kernel(do_not_specialize=["vertices"])
def _project(
    x, evecs, ptr, out, vertices, size, channels,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    # What is no segmentation gives wrong numbers, but reads no foreign memory: to look at it here would wait for the device.
    first, last = tl.maximum(tl.load(ptr + b), 0), tl.minimum(tl.load(ptr + b + 1), vertices)
    total = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    for begin in range(0, (last - first).to(tl.int32), DEPTH):
        v = first + begin + tl.arange(0, DEPTH)
        here = (v < last) & (k < size)[:, None]
        left = tl.load(evecs + v[None, :] * size + k[:, None], mask=here, other=0).to(ACCUMULATOR)
        here = (v < last)[:, None] & (c < channels)[None, :]
        right = tl.load(x + (v * channels)[:, None] + c[None, :], mask=here, other=0).to(ACCUMULATOR)
        total += tl.dot(left, right, input_precision="ieee", out_dtype=ACCUMULATOR)
    at = ((b * size + k) * channels)[:, None] + c[None, :]
    inside = (k < size)[:, None] & (c < channels)[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)


@kernel(do_not_specialize=["vertices", "shapes"])
def _expand(
    coefficients, evecs, shape, out, vertices, shapes, size, channels,
    ACCUMULATOR: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """The vertices of a tile may belong to several shapes, mostly to one."""
    begin = tl.program_id(0).to(tl.int64) * ROWS
    v = begin + tl.arange(0, ROWS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    mine = tl.load(shape + v, mask=v < vertices, other=-1)
    first = tl.load(shape + begin)
    last = tl.load(shape + tl.minimum(begin + ROWS, vertices) - 1)
    total = tl.zeros([ROWS, CHANNELS], ACCUMULATOR)
    for b in range(tl.maximum(first, 0), tl.minimum(last + 1, shapes)):
        for from_k in range(0, size, DEPTH):
            k = from_k + tl.arange(0, DEPTH)
            here = (mine == b)[:, None] & (k < size)[None, :]
            left = tl.load(evecs + (v * size)[:, None] + k[None, :], mask=here, other=0).to(ACCUMULATOR)
            here = (k < size)[:, None] & (c < channels)[None, :]
            row = (b * size + k) * channels
            right = tl.load(coefficients + row[:, None] + c[None, :], mask=here, other=0).to(ACCUMULATOR)
            total += tl.dot(left, right, input_precision="ieee", out_dtype=ACCUMULATOR)
    inside = (v < vertices)[:, None] & (c < channels)[None, :]
    tl.store(out + (v * channels)[:, None] + c[None, :], total.to(out.dtype.element_ty), mask=inside)
