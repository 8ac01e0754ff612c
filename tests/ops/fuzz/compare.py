"""One case: the C++ operator and the reference on the same inputs, forward and first derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geodl.ops import Neighbors, use_backend

from .draw import Draw

Inputs = dict[str, Any]

ROUNDINGS = 64  # of the largest value that is summed


@dataclass(frozen=True)
class Fuzzed:
    """An operator of the table.

    Attributes:
        draw: one case's inputs; floating tensors are differentiated, the rest is structure.
        call: the operator on these inputs; a tensor or several, where None stands for an absent one.
        special: what is asked where the reference is infinite or NaN: "same", or "not finite" where another order of
            operations may make one of the other.
        selects: whether it takes a maximum of values that carry rounding, so that a near tie may be decided either
            way, and with it where the gradient goes.
        exact: whether sums and products of small integers carry none (a Fourier transform does).
        slack: how much more than a sum it may magnify rounding.
        terms: the size of the terms that its derivatives subtract from one another, where they cancel even if no input
            has a sign.
    """

    draw: Callable[[Draw], Inputs]
    call: Callable[..., Any]
    special: str = "same"
    selects: bool = False
    exact: bool = True
    slack: float = 1.0
    terms: Callable[[Inputs], float] = lambda inputs: 0.0


def differences(operator: Fuzzed, seed: str) -> list[str]:
    """What is wrong with the C++ operator in the case of this seed."""
    draw = Draw(seed)
    inputs = operator.draw(draw)
    outcomes = [outcome(operator, inputs, backend) for backend in ("native", "reference")]
    if any(isinstance(outcome, Exception) for outcome in outcomes):
        kinds = [type(outcome).__name__ for outcome in outcomes]
        return [] if kinds[0] == kinds[1] else [f"native: {outcomes[0]!r}, reference: {outcomes[1]!r}"]
    ours, wanted = outcomes
    return unequal(operator, draw, inputs, ours, wanted)


def unequal(
    operator: Fuzzed, draw: Draw, inputs: Inputs, ours: dict[str, Tensor], wanted: dict[str, Tensor]
) -> list[str]:
    """Where two answers to the same inputs differ by more than rounding."""
    names = [name for name in wanted if not torch.equal(ours[name], wanted[name])]
    exact = operator.exact and draw.exact
    if operator.selects and not exact and (draw.tied or draw.dtype == torch.float32):
        names = [name for name in names if not name.startswith("gradient")]
    if not names:
        return []
    magnitudes = {name: _magnitude(value) for name, value in inputs.items()}
    sizes = outcome(operator, magnitudes, "reference", _magnitude)
    found = []
    for name in names:
        expected = wanted[name]
        size = sizes.get(name, expected) if isinstance(sizes, dict) else expected
        if problem := _difference(ours[name], expected, size, operator, operator.terms(inputs)):
            found.append(f"{name}: {problem}")
    return found


def describe(operator: Fuzzed, seed: str) -> str:
    """The inputs of a case, as far as one wants to read them."""
    lines = []
    for name, value in operator.draw(Draw(seed)).items():
        if isinstance(value, Tensor) and value.numel() > 8:
            finite = value[value.isfinite()].double()
            values = f"{finite.amin():.3g} to {finite.amax():.3g}" if finite.numel() else "none finite"
            lines.append(f"  {name}: {list(value.shape)} {value.dtype}, strides {value.stride()}, {values}")
        elif isinstance(value, Neighbors):
            edges = (
                f"rowptr {value.rowptr.tolist()}, col {value.col.tolist()}" if value.num_edges < 20 else "..."
            )
            lines.append(
                f"  {name}: {value.num_dst} rows, {value.num_src} sources, {value.num_edges} edges, {edges}"
            )
        else:
            lines.append(f"  {name}: {value}")
    return "\n".join(lines)


def largest(value: Any) -> float:
    """Of a tensor, the greatest finite absolute value; 1 where there is none."""
    finite = value[value.isfinite()].abs() if isinstance(value, Tensor) else torch.ones(1)
    return float(finite.amax()) if finite.numel() else 1.0


def outcome(
    operator: Fuzzed, inputs: Inputs, backend: str, size: Callable[[Tensor], Tensor] = lambda weights: weights
) -> dict[str, Tensor] | Exception:
    """Outputs and their gradients, each output weighted by fixed numbers, or by a ``size`` of these."""
    leaves = {
        name: value.detach().requires_grad_()
        for name, value in inputs.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    with use_backend(backend):
        try:
            out = operator.call(**{**inputs, **leaves})
        except (ValueError, IndexError, RuntimeError) as error:
            return error
        outs = [out] if isinstance(out, Tensor) else [tensor for tensor in out if tensor is not None]
        found = {f"output {i}": tensor.detach() for i, tensor in enumerate(outs)}
        smooth = [tensor for tensor in outs if tensor.requires_grad]
        if smooth and leaves:
            weights = [size(_weights(tensor)) for tensor in smooth]
            gradients = torch.autograd.grad(smooth, list(leaves.values()), weights, allow_unused=True)
            zeros = (torch.zeros_like(leaf) for leaf in leaves.values())
            found |= {
                f"gradient of {name}": zero if gradient is None else gradient
                for name, gradient, zero in zip(leaves, gradients, zeros, strict=True)
            }
    return found


def _weights(tensor: Tensor) -> Tensor:
    """Of every output a different one, small integers, so that exact cases stay exact."""
    return (torch.arange(tensor.numel()) % 7 - 3).to(tensor).view(tensor.shape)


def _magnitude(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.abs().nan_to_num(0, 0, 0)
    return value


def _difference(
    actual: Tensor, expected: Tensor, size: Tensor, operator: Fuzzed, terms: float = 0.0
) -> str | None:
    if (actual.shape, actual.dtype) != (expected.shape, expected.dtype):
        return f"{list(actual.shape)} {actual.dtype} instead of {list(expected.shape)} {expected.dtype}"
    if not expected.is_floating_point():
        wrong = actual != expected
        return f"{_first(wrong, actual, expected)}" if wrong.any() else None
    finite = expected.isfinite()
    alike = (actual == expected) | (actual.isnan() & expected.isnan())
    if operator.special != "same":
        alike |= ~finite & ~actual.isfinite()
    limits = torch.finfo(expected.dtype)
    scale = max(
        (float(part[part.isfinite()].abs().amax()) for part in (expected, size) if part.isfinite().any()),
        default=0.0,
    )
    scale = max(scale, terms)
    tolerance = ROUNDINGS * operator.slack * (limits.eps * scale + limits.tiny)
    near = finite & ((actual - expected).abs() <= tolerance)
    wrong = ~(alike | near)
    return f"{_first(wrong, actual, expected)} (tolerance {tolerance:.2g})" if wrong.any() else None


def _first(wrong: Tensor, actual: Tensor, expected: Tensor) -> str:
    place = tuple(wrong.nonzero()[0].tolist())
    return (
        f"{int(wrong.sum())} of {wrong.numel()} differ, first at {place}: "
        f"{actual[place].item()!r} instead of {expected[place].item()!r}"
    )
