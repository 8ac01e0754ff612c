"""Sizes that only the values will tell: what a layer knows of them nevertheless."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.core import Operator
from geodl.ops.core.declaration import dynamic_size


def at_least(size: int, least: int) -> None:
    """Tells whoever traces what torch's own layers ask of a size; the traced graph checks it when it runs."""
    if torch.compiler.is_compiling():
        torch._check(size >= least)


def of_any_size(x: Tensor, besides: int) -> Tensor:
    """The vector; for whoever traces, one of unknown size, so that a batch of one shape is no graph of its own.

    Args:
        besides: how many more entries than shapes it has: torch 2.6 asks the number of shapes, a size of its own, nothing that it
            can't tell.
    """
    if not torch.compiler.is_compiling():
        return x
    copy: Tensor = _copied(x, besides)[0]
    at_least(copy.shape[0], besides + 1)
    return copy


# Beside the copy something that has the new size itself, or PyTorch would not know where that came from.
_copied = Operator("of_any_size", "; x[N] besides:int -> copy:int[N] shapes:int[M]")


@_copied.reference
def _(x: Tensor, besides: int) -> tuple[Tensor, Tensor]:
    return x.clone(), x[besides:].clone()


@_copied.fake
def _(x: Tensor, besides: int) -> tuple[Tensor, Tensor]:
    size = dynamic_size()
    return x.new_empty(size + besides), x.new_empty(size)
