"""What a case of the conformance suite is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from geodl.ops import Neighbors

Inputs = dict[str, Tensor]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One operator.

    Attributes:
        name: name of the case in the report of pytest.
        inputs: ``(neighbors, channels, dtype) -> name -> tensor``, drawn from the global generator. Floating
            tensors are differentiated; integer tensors are structure (such as the index of sparse windows).
        call: the operator under test, ``(neighbors, inputs) -> Tensor``.
        oracle: the same in float64 NumPy by loops over rows and edges, ``(rowptr, col, inputs) -> array``,
            written from the equation and not from the implementation.
        shared: names of inputs that all shapes of a batch have in common (filters); the others are
            concatenated.
        channels: channel counts to run; primes, so that no block size divides them, and 0.
        operator: stem of the module under geodl/ops/triton/ that holds the operator; without it Triton is
            skipped.
        local: whether a row depends on what it reads alone, and so on no other shape of its batch; statistics
            over all edges, as a norm takes them, do.
        blas: its reference multiplies matrices by BLAS, which sums in an order that depends on sizes and threads.
        heavy: whether Triton's interpreter takes minutes over its derivatives: it then runs the first alone.
        variant: whether another case has the same kernels and formulas: its derivatives are checked in the slow tier.
    """

    name: str
    inputs: Callable[[Neighbors, int, torch.dtype], Inputs]
    call: Callable[[Neighbors, Inputs], Tensor]
    oracle: Callable[[np.ndarray, np.ndarray, Arrays], np.ndarray]
    operator: str
    shared: tuple[str, ...] = ()
    channels: tuple[int, ...] = (0, 1, 3, 17, 33, 64, 130)
    local: bool = True
    blas: bool = False
    heavy: bool = False
    variant: bool = False
