"""What torch's own tools and those of its neighbours do to modules: every network takes it, as one of torch's layers does."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import fusion, parametrizations, parametrize, prune
from torch.utils.checkpoint import checkpoint

from tests.models.networks import NETWORKS

every_network = pytest.mark.parametrize("name", NETWORKS)
slow = pytest.mark.slow
pytestmark = pytest.mark.filterwarnings("ignore")


def fresh(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A network none of whose parameters is 0, and whose norms have seen something."""
    torch.manual_seed(0)
    net = NETWORKS[name].make().to(dtype)
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
            if key.endswith(".time"):
                parameter.abs_()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d):
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return net


def out(net: Callable[..., Any], name: str, dtype: torch.dtype = torch.float64) -> Tensor:
    torch.manual_seed(1)
    y: Tensor = net(*NETWORKS[name].arguments(dtype))
    return y


def loss(y: Tensor) -> Tensor:
    return (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum()


def learn(net: nn.Module, name: str) -> dict[str, Tensor]:
    """Scores in training, gradients, and the buffers after it."""
    y = out(net.train(), name)
    loss(y).backward()
    found = {"scores": y.detach()}
    for key, parameter in net.named_parameters():
        if parameter.grad is not None:
            found[key], parameter.grad = parameter.grad, None
    return found | {key: buffer.clone() for key, buffer in net.named_buffers()}


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    largest = max(float(tensor.abs().max()) for tensor in expected.values() if tensor.numel())
    for key, tensor in expected.items():
        torch.testing.assert_close(
            found[key], tensor, rtol=1e-6, atol=1e-10 * max(largest, 1), msg=lambda m, key=key: f"{key}: {m}"
        )


def close(found: Tensor, expected: Tensor, share: float = 1e-8) -> None:
    assert found.shape == expected.shape
    assert expected.isfinite().all()
    assert float((found - expected).abs().max()) <= share * float(expected.abs().max())


def layers(net: nn.Module) -> dict[str, nn.Module]:
    """Every inner module that can be called; what DeLA asks for the loss of the offsets alone is left out."""
    callable_ = {
        key: m
        for key, m in net.named_modules()
        if key and not type(m).forward.__name__.startswith("_forward_unimpl")
    }
    return {key: m for key, m in callable_.items() if ".tell" not in key}


def matrices(net: nn.Module) -> list[tuple[nn.Module, str]]:
    """Every parameter that is a matrix, or several, with the module that holds it; not the widths of Gaussians, which divide."""
    return [(net.get_submodule(path), key) for path, key in paths(net)]


def paths(net: nn.Module) -> list[tuple[str, str]]:
    """The same by their names."""
    return [
        (path, key)
        for path, m in net.named_modules()
        for key, p in m.named_parameters(recurse=False)
        if p.dim() >= 2 and key != "scale"
    ]


# --- hooks ---


@every_network
def test_hooks_of_every_inner_layer_fire(name: str) -> None:
    expected = learn(fresh(name), name)
    net = fresh(name)
    fired: dict[str, set[str]] = {
        "before": set(),
        "after": set(),
        "gradient before": set(),
        "gradient": set(),
    }

    def note(what: str, key: str) -> Callable[..., None]:
        return lambda *_: fired[what].add(key)

    returns: dict[str, Any] = {}
    for key, module in layers(net).items():
        module.register_forward_pre_hook(note("before", key))
        module.register_forward_hook(note("after", key))
        module.register_forward_hook(lambda _m, _i, y, key=key: returns.update({key: type(y)}))
        module.register_full_backward_pre_hook(note("gradient before", key))
        module.register_full_backward_hook(note("gradient", key))
    same(learn(net, name), expected)
    every = set(layers(net))
    # torch sees gradients of tensors and of tuples of them alone.
    seen = {key for key in every if returns.get(key) in (Tensor, tuple) and not key.endswith("encoder")}
    assert every - fired["before"] == set() and every - fired["after"] == set()
    assert seen - fired["gradient"] == set() and seen - fired["gradient before"] == set()


@every_network
def test_one_hook_changes_what_its_layer_gives(name: str) -> None:
    """A hook on a single layer, whichever: the others stay fused or not, and the scores follow."""
    plain = out(fresh(name).eval(), name)
    torch.manual_seed(0)
    chosen = [
        key for key, m in layers(fresh(name)).items() if isinstance(m, nn.Linear | nn.BatchNorm1d | nn.ReLU)
    ]
    for key in chosen[:: max(len(chosen) // 6, 1)]:
        net = fresh(name).eval()
        module = net.get_submodule(key)
        handle = module.register_forward_hook(lambda _m, _i, y: y)
        close(out(net, name), plain)
        handle.remove()
        module.register_forward_hook(lambda _m, _i, y: y * torch.linspace(0.5, 2, y.shape[-1]).to(y))
        assert not torch.allclose(out(net, name), plain)


@every_network
@slow
def test_global_hooks(name: str) -> None:
    expected = learn(fresh(name), name)
    net = fresh(name)
    called, differentiated = set(), set()
    handles = [
        nn.modules.module.register_module_forward_pre_hook(lambda m, _: called.add(m)),
        nn.modules.module.register_module_forward_hook(lambda m, _i, _o: called.add(m)),
        nn.modules.module.register_module_full_backward_hook(lambda m, _i, _o: differentiated.add(m)),
    ]
    try:
        found = learn(net, name)
    finally:
        for handle in handles:
            handle.remove()
    same(found, expected)
    assert set(layers(net).values()) <= called
    assert {m for m in layers(net).values() if isinstance(m, nn.Linear | nn.BatchNorm1d)} <= differentiated


@every_network
@slow
def test_a_forward_of_ones_own(name: str) -> None:
    net = fresh(name).eval()
    expected, called = out(net, name), set()
    for key, module in layers(net).items():

        def forward(*given: Any, key: str = key, own: Any = module.forward) -> Any:
            called.add(key)
            return own(*given)

        module.forward = forward  # type: ignore[method-assign]
    close(out(net, name), expected)
    assert called == set(layers(net))


# --- torch.nn.utils ---


@every_network
def test_pruning(name: str) -> None:
    net = fresh(name)
    for module, key in matrices(net):
        prune.l1_unstructured(module, key, 0.3)
    optimizer = torch.optim.SGD(net.parameters(), 1e-4)
    for _ in range(2):
        optimizer.zero_grad()
        loss(out(net.train(), name)).backward()
        optimizer.step()
    # Weights were masked in the forward pass, so what was cut away has no gradient.
    pruned = [(m, key.removesuffix("_orig")) for m, key in matrices(net) if key.endswith("_orig")]
    grads = [(getattr(m, f"{key}_orig").grad, getattr(m, f"{key}_mask")) for m, key in pruned]
    assert all(not bool((grad * (1 - mask)).any()) for grad, mask in grads if grad is not None)
    assert any(bool(grad.any()) for grad, _ in grads if grad is not None)
    found = out(net.eval(), name)
    for module, key in pruned:
        prune.remove(module, key)
        assert float((getattr(module, key) == 0).float().mean()) >= 0.25
    close(found, out(net, name))


@every_network
@slow
def test_global_pruning_and_filters(name: str) -> None:
    net = fresh(name).eval()
    prune.global_unstructured(matrices(net), prune.L1Unstructured, amount=0.5)
    for module, key in matrices(net):
        if key.endswith("_orig") and getattr(module, key).shape[0] > 3:
            prune.ln_structured(module, key.removesuffix("_orig"), 0.25, n=2, dim=0)
    found = out(net, name)
    for module, key in matrices(net):
        if key.endswith("_orig"):
            prune.remove(module, key.removesuffix("_orig"))
    close(found, out(net, name))


@every_network
@slow
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, parametrizations.weight_norm])
def test_weight_norm(name: str, norm: Any) -> None:
    net = fresh(name).eval()
    expected = out(net, name)
    for module, key in matrices(net):
        norm(module, key)
    close(out(net, name), expected)
    found = learn(net, name)
    scales = [key for key in found if key.endswith(("_g", "original0"))]
    assert scales and all(found[key].isfinite().all() for key in scales)
    optimizer = torch.optim.SGD(net.parameters(), 1e-3)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert not torch.allclose(out(net.eval(), name), expected)


@every_network
@slow
@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, parametrizations.spectral_norm])
def test_spectral_norm(name: str, norm: Any) -> None:
    net, other = fresh(name), fresh(name)
    held = [(path, key) for path, key in paths(net) if 1 not in getattr(net.get_submodule(path), key).shape]
    for path, key in held:
        norm(net.get_submodule(path), key, n_power_iterations=30)
    learn(net, name)
    learn(other, name)
    found = out(net.eval(), name)
    # The same network with the weights that the norm gives, and no norm.
    for path, key in held:
        weight = getattr(net.get_submodule(path), key).detach()
        getattr(other.get_submodule(path), key).data.copy_(weight)
    for key, buffer in other.named_buffers():
        buffer.copy_(net.get_buffer(key))
    close(found, out(other.eval(), name))


