"""farthest_points: one program a cloud, which goes over all its points for every sample."""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from geodl.ops.triton.launch import blocks, device_of

MOST_POINTS_AT_ONCE = 4096


def sample_farthest(x: Tensor, ptr: Tensor, sample_ptr: Tensor, start: Tensor, total: int) -> Tensor:
    clouds, (points, dims) = ptr.numel() - 1, x.shape
    index = ptr.new_empty(total)
    if total == 0:
        return index
    distance = x.new_full((points,), torch.inf)
    block = min(max(triton.next_power_of_2(blocks(points, clouds)), 128), MOST_POINTS_AT_ONCE)
    with device_of(x):
        # A product fused with a sum would be rounded once where the others round twice.
        _sample[(clouds,)](
            x.t().contiguous(), ptr.contiguous(), sample_ptr.contiguous(), start.contiguous(), distance, index,
            points, DIMS=dims, BLOCK=block, num_warps=max(block // 256, 4), enable_fp_fusion=False,
        )  # fmt: skip
    return index


@triton.jit(do_not_specialize=["points"])
def _sample(x, ptr, sample_ptr, start, distance, index, points, DIMS: tl.constexpr, BLOCK: tl.constexpr):
    """The samples of one cloud; ``x`` is ``[D, P]``, and ``distance`` ``[P]`` holds infinity."""
    cloud = tl.program_id(0)
    first = tl.load(ptr + cloud)
    size = (tl.load(ptr + cloud + 1) - first).to(tl.int32)
    begin = tl.load(sample_ptr + cloud)
    count = (tl.load(sample_ptr + cloud + 1) - begin).to(tl.int32)
    sample = tl.minimum(tl.maximum(tl.load(start + cloud) - first, 0), size - 1).to(tl.int32)
    for k in range(0, count):
        tl.store(index + begin + k, first + sample)
        best = tl.full([BLOCK], -2, x.dtype.element_ty)
        place = tl.zeros([BLOCK], tl.int32)
        for left in range(0, size, BLOCK):
            i = left + tl.arange(0, BLOCK)
            inside = i < size
            squared = tl.zeros([BLOCK], x.dtype.element_ty)
            coordinate = x + first
            for _ in range(DIMS):
                difference = tl.load(coordinate + i, mask=inside, other=0) - tl.load(coordinate + sample)
                squared += difference * difference
                coordinate += points
            before = tl.load(distance + first + i, mask=inside, other=-2)
            now = tl.where(squared < before, squared, before)
            now = tl.where(i == sample, -1, now)  # less than any distance: never taken again
            tl.store(distance + first + i, now, mask=inside)
            farther = now > best
            best = tl.where(farther, now, best)
            place = tl.where(farther, i, place)
        sample = tl.min(tl.where(best == tl.max(best), place, size))
        tl.debug_barrier()  # what a thread has written another may read
