"""knn in small clouds: all squared distances, each pair once, and then the nearest of every row by a warp of its own.

One warp needs no barriers, which are most of the time where many warps look for the nearest of some rows (knn.py). Distances
have the bits of every other backend: no fused multiply-adds, and (p - q)^2 is (q - p)^2.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from geodl.ops.knn import Layout
from geodl.ops.triton.curve import few
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.knn_keys import FARTHEST, LONGEST, MOST_KEYS, one_of_the_least
from geodl.ops.triton.launch import Tile, Tiles, blocks, tile

LARGEST = 2048  # points of a cloud
MOST_DISTANCES = 2**26  # that exist at one time
ALIGNED = 16  # rows of distances begin at multiples of it

# Pairs of points of a program. A thread has some rows of one or two columns: a coordinate of its rows is the same for a warp.
DISTANCE_TILES = Tiles({512: Tile(rows=16, channels=256, warps=4)})
# Of a program, a row and all of its distances, by their number.
CHOICES = Tiles(
    {
        128: Tile(rows=1, channels=128, warps=1),
        512: Tile(rows=1, channels=512, warps=1),
        1024: Tile(rows=1, channels=1024, warps=1),
        LARGEST: Tile(rows=1, channels=LARGEST, warps=2),
    }
)


def is_small(layout: Layout, k: int) -> bool:
    """Whether the clouds are as small as this, and similar in size: the largest says how much is launched for all."""
    clouds, largest = layout.ptr.shape[0] - 1, layout.largest
    return (
        largest is not None
        and 0 < largest <= LARGEST
        and clouds * largest <= 8 * layout.x.shape[0]
        and layout.queries is None
        and layout.x.dtype == torch.float32
        and k <= MOST_KEYS
    )


def nearest_in_small_clouds(
    layout: Layout, k: int, loop: bool, rowptr: Tensor, edges: int
) -> tuple[Tensor, Tensor]:
    """The nearest points of every row, as many as its place in rowptr holds."""
    assert layout.largest is not None
    col, squared = rowptr.new_empty(edges), layout.x.new_empty(edges)
    if edges == 0:
        return col, squared
    clouds, largest = layout.ptr.shape[0] - 1, layout.largest
    width = blocks(largest, ALIGNED) * ALIGNED
    at_once = min(clouds, max(1, MOST_DISTANCES // (largest * width)))
    distances = layout.x.new_empty(at_once * largest, width)
    pairs, choice = tile(DISTANCE_TILES, layout.x, width), tile(CHOICES, layout.x, width)
    keys = triton.next_power_of_2(k)
    points, coordinates = layout.x.shape
    # Coordinates one after the other; what a block reads beyond the last cloud is nobody's, and nothing comes of it.
    x = layout.x.new_zeros(coordinates, blocks(points, ALIGNED) * ALIGNED + max(pairs.rows, pairs.channels))
    x[:, :points] = layout.x.t()
    for begin in range(0, clouds, at_once):
        some = min(at_once, clouds - begin)
        _pairs_of_a_cloud[some, blocks(largest, pairs.rows), blocks(largest, pairs.channels)](
            x, layout.ptr, begin, distances, x.shape[1], width, coordinates, DIMS=few(layout),
            ROWS=pairs.rows, POINTS=pairs.channels, num_warps=pairs.warps, enable_fp_fusion=False,
        )  # fmt: skip
        programs = blocks(largest, choice.rows)
        chosen = rowptr.new_empty(some * programs * choice.rows * keys)
        _least_of_a_row[some, programs](
            distances, layout.ptr, begin, width, rowptr, chosen, col, squared, K=keys, OWN=not loop,
            ROWS=choice.rows, POINTS=choice.channels, num_warps=choice.warps,
        )  # fmt: skip
    return col, squared


@triton.jit
def _cloud_of_a_program(ptr, begin):
    """Where the cloud begins and ends, and where the first of those that are at hand begins."""
    cloud = begin + tl.program_id(0)
    return tl.load(ptr + cloud), tl.load(ptr + cloud + 1), tl.load(ptr + begin)


@kernel(do_not_specialize=["begin", "points"])
def _pairs_of_a_cloud(
    x, ptr, begin, distances, points, width, dims,
    DIMS: tl.constexpr, ROWS: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """Squared distances, infinite for NaN, of the pairs in and above the diagonal blocks; below, they are copied."""
    first, last, base = _cloud_of_a_program(ptr, begin)
    size = last - first
    block, own_block = tl.program_id(2), tl.program_id(1) * ROWS // POINTS
    i = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    j = block * POINTS + tl.arange(0, POINTS)[None, :]
    if (block >= own_block) & (tl.program_id(1) * ROWS < size) & (block * POINTS < size):
        total = tl.zeros([ROWS, POINTS], tl.float32)
        x += first
        if DIMS > 0:
            for _ in tl.static_range(DIMS):
                q, p = tl.load(x + i), tl.load(x + j)
                total += (q - p) * (q - p)
                x += points
        else:
            for _ in tl.range(0, dims, loop_unroll_factor=4):
                q, p = tl.load(x + i), tl.load(x + j)
                total += (q - p) * (q - p)
                x += points
        total = tl.where(total == total, total, float("inf"))
        inside = (i < size) & (j < size)
        row = distances + (first - base) * width
        tl.store(row + i * width + j, total, mask=inside)
        if block > own_block:
            tl.store(row + tl.trans(j) * width + tl.trans(i), tl.trans(total), mask=tl.trans(inside))


@kernel(do_not_specialize=["begin"])
def _least_of_a_row(
    distances, ptr, begin, width, rowptr, chosen, col, squared,
    K: tl.constexpr, OWN: tl.constexpr, ROWS: tl.constexpr, POINTS: tl.constexpr,
):  # fmt: skip
    """The nearest of the points of a row's cloud in order, by keys as in knn_keys.py."""
    first, last, base = _cloud_of_a_program(ptr, begin)
    size = (last - first).to(tl.int32)
    own = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    if tl.program_id(1) * ROWS < size:
        live, row = own < size, first + own
        c, slot = tl.arange(0, POINTS), tl.arange(0, K)[None, :]
        to = tl.load(rowptr + row, mask=live, other=0)
        wanted = (tl.load(rowptr + row + 1, mask=live, other=0) - to).to(tl.int32)
        mine = live[:, None] & (c < size)[None, :]
        # Beyond the cloud there is memory of nobody, and vectors are loaded whole.
        inside = live[:, None] & (c < width)[None, :]
        value = tl.load(distances + ((row - base) * width)[:, None] + c[None, :], mask=inside, other=0)
        if OWN:
            mine &= c[None, :] != own[:, None]
        bits = tl.where(mine, value.to(tl.int32, bitcast=True), LONGEST)
        mine &= one_of_the_least(bits, c, wanted, K, ROWS, POINTS)
        key = (bits.to(tl.int64) << 32) | c[None, :]
        program = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)
        key_of_row = chosen + (program.to(tl.int64) * ROWS + tl.arange(0, ROWS))[:, None] * K
        tl.store(key_of_row + _places(mine, ROWS, POINTS), ~key, mask=mine)
        tl.debug_barrier()  # what a thread has written another may read
        count = tl.sum(mine.to(tl.int32), axis=1)[:, None]
        some = ~tl.load(key_of_row + slot, mask=slot < count, other=FARTHEST)
        rank = tl.zeros([ROWS, K], tl.int32)
        for other in range(0, tl.max(count)):
            rank += (~tl.load(key_of_row + other, mask=other < count, other=FARTHEST) < some).to(tl.int32)
        found = live[:, None] & (slot < count) & (rank < wanted[:, None])
        tl.store(col + to[:, None] + rank, first + (some & 0xFFFFFFFF), mask=found)
        length = (some >> 32).to(tl.int32).to(tl.float32, bitcast=True)
        tl.store(squared + to[:, None] + rank, length, mask=found)


@triton.jit
def _places(mine, ROWS: tl.constexpr, POINTS: tl.constexpr):
    """A place for every chosen point of a row, in no order: down the columns that a thread has, which costs no exchange."""
    COLUMNS: tl.constexpr = min(POINTS, 128)
    counted = tl.reshape(mine.to(tl.int32), [ROWS, POINTS // COLUMNS, COLUMNS])
    of_column = tl.sum(counted, axis=1)
    before = tl.cumsum(of_column, axis=1) - of_column
    return tl.reshape(tl.cumsum(counted, axis=1) + before[:, None, :], [ROWS, POINTS]) - 1