class _Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


@every_network
@slow
def test_parametrizations(name: str) -> None:
    net, other = fresh(name), fresh(name)
    with torch.no_grad():
        for module in other.modules():
            for parameter in module.parameters(recurse=False):
                parameter.mul_(2)
    for module in list(net.modules()):
        for key, _ in list(module.named_parameters(recurse=False)):
            parametrize.register_parametrization(module, key, _Doubled())
    found, expected = learn(net, name), learn(other, name)
    close(found["scores"], expected["scores"])
    for key, tensor in expected.items():
        head, _, tail = key.rpartition(".")
        parametrized = f"{head}.parametrizations.{tail}.original".removeprefix(".")
        if parametrized in found:
            torch.testing.assert_close(
                found[parametrized], 2 * tensor, rtol=1e-6, atol=1e-8 * float(tensor.abs().max() + 1)
            )
    with parametrize.cached():
        close(out(net.eval(), name), out(other.eval(), name))
    for module in list(net.modules()):
        for key in list(getattr(module, "parametrizations", {})):
            parametrize.remove_parametrizations(module, key)
    close(out(net, name), out(other, name))


@every_network
@slow
def test_orthogonal_matrices(name: str) -> None:
    net = fresh(name)
    for module, key in matrices(net):
        if isinstance(module, nn.Linear) and max(getattr(module, key).shape) <= 64:
            parametrizations.orthogonal(module, key)
    found = learn(net, name)
    assert all(tensor.isfinite().all() for tensor in found.values())


