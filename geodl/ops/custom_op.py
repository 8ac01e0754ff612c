"""custom_op: PyTorch functions as operators of torch.library, without its price where nothing looks on.

An operator that torch.library knows can be compiled, exported, traced and transformed. A call of it passes through the
dispatcher twice and through several layers of Python, which on small graphs takes longer than the operator. Where nobody
is there to see the call, which is the ordinary one on plain tensors, the function runs at once, as an autograd function
if a gradient will be asked for. Both ways have the same function and the same derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Parameter

PLAIN = frozenset((Tensor, Parameter))
_wrapped = torch._C._functorch.is_functorch_wrapped_tensor  # also what is left of a transform that has ended


class CustomOp:
    """The operator ``torch.ops.geodl.<name>``; its function takes its arguments by position and mutates none."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._definition = torch.library.custom_op(f"geodl::{name}", function, mutates_args=())
        self._overload = getattr(torch.ops.geodl, name).default
        self._name, self._function = name, function
        self._differentiable: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        if torch.compiler.is_compiling() or _watched():
            return self._overload(*arguments)
        differentiate = False
        for argument in arguments:
            if type(argument) in PLAIN and not _wrapped(argument):
                differentiate = differentiate or argument.requires_grad
            elif isinstance(argument, Tensor):
                return self._overload(*arguments)
        if not (differentiate and torch.is_grad_enabled()):
            return self._function(*arguments)
        return (self._differentiable or self._overload)(*arguments)

    def register_fake(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The shapes and dtypes of the results, from those of the arguments."""
        self._definition.register_fake(function)
        return function

    def register_autograd(self, backward: Callable[..., Any], setup_context: Callable[..., Any]) -> None:
        """The derivative: ``setup_context(ctx, inputs, output)`` and ``backward(ctx, *gradients)``, as PyTorch has them."""
        self._definition.register_autograd(backward, setup_context=setup_context)
        function = self._function

        def forward(ctx: Any, *arguments: Any) -> Any:
            output = function(*arguments)
            setup_context(ctx, arguments, output)
            return output

        methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
        made = cast(type[torch.autograd.Function], type(self._name, (torch.autograd.Function,), methods))
        # Function.apply looks for transforms first, which is done here already.
        self._differentiable = super(torch.autograd.Function, made).apply  # type: ignore[misc]


def custom_op(name: str) -> Callable[[Callable[..., Any]], CustomOp]:
    """Decorates the function that is the operator ``torch.ops.geodl.<name>``."""
    return lambda function: CustomOp(name, function)


def _watched() -> bool:
    """Whether calls are traced, transformed or intercepted."""
    return bool(
        torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state() is not None
    )
