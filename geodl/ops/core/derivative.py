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
from geodl.ops.core.declaration import Declaration, Item
from geodl.ops.core.dispatch import forced
from geodl.ops.core.operator import Gradients, Operator, total
from geodl.ops.core.plain import write_restore, write_save

__all__ = ["adjoint_operator", "pulled", "pushed", "register"]


def register(
    op: Operator,
    backward: Callable[..., Gradients],
    jvp: Callable[..., Any],
    linear: bool,
    saves: Sequence[str] | None,
) -> Callable[..., Any]:
    """Gives the operator its derivatives; returns the function that plain calls go through."""
    rule = _Rule(op, backward, jvp, linear, saves)
    plain = rule.function(forward=rule.forward, backward=rule.backward)
    op._transformed = rule.function(
        forward=lambda *flat: op._overload(*flat),
        setup_context=rule.setup_flat,
        backward=rule.backward,
        vmap=rule.vmap,
    )
    op._definition.register_autograd(rule.backward, setup_context=rule.setup_flat)
    op._definition.register_vmap(rule.vmap)
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
        self.op, self.derive, self.push = op, backward, jvp
        declaration = op.declaration
        self.count = op.num_differentiable
        keeps: list[str | bool] = [saves is None or item.name in saves for item in declaration.arguments]
        names = [item.name for item in declaration.differentiable]
        for entry in saves or ():
            name, _, reason = entry.partition(" if ")
            if reason:
                keeps[names.index(name)] = f"needs[{names.index(reason)}]"
        for k in range(self.count if linear and self.count > 1 else 0):
            # The derivative by one argument of a linear operator reads all the others.
            others = " or ".join(f"needs[{j}]" for j in range(self.count) if j != k)
            keeps[k] = keeps[k] and f"({others})"
        kept = [saves is not None and item.name in saves for item in declaration.results]
        kept_of = declaration, keeps, kept
        self.save, self.restore = write_save(*kept_of), write_restore(*kept_of)
        results = enumerate(declaration.results)
        self.fillable = tuple(k for k, item in results if item.optional and item.kind == "T")
        self.constant = tuple(k for k, item in enumerate(declaration.results) if item.kind != "T")

    def forward(self, ctx: Any, *inputs: Any) -> Any:
        """A plain call."""
        output = self.op.run(*inputs)
        self.setup(ctx, inputs, output)
        return output

    def setup(self, ctx: Any, inputs: tuple[Any, ...], output: Any, flat: bool = False) -> None:
        outputs = output if type(output) is tuple else (output,)
        if self.constant:
            ctx.mark_non_differentiable(*[out for k in self.constant if (out := outputs[k]) is not None])
        told = outputs
        if flat:
            outputs = self.op.existing(outputs)
        ctx.set_materialize_grads(False)
        ctx.forced = forced.get()
        if forward_ad._current_level >= 0:
            ctx.given = inputs, outputs, told  # for the forward rule, which runs before this call is over
        self.save(ctx, inputs, outputs)

    def setup_flat(self, ctx: Any, inputs: Sequence[Any], output: Any) -> None:
        """After a call with graphs taken apart."""
        self.setup(ctx, tuple(self.op._grouped(inputs)), output, flat=True)

    def backward(self, ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        needs = ctx.needs_input_grad
        if grads[0] is None and all(grad is None for grad in grads):
            return (None,) * len(needs)
        inputs, outputs = self.restore(ctx)
        needed = needs[: self.count]
        if ctx.forced is None:
            found = self.derive(inputs, outputs, grads, needed)
        else:
            token = forced.set(ctx.forced)
            try:
                found = self.derive(inputs, outputs, grads, needed)
            finally:
                forced.reset(token)
        # What is differentiated stands before the graphs, so that grouped and flat arguments begin alike.
        return (*found, *(None,) * (len(needs) - self.count))

    def jvp(self, ctx: Any, *tangents: Tensor | None) -> Any:
        inputs, outputs, told = ctx.given
        inputs = tuple(map(_primal, inputs))
        found = self.push(inputs, tuple(map(_primal, outputs)), tangents[: self.count])
        if len(outputs) == 1:
            return found
        parts = found if isinstance(found, tuple) else (found,)
        parts = (*parts, *(None,) * (len(outputs) - len(parts)))
        # PyTorch wants a tangent of an empty result too.
        return tuple(
            torch.zeros_like(out) if part is None and k in self.fillable and out is not None else part
            for k, (part, out) in enumerate(zip(parts, told, strict=True))
        )

    def vmap(self, info: Any, dims: Sequence[Any], *flat: Any) -> Any:
        """One call an entry of the batch."""
        if info.batch_size == 0:
            raise ValueError(f"{self.op.name} needs at least one entry to map over, not 0")
        entries = [
            self.op._grouped(
                [a.select(d, b) if isinstance(d, int) else a for a, d in zip(flat, dims, strict=True)]
            )
            for b in range(info.batch_size)
        ]
        sliced = [self.op.filled(entry, self.op(*entry)) for entry in entries]
        if isinstance(sliced[0], tuple):
            return tuple(torch.stack(parts) for parts in zip(*sliced, strict=True)), (0,) * len(sliced[0])
        return torch.stack(sliced), 0

    def function(self, **methods: Callable[..., Any]) -> type[torch.autograd.Function]:
        methods["jvp"] = self.jvp
        made = type(
            self.op.name, (torch.autograd.Function,), {name: staticmethod(f) for name, f in methods.items()}
        )
        return cast(type[torch.autograd.Function], made)


def _primal(value: Any) -> Any:
    dual = isinstance(value, Tensor) and forward_ad._current_level >= 0
    return forward_ad.unpack_dual(value).primal if dual else value


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

    def derive(grad: Tensor, *arguments: Any) -> list[Tensor | None]:
        *given, needs = arguments
        needs = [bool(need) and a is not None for need, a in zip(needs, given[:count], strict=True)]
        found = made(grad, *given, needs)
        pairs = zip(found if count > 1 else (found,), needs, strict=True)
        return [by if need else None for by, need in pairs]

    # All arguments are kept: of those that it does not read, it takes the shapes.
    op.differentiable(lambda inputs, outputs, grads, needs: derive(grads[0], *inputs, needs), op.tangent)

    def replaced(
        inputs: Sequence[Any], values: Sequence[Tensor | None], needs: Sequence[bool]
    ) -> list[list[Any]]:
        """The arguments with one of them replaced by a value, by which no derivative is needed then."""
        grad, *given, _ = inputs
        return [
            [grad, *given[:k], value, *given[k + 1 :], [need and j != k for j, need in enumerate(needs)]]
            for k, value in enumerate(values)
            if value is not None
        ]

    def summed(terms: list[list[Any]]) -> list[Tensor | None]:
        found = [derive(*arguments) for arguments in terms if any(arguments[-1])]
        return [total(*parts) for parts in zip(*found, strict=True)] if found else [None] * count

    def backward(inputs: Any, outputs: Any, grads: Gradients, needs: Sequence[bool]) -> Gradients:
        values = [v if needed else None for v, needed in zip(grads, inputs[-1], strict=True)]
        terms = replaced(inputs, values, needs[1:])
        by_grad = total(*(op(*given) for _, *given, _ in terms)) if needs[0] else None
        return by_grad, *summed(terms)

    def jvp(inputs: Any, outputs: Any, tangents: Gradients) -> Any:
        terms = replaced(inputs, tangents[1:], inputs[-1])
        found = summed(terms if tangents[0] is None else [[tangents[0], *inputs[1:]], *terms])
        filled = [
            torch.zeros_like(o) if part is None else part for part, o in zip(found, outputs, strict=True)
        ]
        return tuple(filled) if count > 1 else filled[0]

    made.differentiable(backward, jvp)
    return made


# --- derivatives of compositions: functions of operators that have derivatives themselves ---------------------


def pulled(
    function: Callable[..., Sequence[Tensor | None]], inputs: Sequence[Any], grads: Gradients, count: int
) -> list[Tensor | None]:
    """Gradients of the first ``count`` arguments of ``function(*inputs)``, for those of its results."""
    higher = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, or the gradient by one would also run through what another was made from.
        views = [None if tensor is None else tensor.view_as(tensor) for tensor in inputs[:count]]
        results = function(*views, *inputs[count:])
    pairs = zip(results, grads, strict=True)
    asked = [(r, g) for r, g in pairs if r is not None and g is not None and r.requires_grad]
    leaves = [view for view in views if view is not None and view.requires_grad]
    if not (asked and leaves):
        return [None] * count
    outputs, cotangents = zip(*asked, strict=True)
    found = iter(torch.autograd.grad(outputs, leaves, cotangents, create_graph=higher, allow_unused=True))
    return [next(found) if view is not None and view.requires_grad else None for view in views]


def pushed(
    function: Callable[..., Sequence[Tensor | None]], inputs: Sequence[Any], tangents: Gradients
) -> list[Tensor | None]:
    """Tangents of the results of ``function(*inputs)``, for those of its first arguments."""
    with forward_ad._set_fwd_grad_enabled(True):
        duals = [
            value if tangent is None else forward_ad.make_dual(value, tangent)
            for value, tangent in zip(inputs, tangents, strict=False)
        ]
        results = function(*duals, *inputs[len(duals) :])
        return [None if result is None else forward_ad.unpack_dual(result).tangent for result in results]
