"""Keys, by which knn puts points in order, and how the least of many numbers are found.

A key holds the bits of a distance, which as integers are in order, and below them an index, turned about: the greatest keys are the
nearest points.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import triton
import triton.language as tl

MOST_KEYS = 256
FARTHEST = tl.constexpr(-(2**63))  # a key below that of any point
HALVINGS = tl.constexpr(12)  # of lengths, before that of their bits makes an end
LONGEST = tl.constexpr(2**31 - 1)  # above the bits of any distance, as those of a NaN are


@triton.jit
def one_of_the_least(bits, index, count, K: tl.constexpr, ROWS: tl.constexpr, POINTS: tl.constexpr):
    """Of every row, the least ``count`` numbers, K at most, and perhaps some more, up to K in all.

    By bisection of their values; of equal ones, of their indices. No more than the greatest of the least of K groups are wanted."""
    low = tl.zeros([ROWS], tl.int32)
    within = tl.sum((bits < LONGEST).to(tl.int32), axis=1)
    GROUPS: tl.constexpr = min(K, POINTS)
    bound = tl.max(tl.min(tl.reshape(bits, [ROWS, POINTS // GROUPS, GROUPS]), axis=1), axis=1)
    high = tl.where(within > K, tl.minimum(bound, LONGEST - 1), LONGEST - 1)
    within = tl.sum((bits <= high[:, None]).to(tl.int32), axis=1)
    halvings = 0
    while tl.max(((within > K) & (low < high)).to(tl.int32)) == 1:
        middle = low + (high - low) // 2
        if halvings < HALVINGS:  # of lengths, which are distributed more evenly than their logarithms
            length = (low.to(tl.float32, bitcast=True) + high.to(tl.float32, bitcast=True)) * 0.5
            middle = tl.minimum(tl.maximum(length.to(tl.int32, bitcast=True), low), high - 1)
        halvings += 1
        below = tl.sum((bits <= middle[:, None]).to(tl.int32), axis=1)
        undecided = (within > K) & (low < high)
        enough = below >= count
        high = tl.where(undecided & enough, middle, high)
        within = tl.where(undecided & enough, below, within)
        low = tl.where(undecided & ~enough, middle + 1, low)
    least = bits <= high[:, None]
    if tl.max((within > K).to(tl.int32)) == 1:  # too many are as far as the last that is wanted
        less = bits < high[:, None]
        number = tl.where(least & ~less, index[None, :], LONGEST)
        nearer = tl.sum(less.to(tl.int32), axis=1)
        first, last = tl.zeros([ROWS], tl.int32), tl.full([ROWS], LONGEST - 1, tl.int32)
        while tl.max(((within > K) & (first < last)).to(tl.int32)) == 1:
            middle = first + (last - first) // 2
            below = nearer + tl.sum((number <= middle[:, None]).to(tl.int32), axis=1)
            undecided = (within > K) & (first < last)
            enough = below >= count
            last = tl.where(undecided & enough, middle, last)
            within = tl.where(undecided & enough, below, within)
            first = tl.where(undecided & ~enough, middle + 1, first)
        least = less | (number <= last[:, None])
    return least
