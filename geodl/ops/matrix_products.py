"""Sums of products of dense matrices in C++, for operators and layers that write their derivative by hand.

Sums run over ascending depth: results depend neither on the number of threads nor on the number of rows, which no BLAS promises.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from geodl.ops.core.dispatch import kernel

# As the enumeration in native/matmul.cpp.
LAST = (None, "relu", "relu_derivative", "tanh_derivative")


def native_sum(
    out: Tensor,
    *terms: tuple[Tensor, Tensor],
    start: Tensor | None = None,
    last: Literal["relu", "relu_derivative", "tanh_derivative"] | None = None,
    units: Tensor | None = None,
) -> Tensor:
    """``out = last(start + a_1 b_1 + a_2 b_2 + ...)``, in float32 or float64 on the CPU.

    Args:
        out: ``[N, M]``, its columns adjacent in memory; it is written and returned.
        terms: at least one ``a [N, D]`` and ``b [D, M]``, of any D and any strides. Many rows are fast where a has adjacent
            columns, few rows and large D where it has adjacent rows.
        start: ``[N, M]``, which may be ``out`` itself; or ``[M]``, for all rows; or nothing.
        last: ReLU, or a factor: the derivative of ReLU or tanh where that has given ``units [N, M]``, its columns adjacent.
    """
    pairs = [(a if 1 in a.stride() else a.contiguous(), b) for a, b in terms]
    operands = [(a.shape[1], a.data_ptr(), *a.stride(), b.data_ptr(), *b.stride()) for a, b in pairs]
    if start is not None and start.stride(-1) != 1:
        start = start.contiguous()
    begin = (0, 0) if start is None else (start.data_ptr(), start.stride(0) if start.dim() == 2 else 0)
    given = (0, 0) if units is None else (units.data_ptr(), units.stride(0))
    kernel("matmul", out.dtype)(
        *out.shape, operands, *begin, out.data_ptr(), out.stride(0), LAST.index(last), *given,
        torch.get_num_threads(),
    )  # fmt: skip
    return out
