"""Compiled networks: one graph without breaks, at most two of them whatever the sizes, and what they give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from geodl.models import GCN
from tests.models.every_network import CLOUDS, NETWORKS, NODES, PARTS, as_data, inputs, network

QUICK = ("GCN", "PointNet")
SIZES = range(1, 11)


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


def each(names: tuple[str, ...]) -> list[Any]:
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names]


def scores(out: Any) -> Tensor:
    return out if isinstance(out, Tensor) else out[0]  # Inception gives those of its auxiliary heads too


def agree(model: nn.Module, compiled: Any, given: tuple[Any, ...]) -> None:
    torch.manual_seed(1)
    found = scores(compiled(*given))
    torch.manual_seed(1)
    expected = scores(model(*given))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.detach().abs().max()))


@pytest.mark.parametrize("dynamic", [None, True], ids=["as sizes change", "dynamic"])
@pytest.mark.parametrize("name", each(NETWORKS))
def test_two_graphs_without_breaks(name: str, dynamic: bool | None) -> None:
    model = network(name).eval()
    compiled = torch.compile(model, backend="eager", dynamic=dynamic)
    for size in SIZES if name in (*NODES, *CLOUDS) else (1, 2, 5):
        given = inputs(name, size)
        agree(model, compiled, given)
        compiled(*given)  # what eager has left with its inputs makes no graph of its own
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] <= 2


@pytest.mark.parametrize("name", each(NODES))
def test_of_data(name: str) -> None:
    model = network(name).eval()
    compiled = torch.compile(model, backend="eager")
    for size in SIZES:
        agree(model, compiled, as_data(size))
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] <= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_trains(name: str) -> None:
    """Gradients and running statistics are those of the network that is not compiled."""
    model, other = network(name).train(), network(name).train()
    compiled = torch.compile(model, backend="aot_eager")
    for size in (2, 3, 5):
        given = inputs(name, size)
        for run in (compiled, other):
            torch.manual_seed(1)
            out = scores(run(*given))
            # A square would not do: features of unit length have the same whatever the weights.
            (out * torch.linspace(-1, 1, out.numel()).view_as(out)).mean().backward()
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] <= 2
    for (key, found), (_, expected) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        if expected.grad is not None:
            assert found.grad is not None, key
            scale = float(expected.grad.abs().max()) + 1e-6
            torch.testing.assert_close(found.grad, expected.grad, rtol=1e-3, atol=1e-3 * scale, msg=key)
    for (key, buffer), (_, known) in zip(model.named_buffers(), other.named_buffers(), strict=True):
        torch.testing.assert_close(buffer, known, rtol=1e-3, atol=1e-4, msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GAT", "ChebNet", "DGCNN", "PointNeXt", "KPCNN"])
def test_inductor(name: str) -> None:
    model = network(name).eval()
    compiled = torch.compile(model)
    with torch.no_grad():
        for size in (1, 2, 5):
            agree(model, compiled, inputs(name, size))
    assert not counters["graph_break"]


@pytest.mark.parametrize("name", each((*CLOUDS, *PARTS)))
def test_a_batch_of_one_cloud_is_no_graph_of_its_own(name: str) -> None:
    model = network(name).eval()
    compiled = torch.compile(model, backend="eager", dynamic=True, fullgraph=True)
    pos, *_, ptr = inputs(name, 2)
    alone = pos[: int(ptr[1])], *([torch.tensor([3])] if name in PARTS else []), ptr[:2]
    agree(model, compiled, inputs(name, 2))
    agree(model, compiled, alone)
    # A vector of one category has a size of one, which PyTorch makes a graph of its own; pointers have two entries at least.
    assert counters["stats"]["unique_graphs"] == (2 if name in PARTS else 1)


def test_nothing_is_left_with_the_inputs() -> None:
    """What a compiled network would leave with its graph were an input of the next call, which then were compiled anew."""
    x, neighbors = inputs("GCN", 3)
    compiled = torch.compile(GCN(6, 4), backend="eager", dynamic=True)
    for _ in range(3):
        scores(compiled(x.clone().requires_grad_(), neighbors)).sum().backward()
    assert counters["stats"]["unique_graphs"] == 1
