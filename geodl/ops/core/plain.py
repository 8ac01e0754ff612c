"""What a plain call does before and after the implementation, prepared once for every declaration.

A call on plain tensors must cost microseconds, so that nothing is looked up in a declaration then. Arguments are looked at in
C++, and two functions are written, which keep them for the backward pass and take them up again there. C++ knows no reasons:
:meth:`Declaration.bind` walks over the arguments again and names what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from geodl.ops.core.csr import CSR, Known
from geodl.ops.core.declaration import FIXED, Declaration, Item
from geodl.ops.core.dispatch import native

PLAIN = frozenset((Tensor, Parameter))

# What C++ answers about arguments, together; 0 if one does not fit, or nobody can tell.
FIT, WANT_GRADIENT, MUST_BE_RESOLVED = 1, 2, 4

# Kinds of arguments in native/arguments.cpp.
_OTHER, _COUNT, _GRAPH, _TENSOR = range(4)

if native is not None:
    native.know_torch(torch, CSR, Known)


def write_look(declaration: Declaration) -> Callable[[tuple[Any, ...]], int]:
    """``look(arguments)``: whether they are plain tensors that fit, in memory that kernels can read or must get, and whether a
    gradient may be asked for."""
    if native is None:
        return lambda arguments: 0
    variables: dict[str, int] = {}
    look: Callable[[tuple[Any, ...]], int] = native.Arguments(
        [
            _described(item, k < len(declaration.differentiable), variables)
            for k, item in enumerate(declaration.arguments)
        ]
    ).look
    return look


def _described(item: Item, differentiable: bool, variables: dict[str, int]) -> tuple[Any, ...]:
    kind = _TENSOR if item.is_tensor else {"csr": _GRAPH, "int": _COUNT}.get(item.kind, _OTHER)
    names = item.sizes or ((item.name,) if kind == _COUNT else ())
    sizes = [_size(size, variables) for size in names if size != "..."]
    integer, wide = item.kind.startswith("int"), item.kind == "acc"
    return kind, item.optional, differentiable, FIXED.get(item.kind), integer, wide, sizes, "..." in names


def _size(size: str, variables: dict[str, int]) -> tuple[int, int, int]:
    """The number of its variable, a factor and a summand; of a number, no variable."""
    if size.isdigit():
        return -1, 1, int(size)
    name, sign, number = re.split(r"([+*])", size) if re.search(r"[+*]", size) else (size, "+", "0")
    variable = variables.setdefault(name, len(variables))
    return (variable, 1, int(number)) if sign == "+" else (variable, int(number), 0)


def _function(name: str, parameters: str, lines: list[str]) -> Callable[..., Any]:
    scope: dict[str, Any] = {"Known": Known}
    exec(f"def {name}({parameters}):\n    " + "\n    ".join(lines), scope)
    found: Callable[..., Any] = scope[name]
    return found


def write_save(
    declaration: Declaration, keeps: list[str | bool], kept_results: list[bool]
) -> Callable[..., None]:
    """``save(ctx, inputs, outputs)``: keeps what the backward pass reads.

    Args:
        keeps: for every argument whether it is kept, or a condition in terms of ``needs``.
        kept_results: the same for every result.
    """
    names = [f"a{position}" for position in range(len(declaration.arguments))]
    tensors: list[str] = []
    values: list[str] = []
    for item, name, keep in zip(declaration.arguments, names, keeps, strict=True):
        if item.kind == "csr":
            tensors += [f"{name}[{part}]" for part in (0, 1, 3, 4, 5)]
            values.append(f"{name}[2]")
        elif item.is_tensor:
            tensors += [f"{name} if {keep} else None" if isinstance(keep, str) else name] if keep else []
        else:
            values.append(name)
    tensors += [f"outputs[{k}]" for k, keep in enumerate(kept_results) if keep]
    lines = [
        f"{', '.join(names)}, = inputs",
        *(["needs = ctx.needs_input_grad"] if any(isinstance(keep, str) for keep in keeps) else []),
        f"ctx.values = ({''.join(f'{value}, ' for value in values)})",
        f"ctx.save_for_backward({', '.join(tensors)})",
    ]
    return _function("save", "ctx, inputs, outputs", lines)


def write_restore(
    declaration: Declaration, keeps: list[str | bool], kept_results: list[bool]
) -> Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """``restore(ctx)``: the inputs, None where they were not kept, and the kept results."""
    inputs: list[str] = []
    tensors = values = 0
    for item, keep in zip(declaration.arguments, keeps, strict=True):
        if item.kind == "csr":
            t = tensors
            inputs.append(f"Known(t[{t}], t[{t + 1}], v[{values}], t[{t + 2}], t[{t + 3}], t[{t + 4}])")
            tensors, values = tensors + 5, values + 1
        elif item.is_tensor:
            inputs.append(f"t[{tensors}]" if keep else "None")
            tensors += bool(keep)
        else:
            inputs.append(f"v[{values}]")
            values += 1
    outputs = [f"t[{tensors + k}]" for k in range(sum(kept_results))]
    lines = [
        "t, v = ctx.saved_tensors, ctx.values",
        f"return ({', '.join(inputs)},), ({''.join(f'{output}, ' for output in outputs)})",
    ]
    return _function("restore", "ctx", lines)
