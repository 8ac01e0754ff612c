"""patch_gather: a signal read through the windows of every neighbourhood.

Primitives, the same in every backend; ``geodl.ops.triton.patch_gather`` holds functions of these names and
signatures, where ``windows`` is a :class:`geodl.ops.windows.Windows`:

- ``gather(x, windows, num_windows) -> [N, M, C]``
- ``gather_backward(grad, x, windows, need_x, need_weight) -> (grad_x, grad_weight)``, the adjoint of
  ``gather``; what is not needed is returned empty.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geodl.ops.backend import addresses, implementation, in_huge_pages, kernel, new_empty
from geodl.ops.custom_op import custom_op
from geodl.ops.neighbors import Neighbors, check_like, check_signal
from geodl.ops.windows import (
    Windows,
    check_index,
    check_windows,
    total,
    wanted,
    windows_for,
)

__all__ = ["patch_gather"]


def patch_gather(
    x: Tensor,
    neighbors: Neighbors,
    weight: Tensor,
    index: Tensor | None = None,
    num_windows: int | None = None,
) -> Tensor:
    r"""Patch operator: reads a signal through M windows around every point.

    .. math:: D_m x(i) = \sum_{e \in N(i)} w_m(e) \, x_{j(e)}

    where :math:`w_m(e)` is ``weight[e, m]``, or in the sparse form the sum of those ``weight[e, s]`` whose
    ``index[e, s]`` is m. Results are bitwise equal from run to run, for any number of threads.

    Args:
        x: signal ``[num_src, C]``, floating point.
        neighbors: which sources each of the N points reads.
        weight: ``[E, M]``, or ``[E, S]`` in the sparse form, in CSR order and of the dtype of ``x``.
        index: None, or ``[E, S]`` int64 in ``[0, num_windows)``: the windows that see the edge.
        num_windows: M; needed with ``index``.

    Returns:
        ``[N, M, C]``; zero for a point without neighbours. Differentiable in ``x`` and ``weight``, to any
        order.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit.
        IndexError: a window outside ``[0, num_windows)``.

    Masci et al., "Geodesic convolutional neural networks on Riemannian manifolds", 2015, eq. 7; Monti et al.,
    "Geometric deep learning on graphs and manifolds using mixture model CNNs", 2017, eq. 9.
    """
    num_windows = check_windows(neighbors, weight, index, num_windows)
    check_signal(x, neighbors)
    check_like(x, "weight", weight)
    out: Tensor = _gather(x, *windows_for(x, neighbors, weight, index), num_windows)
    return out


# --- reference ----------------------------------------------------------------------------------------------


def reference_gather(x: Tensor, windows: Windows, num_windows: int) -> Tensor:
    check_index(windows.index, num_windows)
    out = x.new_zeros(windows.num_dst * num_windows, x.shape[1])
    for weight, slot in zip(windows.weight.T, windows.slots(num_windows), strict=True):
        out.index_add_(0, slot, weight[:, None] * x[windows.col])
    return out.view(windows.num_dst, num_windows, x.shape[1])


def reference_gather_backward(
    grad: Tensor, x: Tensor, windows: Windows, need_x: bool, need_weight: bool
) -> tuple[Tensor, Tensor]:
    grad_x, grad_weight = wanted((x, windows.weight), (need_x, need_weight))
    grad_x.zero_()
    flat = grad.flatten(0, 1)
    for s, slot in enumerate(windows.slots(grad.shape[1])):
        if need_x:
            grad_x.index_add_(0, windows.col, windows.weight[:, s, None] * flat[slot])
        if need_weight:
            grad_weight[:, s] = (x[windows.col] * flat[slot]).sum(1)
    return grad_x, grad_weight


# --- native -------------------------------------------------------------------------------------------------


def native_gather(x: Tensor, windows: Windows, num_windows: int) -> Tensor:
    x, windows = x.contiguous(), windows.contiguous()
    out = new_empty(x, windows.num_dst, num_windows, x.shape[1])
    kernel("patch_gather", x.dtype)(
        *addresses(windows.rowptr), windows.num_dst, *addresses(windows.col, windows.weight, windows.index),
        windows.weight.shape[1], num_windows, x.data_ptr(), *x.shape, out.data_ptr(),
        torch.get_num_threads(), len(windows.col),
    )  # fmt: skip
    return out


def native_gather_backward(
    grad: Tensor, x: Tensor, windows: Windows, need_x: bool, need_weight: bool
) -> tuple[Tensor, Tensor]:
    grad, x, windows = grad.contiguous(), x.contiguous(), windows.contiguous()
    grad_x, grad_weight = map(in_huge_pages, wanted((x, windows.weight), (need_x, need_weight)))
    kernel("patch_gather_backward", x.dtype)(
        *addresses(windows.rowptr), windows.num_dst, *addresses(windows.col, windows.weight, windows.index),
        windows.weight.shape[1], grad.shape[1], x.data_ptr(), *x.shape, grad.data_ptr(),
        *addresses(grad_x if need_x else None, grad_weight if need_weight else None),
        torch.get_num_threads(), len(windows.col),
    )  # fmt: skip
    return grad_x, grad_weight


# --- custom ops ---------------------------------------------------------------------------------------------


@custom_op("patch_gather")
def _gather(
    x: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
    weight: Tensor,
    index: Tensor | None,
    num_windows: int,
) -> Tensor:
    windows = Windows(rowptr, col, t_rowptr, t_row, perm, weight, index)
    out: Tensor = implementation(x, "patch_gather", "gather")(x, windows, num_windows)
    return out


@custom_op("patch_gather_backward")
def _gather_backward(
    grad: Tensor,
    x: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
    weight: Tensor,
    index: Tensor | None,
    need_x: bool,
    need_weight: bool,
) -> tuple[Tensor, Tensor]:
    windows = Windows(rowptr, col, t_rowptr, t_row, perm, weight, index)
    grads: tuple[Tensor, Tensor] = implementation(x, "patch_gather", "gather_backward")(
        grad, x, windows, need_x, need_weight
    )
    return grads


@_gather.register_fake
def _(x: Tensor, rowptr: Tensor, *rest: Any) -> Tensor:
    return x.new_empty(rowptr.shape[0] - 1, rest[-1], x.shape[1])


@_gather_backward.register_fake
def _(grad: Tensor, x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    weight, _, *needs = rest[-4:]
    grad_x, grad_weight = wanted((x, weight), tuple(needs))
    return grad_x, grad_weight


# --- derivatives --------------------------------------------------------------------------------------------


def _setup_gather(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.num_windows = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_gather(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, *tensors = ctx.saved_tensors
    need_x, need_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[6]
    grad_x, grad_weight = _gather_backward(grad, x, *tensors, need_x, need_weight)
    return grad_x if need_x else None, *[None] * 5, grad_weight if need_weight else None, None, None


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.need_x, ctx.need_weight = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors)


def _differentiate_backward(ctx: Any, vx: Tensor | None, vweight: Tensor | None) -> tuple[Tensor | None, ...]:
    # The operator f(x, w) is bilinear and its backward b the adjoint, so with v the gradients of b's two
    # results <v, b(g, x, w)> = <g, f(vx, w)> + <g, f(x, vw)>: its gradients are f and b with one argument
    # replaced.
    grad, x, *tensors = ctx.saved_tensors
    windows = Windows(*tensors)
    need_grad, need_x, need_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.needs_input_grad[7]
    grad_grad = grad_x = grad_weight = None
    if vx is not None and ctx.need_x:
        if need_grad:
            grad_grad = _gather(vx, *windows, grad.shape[1])
        if need_weight:
            grad_weight = _gather_backward(grad, vx, *windows, False, True)[1]
    if vweight is not None and ctx.need_weight:
        windows = windows._replace(weight=vweight)
        if need_grad:
            grad_grad = total(grad_grad, _gather(x, *windows, grad.shape[1]))
        if need_x:
            grad_x = _gather_backward(grad, x, *windows, True, False)[0]
    return grad_grad, grad_x, *[None] * 5, grad_weight, None, None, None


_gather.register_autograd(_differentiate_gather, setup_context=_setup_gather)
_gather_backward.register_autograd(_differentiate_backward, setup_context=_setup_backward)
