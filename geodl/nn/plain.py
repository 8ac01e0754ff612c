"""Whether a layer is exactly the module that a fused path stands for, so that it may be read instead of called."""

from __future__ import annotations

from typing import TypeGuard, TypeVar

from torch import Tensor, nn
from torch.nn.modules import module as registry

Kind = TypeVar("Kind", bound=nn.Module)


def is_plain(module: nn.Module, kind: type[Kind]) -> TypeGuard[Kind]:
    """Whether calling the module does what its class does and nothing else: of this very class, without hooks, its own or global,
    without a forward of its own, not compiled, and without a parameter that is a tensor of another kind.

    What torch's tools do to modules is one of these: parametrisations and quantisation change the class (or that of the weight),
    pruning, the older weight and spectral norms and observers are hooks.
    """
    if (
        type(module) is not kind
        or module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or registry._global_forward_hooks
        or registry._global_forward_pre_hooks
        or registry._global_backward_hooks
        or registry._global_backward_pre_hooks
        or "forward" in module.__dict__
        or module._compiled_call_impl is not None
    ):
        return False
    for tensor in module._parameters.values():
        # One that holds others, such as a quantised or a distributed one, says itself what a product with it is.
        if type(tensor) not in _USUAL and hasattr(type(tensor), "__tensor_flatten__"):
            return False
    return True


_USUAL = (nn.Parameter, Tensor, type(None))


def plain_first(network: nn.Module) -> tuple[nn.Linear | None, list[nn.Module]]:
    """The linear layer that a network begins with and the layers after it; none, if they must be called together."""
    if not is_plain(network, nn.Sequential) or not len(network):
        return None, []
    first, *rest = network
    return (first, rest) if is_plain(first, nn.Linear) else (None, [])