@every_network
@slow
def test_parameters_as_a_vector_and_clipped_gradients(name: str) -> None:
    net, other = fresh(name), fresh(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.5)
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(net.parameters()), other.parameters())
    close(out(other.eval(), name), out(net.eval(), name))
    loss(out(net.train(), name)).backward()
    nn.utils.clip_grad_norm_(net.parameters(), 0.1)
    assert float(nn.utils.get_total_norm([p.grad for p in net.parameters() if p.grad is not None])) < 0.1001
    nn.utils.clip_grad_value_(net.parameters(), 1e-3)
    assert all(
        float(p.grad.abs().max()) <= 1e-3 for p in net.parameters() if p.grad is not None and p.numel()
    )


@every_network
@slow
def test_fused_linear_layers_and_norms(name: str) -> None:
    """Norms out of training folded into the linear layers before them, as for deployment."""
    net = fresh(name).eval()
    expected, folded = out(net, name), 0
    for module in list(net.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        for k in range(len(module) - 1):
            if isinstance(module[k], nn.Linear) and isinstance(module[k + 1], nn.BatchNorm1d):
                module[k] = fusion.fuse_linear_bn_eval(module[k], module[k + 1])
                module[k + 1] = nn.Identity()
                folded += 1
    close(out(net, name), expected)
    assert folded or not any(isinstance(m, nn.BatchNorm1d) for m in net.modules()) or name == "GCNN"


@every_network
@slow
def test_skipped_initialisation(name: str) -> None:
    """Linear layers made without initial values, that then get those of others."""
    net = fresh(name).eval()
    expected = out(net, name)
    for path, module in list(net.named_modules()):
        if type(module) is nn.Linear:
            made = nn.utils.skip_init(
                nn.Linear,
                module.in_features,
                module.out_features,
                bias=module.bias is not None,
                dtype=torch.float64,
            )
            made.load_state_dict(module.state_dict())
            net.set_submodule(path, made)
    close(out(net, name), expected)


# --- other classes ---


class _Lora(nn.Linear):
    """A linear layer with a product of two narrow ones beside it, which begins as 0."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__(base.in_features, base.out_features, base.bias is not None, dtype=base.weight.dtype)
        self.load_state_dict(base.state_dict())
        self.weight.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(2, base.in_features, dtype=base.weight.dtype))
        self.b = nn.Parameter(torch.zeros(base.out_features, 2, dtype=base.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x @ self.a.t() @ self.b.t()


class _Wrapped(nn.Module):
    """Another class that holds the layer, and has nothing that a linear layer has."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.more = nn.Parameter(torch.zeros(base.out_features, base.in_features, dtype=base.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x) + x @ self.more.t()
        return y


@every_network
@slow
@pytest.mark.parametrize("kind", [_Lora, _Wrapped])
def test_replaced_linear_layers(name: str, kind: Any) -> None:
    net = fresh(name)
    expected = out(net.eval(), name)
    replaced = [path for path, m in net.named_modules() if type(m) is nn.Linear and ".tell" not in path]
    for path in replaced:
        net.set_submodule(path, kind(net.get_submodule(path)))
    close(out(net, name), expected)
    found = learn(net, name)
    assert all(found[f"{path}.{'b' if kind is _Lora else 'more'}"].any() for path in replaced)


@every_network
@slow
def test_other_norms(name: str) -> None:
    net = fresh(name)
    for path, module in list(net.named_modules()):
        if type(module) is nn.BatchNorm1d:
            net.set_submodule(path, nn.LayerNorm(module.num_features, dtype=torch.float64))
    found = learn(net, name)
    assert found["scores"].isfinite().all()
    for path, module in list(net.named_modules()):
        if type(module) is nn.LayerNorm:
            net.set_submodule(path, nn.Identity())
    assert out(net, name).isfinite().all()


@every_network
@slow
@pytest.mark.parametrize(
    "settings", [{"momentum": None}, {"track_running_stats": False}, {"affine": False}, {"momentum": 0.7}]
)
def test_settings_of_norms(name: str, settings: dict[str, Any]) -> None:
    """Means over all batches, statistics of the batch alone, no scale: as the same norms when they are called."""
    nets = [fresh(name), fresh(name)]
    for net in nets:
        torch.manual_seed(2)
        for path, module in list(net.named_modules()):
            if type(module) is nn.BatchNorm1d:
                norm = nn.BatchNorm1d(module.num_features, dtype=torch.float64, **settings)
                # At first a point itself lies where ReLU bends: offsets to neighbours that see each other sum to 0.
                for parameter in norm.parameters():
                    nn.init.normal_(parameter)
                net.set_submodule(path, norm)
    for module in nets[0].modules():
        module.register_forward_hook(lambda *_: None)
    for _ in range(2):
        same(learn(nets[1], name), learn(nets[0], name))
    close(out(nets[1].eval(), name), out(nets[0].eval(), name))


@every_network
@slow
def test_dynamic_quantisation(name: str) -> None:
    net = fresh(name, torch.float32).eval()
    expected = out(net, name, torch.float32)
    quantised = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    found = out(quantised, name, torch.float32)
    assert float((found - expected).norm()) < 0.2 * float(expected.norm())
    if any(isinstance(m, nn.Linear) for m in net.modules()):
        assert not any(type(m) is nn.Linear for m in quantised.modules())


@every_network
@slow
def test_training_aware_of_quantisation(name: str) -> None:
    net = fresh(name, torch.float32).train()
    net.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")  # type: ignore[assignment]
    prepared = torch.ao.quantization.prepare_qat(net)
    loss(out(prepared, name, torch.float32)).backward()
    held = [m for m in prepared.modules() if isinstance(m, torch.ao.nn.qat.Linear)]
    assert bool(held) == any(isinstance(m, nn.Linear) for m in fresh(name).modules())
    observed = [
        m for key, m in prepared.named_modules() if hasattr(m, "weight_fake_quant") and ".tell" not in key
    ]
    assert all(m.weight_fake_quant.scale.numel() and m.weight.grad is not None for m in observed)


@every_network
@slow
def test_observers(name: str) -> None:
    net = fresh(name, torch.float32).eval()
    net.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")  # type: ignore[assignment]
    prepared = torch.ao.quantization.prepare(net)
    out(prepared, name, torch.float32)
    observed = {
        key: m
        for key, m in prepared.named_modules()
        if hasattr(m, "activation_post_process") and ".tell" not in key
    }
    assert all(bool(m.activation_post_process.min_val.isfinite().all()) for m in observed.values())


@every_network
@slow
def test_sparsifier(name: str) -> None:
    from torch.ao.pruning import WeightNormSparsifier

    net = fresh(name).eval()
    found = [path for path, m in net.named_modules() if type(m) is nn.Linear and m.out_features > 4]
    if not found:
        pytest.skip("no linear layers")
    sparsifier = WeightNormSparsifier(0.5, (1, 1), 1)
    sparsifier.prepare(net, [{"tensor_fqn": f"{path}.weight"} for path in found])
    sparsifier.step()
    masked = out(net, name)
    sparsifier.squash_mask()
    close(out(net, name), masked)
    assert float((net.get_submodule(found[0]).weight == 0).float().mean()) > 0.2  # type: ignore[operator, union-attr]


# --- norms over processes, averages of weights ---


@every_network
@slow
def test_synchronised_norms(name: str) -> None:
    """In one process they are batch norms."""
    expected = learn(fresh(name), name)
    net = nn.SyncBatchNorm.convert_sync_batchnorm(fresh(name))
    same(learn(net, name), expected)
    close(out(net.eval(), name), out(fresh_after(name), name))


def fresh_after(name: str) -> nn.Module:
    net = fresh(name)
    learn(net, name)
    return net.eval()


@every_network
@slow
def test_averaged_weights_and_new_statistics(name: str) -> None:
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

    net = fresh(name)
    averaged, moving = AveragedModel(net), AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    first = [p.detach().clone() for p in net.parameters()]
    averaged.update_parameters(net)
    moving.update_parameters(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1)
    averaged.update_parameters(net)
    moving.update_parameters(net)
    for a, b, c in zip(averaged.parameters(), first, moving.parameters(), strict=True):
        torch.testing.assert_close(a, b + 0.05)
        torch.testing.assert_close(c, b + 0.05)
    given = NETWORKS[name].arguments(torch.float64)

    class Called(nn.Module):
        """As ``update_bn`` gives a network one argument."""

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, scale: Tensor) -> Tensor:
            y: Tensor = self.inner(given[0] * scale, *given[1:])
            return y

    batches = [torch.tensor(s, dtype=torch.float64) for s in (0.9, 1.0)]
    torch.manual_seed(1)
    update_bn(batches, Called(averaged))
    # Means over the batches, from norms that are called.
    other = copy.deepcopy(averaged)
    for module in other.modules():
        module.register_forward_hook(lambda *_: None)
    torch.manual_seed(1)
    update_bn(batches, Called(other))
    for (key, a), (_, b) in zip(averaged.named_buffers(), other.named_buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=key)
    close(out(averaged.eval(), name), out(other.eval(), name))


