"""GIN's layer as one operator: the numbers and derivatives of its formula, and only where the network is exactly that."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import prune

from geodl.nn import GINConv
from geodl.nn.gin_fused import two_layers
from geodl.ops import Neighbors, aggregate, use_backend
from geodl.ops.neighbors import csr_for


def graph(nodes: int = 12, edges: int = 30) -> Neighbors:
    return Neighbors.from_edge_index(torch.randint(nodes, (2, edges)), nodes)


def layer(bias: bool = True, dtype: torch.dtype = torch.float64) -> GINConv:
    mlp = nn.Sequential(nn.Linear(3, 5, bias=bias), nn.ReLU(), nn.Linear(5, 2, bias=bias))
    return GINConv(mlp, 0.3, train_eps=True).to(dtype)


def formula(conv: GINConv, x: Tensor, neighbors: Neighbors) -> Tensor:
    out: Tensor = conv.mlp((1 + conv.eps) * x + aggregate(x, neighbors))
    return out


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_its_formula(backend: str, bias: bool) -> None:
    conv, neighbors = layer(bias), graph()
    x = torch.randn(12, 3, dtype=torch.float64, requires_grad=True)
    wanted = formula(conv, x, neighbors)
    by = [x, *conv.parameters()]
    grad = torch.randn_like(wanted)
    with use_backend(backend):
        found = conv(x, neighbors)
        torch.testing.assert_close(found, wanted)
        assert "gin" in found.grad_fn.next_functions[0][0].name() or "gin" in found.grad_fn.name()
        gradients = torch.autograd.grad(found, by, grad)
    for one, other in zip(gradients, torch.autograd.grad(wanted, by, grad), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("bias", [True, False])
def test_derivatives_of_two_orders_forward_and_reverse(bias: bool) -> None:
    conv, neighbors = layer(bias), graph()
    names = [name for name, _ in conv.named_parameters()]

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        return functional_call(conv, dict(zip(names, parameters, strict=True)), (x, neighbors))

    inputs = (torch.randn(12, 3, dtype=torch.float64), *(p.detach() for p in conv.parameters()))
    inputs = tuple(value.clone().requires_grad_() for value in inputs)
    assert torch.autograd.gradcheck(call, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, inputs)


def test_the_operators_keep_the_promises_of_torch_library() -> None:
    conv, neighbors = layer(), graph()
    x = torch.randn(12, 3, dtype=torch.float64)
    first, _, second = conv.mlp
    weights = [value.detach() for value in (first.weight, first.bias, second.weight, second.bias)]
    structure = csr_for(neighbors, x.clone().requires_grad_())
    torch.library.opcheck(torch.ops.geodl.gin.default, (x, conv.eps.detach(), *weights, *structure))
    out, sums, units = torch.ops.geodl.gin(x, conv.eps.detach(), *weights, *structure)
    given = out, x, conv.eps.detach(), weights[0], weights[2], sums, units, *structure
    for needs in ((True, True), (False, False)):
        torch.library.opcheck(torch.ops.geodl.gin_backward.default, (*given, *needs))


def test_compiled_it_gives_the_same() -> None:
    conv, neighbors = layer(dtype=torch.float32), graph()
    x = torch.randn(12, 3, requires_grad=True)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    wanted, found = conv(x, neighbors), compiled(x, neighbors)
    torch.testing.assert_close(found, wanted)
    by = [x, *conv.parameters()]
    for one, other in zip(
        torch.autograd.grad(found.sum(), by), torch.autograd.grad(wanted.sum(), by), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    conv, neighbors, x = layer(dtype=dtype), graph(), torch.randn(12, 3).to(dtype)
    torch.testing.assert_close(
        conv(x, neighbors), formula(copy.deepcopy(conv).float(), x.float(), neighbors).to(dtype)
    )


def test_a_network_that_is_more_than_that_is_called() -> None:
    conv = layer()
    assert two_layers(conv.mlp) is not None
    heard = []
    handle = conv.mlp[1].register_forward_hook(lambda *_: heard.append(1))
    assert two_layers(conv.mlp) is None
    conv(torch.randn(12, 3, dtype=torch.float64), graph())
    assert heard
    handle.remove()
    prune.l1_unstructured(conv.mlp[0], "weight", 0.5)
    assert two_layers(conv.mlp) is None
    for mlp in (
        nn.Linear(3, 2),
        nn.Sequential(nn.Linear(3, 5), nn.ELU(), nn.Linear(5, 2)),
        nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2)),
    ):
        assert two_layers(mlp) is None
        other, x, neighbors = GINConv(mlp), torch.randn(12, 3), graph()
        torch.testing.assert_close(other(x, neighbors), formula(other, x, neighbors), rtol=1e-4, atol=1e-5)
