"""What the conformance suite cannot see of the Triton kernels: the tiles of a GPU, chunks, half precision, compilation."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from geodl.ops import Neighbors, aggregate, backends, patch_conv, patch_gather, polar_conv, use_backend
from geodl.ops.aggregate import edge_dot, gather_max, gather_sum, scatter_sum
from geodl.ops.attention import attend, attend_backward
from geodl.ops.core import CSR
from geodl.ops.depthwise_conv import depthwise_conv, depthwise_conv_adjoint
from geodl.ops.edge_conv import edge_max
from geodl.ops.graph_filter import filter_step
from geodl.ops.patch_gather import read_patches, read_patches_adjoint
from geodl.ops.window_conv import window_conv, window_conv_at_adjoint

from .cases import CASES, GRAPHS
from .cases.graphs import neighbors_of
from .patches import random_neighbors, random_polar

if backends()["triton"] != "available" or torch.cuda.is_available():
    pytest.skip("these tests run Triton's interpreter", allow_module_level=True)
pytestmark = pytest.mark.slow
kernel = importlib.import_module("geodl.ops.triton.kernel")
launch = importlib.import_module("geodl.ops.triton.launch")
MODULES = [
    importlib.import_module(f"geodl.ops.triton.{module.name}")
    for module in pkgutil.iter_modules(importlib.import_module("geodl.ops.triton").__path__)
    if module.name != "launch"
]
aggregate_kernels = importlib.import_module("geodl.ops.triton.aggregate")
window_conv_kernels = importlib.import_module("geodl.ops.triton.window_conv")
TABLES = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in MODULES
    for name, value in vars(module).items()
    if name.endswith("TILES")
}

RINGS, RAYS = 2, 4
OPERATORS = {
    "sum": lambda x, windows, filters: aggregate(x, windows.neighbors, windows.weight[:, 0], reduce="sum"),
    "max": lambda x, windows, filters: aggregate(x, windows.neighbors, windows.weight[:, 0], reduce="max"),
    "gather": lambda x, windows, filters: patch_gather(
        x, windows.neighbors, windows.weight, windows.index, RINGS * RAYS
    ),
    "patches": lambda x, windows, filters: patch_conv(
        x, windows.neighbors, windows.weight, filters.flatten(0, 1), windows.index
    ),
    "pooled": lambda x, windows, filters: polar_conv(x, windows, filters),
    "rotations": lambda x, windows, filters: polar_conv(x, windows, filters, rotations=2, pool=None),
}

every_operator = pytest.mark.parametrize("operator", OPERATORS)
every_form = pytest.mark.parametrize("form", ["dense", "sparse"])


def random_inputs(channels, out_channels, form, dtype=torch.float64):
    windows = random_polar(random_neighbors(8, 7, 25), RINGS, RAYS, form, dtype)
    x = torch.randn(7, channels, dtype=torch.float64).to(dtype)
    return x, windows, torch.randn(RINGS, RAYS, channels, out_channels, dtype=torch.float64).to(dtype)


def results(operator, backend, x, windows, filters):
    """The output and all gradients."""
    x, filters, windows = x.clone().requires_grad_(), filters.clone().requires_grad_(), windows.to("cpu")
    windows.weight = windows.weight.clone().requires_grad_()
    with use_backend(backend):
        out = OPERATORS[operator](x, windows, filters)
        weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).to(out.dtype).view(out.shape)
        gradients = torch.autograd.grad(out, (x, windows.weight, filters), weights, allow_unused=True)
    return out, *(gradient for gradient in gradients if gradient is not None)


def assert_near(actual, expected, tolerance):
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected, strict=True):
        scale = 1 + theirs.detach().abs().max()
        torch.testing.assert_close(ours.to(theirs.dtype), theirs, rtol=0, atol=float(tolerance * scale))


@pytest.mark.parametrize("channels", [5, 150])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_tiles_of_a_gpu(case, channels, monkeypatch):
    """The interpreter computes all in one block where a GPU has several, and does not unroll."""
    choose, on_gpu = launch.tile, SimpleNamespace(is_cuda=True)
    for module in MODULES:
        if hasattr(module, "tile"):
            monkeypatch.setattr(module, "tile", lambda table, x, *sizes: choose(table, on_gpu, *sizes))
    neighbors = GRAPHS["batch"]()
    inputs = case.inputs(neighbors, channels, torch.float64)
    leaves = [tensor.requires_grad_() for tensor in inputs.values() if tensor.is_floating_point()]
    computed = []
    for backend in ("triton", "reference"):
        with use_backend(backend):
            out = case.call(neighbors, inputs)
            weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)
            computed.append((out, *torch.autograd.grad(out, leaves, weights)))
    assert_near(*computed, 1e-12)


@pytest.mark.parametrize("table", TABLES)
def test_tables_cover_all_channels(table):
    entries = TABLES[table]
    assert list(entries) == sorted(entries) and max(entries) == 512
    for channels in (1, 2, 3, 33, 64, 130, 512, 1000):
        for windows in (1, 3, 8, 40):
            found = launch.tile(entries, SimpleNamespace(is_cuda=True), channels, windows)
            assert found.rows * found.windows * found.channels <= 4096
            for size in (found.rows, found.windows, found.channels, found.warps, found.unroll):
                assert size > 0 and size & (size - 1) == 0


@every_form
@pytest.mark.parametrize("operator", ["patches", "pooled", "rotations"])
def test_chunks(operator, form, monkeypatch):
    """Patches are made for a few rows at a time, and gradients of filters added over them."""
    given = random_inputs(3, 2, form)
    whole = results(operator, "triton", *given)
    monkeypatch.setattr(window_conv_kernels, "CHUNK_BYTES", 3 * RINGS * RAYS * 3 * 8)
    assert_near(results(operator, "triton", *given), whole, 1e-14)


@every_operator
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-2), (torch.bfloat16, 6e-2)])
def test_half_precision(operator, dtype, tolerance):
    x, windows, filters = random_inputs(17, 3, "sparse", dtype)
    ours = results(operator, "triton", x, windows, filters)
    assert all(result.dtype == dtype for result in ours)
    windows.weight = windows.weight.double()
    assert_near(ours, results(operator, "reference", x.double(), windows, filters.double()), tolerance)


def test_half_precision_sums_in_single_precision():
    """A sum of ones in bfloat16 would stay at 256."""
    neighbors = random_neighbors(1, 1, 300)
    with use_backend("triton"):
        assert aggregate(torch.ones(1, 1, dtype=torch.bfloat16), neighbors).item() == 300


@pytest.mark.parametrize("degrees", [[3, 21, 0, 8, 9, 1, 40], [17], [4, 4, 4, 4, 20, 16, 9]])
@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_long_rows_are_cut(degrees, reduce, monkeypatch):
    """Into pieces of four edges, wherever among all edges a row begins; and alike in a batch and alone."""
    monkeypatch.setattr(aggregate_kernels, "PIECE", 4)
    neighbors = neighbors_of(degrees, 5)
    neighbors.t()
    x = torch.randn(5, 3, dtype=torch.float64).requires_grad_()
    weight = torch.randn(neighbors.num_edges, dtype=torch.float64).requires_grad_()
    computed = []
    for backend in ("triton", "reference"):
        with use_backend(backend):
            out = aggregate(x, neighbors, weight, reduce)
            computed.append((out, *torch.autograd.grad(out.sin().sum(), (x, weight))))
    assert_near(*computed, 1e-13)
    other = neighbors_of([2, 9], 5)
    with use_backend("triton"):
        twice = aggregate(torch.cat([x, x]).float(), Neighbors.cat([other, neighbors]))
        assert torch.equal(twice[2:], aggregate(x.float(), neighbors))


@pytest.mark.parametrize("operator", ["patches", "pooled"])
def test_gradient_of_filters_alone(operator):
    """x needs no gradient, so nobody has made the transpose."""
    x, windows, filters = random_inputs(3, 2, "sparse")
    gradients = []
    for backend in ("triton", "reference"):
        leaf = filters.clone().requires_grad_()
        with use_backend(backend):
            out = OPERATORS[operator](x, windows, leaf)
            gradients.append(torch.autograd.grad(out.square().sum(), leaf))
    assert_near(*gradients, 1e-12)


FENCE = 256  # numbers on both sides of a tensor, more than a wrong index below reaches


def fenced(tensor, fence):
    """The same numbers with others before and behind them in one storage."""
    room = torch.full((tensor.numel() + 2 * FENCE,), fence, dtype=tensor.dtype)
    room[FENCE:-FENCE] = tensor.flatten()
    return room[FENCE:-FENCE].view(tensor.shape)


def real(*shape):
    return fenced(torch.randn(shape, dtype=torch.float64), math.nan)


def index(values):
    return fenced(torch.tensor(values), 0)


# 3 rows, 4 sources, 5 edges.
ROWPTR, COL = [0, 2, 4, 5], [0, 3, 1, 2, 3]
T_ROWPTR, T_ROW, PERM = [0, 1, 2, 3, 5], [0, 1, 1, 0, 2], [0, 2, 3, 1, 4]
SPOILT = {
    "low": dict(col=[0, -1, 1, 2, 3], row=[0, 1, -1, 0, 2], perm=[0, -1, 3, 1, 4]),
    "high": dict(col=[0, 3, 4, 2, 6], row=[0, 1, 1, 3, 5], perm=[0, 2, 5, 1, 7]),
    "far": dict(col=[0, 3, 2**62, 2, -(2**63)], row=[2**62, 1, 1, 0, 2], perm=[0, 2, 3, 1, 2**63 - 1]),
    "pointer": dict(rowptr=[0, 2, 4, 9], t_rowptr=[0, 1, 2, 3, 9]),
    "negative pointer": dict(rowptr=[-4, 2, 4, 5], t_rowptr=[-4, 1, 2, 3, 5]),
    "nonsense": dict(rowptr=[7, 2**62, -3, 5], t_rowptr=[9, -1, 2**62, 0, 5]),
}


def spoilt_graph(how):
    given = dict(rowptr=ROWPTR, col=COL, t_rowptr=T_ROWPTR, row=T_ROW, perm=PERM) | SPOILT[how]
    return CSR(
        index(given["rowptr"]),
        index(given["col"]),
        4,
        *(index(given[name]) for name in ("t_rowptr", "row", "perm")),
    )


WINDOWS = [[0, 5], [-1, 7], [8, 1], [2**62, 2], [3, -(2**63)]]
DIRECT = {
    "gather_sum": lambda graph: gather_sum(real(4, 2), real(5), graph, None),
    "gather_sum at": lambda graph: gather_sum(real(4, 2), real(5), graph, positions()),
    "scatter_sum": lambda graph: scatter_sum(real(3, 2), real(5), graph, None),
    "scatter_sum at": lambda graph: scatter_sum(real(3, 2), real(5), graph, positions()),
    "gather_max": lambda graph: gather_max(real(4, 2), real(5), graph, True),
    "edge_dot": lambda graph: edge_dot(real(3, 2), real(4, 2), graph, None),
    "attend": lambda graph: attend(
        real(4, 2, 3), real(4, 2, 2), real(3, 2, 2), real(2, 2), real(5, 2), graph, 0.2
    ),
    "attend_backward": lambda graph: attend_backward(
        real(3, 2, 3), real(4, 2, 3), real(4, 2, 2), real(3, 2, 2), real(2, 2), real(5, 2),
        real(3, 2, 3), torch.stack([real(3, 2), real(3, 2).abs() + 1]), graph, 0.2,
    ),
    "edge_max": lambda graph: edge_max(
        real(4, 2), real(3, 2), real(4, 3), real(3), None, None, graph, 0.2, 1e-5
    ),
    "filter_step": lambda graph: filter_step(
        real(3, 2), None, real(5), graph._replace(num_src=3, t_rowptr=None, t_row=None, perm=None), False, False, 1.0
    ),
    "patches": lambda graph: read_patches(real(4, 2), real(5, 2), graph, None, 2),
    "depthwise": lambda graph: depthwise_conv(real(4, 2), real(5, 2), real(2, 2), graph, None),
    "depthwise by weight": lambda graph: depthwise_conv_adjoint(
        real(3, 2), real(4, 2), real(5, 2), real(8, 2), graph, index(WINDOWS), [True, True, False]
    ),
    "patches by x": lambda graph: read_patches_adjoint(
        real(3, 8, 2), real(4, 2), real(5, 2), graph, index(WINDOWS), 8, [True, True]
    ),
    "turned": lambda graph: window_conv(
        real(4, 2), real(5, 8), real(RINGS, RAYS, 2, 3), graph, None, 2
    ),
    "turned adjoint": lambda graph: window_conv_at_adjoint(
        real(3, 3), real(4, 2), real(5, 2), real(RINGS, RAYS, 2, 3), graph, index(WINDOWS), 2,
        fenced(torch.tensor([[0, 1, 9], [-1, 0, 1], [1, 1, -300]], dtype=torch.int16), 0), [True, True, True],
    ),
}  # fmt: skip


def positions():
    return fenced(torch.tensor([[0, 1], [-1, 2], [0, 9]], dtype=torch.int32), 0)


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("operator", DIRECT)
def test_indices_out_of_range_touch_no_foreign_memory(operator, how, monkeypatch):
    """In a direct call, which looks at no values. What lies beside a tensor is NaN, and would be seen in any result."""
    # What a kernel does not write, as of an edge that no row has, is not a reading of foreign memory.
    monkeypatch.setattr(torch.Tensor, "new_empty", torch.Tensor.new_zeros)
    monkeypatch.setattr(torch, "empty_like", torch.zeros_like)
    torch.manual_seed(0)
    with use_backend("triton"):
        found = DIRECT[operator](spoilt_graph(how))
    for tensor in (found,) if isinstance(found, torch.Tensor) else found:
        assert tensor is None or tensor.isfinite().all()


def test_kernels_compile_for_a_gpu(tmp_path):
    """Without a GPU too: the interpreter accepts much that the compiler does not."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    root = Path(__file__).parents[2]
    environment["PYTHONPATH"] = os.pathsep.join(
        path for path in (str(root), environment.get("PYTHONPATH")) if path
    )
    script = Path(__file__).with_name("triton_compile.py")
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(done.stdout.split()) == {name for module in MODULES for name in launched(module)}


def launched(module):
    """Names of the kernels that a module launches, which are not those that kernels call."""
    source = inspect.getsource(module)
    jitted = (name for name, value in vars(module).items() if isinstance(value, kernel.Kernel))
    return {name for name in jitted if f" {name}[" in source}
