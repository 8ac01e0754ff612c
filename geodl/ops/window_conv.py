"""window_conv: convolution through windows with rotated filters, which patch_conv and polar_conv are made of.

The windows lie on rings x rays, and all T = ``rotations`` turns of the filter are applied:

    out[i, t, c'] = sum over r, a, c of  D[i, r, (a + t * rays / T) mod rays, c] filters[r, a, c, c']

with D = patch_gather(x). Primitives, the same in every backend; ``geodl.ops.triton.window_conv`` holds
functions of these names and signatures, where ``windows`` is a :class:`geodl.ops.windows.Windows` and filters
are [rings, rays, C, C']:

- ``conv(x, windows, filters, rotations) -> [N, T, C']``
- ``conv_max(x, windows, filters, rotations) -> (values [N, C'], selection [N, C'] int16)``: the maximum over
  rotations, and which one attains it, the lowest if several do; a NaN is greater than all.
- ``conv_at(x, windows, filters, rotations, selection) -> [N, C']``: the value at a given rotation.
- ``conv_backward(grad, x, windows, filters, rotations, selection, need_x, need_weight, need_filters)
  -> (grad_x, grad_weight, grad_filters)``: the adjoint of ``conv_at``, or of ``conv`` where ``selection`` is
  None; what is not needed is returned empty.

With the selection held fixed the operator f(x, w, F) is linear in each of its three arguments, so these
primitives are closed under differentiation, to any order.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from geodl.ops.backend import addresses, implementation, in_huge_pages, kernel, new_empty
from geodl.ops.custom_op import custom_op
from geodl.ops.patch_gather import reference_gather, reference_gather_backward
from geodl.ops.windows import Windows, derivatives_of_adjoint, wanted

# --- reference ----------------------------------------------------------------------------------------------


def reference_conv(x: Tensor, windows: Windows, filters: Tensor, rotations: int) -> Tensor:
    rings, rays = filters.shape[:2]
    patches = reference_gather(x, windows, rings * rays).flatten(1)
    return torch.stack([patches @ turned for turned in _turned(filters, rotations)], dim=1)


def reference_conv_max(x: Tensor, windows: Windows, filters: Tensor, rotations: int) -> tuple[Tensor, Tensor]:
    values, selection = reference_conv(x, windows, filters, rotations).max(dim=1)
    return values, selection.to(torch.int16)


def reference_conv_at(
    x: Tensor, windows: Windows, filters: Tensor, rotations: int, selection: Tensor
) -> Tensor:
    return reference_conv(x, windows, filters, rotations).gather(1, selection.long().unsqueeze(1)).squeeze(1)


def reference_conv_backward(
    grad: Tensor,
    x: Tensor,
    windows: Windows,
    filters: Tensor,
    rotations: int,
    selection: Tensor | None,
    need_x: bool,
    need_weight: bool,
    need_filters: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    rings, rays, channels, out_channels = filters.shape
    grad_x, grad_weight, grad_filters = (x.new_empty(0) for _ in range(3))
    if selection is not None:
        everywhere = grad.new_zeros(len(grad), rotations, out_channels)
        grad = everywhere.scatter_(1, selection.long().unsqueeze(1), grad.unsqueeze(1))
    if need_filters:
        patches = reference_gather(x, windows, rings * rays).flatten(1)
        grad_filters = torch.zeros_like(filters)
        for t in range(rotations):
            turned = (patches.T @ grad[:, t]).view(filters.shape)
            grad_filters += turned.roll(-t * (rays // rotations), dims=1)
    if need_x or need_weight:
        patch_grad = grad.new_zeros(len(grad), rings * rays * channels)
        for t, turned in enumerate(_turned(filters, rotations)):
            patch_grad += grad[:, t] @ turned.T
        patch_grad = patch_grad.view(len(grad), rings * rays, channels)
        grad_x, grad_weight = reference_gather_backward(patch_grad, x, windows, need_x, need_weight)
    return grad_x, grad_weight, grad_filters


def _turned(filters: Tensor, rotations: int) -> list[Tensor]:
    """Every turn of the filters, ``[rings * rays * C, C']``: turn t moves ray a to a + t * rays / T."""
    step = filters.shape[1] // rotations
    return [filters.roll(t * step, dims=1).flatten(0, 2) for t in range(rotations)]


# --- native -------------------------------------------------------------------------------------------------


class _Pool(IntEnum):
    """The enumeration of this name in native/polar.cpp."""

    NONE = 0
    MAXIMUM = 1
    GIVEN = 2


def native_conv(x: Tensor, windows: Windows, filters: Tensor, rotations: int) -> Tensor:
    return _native_conv(x, windows, filters, rotations, _Pool.NONE, None)


def native_conv_max(x: Tensor, windows: Windows, filters: Tensor, rotations: int) -> tuple[Tensor, Tensor]:
    selection = x.new_empty(windows.num_dst, filters.shape[-1], dtype=torch.int16)
    return _native_conv(x, windows, filters, rotations, _Pool.MAXIMUM, selection), selection


def native_conv_at(x: Tensor, windows: Windows, filters: Tensor, rotations: int, selection: Tensor) -> Tensor:
    return _native_conv(x, windows, filters, rotations, _Pool.GIVEN, selection.contiguous())


def _native_conv(
    x: Tensor, windows: Windows, filters: Tensor, rotations: int, pool: _Pool, selection: Tensor | None
) -> Tensor:
    x, windows, filters = x.contiguous(), windows.contiguous(), filters.contiguous()
    rings, rays, _, out_channels = filters.shape
    out = new_empty(x, windows.num_dst, *([rotations] if pool is _Pool.NONE else []), out_channels)
    kernel("window_conv", x.dtype)(
        *addresses(windows.rowptr), windows.num_dst, *addresses(windows.col, windows.weight, windows.index),
        windows.weight.shape[1], x.data_ptr(), *x.shape, filters.data_ptr(), rings, rays, out_channels,
        rotations, int(pool), *addresses(out, selection), torch.get_num_threads(), len(windows.col),
    )  # fmt: skip
    return out


def native_conv_backward(
    grad: Tensor,
    x: Tensor,
    windows: Windows,
    filters: Tensor,
    rotations: int,
    selection: Tensor | None,
    *needs: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    grad, x, windows, filters = grad.contiguous(), x.contiguous(), windows.contiguous(), filters.contiguous()
    selection = None if selection is None else selection.contiguous()
    rings, rays, _, out_channels = filters.shape
    grads = list(map(in_huge_pages, wanted((x, windows.weight, filters), needs)))
    results = [result if need else None for result, need in zip(grads, needs, strict=True)]
    kernel("window_conv_backward", x.dtype)(
        *addresses(windows.rowptr), windows.num_dst, *addresses(windows.col, windows.weight, windows.index),
        windows.weight.shape[1], x.data_ptr(), *x.shape, filters.data_ptr(), rings, rays, out_channels,
        rotations, *addresses(grad, selection, *results), torch.get_num_threads(), len(windows.col),
    )  # fmt: skip
    grad_x, grad_weight, grad_filters = grads
    return grad_x, grad_weight, grad_filters


# --- custom ops ---------------------------------------------------------------------------------------------


@custom_op("window_conv")
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
    """``conv``, or ``conv_at`` where there is a selection."""
    windows = Windows(rowptr, col, t_rowptr, t_row, perm, weight, index)
    if selection is None:
        out: Tensor = implementation(x, "window_conv", "conv")(x, windows, filters, rotations)
    else:
        out = implementation(x, "window_conv", "conv_at")(x, windows, filters, rotations, selection)
    return out


@custom_op("window_conv_max")
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
    windows = Windows(rowptr, col, t_rowptr, t_row, perm, weight, index)
    out: tuple[Tensor, Tensor] = implementation(x, "window_conv", "conv_max")(x, windows, filters, rotations)
    return out


@custom_op("window_conv_backward")
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
    windows = Windows(rowptr, col, t_rowptr, t_row, perm, weight, index)
    grads: tuple[Tensor, Tensor, Tensor] = implementation(x, "window_conv", "conv_backward")(
        grad, x, windows, filters, rotations, selection, need_x, need_weight, need_filters
    )
    return grads


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
    grad_x, grad_weight, grad_filters = wanted((x, weight, filters), tuple(needs))
    return grad_x, grad_weight, grad_filters


# --- derivatives --------------------------------------------------------------------------------------------


def _setup_conv(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.rotations, selection = inputs
    ctx.save_for_backward(*tensors, selection)


def _setup_max(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.rotations = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, output[1])


def _differentiate_conv(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, selection = ctx.saved_tensors
    needs = [ctx.needs_input_grad[position] for position in (0, 6, 8)]
    grads = window_conv_backward(grad, *tensors, ctx.rotations, selection, *needs)
    grad_x, grad_weight, grad_filters = (g if need else None for g, need in zip(grads, needs, strict=True))
    return grad_x, *[None] * 5, grad_weight, None, grad_filters, None, None


def _differentiate_max(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    return _differentiate_conv(ctx, grad)[:-1]


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.rotations, selection, _, _, _ = inputs
    ctx.needed = inputs[-3:]
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, selection)


def _differentiate_backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
    grad, x, *tensors, filters, selection = ctx.saved_tensors
    grad_grad, grad_x, grad_weight, grad_filters = derivatives_of_adjoint(
        lambda *given: window_conv(*given, ctx.rotations, selection),
        lambda *given: window_conv_backward(*given[:-3], ctx.rotations, selection, *given[-3:]),
        grad,
        (x, Windows(*tensors), filters),
        tuple(v if need else None for v, need in zip(cotangents, ctx.needed, strict=True)),
        tuple(ctx.needs_input_grad[position] for position in (0, 1, 7, 9)),
    )
    return grad_grad, grad_x, *[None] * 5, grad_weight, None, grad_filters, *[None] * 5


window_conv.register_autograd(_differentiate_conv, setup_context=_setup_conv)
window_conv_max.register_autograd(_differentiate_max, setup_context=_setup_max)
window_conv_backward.register_autograd(_differentiate_backward, setup_context=_setup_backward)
