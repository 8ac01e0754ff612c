"""Derivatives of operators: what PyTorch's autograd, forward mode, torch.func and torch.library each want to be told.

An operator states one backward rule and one forward rule. Here they become a function of autograd for plain calls, the same with
rules for torch.func (which takes graphs apart into tensors), and what torch.library registers for compiled programs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from geodl.ops.core import watch
from geodl.ops.core.csr import CSR
from geodl.ops.core.declaration import Declaration, Item
from geodl.ops.core.dispatch import forced
from geodl.ops.core.operator import Gradients, Operator, total

__all__ = ["adjoint_operator", "register"]


def register(
    op: Operator,
    backward: Callable[..., Gradients],
    jvp: Callable[..., Any],
    linear: bool,
    saves: Sequence[str] | None,
) -> Callable[..., Any]:
    """Gives the operator its derivatives; returns the function that plain calls go through."""
    rule = _Rule(op, backward, jvp, linear, saves)
    plain = rule.function(op._grouped_run, grouped=True)
    op._transformed = rule.function(lambda *flat: op._overload(*flat), grouped=False)
    op._definition.register_autograd(
        lambda ctx, *grads: rule.backward(ctx, grads, grouped=False),
        setup_context=lambda ctx, inputs, output: rule.save(ctx, inputs, output, grouped=False),
    )
    op._definition.register_vmap(lambda info, dims, *flat: rule.vmap(info, dims, flat))
    return watch.applier(plain)


class _Rule:
    def __init__(
        self,
        op: Operator,
        backward: Callable[..., Gradients],
        jvp: Callable[..., Any],
        linear: bool,
        saves: Sequence[str] | None,
    ) -> None:
        self.op, self.derive, self.push, self.linear = op, backward, jvp, linear
        arguments, results = op.declaration.arguments, op.declaration.results
        self.count = op.num_differentiable
        self.keeps = tuple(saves is None or item.name in saves or not item.is_tensor for item in arguments)
        self.keeps_results = tuple(saves is not None and item.name in saves for item in results)
        # The adjoint of an operator has a result an argument and declares none.
        self.constant = tuple(k for k, item in enumerate(results) if item.kind != "T")

    def save(self, ctx: Any, inputs: Sequence[Any], output: Any, grouped: bool) -> None:
        if not grouped:
            inputs = self.op._grouped(inputs)
        outputs = output if isinstance(output, tuple) else (output,)
        if self.constant:
            ctx.mark_non_differentiable(*(outputs[k] for k in self.constant))
        ctx.set_materialize_grads(False)
        ctx.forced = forced.get()
        needs = ctx.needs_input_grad[: self.count]
        if forward_ad._current_level >= 0 or watch.transformed():
            ctx.given = tuple(inputs), outputs  # for the forward rule, which runs before this call is over
        several = sum(needs) > 1
        tensors: list[Tensor | None] = []
        plan: list[
            Any
        ] = []  # what each argument is: a tensor, a graph with its number of sources, or a value
        for k, value in enumerate(inputs):
            if isinstance(value, Tensor):
                # The derivative by one argument of a linear operator reads all the others.
                unread = self.linear and k < self.count and needs[k] and not several
                tensors.append(_plain_of(value) if self.keeps[k] and not unread else None)
                plan.append(_TENSOR)
            elif isinstance(value, CSR):
                tensors.extend(
                    None if part is None else _plain_of(part) for part in (value[0], value[1], *value[3:])
                )
                plan.append(_Graph(value.num_src))
            else:
                plan.append(value)
        tensors.extend(
            value if keep else None for value, keep in zip(outputs, self.keeps_results, strict=False)
        )
        ctx.plan = plan
        ctx.save_for_backward(*tensors)

    def saved(self, ctx: Any) -> tuple[list[Any], tuple[Any, ...]]:
        tensors = ctx.saved_tensors
        inputs: list[Any] = []
        at = 0
        for value in ctx.plan:
            if value is _TENSOR:
                inputs.append(tensors[at])
                at += 1
            elif type(value) is _Graph:
                rowptr, col, t_rowptr, t_row, perm = tensors[at : at + 5]
                inputs.append(CSR(rowptr, col, value.num_src, t_rowptr, t_row, perm))
                at += 5
            else:
                inputs.append(value)
        return inputs, tensors[at:]

    def backward(self, ctx: Any, grads: Gradients, grouped: bool) -> tuple[Tensor | None, ...]:
        arguments = len(ctx.needs_input_grad)
        if all(grad is None for grad in grads):
            return (None,) * arguments
        inputs, outputs = self.saved(ctx)
        needs = ctx.needs_input_grad[: self.count]
        token = forced.set(ctx.forced) if ctx.forced is not None else None
        try:
            found = self.derive(tuple(inputs), outputs, grads, needs)
        finally:
            if token is not None:
                forced.reset(token)
        # A graph stands behind what is differentiated, so that both forms begin alike.
        return (
            *(by if need else None for by, need in zip(found, needs, strict=True)),
            *(None,) * (arguments - self.count),
        )

    def jvp(self, ctx: Any, tangents: Sequence[Any]) -> Any:
        inputs, outputs = ctx.given
        inputs = tuple(map(_primal, inputs))
        found = self.push(inputs, tuple(map(_primal, outputs)), [t for t in tangents[: self.count]])
        if len(outputs) == 1:
            return found
        parts = found if isinstance(found, tuple) else (found,)
        return (*parts, *(None,) * (len(outputs) - len(parts)))

    def vmap(self, info: Any, dims: Sequence[Any], flat: Sequence[Any]) -> Any:
        """One call an entry of the batch."""
        sliced = [
            self.op(
                *self.op._grouped(
                    [a.select(d, b) if isinstance(d, int) else a for a, d in zip(flat, dims, strict=True)]
                )
            )
            for b in range(info.batch_size)
        ]
        if isinstance(sliced[0], tuple):
            return tuple(torch.stack(parts) for parts in zip(*sliced, strict=True)), (0,) * len(sliced[0])
        return torch.stack(sliced), 0

    def function(self, run: Callable[..., Any], grouped: bool) -> type[torch.autograd.Function]:
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            self.save(ctx, inputs, output, grouped)

        methods: dict[str, Callable[..., Any]] = {
            "forward": run,
            "setup_context": setup_context,
            "backward": lambda ctx, *grads: self.backward(ctx, grads, grouped),
            "jvp": lambda ctx, *tangents: self.jvp(ctx, tangents),
            "vmap": lambda info, dims, *flat: self.vmap(info, dims, flat),
        }
        made = type(
            self.op.name, (torch.autograd.Function,), {name: staticmethod(f) for name, f in methods.items()}
        )
        return cast(type[torch.autograd.Function], made)


class _Graph:
    """Stands for a graph among what is saved."""

    def __init__(self, num_src: int) -> None:
        self.num_src = num_src


_TENSOR = object()


def _plain_of(tensor: Tensor) -> Tensor:
    """The tensor, or a copy that autograd may keep where it was made in inference mode."""
    return tensor.clone() if tensor.is_inference() and not torch.is_inference_mode_enabled() else tensor


def _primal(value: Any) -> Any:
    return (
        forward_ad.unpack_dual(value).primal
        if isinstance(value, Tensor) and forward_ad._current_level >= 0
        else value
    )


def adjoint_operator(op: Operator, name: str) -> Operator:
    """The adjoint of an operator that is linear in each differentiable argument, as an operator that backends implement.

    ``adjoint(grad, *arguments, needs)`` gives the derivative of ``<grad, op(...)>`` by every differentiable argument; those that
    are not needed, and those of arguments that are None, are empty. With it ``op`` has its derivatives, and the adjoint its own:
    with f the operator, b the adjoint and v the cotangents of b's results,

        <v, b(g, a)> = sum over k of <g, f(a with a_k replaced by v_k)>,

    so that each derivative is f or b with one argument replaced.
    """
    count = op.num_differentiable
    line = op.declaration
    grad = Item("grad", "T", line.results[0].sizes, False)
    needs_item = Item("needs", "bools", None, False)
    declaration = Declaration((grad, *line.differentiable), (*line.structure, needs_item), ())
    made = Operator(name, declaration, results=count)

    @made.fake
    def _(grad: Tensor, *arguments: Any) -> Any:
        *given, needs = arguments
        found = tuple(
            grad.new_empty(a.shape if need and a is not None else (0,))
            for a, need in zip(given[:count], needs, strict=True)
        )
        return found if count > 1 else found[0]

    @op.adjoint
    def _(grad: Tensor, *arguments: Any) -> Gradients:
        *given, needs = arguments
        needs = [bool(need) and a is not None for need, a in zip(needs, given[:count], strict=True)]
        found = made(grad, *given, needs)
        return found if count > 1 else (found,)

    def replaced(given: Sequence[Any], k: int, value: Tensor) -> list[Any]:
        return [*given[:k], value, *given[k + 1 :]]

    def backward(
        inputs: tuple[Any, ...], outputs: tuple[Any, ...], grads: Gradients, needs: Sequence[bool]
    ) -> Gradients:
        grad, *given, needed = inputs
        by_grad: Tensor | None = None
        by_given: list[Tensor | None] = [None] * count
        for k, v in enumerate(grads):
            if v is None or not needed[k]:
                continue
            arguments = replaced(given, k, v)
            if needs[0]:
                by_grad = total(by_grad, op(*arguments))
            wanted = [need and j != k for j, need in enumerate(needs[1:])]
            if any(wanted):
                found = made(grad, *arguments, wanted)
                found = found if count > 1 else (found,)
                by_given = [
                    total(old, new) if want else old
                    for old, new, want in zip(by_given, found, wanted, strict=True)
                ]
        return (by_grad, *by_given)

    def jvp(inputs: tuple[Any, ...], outputs: tuple[Any, ...], tangents: Gradients) -> Any:
        grad, *given, needed = inputs
        terms: list[tuple[Tensor, list[Any], list[bool]]] = []
        if tangents[0] is not None:
            terms.append((tangents[0], given, list(needed)))
        for k, tangent in enumerate(tangents[1:]):
            if tangent is not None:
                terms.append(
                    (grad, replaced(given, k, tangent), [need and j != k for j, need in enumerate(needed)])
                )
        found: list[Tensor | None] = [None] * count
        for g, arguments, wanted in terms:
            if any(wanted):
                parts = made(g, *arguments, wanted)
                parts = parts if count > 1 else (parts,)
                found = [
                    total(old, new) if want else old
                    for old, new, want in zip(found, parts, wanted, strict=True)
                ]
        filled = tuple(
            torch.zeros_like(out) if part is None else part for part, out in zip(found, outputs, strict=True)
        )
        return filled if count > 1 else filled[0]

    made.differentiable(backward, jvp)
    return made
