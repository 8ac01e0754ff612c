"""Who looks on when an operator is called: transforms, tracers, modes, profilers.

The one place that reads what PyTorch keeps in ``torch._C``. Where a version of PyTorch has no such function any more, every call
counts as watched, and operators take the long way through torch.library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

try:
    from torch._C import (
        _get_tracing_state,
        _len_torch_dispatch_stack,
        _len_torch_function_stack,
    )
    from torch._C._functorch import is_functorch_wrapped_tensor, is_legacy_batchedtensor

    _transforms: Callable[[], bool] = torch._C._are_functorch_transforms_active
    # Function.apply looks for transforms and default arguments first, which takes longer than a small operator.
    _apply: Callable[..., Any] = super(torch.autograd.Function, torch.autograd.Function).apply
    KNOWN = True
except (ImportError, AttributeError):
    KNOWN = False


def watched() -> bool:
    """Whether calls are traced, transformed or intercepted."""
    if not KNOWN:
        return True
    return bool(
        _len_torch_dispatch_stack()
        or _len_torch_function_stack()
        or _transforms()
        or _get_tracing_state() is not None
    )


def transformed() -> bool:
    """Whether a transform of torch.func is at work."""
    return not KNOWN or _transforms()


def wrapped(tensor: torch.Tensor) -> bool:
    """Whether a transform of torch.func stands around the tensor, also one that has ended, or a batch of gradients."""
    return KNOWN and (is_functorch_wrapped_tensor(tensor) or is_legacy_batchedtensor(tensor))


def constant(tensor: torch.Tensor) -> bool:
    """Whether nobody takes derivatives by the tensor, so that what is made of it may be kept."""
    watched_level = getattr(torch.autograd.forward_ad, "_current_level", 0) >= 0  # a tangent may ride along
    return not (torch.compiler.is_compiling() or tensor.requires_grad or wrapped(tensor) or watched_level)


def applier(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """``function.apply``, for calls that nobody watches."""
    return super(torch.autograd.Function, function).apply if KNOWN else function.apply  # type: ignore[misc]
