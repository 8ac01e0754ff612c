"""Compiles the kernels of geodl.ops.triton to machine code of compute capability 9.0; prints their names. Needs no GPU.

The operators run on the CPU as they would on a GPU, but what a launch calls at last only records what it is called with. Each
launch is repeated, from what was compiled before and by Triton: both must call the same with the same.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from geodl.ops import Neighbors
from geodl.ops.core import CSR
from geodl.ops.knn import arrange
from geodl.ops.triton import (
    aggregate,
    attention,
    curve,
    depthwise_conv,
    edge_conv,
    farthest_points,
    graph_filter,
    knn,
    launch,
    patch_gather,
    radius,
    spectral_transform,
    window_conv,
)
from geodl.ops.triton.kernel import Kernel

compiled: set[str] = set()
calls: list[tuple] = []


class Recorder:
    """What launches a compiled kernel."""

    def __init__(self, src, metadata):
        pass

    def __call__(self, *given):
        calls.append((self, *given))


class NoDevice:
    """What compilation and loading ask of a driver."""

    launcher_cls = Recorder
    utils = SimpleNamespace(
        get_device_properties=lambda device: {"max_shared_mem": 232448},
        load_binary=lambda name, *given: (object(), object(), 0, 0, 1024),
    )

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 7


def launch_twice(kernel, grid, *arguments, **constants):
    compiled.add(kernel.jit.__name__)
    # Triton passes a number in single precision, and its interpreter does not show it.
    assert not any(isinstance(argument, float) for argument in arguments), kernel.jit.__name__
    by_kernel(kernel, grid, *arguments, **constants)
    held = len(kernel.compiled)
    by_kernel(kernel, grid, *arguments, **constants)
    kernel.jit[grid](*arguments, **constants)
    assert len(kernel.compiled) == held > 0, f"{kernel.jit.__name__} is not remembered"
    _, ours, tritons = calls
    calls.clear()
    assert len(ours) == len(tritons), kernel.jit.__name__
    # Of 7 to 9, what is told to whoever listens to launches, there is nothing: nobody listens.
    assert ours[7:10] == (None, None, None)
    for place in (*range(7), *range(10, len(ours))):
        assert ours[place] is tritons[place] or ours[place] == tritons[place], (kernel.jit.__name__, place)


driver.set_active(NoDevice())
by_kernel = Kernel._launch
Kernel._launch = launch_twice
choose = launch.tile
for name, module in list(sys.modules.items()):
    if name.startswith("geodl.ops.triton.") and hasattr(module, "tile") and module is not launch:
        module.tile = lambda table, x, *sizes: choose(table, SimpleNamespace(is_cuda=True), *sizes)

RINGS, RAYS, CHANNELS = 5, 8, 32
neighbors = Neighbors(torch.tensor([0, 2, 3]), torch.tensor([0, 1, 1]), 2)
transposed, perm = neighbors.t()
transpose = transposed.rowptr, transposed.col, perm
x, weight = torch.zeros(2, CHANNELS), torch.zeros(3)

csr = CSR(neighbors.rowptr, neighbors.col, 2, *transpose)


def kernels_of(operator):
    """The operator on a GPU, past the dispatch by where tensors lie."""
    return operator._implementation("triton")


_, position = kernels_of(aggregate.gather_max)(x, weight, csr, True)
for selection, aggregate.PIECE in ((None, 4096), (position, 4096), (None, 2), (position, 2)):
    kernels_of(aggregate.gather_sum)(x, weight, csr, selection)
    kernels_of(aggregate.scatter_sum)(x, weight, csr, selection)
    kernels_of(aggregate.edge_dot)(x, x, csr, selection)

both, of_channels = torch.zeros(2 * CHANNELS, CHANNELS), torch.ones(CHANNELS)
for gamma in (None, of_channels):
    given = csr, 0.2, 1e-5
    results = kernels_of(edge_conv.edge_max)(x, None, both, of_channels, gamma, of_channels, *given)
    kernels_of(edge_conv.edge_max_backward)(x, x, None, both, gamma, *given, *results, True)
heads = torch.zeros(2, 3, 16)
for scores, vector, scale in (
    (heads[:, :, 0].contiguous(), None, None),
    (heads, heads[0], torch.zeros(3, 3)),
):
    given = heads, scores, scores, vector, scale
    results = kernels_of(attention.attend)(*given, csr, 0.2)
    kernels_of(attention.attend_backward)(heads, *given, *results, csr, 0.2)
    kernels_of(attention.edge_scores)(scores, scores, scores, scores, csr, 0.2)
for d in (None, x):
    for transposed_too in (False, True):
        kernels_of(graph_filter.filter_step)(x, d, weight, csr, False, transposed_too, 2.0)
for sources in (1, 3):
    given = (
        torch.zeros(2, sources, CHANNELS),
        weight,
        csr,
        False,
        False,
        [1.0, 2.0],
        [-1.0],
        sources,
        3,
        False,
    )
    kernels_of(graph_filter.recurrence)(*given)

coefficients = kernels_of(spectral_transform.project)(x, x, torch.tensor([0, 2]))
kernels_of(spectral_transform.expand)(coefficients, x, torch.tensor([0, 2]))

filters = torch.zeros(RINGS, RAYS, CHANNELS, CHANNELS)
for index in (None, torch.zeros(3, 2, dtype=torch.int64)):
    weight = torch.zeros(3, RINGS * RAYS if index is None else 2)
    every_need = [True, True, True]
    patches = kernels_of(patch_gather.read_patches)(x, weight, csr, index, RINGS * RAYS)
    kernels_of(patch_gather.read_patches_adjoint)(patches, x, weight, csr, index, RINGS * RAYS, [True, True])
    narrow = filters[:, :, 0].flatten(0, 1)
    kernels_of(depthwise_conv.depthwise_conv)(x, weight, narrow, csr, index)
    kernels_of(depthwise_conv.depthwise_conv_adjoint)(x, x, weight, narrow, csr, index, every_need)
    given = x, weight, filters, csr, index, RAYS
    values, selection = kernels_of(window_conv.window_conv_max)(*given)
    kernels_of(window_conv.window_conv_at)(*given, selection)
    kernels_of(window_conv.window_conv_at_adjoint)(values, *given, selection, every_need)
    every = kernels_of(window_conv.window_conv)(*given)
    kernels_of(window_conv.window_conv_adjoint)(every, *given, every_need)

for points, curve.MANY in (
    (torch.zeros(5, 3), 2),
    (torch.zeros(5, 3), 9),
    (torch.zeros(5, 40), 9),
    (torch.zeros(5, 3, dtype=torch.float64), 9),
):
    layout = arrange(points, None, None, None)
    for loop in (False, True):
        knn.nearest(layout, 4, loop, torch.arange(6) * 4, 20)
        knn.select(layout, 4, None, loop, torch.arange(6) * 4, 20)
        knn.select(layout, 4, points.new_ones(1), loop, torch.arange(6) * 4, 20)
        degree = torch.full((5,), 5)
        places, bound = radius.searched(layout), points.new_ones(1)
        radius.list_all(layout, places, bound, loop, degree, torch.arange(6) * 5, 25)
        radius.count(layout, places, bound, loop)
ptr = torch.tensor([0, 2])
for points in (torch.zeros(2, 3), torch.zeros(2, 40, dtype=torch.float64)):
    for farthest_points.programs_of_a_cloud in (lambda x, clouds: 1, lambda x, clouds: 50):
        farthest_points.sample_farthest(points, ptr, ptr, ptr[:1], 2)

print(*sorted(compiled))