# --- torch.utils.checkpoint ---


@every_network
@slow
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint(name: str, reentrant: bool) -> None:
    net, other = fresh(name), fresh(name)
    first, *rest = NETWORKS[name].arguments(torch.float64)
    for each in (net, other):  # running statistics would be updated twice, as torch's are
        each.eval()
    given = first.clone().requires_grad_()
    loss(checkpoint(net, given, *rest, use_reentrant=reentrant)).backward()
    expected = first.clone().requires_grad_()
    loss(other(expected, *rest)).backward()
    torch.testing.assert_close(given.grad, expected.grad, rtol=1e-6, atol=1e-10)
    for (key, a), b in zip(net.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-10, msg=key)


@every_network
@slow
def test_checkpoint_wrappers(name: str) -> None:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import apply_activation_checkpointing

    net = fresh(name)
    # A norm would count its batch twice.
    apply_activation_checkpointing(
        net, check_fn=lambda m: isinstance(m, nn.Linear | nn.ReLU | nn.GELU | nn.LeakyReLU)
    )
    found = {
        key.replace("_checkpoint_wrapped_module.", ""): tensor for key, tensor in learn(net, name).items()
    }
    same(found, learn(fresh(name), name))


# --- torch.func ---


@every_network
@slow
def test_functional_call(name: str) -> None:
    net, other = fresh(name), fresh(name).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.7)
    given = {key: p.detach().requires_grad_() for key, p in other.named_parameters()}
    state = given | {key: b.clone() for key, b in other.named_buffers()}
    y = torch.func.functional_call(net.eval(), state, NETWORKS[name].arguments(torch.float64))
    expected = out(other, name)
    close(y, expected)
    loss(y).backward()
    loss(expected).backward()
    for key, parameter in other.named_parameters():
        torch.testing.assert_close(given[key].grad, parameter.grad, rtol=1e-6, atol=1e-10, msg=key)


