"""depthwise_conv: convolution through windows with a filter of one number per window and channel.

    out[i, c] = sum over edges e of row i  (sum over m of w[e, m] filters[m, c])  x[col[e], c]

The number in brackets is made for a few edges at a time and used at once. Primitives, the same in every
backend; ``geodl.ops.triton.depthwise_conv`` holds functions of these names and signatures, where ``windows``
is a :class:`geodl.ops.windows.Windows`:

- ``conv(x, windows, filters) -> [N, C]``
- ``conv_backward(grad, x, windows, filters, need_x, need_weight, need_filters)
  -> (grad_x, grad_weight, grad_filters)``: the adjoint of ``conv``; what is not needed is returned empty.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geodl.ops.backend import addresses, implementation, kernel, new_empty
from geodl.ops.custom_op import custom_op
from geodl.ops.patch_gather import reference_gather, reference_gather_backward
from geodl.ops.windows import Windows, derivatives_of_adjoint, wanted

# --- reference ----------------------------------------------------------------------------------------------


def reference_conv(x: Tensor, windows: Windows, filters: Tensor) -> Tensor:
    return (reference_gather(x, windows, len(filters)) * filters).sum(1)


def reference_conv_backward(
    grad: Tensor,
    x: Tensor,
    windows: Windows,
    filters: Tensor,
    need_x: bool,
    need_weight: bool,
    need_filters: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    grad = grad.unsqueeze(1)
    grad_x, grad_weight = reference_gather_backward(grad * filters, x, windows, need_x, need_weight)
    patches = reference_gather(x, windows, len(filters)) if need_filters else x.new_empty(0)
    return grad_x, grad_weight, (patches * grad).sum(0) if need_filters else patches


# --- native -------------------------------------------------------------------------------------------------


def native_conv(x: Tensor, windows: Windows, filters: Tensor) -> Tensor:
    windows = windows.contiguous()
    return _native_sum(x, windows.rowptr, windows.col, None, windows, filters)


def native_conv_backward(
    grad: Tensor,
    x: Tensor,
    windows: Windows,
    filters: Tensor,
    need_x: bool,
    need_weight: bool,
    need_filters: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    grad, x, windows, filters = grad.contiguous(), x.contiguous(), windows.contiguous(), filters.contiguous()
    _, grad_weight, grad_filters = wanted((x, windows.weight, filters), (False, need_weight, need_filters))
    grad_x = x.new_empty(0)
    if need_x:
        grad_x = _native_sum(grad, *windows.transposed(len(x)), windows, filters)
    if need_weight or need_filters:
        kernel("depthwise_backward", x.dtype)(
            *addresses(windows.rowptr), windows.num_dst,
            *addresses(windows.col, windows.weight, windows.index), windows.weight.shape[1], len(filters),
            x.data_ptr(), *x.shape, *addresses(filters, grad),
            *addresses(grad_weight if need_weight else None, grad_filters if need_filters else None),
            torch.get_num_threads(), len(windows.col),
        )  # fmt: skip
    return grad_x, grad_weight, grad_filters


def _native_sum(
    x: Tensor, rowptr: Tensor, col: Tensor, edge: Tensor | None, windows: Windows, filters: Tensor
) -> Tensor:
    """Over the CSR, or over its transpose, whose k-th edge is ``edge[k]``."""
    if windows.weight.shape[1] == 0:  # a product over no windows, which the kernel would leave unwritten
        return x.new_zeros(len(rowptr) - 1, x.shape[1])
    x, filters = x.contiguous(), filters.contiguous()
    out = new_empty(x, len(rowptr) - 1, x.shape[1])
    kernel("depthwise", x.dtype)(
        *addresses(rowptr), len(rowptr) - 1, *addresses(col, edge, windows.weight, windows.index),
        windows.weight.shape[1], len(filters), x.data_ptr(), *x.shape, *addresses(filters, out),
        torch.get_num_threads(), len(col),
    )  # fmt: skip
    return out


# --- custom ops ---------------------------------------------------------------------------------------------


@custom_op("depthwise_conv")
def depthwise_conv(
    x: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
    weight: Tensor,
    index: Tensor | None,
    filters: Tensor,
) -> Tensor:
    windows = Windows(rowptr, col, t_rowptr, t_row, perm, weight, index)
    out: Tensor = implementation(x, "depthwise_conv", "conv")(x, windows, filters)
    return out


@custom_op("depthwise_conv_backward")
def depthwise_conv_backward(
    grad: Tensor,
    x: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
    weight: Tensor,
    index: Tensor | None,
    filters: Tensor,
    need_x: bool,
    need_weight: bool,
    need_filters: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    windows = Windows(rowptr, col, t_rowptr, t_row, perm, weight, index)
    grads: tuple[Tensor, Tensor, Tensor] = implementation(x, "depthwise_conv", "conv_backward")(
        grad, x, windows, filters, need_x, need_weight, need_filters
    )
    return grads


@depthwise_conv.register_fake
def _(x: Tensor, rowptr: Tensor, *_: Any) -> Tensor:
    return x.new_empty(rowptr.shape[0] - 1, x.shape[1])


@depthwise_conv_backward.register_fake
def _(grad: Tensor, x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    weight, _, filters, *needs = rest[-6:]
    grad_x, grad_weight, grad_filters = wanted((x, weight, filters), tuple(needs))
    return grad_x, grad_weight, grad_filters


# --- derivatives --------------------------------------------------------------------------------------------


def _setup_conv(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate_conv(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needs = [ctx.needs_input_grad[position] for position in (0, 6, 8)]
    grads = depthwise_conv_backward(grad, *ctx.saved_tensors, *needs)
    grad_x, grad_weight, grad_filters = (g if need else None for g, need in zip(grads, needs, strict=True))
    return grad_x, *[None] * 5, grad_weight, None, grad_filters


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.needed = inputs[-3:]
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:-3])


def _differentiate_backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
    grad, x, *windows, filters = ctx.saved_tensors
    grad_grad, grad_x, grad_weight, grad_filters = derivatives_of_adjoint(
        depthwise_conv,
        depthwise_conv_backward,
        grad,
        (x, Windows(*windows), filters),
        tuple(v if need else None for v, need in zip(cotangents, ctx.needed, strict=True)),
        tuple(ctx.needs_input_grad[position] for position in (0, 1, 7, 9)),
    )
    return grad_grad, grad_x, *[None] * 5, grad_weight, None, grad_filters, *[None] * 3


depthwise_conv.register_autograd(_differentiate_conv, setup_context=_setup_conv)
depthwise_conv_backward.register_autograd(_differentiate_backward, setup_context=_setup_backward)
