"""Every operator of cases/ x backend x dtype: values, derivatives, registration, determinism, batching."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from geodl.ops import Neighbors, backends, use_backend

from .cases import CASES, EMPTY, GRAPHS, Case, Inputs, packed, ragged_parts
from .devices import INTERPRETED, device_of

BACKENDS = ("reference", "native", "triton")
DTYPES = (torch.float32, torch.float64)
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
variants_are_slow = pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if case.variant else ()) for case in CASES],
    ids=lambda case: case.name,
)
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))


def require(backend: str, case: Case) -> None:
    """Skips where a backend cannot run here, or an operator has no kernels for it."""
    if (reason := backends()[backend]) != "available":
        pytest.skip(reason)
    if backend == "triton" and importlib.util.find_spec(f"geodl.ops.triton.{case.operator}") is None:
        pytest.skip(f"{case.operator} has no Triton kernels yet")


def channels_of(case: Case, backend: str, triton: tuple[int, ...]) -> tuple[int, ...]:
    """All sizes of the case, but of those that Triton's interpreter, at milliseconds a block, has the time for."""
    fast = backend != "triton" or not INTERPRETED
    return tuple(channels for channels in case.channels if fast or channels in triton)


def place(neighbors: Neighbors, inputs: Inputs, backend: str) -> tuple[Neighbors, Inputs]:
    """Both on the device of a backend."""
    device = device_of(backend)
    return neighbors.to(device), {name: tensor.to(device) for name, tensor in inputs.items()}


def differentiable(inputs: Inputs) -> list[Tensor]:
    """The floating inputs, made leaves that require gradients."""
    return [tensor.requires_grad_() for tensor in inputs.values() if tensor.is_floating_point()]


def oracle_of(case: Case, neighbors: Neighbors, inputs: Inputs) -> np.ndarray:
    arrays = {
        name: (tensor.detach().double() if tensor.is_floating_point() else tensor).cpu().numpy()
        for name, tensor in inputs.items()
    }
    return case.oracle(neighbors.rowptr.cpu().numpy(), neighbors.col.cpu().numpy(), arrays)


def assert_near(actual: Tensor, expected: np.ndarray, dtype: torch.dtype) -> None:
    assert actual.dtype == dtype and actual.shape == expected.shape
    scale = 1 + np.abs(expected).max(initial=0)
    np.testing.assert_allclose(actual.detach().cpu().numpy(), expected, rtol=0, atol=TOLERANCE[dtype] * scale)


def run(case: Case, neighbors: Neighbors, inputs: Inputs) -> list[Tensor]:
    """The output and, weighted by fixed random numbers, its gradients."""
    leaves = differentiable(inputs)
    out = case.call(neighbors, inputs)
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64, device=out.device).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, leaves, weights.view(out.shape))]


@every_dtype
@every_backend
@cases
def test_values_and_gradients(case, backend, dtype):
    """In every size, on all awkward graphs side by side: the value against the oracle, the gradients against those of the
    reference in float64 (which gradcheck vouches for)."""
    require(backend, case)
    for channels in channels_of(case, backend, triton=(0, 17)):
        neighbors = packed()
        inputs = case.inputs(neighbors, channels, dtype)
        with use_backend(backend), torch.no_grad():
            out = case.call(*place(neighbors, inputs, backend))
        assert_near(out, oracle_of(case, neighbors, inputs), dtype)
        if backend == "triton" and INTERPRETED:
            # The interpreter takes seconds a pass backward over rows of sixty edges.
            neighbors = Neighbors.cat(ragged_parts()) if case.heavy else packed("power-law")
            inputs = case.inputs(neighbors, channels, dtype)
        if backend != "reference":
            assert_gradients_of_the_reference(case, backend, neighbors, inputs, dtype)


def assert_gradients_of_the_reference(case, backend, neighbors, inputs, dtype):
    with use_backend(backend):
        _, *gradients = run(case, *place(neighbors, inputs, backend))
    exact = {
        name: tensor.detach().double() if tensor.is_floating_point() else tensor
        for name, tensor in inputs.items()
    }
    with use_backend("reference"):
        _, *expected = run(case, neighbors, exact)
    for gradient, wanted in zip(gradients, expected, strict=True):
        assert_near(gradient, wanted.numpy(), dtype)


@every_backend
@cases
def test_graphs_with_nothing_in_them(case, backend):
    """No edges, no rows, no points, one point: each alone, as no kernel may be launched on nothing."""
    require(backend, case)
    for make in EMPTY.values():
        neighbors = make()
        for channels in channels_of(case, backend, triton=(17,)):
            inputs = case.inputs(neighbors, channels, torch.float64)
            with use_backend(backend), torch.no_grad():
                out = case.call(*place(neighbors, inputs, backend))
            assert_near(out, oracle_of(case, neighbors, inputs), torch.float64)
            if backend != "reference":
                assert_gradients_of_the_reference(case, backend, neighbors, inputs, torch.float64)


@every_backend
@cases
def test_non_contiguous(case, backend):
    require(backend, case)
    neighbors = GRAPHS["power-law"]()
    neighbors, inputs = place(neighbors, case.inputs(neighbors, 17, torch.float64), backend)
    strided = {
        name: torch.stack([tensor, tensor], dim=-1)[..., 0] if tensor.is_floating_point() else tensor
        for name, tensor in inputs.items()
    }
    assert not any(tensor.is_contiguous() for tensor in differentiable(strided))
    with use_backend(backend):
        for actual, expected in zip(run(case, neighbors, strided), run(case, neighbors, inputs), strict=True):
            if case.blas and backend != "native":  # NumPy's and BLAS's products may depend on the layout
                torch.testing.assert_close(actual, expected)
            else:
                assert torch.equal(actual, expected)


