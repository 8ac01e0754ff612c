"""What counts as a plain layer, and that a network whose layers are called gives what the fused one gives."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from geodl.nn import EdgeConv, FeaturePropagation, GINConv, SparseFeatures
from geodl.nn.dtype_of import dtype_of
from geodl.nn.edge_max import network_max
from geodl.nn.mlp import mlp
from geodl.nn.plain import is_plain
from geodl.ops import Neighbors, knn


class _Subclass(nn.Linear):
    pass


class _Held(Tensor):
    """A tensor that holds another, as quantised and distributed ones do."""

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return [], None


def _held(layer: nn.Linear) -> nn.Linear:
    layer._parameters["weight"] = layer.weight.detach().as_subclass(_Held)  # type: ignore[assignment]
    return layer


def _replaced(layer: nn.Linear) -> nn.Linear:
    layer.forward = types.MethodType(nn.Linear.forward, layer)  # type: ignore[method-assign]
    return layer


def _compiled(layer: nn.Linear) -> nn.Linear:
    layer.compile(backend="eager")
    return layer


def _hooked(register: str) -> Callable[[nn.Linear], nn.Linear]:
    def change(layer: nn.Linear) -> nn.Linear:
        getattr(layer, register)(lambda *_: None)
        return layer

    return change


CHANGES: dict[str, Callable[[nn.Linear], Any]] = {
    "forward hook": _hooked("register_forward_hook"),
    "hook before": _hooked("register_forward_pre_hook"),
    "backward hook": _hooked("register_full_backward_hook"),
    "backward hook before": _hooked("register_full_backward_pre_hook"),
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "bias pruned": lambda layer: prune.l1_unstructured(layer, "bias", 0.5),
    "weight norm of old": lambda layer: nn.utils.weight_norm(layer),
    "weight norm": lambda layer: parametrizations.weight_norm(layer),
    "spectral norm of old": lambda layer: nn.utils.spectral_norm(layer),
    "spectral norm": lambda layer: parametrizations.spectral_norm(layer),
    "subclass": lambda layer: _Subclass(3, 4),
    "quantised": lambda layer: torch.ao.quantization.quantize_dynamic(nn.Sequential(layer), {nn.Linear})[0],
    "observed": lambda layer: torch.ao.quantization.add_quant_dequant(layer),
    "a forward of its own": _replaced,
    "compiled in place": _compiled,
    "compiled": lambda layer: torch.compile(layer, backend="eager"),
    "another kind of tensor": _held,
    "other": lambda layer: nn.Identity(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changed_layers_are_not_plain(change: Callable[[nn.Linear], Any]) -> None:
    layer = nn.Linear(3, 4)
    assert is_plain(layer, nn.Linear)
    if change is CHANGES["observed"]:
        layer.qconfig = torch.ao.quantization.default_qconfig  # type: ignore[assignment]
    assert not is_plain(change(layer), nn.Linear)


@pytest.mark.filterwarnings("ignore")
def test_what_is_undone_is_plain_again() -> None:
    layer = nn.Linear(3, 4)
    layer.register_forward_hook(lambda *_: None).remove()
    prune.l1_unstructured(layer, "weight", 0.5)
    prune.remove(layer, "weight")
    nn.utils.remove_weight_norm(nn.utils.weight_norm(layer))
    assert is_plain(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.zero_()
    assert is_plain(layer.double().requires_grad_(False).eval(), nn.Linear)


@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
def test_global_hooks_count(kind: str) -> None:
    layer = nn.Linear(3, 4)
    handle = getattr(nn.modules.module, f"register_module_{kind}_hook")(lambda *_: None)
    try:
        assert not is_plain(layer, nn.Linear)
    finally:
        handle.remove()
    assert is_plain(layer, nn.Linear)


class _Asks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        if is_plain(self.layer, nn.Linear) and dtype_of(self) == torch.float32:
            return x @ self.layer.weight.t()
        y: Tensor = self.layer(x)
        return y


def test_is_asked_within_one_graph() -> None:
    x = torch.randn(2, 3)
    for hooked in (False, True):
        torch._dynamo.reset()
        net = _Asks()
        if hooked:
            net.layer.register_forward_hook(lambda _m, _i, y: y + 1)
        expected = net(x)
        assert torch.equal(torch.compile(net, backend="eager", fullgraph=True)(x), expected)
        for strict in (False, True):
            made = torch.export.export(net, (x,), strict=strict)
            assert torch.equal(made.module()(x), expected)
            assert ("linear" in str(made.graph)) == hooked


def _gradients(y: Tensor, given: list[Tensor]) -> list[Tensor]:
    seed = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return list(torch.autograd.grad(y, given, seed, retain_graph=True))


def _same(fused: tuple[nn.Module, Tensor], called: tuple[nn.Module, Tensor], *inputs: Tensor) -> None:
    (one, y), (other, z) = fused, called
    torch.testing.assert_close(y, z)
    given, wanted = ([*inputs, *net.parameters()] for net in (one, other))
    for a, b in zip(_gradients(y, given), _gradients(z, wanted), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
    for (key, a), (_, b) in zip(one.named_buffers(), other.named_buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=key)


def _pair(make: Callable[[], nn.Module], hooked: str = "") -> tuple[nn.Module, nn.Module]:
    """Twice the same, and hooks in the second: in all of it, or in one layer."""
    nets = []
    for _ in range(2):
        torch.manual_seed(3)
        net = make().double()
        for parameter in net.parameters():
            nn.init.normal_(parameter)
        nets.append(net)
    for key, module in nets[1].named_modules():
        if key.endswith(hooked):
            module.register_forward_hook(lambda *_: None)
    return nets[0], nets[1]


def _points() -> tuple[Tensor, Tensor, Neighbors]:
    pos = torch.randn(30, 3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(30, 2, dtype=torch.float64, requires_grad=True)
    rowptr = torch.cat([torch.arange(0, 100, 5), torch.full((11,), 100)])  # ten rows are empty
    return pos, x, Neighbors(rowptr, torch.randint(0, 30, (100,)), 30)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("hooked", ["", "0", "1", "2", "-1"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: mlp([5, 4]),
        lambda: mlp([5, 6, 4], bias=False, last_activation=False),
        lambda: mlp([5, 6, 7, 4], negative_slope=0.1),
        lambda: nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.GELU(), nn.Linear(6, 4)),
        lambda: nn.Sequential(nn.Linear(5, 4), nn.Sigmoid()),
        lambda: nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 4), nn.LeakyReLU(-0.5)),
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4, momentum=None)),
        lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.ReLU()),
    ],
)
def test_maxima_of_networks(make: Callable[[], nn.Sequential], hooked: str, training: bool) -> None:
    hooked = str(len(make()) - 1) if hooked == "-1" else hooked
    one, other = (net.train(training) for net in _pair(make, hooked))
    pos, x, neighbors = _points()
    index = torch.randperm(30)
    found = [network_max(net, pos, x, neighbors, index) for net in (one, other)]
    assert not found[0][20:].any() and not found[1][20:].any()
    _same((one, found[0]), (other, found[1]), pos, x)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("hooked", ["", "norm", "rest"])
@pytest.mark.parametrize("hidden", [[], [7]])
def test_edge_convolutions(hidden: list[int], hooked: str, training: bool) -> None:
    one, other = (net.train(training) for net in _pair(lambda: EdgeConv(2, 4, hidden), hooked))
    _, x, neighbors = _points()
    _same((one, one(x, neighbors)), (other, other(x, neighbors)), x)


def test_propagated_features() -> None:
    one, other = _pair(lambda: FeaturePropagation(5, [4, 3]))
    pos, x, _ = _points()
    ptr, sample_ptr = torch.tensor([0, 12, 30]), torch.tensor([0, 4, 9])
    samples = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    given = (pos.detach(), x, ptr, pos.detach()[:9], samples, sample_ptr)
    _same((one, one(*given)), (other, other(*given)), x, samples)


@pytest.mark.parametrize("sparse", [False, True])
def test_sums_of_neighbours(sparse: bool) -> None:
    one, other = _pair(lambda: GINConv(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 4)), 0.5, True))
    _, x, _ = _points()
    neighbors = knn(x.detach(), 4)
    signal = SparseFeatures.from_dense(x.detach()) if sparse else x
    _same((one, one(signal, neighbors)), (other, other(signal, neighbors)), *([] if sparse else [x]))