@every_network
@slow
def test_ensembles(name: str) -> None:
    """Parameters of several networks stacked, and one network called with each."""
    nets = [fresh(name).eval() for _ in range(3)]
    with torch.no_grad():
        for k, net in enumerate(nets):
            for parameter in net.parameters():
                parameter.mul_(1 - 0.1 * k)
    parameters, buffers = torch.func.stack_module_state(nets)
    base = copy.deepcopy(nets[0]).to("meta")
    arguments = NETWORKS[name].arguments(torch.float64)

    def call(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Any:
        return torch.func.functional_call(base, (parameters, buffers), arguments)

    for k, net in enumerate(nets):
        one = [{key: t[k] for key, t in group.items()} for group in (parameters, buffers)]
        close(call(*one), out(net, name))
    found = torch.func.vmap(call, randomness="same")(parameters, buffers)
    close(found, torch.stack([out(net, name) for net in nets]))


# --- torch.nn.parallel ---


GROUPS: list[Any] = []


@contextmanager
def alone() -> Iterator[None]:
    """A group of processes of this one.

    The group outlives the test: its destructor waits for gloo's threads without giving the interpreter away, and a
    thread that still releases the last sum waits for the interpreter, so that once in some hundred times both stood still.
    """
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    GROUPS.append(torch.distributed.group.WORLD)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


@every_network
@slow
def test_distributed_data_parallel(name: str) -> None:
    expected = learn(fresh(name), name)
    with alone():
        # DeLA has layers for a loss that scores don't need.
        net = nn.parallel.DistributedDataParallel(fresh(name), find_unused_parameters=name.startswith("DeLA"))
        found = learn(net, name)
        again = learn(net, name)
    same({key.removeprefix("module."): tensor for key, tensor in found.items()}, expected)
    assert again["scores"].isfinite().all()


@every_network
@slow
def test_data_parallel(name: str) -> None:
    """Without GPUs the network is called; a replica has tensors where the network has parameters."""
    net = fresh(name).eval()
    expected = out(net, name)
    close(out(nn.DataParallel(net), name), expected)
    replicas = {m: m._replicate_for_data_parallel() for m in net.modules()}
    for module, replica in replicas.items():
        for key, child in module._modules.items():
            setattr(replica, key, None if child is None else replicas[child])
        for key, parameter in module._parameters.items():
            setattr(replica, key, None if parameter is None else parameter * 1)
    found = out(replicas[net], name)
    close(found, expected)
    loss(found).backward()
    assert any(parameter.grad is not None for parameter in net.parameters())


# --- dtypes, devices, copies ---


@every_network
@slow
@pytest.mark.parametrize(
    ("dtype", "share"), [(torch.float16, 0.1), (torch.bfloat16, 0.3), (torch.float32, 1e-3)]
)
def test_dtypes(name: str, dtype: torch.dtype, share: float) -> None:
    net = fresh(name).eval()
    expected = out(net, name)
    found = out(net.to(dtype), name, dtype)
    assert found.dtype == dtype
    assert float((found.double() - expected).norm()) < share * float(expected.norm())
    loss(out(net.train(), name, dtype)).backward()
    assert all(p.grad is None or p.grad.dtype == dtype for p in net.parameters())


@every_network
@slow
def test_default_dtype(name: str) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        net = NETWORKS[name].make()
        assert {
            t.dtype for t in itertools.chain(net.parameters(), net.buffers()) if t.is_floating_point()
        } == {torch.float64}
        found = learn(net, name)
        assert found["scores"].dtype == torch.float64
        close(out(net.float().eval(), name, torch.float32).double(), out(net.double(), name), 1e-3)
    finally:
        torch.set_default_dtype(torch.float32)


@every_network
@slow
@pytest.mark.parametrize("how", ["context", "default"])
def test_made_without_memory(name: str, how: str) -> None:
    net = fresh(name, torch.float32).eval()
    if how == "context":
        with torch.device("meta"):
            made = NETWORKS[name].make()
    else:
        torch.set_default_device("meta")
        try:
            made = NETWORKS[name].make()
        finally:
            torch.set_default_device(None)
    assert {t.device.type for t in itertools.chain(made.parameters(), made.buffers())} == {"meta"}
    empty = copy.deepcopy(made).to_empty(device="cpu")
    empty.load_state_dict(net.state_dict())
    assert torch.equal(out(empty.eval(), name, torch.float32), out(net, name, torch.float32))
    made.load_state_dict(net.state_dict(), assign=True)
    assert torch.equal(out(made.eval(), name, torch.float32), out(net, name, torch.float32))


@every_network
@slow
def test_copies(name: str) -> None:
    net = fresh(name)
    learn(net, name)
    expected = out(net.eval(), name)
    memory = io.BytesIO()
    torch.save(net, memory)
    memory.seek(0)
    copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net)), torch.load(memory, weights_only=False)]
    state = fresh(name)
    with torch.no_grad():
        for parameter in state.parameters():
            parameter.zero_()
    state.load_state_dict(net.state_dict())
    for each in [*copies, state, copy.deepcopy(net).share_memory()]:
        assert torch.equal(out(each.eval(), name), expected)
        assert [key for key, _ in each.named_parameters()] == [key for key, _ in net.named_parameters()]