@every_backend
@cases
def test_batch_gives_the_numbers_of_each_shape_alone(case, backend):
    require(backend, case)
    if not case.local:
        pytest.skip(f"{case.name} takes statistics over the batch")
    parts = ragged_parts()
    inputs = [case.inputs(part, 5, torch.float32) for part in parts]
    for given in inputs:
        given.update({name: inputs[0][name] for name in case.shared})
    packed = {
        name: inputs[0][name] if name in case.shared else torch.cat([given[name] for given in inputs])
        for name in inputs[0]
    }
    with use_backend(backend):
        alone = torch.cat(
            [case.call(*place(part, given, backend)) for part, given in zip(parts, inputs, strict=True)]
        )
        together = case.call(*place(Neighbors.cat(parts), packed, backend))
    if backend == "native" or (backend == "reference" and not case.blas):
        assert torch.equal(together, alone)
    else:  # its interpreter multiplies matrices through NumPy, which sums in an order that depends on their size
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@every_backend
@variants_are_slow
def test_derivatives(case, backend):
    require(backend, case)
    # Triton's interpreter is slow and a numerical derivative calls it for every number: the smallest graph
    # that has it all.
    interpreted = backend == "triton" and INTERPRETED
    neighbors = GRAPHS["duplicates" if interpreted else "empty-rows"]()
    channels = 1 if interpreted else 3
    neighbors, inputs = place(neighbors, case.inputs(neighbors, channels, torch.float64), backend)
    names = [name for name, tensor in inputs.items() if tensor.is_floating_point()]

    def call(*leaves: Tensor) -> Tensor:
        return case.call(neighbors, {**inputs, **dict(zip(names, leaves, strict=True))})

    leaves = differentiable(inputs)
    with use_backend(backend):
        assert gradcheck(call, leaves, fast_mode=backend == "triton")
        if not interpreted or not case.heavy:
            assert gradgradcheck(call, leaves, fast_mode=backend == "triton")


@every_backend
@cases
def test_repeats_bitwise_for_any_number_of_threads(case, backend):
    require(backend, case)
    size = {"native": 600, "reference": 200}.get(backend, 40 if INTERPRETED else 600)
    rowptr = torch.randint(0, 12, (size,)).cumsum(0)
    neighbors = Neighbors(
        torch.cat([torch.zeros(1, dtype=torch.int64), rowptr]), torch.randint(size, (rowptr[-1],)), size
    )
    neighbors, inputs = place(neighbors, case.inputs(neighbors, 33, torch.float32), backend)
    # Triton's interpreter multiplies matrices through NumPy, which sums in an order that depends on the threads.
    blas = backend == "triton" or (backend == "reference" and case.blas)
    counts = (1, 1) if blas else (1, 1, 2, 3)
    threads = torch.get_num_threads()
    runs = []
    try:
        for count in counts:
            torch.set_num_threads(count)
            with use_backend(backend):
                runs.append(run(case, neighbors, inputs))
    finally:
        torch.set_num_threads(threads)
    for again in runs[1:]:
        for actual, expected in zip(again, runs[0], strict=True):
            assert torch.equal(actual, expected)


class _Recorder(TorchDispatchMode):
    """Remembers the first call of every custom op of ours, and of every set of arguments that are None."""

    def __init__(self):
        super().__init__()
        self.calls = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "geodl":
            absent = tuple(arg is None for arg in args)
            self.calls.setdefault((func, absent), (args, kwargs or {}))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("operator", sorted({case.operator for case in CASES}))
def test_custom_ops_are_registered_correctly(operator):
    """torch.library.opcheck on every custom op that a forward, backward or double backward pass of an operator calls, once
    for each set of optional arguments that are left out."""
    neighbors = GRAPHS["empty-rows"]()
    calls = {}
    for case in (case for case in CASES if case.operator == operator):
        inputs = case.inputs(neighbors, 3, torch.float64)
        with _Recorder() as recorder:
            leaves = differentiable(inputs)
            out = case.call(neighbors, inputs)
            gradients = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
            torch.autograd.grad(sum(gradient.square().sum() for gradient in gradients), leaves)
        assert recorder.calls
        calls = recorder.calls | calls
    for (op, _), (args, kwargs) in calls.items():
        leaves = [
            arg.detach().clone().requires_grad_(arg.is_floating_point()) if isinstance(arg, Tensor) else arg
            for arg in args
        ]
        torch.library.opcheck(op, tuple(leaves), kwargs)


@pytest.mark.parametrize("warm", [True, False], ids=["transpose-cached", "transpose-made-inside"])
@variants_are_slow
def test_compiles_into_one_graph(case, warm):
    """With Neighbors from outside and as an argument; the graph is run by PyTorch, not by Inductor."""
    neighbors = GRAPHS["power-law"]()
    inputs = case.inputs(neighbors, 5, torch.float64)
    expected = run(case, neighbors, inputs)
    if not warm:
        neighbors = Neighbors(neighbors.rowptr, neighbors.col, neighbors.num_src)
    torch._dynamo.reset()
    compiled = torch.compile(case.call, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        leaves = differentiable(inputs)
        out = compiled(neighbors, inputs)
        weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)
        for actual, wanted in zip([out, *torch.autograd.grad(out, leaves, weights)], expected, strict=True):
            torch.testing.assert_close(actual, wanted)
