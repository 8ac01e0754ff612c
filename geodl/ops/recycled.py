"""recycled: memory for what every training step leaves to its backward pass and the next step will leave again."""

from __future__ import annotations

import math
import threading
import weakref

import torch
from torch import Tensor

from geodl.ops.core.memory import in_huge_pages


class Recycled:
    """Large memory that is handed out again as soon as no tensor lies in it any more.

    The allocator gives it back to the system and takes it anew in every step, and that may cost as much as what is computed there.
    Here it is held until this object is gone or :meth:`release` is called. Copies and pickles of the object begin without memory.
    """

    def __init__(self) -> None:
        self._free: list[Tensor] = []
        self._lock = threading.Lock()  # two threads must not be handed the same

    def __reduce__(self) -> tuple[type[Recycled], tuple[()]]:
        return Recycled, ()

    def empty(self, like: Tensor, *shape: int) -> Tensor:
        """A tensor on the CPU, of this shape and of the dtype of another."""
        size = math.prod(shape) * like.element_size()
        with self._lock:
            fitting = [memory for memory in self._free if memory.nbytes >= size]
            memory = min(fitting, key=lambda memory: memory.nbytes) if fitting else None
            # All of it, if all was too small.
            self._free = [other for other in self._free if other is not memory] if fitting else []
        if memory is None:
            memory = in_huge_pages(torch.empty(size, dtype=torch.uint8))
        # An array that dies with the last tensor that lies in it.
        array = memory.numpy()[:size]
        weakref.finalize(array, self._give_back, memory).atexit = False
        return torch.from_numpy(array).view(like.dtype).view(shape)

    def release(self) -> None:
        """Frees what no tensor lies in."""
        self._free = []

    def _give_back(self, memory: Tensor) -> None:
        self._free.append(memory)
