"""Fitting: what a function that is made of operators is given, checked and mended as operators do it, before it reads anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from geodl.ops.core.csr import CSR
from geodl.ops.core.declaration import Declaration
from geodl.ops.core.memory import require_memory, resolve
from geodl.ops.core.plain import MUST_BE_RESOLVED, write_look

__all__ = ["Fitting", "promoted", "resolved"]


class Fitting:
    """``fitting(*arguments)`` gives the arguments of a declared line in memory that kernels and PyTorch can read.

    Raises:
        ValueError: an argument that does not fit the line, named.
    """

    def __init__(self, line: str) -> None:
        self.declaration = Declaration.parse(line)
        self._look = write_look(self.declaration)

    def __call__(self, *arguments: Any) -> Sequence[Any]:
        arguments = (*promoted(self.declaration, arguments),)
        if torch.compiler.is_compiling():
            return arguments
        found = self._look(arguments)
        if not found:
            self.declaration.bind(arguments)
            tensors = zip(self.declaration.arguments, arguments, strict=True)
            require_memory(**{item.name: a for item, a in tensors if isinstance(a, Tensor)})
        if found & MUST_BE_RESOLVED:
            return resolved(self.declaration, arguments)
        return arguments


def resolved(declaration: Declaration, arguments: Sequence[Any]) -> list[Any]:
    """The arguments in memory that kernels can read."""
    pairs = zip(declaration.arguments, arguments, strict=True)
    return [
        a.resolved() if isinstance(a, CSR) else resolve(a, item.name) if isinstance(a, Tensor) else a
        for item, a in pairs
    ]


def promoted(declaration: Declaration, arguments: Sequence[Any]) -> Sequence[Any]:
    """The arguments with one floating dtype under autocast: the widest of theirs, float32 at least."""
    device = "cpu"
    for argument in arguments:  # Dynamo of torch 2.6 knows no next() with a default
        if isinstance(argument, Tensor):
            device = argument.device.type
            break
    if device not in ("cpu", "cuda") or not torch.is_autocast_enabled(device):
        return arguments
    given = [
        k
        for k, item in enumerate(declaration.arguments)
        if item.kind in ("T", "const") and arguments[k] is not None
    ]
    dtypes = {arguments[k].dtype for k in given if arguments[k].is_floating_point()}
    if len(dtypes) < 2:
        return arguments
    widest = torch.float64 if torch.float64 in dtypes else torch.float32
    return [a.to(widest) if k in given else a for k, a in enumerate(arguments)]
