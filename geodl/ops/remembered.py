"""remembered: what was made of a tensor or a structure, kept for as long as that lives and is not changed.

The one way in which the library remembers. An answer is given again only if neither what it was made of nor itself was changed
since: a tensor counts its changes in place, and its :func:`mark` differs where another was put in its place. Writing past torch,
as through ``tensor.numpy()``, is counted by nobody and not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from geodl.ops.core.watch import transformed

try:
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack as _outside_of_transforms
except ImportError:
    _outside_of_transforms = nullcontext  # type: ignore[assignment]

Made = TypeVar("Made")

# The mark of a tensor of which nobody can tell whether it was changed.
UNMARKED = "unmarked"


@dataclass
class Memory:
    """Answers about something that had this mark, each with its own mark when it was made."""

    mark: tuple[Hashable, ...]
    held: Sequence[Tensor] = ()  # while they live, no other tensor has their id
    answers: dict[Hashable, tuple[Any, Hashable]] = field(default_factory=dict)


class Remembers:
    """An object of tensors that has a memory of its own."""

    _memory: ClassVar[Memory | None] = None
    _traced: ClassVar[dict[Hashable, Any]] = {}

    def tensors(self) -> list[Tensor]:
        """All that it consists of."""
        raise NotImplementedError

    def mark(self) -> tuple[Hashable, ...]:
        return tuple(map(mark, self.tensors()))

    def memory(self) -> Memory:
        """Its memory, a new one after a change."""
        known, now = self._memory, self.mark()
        if known is None or known.mark != now:
            known = vars(self)["_memory"] = Memory(now, self.tensors())
        return known

    def know(self, key: Hashable, answer: Any) -> None:
        """Says what would be made, where that is known already: once it is made, and before anybody asks."""
        if torch.compiler.is_compiling():
            object.__setattr__(self, "_traced", {key: answer})
        else:
            self.memory().answers[key] = answer, mark(answer)


class Shelf(Remembers):
    """The owner of what follows from numbers alone; the last ``size`` answers stay."""

    def __init__(self, size: int) -> None:
        self.size = size

    def tensors(self) -> list[Tensor]:
        return []

    def memory(self) -> Memory:
        known = super().memory()
        if len(known.answers) > self.size:
            del known.answers[next(iter(known.answers))]
        return known


_OF_TENSORS: WeakIdKeyDictionary = WeakIdKeyDictionary()


def remembered(owner: Tensor | Remembers, key: Hashable, make: Callable[[], Made]) -> Made:
    """``make()``, called once for an owner and a key; anew after a change.

    It runs without gradients and outside of inference mode, autocast and transforms, so that the answer serves whoever asks next.
    Nothing is remembered while a graph is traced, nor of a tensor without a mark. What is made of a tensor must not hold it, or
    neither would ever be freed.
    """
    if torch.compiler.is_compiling():
        traced = {} if isinstance(owner, Tensor) else owner._traced
        return cast(Made, traced[key]) if key in traced else make()
    memory = owner.memory() if isinstance(owner, Remembers) else _of_tensor(owner)
    found = memory.answers.get(key)
    if found is None or found[1] != mark(found[0]):
        if UNMARKED in memory.mark:
            return make()
        made = plainly(make, isinstance(owner, Shelf))
        found = memory.answers[key] = made, mark(made)
    return cast(Made, found[0])


class _Beside:
    """An answer of a tensor and of one object beside it, the last that was asked for."""

    # One tuple, so that threads see an answer together with what it is of.
    last: tuple[Memory, Any, Hashable] | None = None


def remembered_beside(owner: Tensor, other: Remembers, key: Hashable, make: Callable[[], Made]) -> Made:
    """``make()``, called once for a tensor and an object beside it (the last that came), and anew after a change of either.

    As of :func:`remembered`. What is made must not hold the tensor.
    """
    memory = other.memory()
    if UNMARKED in memory.mark:
        return make()
    known = remembered(owner, key, _Beside)
    last = known.last
    if last is None or last[0] is not memory or last[2] != mark(last[1]):
        made = plainly(make)
        last = known.last = memory, made, mark(made)
    return cast(Made, last[1])


def plainly(make: Callable[[], Made], anywhere: bool = False) -> Made:
    """``make()`` in no mode; what has no device of its own is on the CPU, whatever device networks are being made on."""
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        if anywhere:
            stack.enter_context(torch.device("cpu"))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if transformed():
            stack.enter_context(_outside_of_transforms())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        return make()


def _of_tensor(tensor: Tensor) -> Memory:
    known: Memory | None = _OF_TENSORS.get(tensor)
    now = (mark(tensor),)
    if known is None or known.mark != now:
        known = _OF_TENSORS[tensor] = Memory(now)
    return known


def mark(value: Any) -> Hashable:
    """What differs once a tensor, an object of tensors or a tuple of them was changed; None for anything else."""
    if isinstance(value, Tensor):
        try:
            return id(value), value._version, value.data_ptr()
        except RuntimeError:  # an inference tensor counts no changes, one that a transform made has no memory
            return UNMARKED
    if type(value) is tuple:
        return tuple(map(mark, value))
    return value.mark() if isinstance(value, Remembers) else None
