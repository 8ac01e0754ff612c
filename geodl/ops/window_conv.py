"""window_conv: convolution through windows with rotated filters, which patch_conv and polar_conv are made of.

Windows lie on rings x rays, and all T = rotations turns of the filter are applied:

    out[i, t, c'] = sum over r, a, c of  D[i, r, (a + t * rays / T) mod rays, c] filters[r, a, c, c'],   D = patch_gather(x)

Primitives, the same in every backend (``geodl.ops.triton.window_conv`` holds functions of these names and signatures).
``windows`` stands for ``rowptr, col, t_rowptr, t_row, perm, weight, index``; the transpose is None where x needs no gradient:

- ``forward(x, *windows, filters, rotations) -> [N, T, C']``
- ``forward_max(x, *windows, filters, rotations) -> (values [N, C'], selection [N, C'] int16)``: the maximum over rotations and
  which one it is, the lowest of equals; a NaN is the greatest.
- ``forward_at(x, *windows, filters, rotations, selection) -> [N, C']``: the value at a given rotation.
- ``backward(grad, x, *windows, filters, rotations, selection, need_x, need_weight, need_filters)
  -> (grad_x, grad_weight, grad_filters)``: adjoint of ``forward_at``, or of ``forward`` where ``selection`` is None; what is
  not needed is returned empty.

With the selection held fixed the operator f(x, w, F) is linear in each of its three arguments, so these primitives are
closed under differentiation, to any order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geodl.ops.patch_gather import reference_backward as gather_backward
from geodl.ops.patch_gather import reference_forward as gather_forward
from geodl.ops.windows import total


def reference_forward(x: Tensor, *rest: Any) -> Tensor:
    *windows, filters, rotations = rest
    rings, rays, channels, out_channels = filters.shape
    patches = _patches(x, windows, filters)
    rotated = _rotate(filters, rotations).reshape(rotations, rings * rays * channels, out_channels)
    return torch.einsum("nk,tko->nto", patches, rotated)


def reference_forward_max(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    values, selection = reference_forward(x, *rest).max(dim=1)
    return values, selection.to(torch.int16)


def reference_forward_at(x: Tensor, *rest: Any) -> Tensor:
    *arguments, selection = rest
    return reference_forward(x, *arguments).gather(1, selection.long().unsqueeze(1)).squeeze(1)


def reference_backward(grad: Tensor, x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    *windows, filters, rotations, selection, need_x, need_weight, need_filters = rest
    rowptr, col, *_, weight, index = windows
    rings, rays, channels, out_channels = filters.shape
    if selection is not None:
        grad = x.new_zeros(grad.shape[0], rotations, out_channels).scatter_(
            1, selection.long().unsqueeze(1), grad.unsqueeze(1)
        )
    grad_x, grad_weight, grad_filters = (x.new_empty(0) for _ in range(3))
    if need_filters:
        patches = _patches(x, windows, filters)
        rotated = torch.einsum("nk,nto->tko", patches, grad).view(
            rotations, rings, rays, channels, out_channels
        )
        step = rays // rotations
        grad_filters = torch.stack([rotated[t].roll(-t * step, dims=1) for t in range(rotations)]).sum(0)
    if need_x or need_weight:
        rotated = _rotate(filters, rotations).reshape(rotations, rings * rays * channels, out_channels)
        seen = torch.einsum("nto,tko->nk", grad, rotated).view(grad.shape[0], rings * rays, channels)
        grad_x, grad_weight = gather_backward(seen, x, rowptr, col, weight, index, need_x, need_weight)
    return grad_x, grad_weight, grad_filters


def _patches(x: Tensor, windows: list[Any], filters: Tensor) -> Tensor:
    """patch_gather, flat: [N, rings * rays * C]."""
    rowptr, col, *_, weight, index = windows
    return gather_forward(x, rowptr, col, weight, index, filters.shape[0] * filters.shape[1]).flatten(1)


def _rotate(filters: Tensor, rotations: int) -> Tensor:
    """All turns of the filters, [T, rings, rays, C, C']: turn t reads ray a + t * rays / T where the first reads ray a."""
    step = filters.shape[1] // rotations
    return torch.stack([filters.roll(t * step, dims=1) for t in range(rotations)])


@torch.library.custom_op("geodl::window_conv", mutates_args=())
def window_conv(
    x: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
    weight: Tensor,
    index: Tensor | None,
    filters: Tensor,
    rotations: int,
    selection: Tensor | None,
) -> Tensor:
    windows = rowptr, col, t_rowptr, t_row, perm, weight, index
    if selection is None:
        return reference_forward(x, *windows, filters, rotations)
    return reference_forward_at(x, *windows, filters, rotations, selection)


@torch.library.custom_op("geodl::window_conv_max", mutates_args=())
def window_conv_max(
    x: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
    weight: Tensor,
    index: Tensor | None,
    filters: Tensor,
    rotations: int,
) -> tuple[Tensor, Tensor]:
    return reference_forward_max(x, rowptr, col, t_rowptr, t_row, perm, weight, index, filters, rotations)


@torch.library.custom_op("geodl::window_conv_backward", mutates_args=())
def window_conv_backward(
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
    rotations: int,
    selection: Tensor | None,
    need_x: bool,
    need_weight: bool,
    need_filters: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    windows = rowptr, col, t_rowptr, t_row, perm, weight, index
    needs = need_x, need_weight, need_filters
    return reference_backward(grad, x, *windows, filters, rotations, selection, *needs)


@window_conv.register_fake
def _(x: Tensor, rowptr: Tensor, *rest: Any) -> Tensor:
    filters, rotations, selection = rest[-3:]
    points, out_channels = rowptr.shape[0] - 1, filters.shape[-1]
    return x.new_empty((points, rotations, out_channels) if selection is None else (points, out_channels))


@window_conv_max.register_fake
def _(x: Tensor, rowptr: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    values = x.new_empty(rowptr.shape[0] - 1, rest[-2].shape[-1])
    return values, torch.empty_like(values, dtype=torch.int16)


@window_conv_backward.register_fake
def _(grad: Tensor, x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    weight, _, filters, _, _, *needs = rest[-8:]
    tensors = zip((x, weight, filters), needs, strict=True)
    grad_x, grad_weight, grad_filters = (x.new_empty(t.shape if need else 0) for t, need in tensors)
    return grad_x, grad_weight, grad_filters


def _setup_conv(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.rotations, selection = inputs
    ctx.save_for_backward(*tensors, selection)


def _setup_max(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.rotations = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, output[1])


def _differentiate_conv(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    *tensors, selection = ctx.saved_tensors
    needs = [ctx.needs_input_grad[position] for position in (0, 6, 8)]
    grads = window_conv_backward(grad, *tensors, ctx.rotations, selection, *needs)
    grad_x, grad_weight, grad_filters = (g if need else None for g, need in zip(grads, needs, strict=True))
    return grad_x, *[None] * 5, grad_weight, None, grad_filters, None, None


def _differentiate_max(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    return _differentiate_conv(ctx, grad)[:-1]


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.rotations, selection, _, _, _ = inputs
    ctx.needed = inputs[-3:]
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, selection)


def _differentiate_backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
    # f(x, w, F) is trilinear and the backward b its adjoint, so with v the gradients of b's three results
    # <v, b(g, x, w, F)> = <g, f(vx, w, F)> + <g, f(x, vw, F)> + <g, f(x, w, vF)>: f and b with one argument replaced.
    grad, x, *edges, weight, index, filters, selection = ctx.saved_tensors
    need_grad, need_x, need_weight, need_filters = (
        ctx.needs_input_grad[position] for position in (0, 1, 7, 9)
    )
    vx, vweight, vfilters = (v if need else None for v, need in zip(cotangents, ctx.needed, strict=True))
    grad_grad = grad_x = grad_weight = grad_filters = None
    for replaced, x_, weight_, filters_ in (
        (vx, vx, weight, filters),
        (vweight, x, vweight, filters),
        (vfilters, x, weight, vfilters),
    ):
        if replaced is None:
            continue
        arguments = x_, *edges, weight_, index, filters_, ctx.rotations, selection
        needs = need_x and x_ is x, need_weight and weight_ is weight, need_filters and filters_ is filters
        if need_grad:
            grad_grad = total(grad_grad, window_conv(*arguments))
        if any(needs):
            grads = window_conv_backward(grad, *arguments, *needs)
            grad_x = total(grad_x, grads[0] if needs[0] else None)
            grad_weight = total(grad_weight, grads[1] if needs[1] else None)
            grad_filters = total(grad_filters, grads[2] if needs[2] else None)
    return grad_grad, grad_x, *[None] * 5, grad_weight, None, grad_filters, *[None] * 5


window_conv.register_autograd(_differentiate_conv, setup_context=_setup_conv)
window_conv_max.register_autograd(_differentiate_max, setup_context=_setup_max)
window_conv_backward.register_autograd(_differentiate_backward, setup_context=_setup_backward)