@every_network
@slow
def test_counted_operations(name: str) -> None:
    """Counters see every layer: they stand on global hooks and on the dispatcher."""
    from torch.utils.flop_counter import FlopCounterMode

    net = fresh(name).eval()
    expected = out(net, name)
    with FlopCounterMode(display=False) as counter:
        found = out(net, name)
    close(found, expected)
    assert counter.get_total_flops() > 0 or not any(isinstance(m, nn.Linear) for m in net.modules())


@every_network
@slow
def test_frozen_parameters(name: str) -> None:
    expected = learn(fresh(name), name)
    for k in range(2):
        net = fresh(name)
        for parameter in list(net.parameters())[k::2]:
            parameter.requires_grad_(False)
        found = learn(net, name)
        same(found, {key: tensor for key, tensor in expected.items() if key in found})
        assert len(found) < len(expected)


@every_network
@slow
def test_saved_tensors_elsewhere(name: str) -> None:
    """What the backward pass reads is packed and unpacked, once for every tensor."""
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t.clone()):
        found = learn(fresh(name), name)
    same(found, learn(fresh(name), name))


@every_network
@slow
def test_sharded_parameters(name: str) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    expected = out(fresh(name).eval(), name)
    with alone():
        mesh = init_device_mesh("cpu", (1,))
        net = fresh(name).eval()
        for module in [m for m in net.modules() if isinstance(m, nn.Linear | nn.BatchNorm1d)]:
            fully_shard(module, mesh=mesh)
        fully_shard(net, mesh=mesh)
        found = out(net, name)
        close(found.detach(), expected)
        loss(found).backward()
        assert any(parameter.grad is not None for parameter in net.parameters())
