"""farthest_points: a program goes over all points of a cloud for every sample; of a large cloud, many do and wait for one another.

The programs of a large cloud are launched together (a cooperative grid), a share of its points each. After each sample they put
down the farthest of their share, count themselves in, and read what all have put down once all are there.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from geodl.ops.farthest_points import counted
from geodl.ops.farthest_points import sample_farthest as operator
from geodl.ops.triton.kernel import kernel
from geodl.ops.triton.launch import blocks

MOST_POINTS_AT_ONCE = 4096
SHARE = 1024  # points of a program, where many share a cloud
LARGE = 4096  # points of a cloud from which on waiting for one another costs less


def sample_farthest(x: Tensor, ptr: Tensor, sample_ptr: Tensor, start: Tensor, total: int) -> Tensor:
    clouds, (points, dims) = ptr.numel() - 1, x.shape
    index = ptr.new_empty(total)
    if total == 0:
        return index
    distance = x.new_full((points,), torch.inf)
    programs = programs_of_a_cloud(x, clouds)
    block = min(max(triton.next_power_of_2(blocks(points, clouds * programs)), 128), MOST_POINTS_AT_ONCE)
    put_down = x.new_empty(2, clouds * programs), ptr.new_empty(2, clouds * programs, dtype=torch.int32)
    # A product fused with a sum would be rounded once where the others round twice.
    _sample[(clouds * programs,)](
        x.t().contiguous(), ptr.contiguous(), sample_ptr.contiguous(), start.contiguous(), distance, index,
        *put_down, ptr.new_zeros(clouds), points, total, DIMS=dims, BLOCK=block, PROGRAMS=programs,
        ALL=triton.next_power_of_2(programs), num_warps=max(block // 256, 4), enable_fp_fusion=False,
        **({"launch_cooperative_grid": True} if programs > 1 else {}),
    )  # fmt: skip
    return index


operator.triton(counted(sample_farthest))


def programs_of_a_cloud(x: Tensor, clouds: int) -> int:
    """How many share a cloud; all programs must run at the same time."""
    if not x.is_cuda or x.shape[0] < LARGE * clouds:
        return 1
    processors = torch.cuda.get_device_properties(x.device).multi_processor_count
    return max(min(processors // clouds, blocks(x.shape[0], clouds * SHARE)), 1)


@kernel(do_not_specialize=["points", "total"])
def _sample(
    x, ptr, sample_ptr, start, distance, index, farthest, at, arrivals, points, total,
    DIMS: tl.constexpr, BLOCK: tl.constexpr, PROGRAMS: tl.constexpr, ALL: tl.constexpr,
):  # fmt: skip
    """The samples of one cloud; ``x`` is ``[D, P]``, and ``distance`` ``[P]`` holds infinity."""
    program, every = tl.program_id(0), tl.num_programs(0)
    cloud = program // PROGRAMS
    # What is no segmentation gives other samples, but touches no foreign memory: see bounds.py.
    first = tl.minimum(tl.maximum(tl.load(ptr + cloud), 0), points)
    size = (tl.minimum(tl.maximum(tl.load(ptr + cloud + 1), first), points) - first).to(tl.int32)
    begin = tl.minimum(tl.maximum(tl.load(sample_ptr + cloud), 0), total)
    count = (tl.minimum(tl.load(sample_ptr + cloud + 1), total) - begin).to(tl.int32)
    count = tl.where(size > 0, count, 0)
    sample = tl.minimum(tl.maximum(tl.load(start + cloud) - first, 0), size - 1).to(tl.int32)
    share = (size + PROGRAMS - 1) // PROGRAMS
    own = program % PROGRAMS * share
    own_end = tl.minimum(own + share, size)
    for k in range(0, count):
        if program % PROGRAMS == 0:
            tl.store(index + begin + k, first + sample)
        best = tl.full([BLOCK], -2, x.dtype.element_ty)
        place = tl.zeros([BLOCK], tl.int32) + size
        for left in range(own, own_end, BLOCK):
            i = left + tl.arange(0, BLOCK)
            inside = i < own_end
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
        value = tl.max(best)
        sample = tl.min(tl.where(best == value, place, size))
        if PROGRAMS > 1:
            row = k % 2 * every  # nobody puts down the next but one before all have read this one
            tl.store(farthest + row + program, value)
            tl.store(at + row + program, sample)
            tl.debug_barrier()
            tl.atomic_add(arrivals + cloud, 1, sem="acq_rel")
            while tl.atomic_add(arrivals + cloud, 0, sem="acquire") < (k + 1) * PROGRAMS:
                pass
            others = tl.arange(0, ALL)
            there = others < PROGRAMS
            others += row + cloud * PROGRAMS
            values = tl.load(farthest + others, mask=there, other=-3, cache_modifier=".cg")
            places = tl.load(at + others, mask=there, other=0, cache_modifier=".cg")
            sample = tl.min(tl.where(values == tl.max(values), places, size))
        tl.debug_barrier()  # what a thread has written another may read
