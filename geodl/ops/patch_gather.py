"""patch_gather: a signal read through the windows of every neighbourhood.

Primitives, the same in every backend (``geodl.ops.triton.patch_gather`` holds functions of these names and signatures):

- ``forward(x, rowptr, col, weight, index, num_windows) -> [N, M, C]``
- ``backward(grad, x, rowptr, col, t_rowptr, t_row, perm, weight, index, need_x, need_weight) -> (grad_x, grad_weight)``;
  what is not needed is returned empty.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geodl.ops.neighbors import Neighbors
from geodl.ops.windows import check_index, check_signal, check_windows, slots, total, transpose_for

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

    where :math:`w_m(e)` is ``weight[e, m]``, or in the sparse form the sum of those ``weight[e, s]`` whose ``index[e, s]``
    is m.

    Args:
        x: signal ``[num_src, C]``, float32 or float64.
        neighbors: which sources each of the N points reads.
        weight: ``[E, M]``, or ``[E, S]`` in the sparse form, of the dtype of ``x``.
        index: None, or ``[E, S]`` int64 in ``[0, num_windows)``: the windows that see the edge.
        num_windows: M; needed with ``index``.

    Returns:
        ``[N, M, C]``; zero for a point without neighbours. Differentiable in ``x`` and ``weight``, twice too.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit.
        IndexError: a window outside ``[0, num_windows)``.

    Masci et al., "Geodesic convolutional neural networks on Riemannian manifolds", 2015, eq. 7; Monti et al., "Geometric
    deep learning on graphs and manifolds using mixture model CNNs", 2017, eq. 9.
    """
    num_windows = check_windows(neighbors, weight, index, num_windows)
    check_signal(x, neighbors, weight)
    transpose = transpose_for(x, neighbors)
    out: Tensor = _forward(x, neighbors.rowptr, neighbors.col, *transpose, weight, index, num_windows)
    return out


def reference_forward(
    x: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor, index: Tensor | None, num_windows: int
) -> Tensor:
    check_index(index, num_windows)
    out = x.new_zeros((rowptr.numel() - 1) * num_windows, x.shape[1])
    for s, slot in enumerate(slots(rowptr, weight, index, num_windows)):
        out.index_add_(0, slot, weight[:, s, None] * x[col])
    return out.view(rowptr.numel() - 1, num_windows, x.shape[1])


def reference_backward(
    grad: Tensor,
    x: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    index: Tensor | None,
    need_x: bool,
    need_weight: bool,
) -> tuple[Tensor, Tensor]:
    grad_x = torch.zeros_like(x) if need_x else x.new_empty(0)
    grad_weight = torch.empty_like(weight) if need_weight else x.new_empty(0)
    seen = grad.reshape(grad.shape[0] * grad.shape[1], grad.shape[2])
    for s, slot in enumerate(slots(rowptr, weight, index, grad.shape[1])):
        if need_x:
            grad_x.index_add_(0, col, weight[:, s, None] * seen[slot])
        if need_weight:
            grad_weight[:, s] = (x[col] * seen[slot]).sum(1)
    return grad_x, grad_weight


@torch.library.custom_op("geodl::patch_gather", mutates_args=())
def _forward(
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
    return reference_forward(x, rowptr, col, weight, index, num_windows)


@_forward.register_fake
def _(x: Tensor, rowptr: Tensor, *rest: Any) -> Tensor:
    return x.new_empty(rowptr.shape[0] - 1, rest[-1], x.shape[1])


@torch.library.custom_op("geodl::patch_gather_backward", mutates_args=())
def _backward(
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
    return reference_backward(grad, x, rowptr, col, weight, index, need_x, need_weight)


@_backward.register_fake
def _(grad: Tensor, x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    weight, _, need_x, need_weight = rest[-4:]
    return x.new_empty(x.shape if need_x else 0), x.new_empty(weight.shape if need_weight else 0)


def _setup_forward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.num_windows = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_forward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, *edges, weight, index = ctx.saved_tensors
    need_x, need_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[6]
    grad_x, grad_weight = _backward(grad, x, *edges, weight, index, need_x, need_weight)
    return grad_x if need_x else None, *[None] * 5, grad_weight if need_weight else None, None, None


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.need_x, ctx.need_weight = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors)


def _differentiate_backward(ctx: Any, vx: Tensor | None, vweight: Tensor | None) -> tuple[Tensor | None, ...]:
    # The operator f(x, w) is bilinear and its backward b is its adjoint, so with v the gradients of b's two results
    # <v, b(g, x, w)> = <g, f(vx, w)> + <g, f(x, vw)>, whose gradients are f and b again with one argument replaced.
    grad, x, *edges, weight, index = ctx.saved_tensors
    need_grad, need_x, need_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[1], ctx.needs_input_grad[7]
    vx, vweight = (vx if ctx.need_x else None), (vweight if ctx.need_weight else None)
    grad_grad = grad_x = grad_weight = None
    if vx is not None:
        if need_grad:
            grad_grad = _forward(vx, *edges, weight, index, grad.shape[1])
        if need_weight:
            grad_weight = _backward(grad, vx, *edges, weight, index, False, True)[1]
    if vweight is not None:
        if need_grad:
            grad_grad = total(grad_grad, _forward(x, *edges, vweight, index, grad.shape[1]))
        if need_x:
            grad_x = _backward(grad, x, *edges, vweight, index, True, False)[0]
    return grad_grad, grad_x, *[None] * 5, grad_weight, None, None, None


_forward.register_autograd(_differentiate_forward, setup_context=_setup_forward)
_backward.register_autograd(_differentiate_backward, setup_context=_setup_backward)
