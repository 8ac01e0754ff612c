"""Operator: declared once, and from that its schema, fake kernel, checks, dispatch and derivatives.

    gather = Operator("gather", "x[S,C]; graph:csr[N,S,E] -> [E,C]")

    @gather.reference
    def _(x, graph):
        return x[graph.col]

    @gather.native              # C++; `@gather.triton` likewise, in the module of the same name in geodl.ops.triton
    def _(x, graph): ...

    # It is linear in x: its derivatives of every order, forward and reverse, follow from this.
    gather.adjoint(lambda grad, x, graph: edge_sum_by_source(grad, graph))

An operator is called with its arguments in order. On plain tensors, which is the ordinary case, the implementation runs at once,
as an autograd function if a gradient will be asked for; a call that is compiled, traced or intercepted takes that of
``torch.ops.geodl``, one that torch.func transforms the autograd function with all its rules. All have the same functions.

Half precision is computed, and so accumulated, in float32 wherever no kernel of its own does so, and its result rounded once.
Under autocast mixed floating dtypes are promoted to the widest; else they are an error.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, is_grad_enabled
from torch.autograd import forward_ad
from torch.autograd import profiler as _profiler
from torch.compiler import is_compiling

from geodl.ops.core import watch
from geodl.ops.core.csr import CSR
from geodl.ops.core.declaration import Declaration
from geodl.ops.core.dispatch import select
from geodl.ops.core.fitting import promoted, resolved
from geodl.ops.core.plain import FIT, MUST_BE_RESOLVED, PLAIN, WANT_GRADIENT, write_look
from geodl.ops.core.watch import watched

Function = TypeVar("Function", bound=Callable[..., Any])
Gradients = Sequence[Tensor | None]

HALF = frozenset((torch.float16, torch.bfloat16))


class Operator:
    """``torch.ops.geodl.<name>``, declared by a line as :mod:`geodl.ops.core.declaration` reads it.

    Args:
        name: of the operator.
        declaration: its arguments and results.
        results: how many results there are, where the declaration does not say which.
    """

    def __init__(self, name: str, declaration: str | Declaration, results: int | None = None) -> None:
        self.name = name
        self.declaration = Declaration.parse(declaration) if isinstance(declaration, str) else declaration
        items = self.declaration.arguments
        self.num_differentiable = len(self.declaration.differentiable)
        self._module = sys._getframe(1).f_globals["__name__"]
        self._implementations: dict[str, Callable[..., Any]] = {}
        self._look = write_look(self.declaration)
        self._tensors = tuple((k, item.name) for k, item in enumerate(items) if item.is_tensor)
        self._graphs = tuple(k for k, item in enumerate(items) if item.kind == "csr")
        self._lead = self._tensors[0][0] if self._tensors else -1
        self._optional = tuple(k for k, item in enumerate(self.declaration.results) if item.optional)
        self._apply: Callable[..., Any] | None = None
        self.derive: Callable[..., Any]
        self._fake: Callable[..., Any] = self._declared_results
        self._definition = torch.library.custom_op(
            f"geodl::{name}", self._from_library, mutates_args=(), schema=self.declaration.schema(results)
        )
        self._definition.register_fake(self._fake_of)
        self._overload = getattr(torch.ops.geodl, name).default

        self._transformed: Any = None

    # --- what an operator is given ---------------------------------------------------------------------------

    def reference(self, function: Function) -> Function:
        """The definition in PyTorch."""
        self._implementations["reference"] = function
        return function

    def native(self, function: Function) -> Function:
        """C++ on the CPU, for float32 and float64; tensors come contiguous."""
        self._implementations["native"] = function
        return function

    def triton(self, function: Function) -> Function:
        """On a GPU; half precision included."""
        self._implementations["triton"] = function
        return function

    def fake(self, function: Function) -> Function:
        """The results as uninitialised tensors, where the declaration can't say their shapes."""
        self._fake = function
        return function

    def adjoint(self, *partials: Callable[..., Tensor]) -> None:
        """For an operator that is linear in each differentiable argument: for each of these ``partial(grad, *arguments)``.

        It gives the derivative of ``<grad, operator(...)>`` by the argument, made of operators. An argument that no needed
        derivative reads is not kept, and given as None.
        """

        numbered = tuple(enumerate(partials))  # zip costs a small graph as much as a call

        def backward(inputs: Any, outputs: Any, grads: Gradients, needs: Sequence[bool]) -> Gradients:
            return [partial(grads[0], *inputs) if needs[k] else None for k, partial in numbered]

        self.differentiable(backward, self.tangent, linear=True)

    def tangent(
        self, inputs: Sequence[Any], outputs: Sequence[Any], tangents: Sequence[Tensor | None]
    ) -> Tensor | None:
        """The forward rule of an operator that is linear in each differentiable argument."""
        given = enumerate(tangents)
        return total(*(self(*inputs[:k], t, *inputs[k + 1 :]) for k, t in given if t is not None))

    def differentiable(
        self,
        backward: Callable[..., Gradients],
        jvp: Callable[..., Any],
        linear: bool = False,
        saves: Sequence[str] | None = None,
    ) -> None:
        """The derivative of its own.

        Args:
            backward: ``(inputs, outputs, grads, needs)`` to the gradients of the differentiable arguments, None where not
                needed; a gradient of an output that nobody uses is None. Of operators, so that second derivatives exist.
            jvp: ``(inputs, outputs, tangents)`` to the tangent of the result, or a tuple; a tangent may be None.
            linear: the derivative by one argument does not read that argument, which then is not kept.
            saves: names of the arguments and results that backward reads; all arguments, and no result, if not given. "a if b"
                is an argument that only the gradient of b reads.
        """
        from geodl.ops.core.derivative import register

        self._apply = register(self, backward, jvp, linear, saves)
        self.derive = backward

    def composed(self, function: Function) -> Function:
        """Derivatives of every order from ``function(*arguments)``, which makes the same results of operators that have theirs."""
        from geodl.ops.core.derivative import pulled, pushed

        def jvp(inputs: Any, outputs: Any, tangents: Gradients) -> Gradients:
            # PyTorch wants a tangent of every result.
            pairs = zip(pushed(function, inputs, tangents), outputs, strict=True)
            return tuple(torch.zeros_like(o) if t is None and o is not None else t for t, o in pairs)

        self.differentiable(lambda inputs, _, grads, needs: pulled(function, inputs, grads, len(needs)), jvp)
        return function

    # --- calls -----------------------------------------------------------------------------------------------

    def __call__(self, *arguments: Any) -> Any:
        if is_compiling():
            return self._through_library(self._flat(self._promoted(arguments)))
        if watched():
            return self._watched(arguments)
        found = self._look(arguments)
        if found & MUST_BE_RESOLVED:
            arguments = tuple(resolved(self.declaration, arguments))
        return self._plain(found, arguments) if found else self._mended(arguments)

    def _plain(self, found: int, arguments: tuple[Any, ...]) -> Any:
        """A call of checked tensors that nobody looks at."""
        if (found & WANT_GRADIENT and is_grad_enabled()) or forward_ad._current_level >= 0:
            if self._apply is not None:
                return self._apply(*arguments)
        elif not _profiler._is_profiler_enabled:
            return self.run(*arguments)
        # Without a derivative, torch.library says so in the backward pass.
        return self._through_library(self._flat(arguments))

    def _mended(self, arguments: Sequence[Any]) -> Any:
        """A call that does not fit as it is: of tensors that are not plain, of mixed dtypes under autocast, or wrong."""
        tensors = [a for a in self._flat(arguments) if isinstance(a, Tensor)]
        if any(type(tensor) not in PLAIN or watch.wrapped(tensor) for tensor in tensors):
            return self._watched(arguments)
        mended = tuple(resolved(self.declaration, self._promoted(arguments)))
        asked = any(isinstance(a, Tensor) and a.requires_grad for a in mended[: self.num_differentiable])
        return self._plain(WANT_GRADIENT if asked else FIT, mended)

    def _promoted(self, arguments: Sequence[Any]) -> Sequence[Any]:
        """The arguments with one floating dtype under autocast, checked."""
        arguments = promoted(self.declaration, arguments)
        if not torch.compiler.is_compiling():
            self.declaration.bind(arguments)
        return arguments

    def _watched(self, arguments: Sequence[Any]) -> Any:
        """A call that somebody looks at, or of tensors that are not plain."""
        for k, name in self._tensors:
            if arguments[k] is not None and not isinstance(arguments[k], Tensor):
                raise ValueError(f"{name} must be a tensor, not {type(arguments[k]).__name__}")
        arguments = self._promoted(arguments)
        flat = self._flat(arguments)
        wrapped = any(isinstance(a, Tensor) and watch.wrapped(a) for a in flat)
        if self._apply is not None and (wrapped or watch.transformed() or forward_ad._current_level >= 0):
            return self._through_library(flat, self._transformed.apply)
        return self._through_library(flat)

    def _through_library(self, flat: Sequence[Any], call: Callable[..., Any] | None = None) -> Any:
        out = (call or self._overload)(*flat)
        return self.existing(out) if self._optional else out

    def _from_library(self, *flat: Any) -> Any:
        arguments = self._grouped(flat)
        self.declaration.bind(arguments)
        return self.filled(arguments, self.run(*resolved(self.declaration, arguments)))

    def _fake_of(self, *flat: Any) -> Any:
        arguments = self._grouped(flat)
        return self.filled(arguments, self._fake(*arguments))

    def filled(self, arguments: Sequence[Any], out: Any) -> Any:
        """Results as torch.library takes them: empty where there is none."""
        if not self._optional:
            return out
        return tuple(arguments[self._lead].new_empty(0) if part is None else part for part in out)

    def existing(self, outputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Results that torch.library gave: None where there is none."""
        # The number of sizes comes first: compiled, a size may be one that cannot be asked for.
        return tuple(
            None if k in self._optional and part.dim() == 1 and part.shape[0] == 0 else part
            for k, part in enumerate(outputs)
        )

    def run(self, *arguments: Any) -> Any:
        """The implementation alone, for what is made of operators: arguments are checked and lie in plain memory, nobody looks on,
        and no gradient will be asked for."""
        lead = arguments[self._lead]
        backend = select(lead)
        if lead.dtype in HALF and backend != "triton":
            return self._run_half(arguments, lead.dtype)
        found = self._implementations.get(backend) or self._implementation(backend)
        if backend == "native" or not torch.is_autocast_enabled(lead.device.type):  # C++ knows of no autocast
            return found(*arguments)
        with torch.autocast(lead.device.type, enabled=False):
            return found(*arguments)

    def _run_half(self, arguments: Sequence[Any], dtype: torch.dtype) -> Any:
        wide = [a.float() if isinstance(a, Tensor) and a.dtype == dtype else a for a in arguments]
        out = self.run(*wide)
        several = isinstance(out, tuple)
        parts = out if several else (out,)
        # The adjoint of an operator has a result for every argument, all of the operator's dtype.
        kinds = [item.kind for item in self.declaration.results] or ["T"] * len(parts)
        parts = tuple(
            part.to(dtype) if part is not None and kind in ("T", "const") else part
            for part, kind in zip(parts, kinds, strict=True)
        )
        return parts if several else parts[0]

    def _implementation(self, backend: str) -> Callable[..., Any]:
        found = self._implementations.get(backend)
        if found is None:
            module = f"geodl.ops.triton.{self._module.rpartition('.')[2]}"
            if backend == "triton" and importlib.util.find_spec(module) is not None:
                importlib.import_module(module)
            found = self._implementations.get(backend) or self._implementations["reference"]
            self._implementations[backend] = found
        return found

    # --- arguments as torch.library takes them: a graph is six of them -----------------------------------------

    def _flat(self, arguments: Sequence[Any]) -> list[Any]:
        flat: list[Any] = []
        for argument in arguments:
            if isinstance(argument, CSR):
                flat.extend(argument)
            else:
                flat.append(argument)
        return flat

    def _grouped(self, flat: Sequence[Any]) -> list[Any]:
        grouped: list[Any] = []
        position = 0
        for k in range(len(self.declaration.arguments)):
            if k in self._graphs:
                grouped.append(CSR(*flat[position : position + 6]))
                position += 6
            else:
                grouped.append(flat[position])
                position += 1
        return grouped

    def _declared_results(self, *arguments: Any) -> Any:
        results = self.declaration.new_results(arguments)
        return results if len(results) > 1 else results[0]


def total(*terms: Tensor | None) -> Tensor | None:
    """Sum of the terms that exist."""
    present = [term for term in terms if term is not None]
    return sum(present[1:], present[0]) if present else None
