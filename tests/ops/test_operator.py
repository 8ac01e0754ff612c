"""An operator called at once and through torch.library: the same results, and whoever looks on sees the call."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from geodl.ops import aggregate, attention, edge_conv
from geodl.ops.core import Operator

from .cases.graphs import neighbors_of


class Listener(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.heard = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.heard.append(str(func))
        return func(*args, **(kwargs or {}))


def derivatives(neighbors, x, weight):
    """The output, first and second derivatives."""
    out = aggregate(x, neighbors, weight)
    first = torch.autograd.grad(out.sin().sum(), (x, weight), create_graph=True)
    return out, *first, *torch.autograd.grad(sum(part.sin().sum() for part in first), (x, weight))


def test_the_operators_alone_are_all_that_exported_programs_need():
    """Every operator that a module of theirs declares is known once ``geodl.ops`` is imported."""
    code = """
import importlib, pkgutil, torch, geodl.ops

def known():
    return {name for name in torch._C._dispatch_get_all_op_names() if name.startswith("geodl::")}

before = known()
for module in pkgutil.iter_modules(geodl.ops.__path__, "geodl.ops."):
    if module.name not in ("geodl.ops.triton", "geodl.ops._native"):
        importlib.import_module(module.name)
assert before == known() and len(before) > 20, known() - before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_both_ways_agree():
    neighbors = neighbors_of([2, 0, 5], 4)
    x, weight = torch.randn(4, 3).requires_grad_(), torch.randn(7).requires_grad_()
    at_once = derivatives(neighbors, x, weight)
    with Listener() as listener:
        dispatched = derivatives(neighbors, x, weight)
    assert {"geodl.gather_sum.default", "geodl.scatter_sum.default", "geodl.edge_dot.default"} <= {
        *listener.heard
    }
    for one, other in zip(at_once, dispatched, strict=True):
        assert torch.equal(one, other)


def test_a_tensor_of_another_class_and_a_function_mode_see_the_operator():
    neighbors, seen = neighbors_of([2, 1], 3), []

    class Named(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return super().__torch_function__(func, types, args, kwargs or {})

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    x = torch.randn(3, 2)
    assert torch.equal(aggregate(x.as_subclass(Named), neighbors), aggregate(x, neighbors))
    assert any("gather_sum" in name for name in seen)
    seen.clear()
    with Watch():
        aggregate(x, neighbors)
    assert any("gather_sum" in name for name in seen)


def test_without_a_derivative_it_says_so():
    double = Operator("test_double", "x[N]; -> [N]")

    @double.reference
    def _(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    x = torch.ones(2, requires_grad=True)
    assert torch.equal(double(x.detach()), torch.full((2,), 2.0)) and not double(x.detach()).requires_grad
    with torch.no_grad():
        assert not double(x).requires_grad
    try:
        double(x).sum().backward()
    except RuntimeError as error:
        assert "autograd" in str(error)
    else:
        raise AssertionError("a derivative that nobody registered")


def test_what_is_left_of_a_transform_is_read_as_the_tensor_that_it_wraps():
    neighbors, kept, x = neighbors_of([2, 1], 3), [], torch.randn(3, 2)

    def keeping(x):
        kept.append(2 * x)
        return (x**2).sum()

    torch.func.grad(keeping)(x)
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            assert torch.equal(aggregate(kept[0], neighbors), aggregate(2 * x, neighbors))


class Silent(torch.autograd.Function):
    """Hands no gradient on."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return None


@pytest.mark.parametrize(
    "apply",
    [
        lambda x, neighbors: aggregate(x, neighbors, reduce="max"),
        lambda x, neighbors: attention(x[:, None], neighbors, x[:, :1], x[:2, :1]),
        lambda x, neighbors: edge_conv(x, neighbors, x.new_ones(4, 2), x_dst=x[:2]),
    ],
    ids=["aggregate max", "attention", "edge_conv"],
)
def test_no_gradient_of_the_result_is_none_of_the_input(apply):
    x = torch.randn(3, 2, requires_grad=True)
    out = Silent.apply(apply(x, neighbors_of([2, 1], 3)))
    assert torch.autograd.grad(out.sum(), x, allow_unused=True)[0] is None


WITHOUT = """
import torch
import torch._dynamo
function = torch._C._len_torch_function_stack
if {missing}:
    del torch._C._len_torch_function_stack
import geodl.ops
torch._C._len_torch_function_stack = function  # PyTorch itself asks for it later
from geodl.models import GCN, DGCNN
from geodl.ops import Neighbors, aggregate, knn
from geodl.ops.core import watch
assert watch.KNOWN is not {missing}
torch.manual_seed(0)
x = torch.randn(40, 3, requires_grad=True)
neighbors = knn(x, 4)
(first,) = torch.autograd.grad(aggregate(x, neighbors).sin().sum(), x, create_graph=True)
(second,) = torch.autograd.grad(first.square().sum(), x)
tangent = torch.func.jvp(lambda x: aggregate(x, neighbors, reduce="max"), (x.detach(),), (x.detach(),))[1]
half = aggregate(x.detach().bfloat16(), neighbors).float()
scores = GCN(3, 2)(x, neighbors), DGCNN(0, 2, k=4).eval()(x / 4)
print([round(float(part.detach().abs().sum()), 3) for part in (first, second, tangent, half, *scores)])
"""


def test_without_what_pytorch_keeps_to_itself_everything_works():
    """A version that lacks a function of torch._C takes the long way, to the same numbers."""
    said = []
    for missing in (False, True):
        code = WITHOUT.format(missing=missing)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0] == said[1] and "nan" not in said[0]
