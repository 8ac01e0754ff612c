"""Compiles the kernels of geodl.ops.triton to machine code of compute capability 9.0; prints their names. Needs no GPU.

The operators run on the CPU as they would on a GPU, but each launch only compiles.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
import triton.runtime.jit
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from geodl.ops import Neighbors
from geodl.ops.triton import aggregate, farthest_points, launch, patch_gather, window_conv, windows
from geodl.ops.windows import Windows

compiled: set[str] = set()
launch_kernel = triton.runtime.jit.JITFunction.run


def compile_only(self, *arguments, grid, warmup, **options):
    compiled.add(self.fn.__name__)
    return launch_kernel(self, *arguments, grid=grid, warmup=True, **options)


class NoDevice:
    """What compilation asks of a driver."""

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


driver.set_active(NoDevice())
triton.runtime.jit.JITFunction.run = compile_only
choose = launch.tile
for module in (aggregate, patch_gather, window_conv, windows):
    module.tile = lambda table, x, *sizes: choose(table, SimpleNamespace(is_cuda=True), *sizes)

RINGS, RAYS, CHANNELS = 5, 8, 32
neighbors = Neighbors(torch.tensor([0, 2, 3]), torch.tensor([0, 1, 1]), 2)
transposed, perm = neighbors.t()
transpose = transposed.rowptr, transposed.col, perm
x, weight = torch.zeros(2, CHANNELS), torch.zeros(3)

_, position = aggregate.gather_max(x, weight, neighbors.rowptr, neighbors.col, True)
for selection in (None, position):
    aggregate.gather_sum(x, weight, selection, neighbors.rowptr, neighbors.col)
    aggregate.scatter_sum(x, weight, selection, neighbors.rowptr, *transpose)
    aggregate.edge_dot(x, x, selection, neighbors.rowptr, neighbors.col)

filters = torch.zeros(RINGS, RAYS, CHANNELS, CHANNELS)
for index in (None, torch.zeros(3, 2, dtype=torch.int64)):
    weight = torch.zeros(3, RINGS * RAYS if index is None else 2)
    seen = Windows(neighbors.rowptr, neighbors.col, *transpose, weight, index)
    patches = patch_gather.gather(x, seen, RINGS * RAYS)
    patch_gather.gather_backward(patches, x, seen, True, True)
    values, selection = window_conv.conv_max(x, seen, filters, RAYS)
    window_conv.conv_at(x, seen, filters, RAYS, selection)
    window_conv.conv_backward(values, x, seen, filters, RAYS, selection, True, True, True)
    every = window_conv.conv(x, seen, filters, RAYS)
    window_conv.conv_backward(every, x, seen, filters, RAYS, None, True, True, True)

ptr = torch.tensor([0, 2])
for points in (torch.zeros(2, 3), torch.zeros(2, 40, dtype=torch.float64)):
    farthest_points.sample_farthest(points, ptr, ptr, ptr[:1], 2)

print(*sorted(compiled))
