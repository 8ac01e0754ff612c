"""window_conv: convolution through windows with rotated filters, which patch_conv and polar_conv are made of.

The windows lie on rings x rays, and all T = ``rotations`` turns of the filter are applied:

    out[i, t, c'] = sum over r, a, c of  D[i, r, (a + t * rays / T) mod rays, c] filters[r, a, c, c']

with D = patch_gather(x). ``window_conv_max`` takes the maximum over the rotations and says which one attains it, the lowest if
several do (a NaN is greater than all); ``window_conv_at`` gives the value at a given rotation. With the selection held fixed each
is linear in signal, weight and filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from geodl.ops.core import CSR, Operator, adjoint_operator
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.memory import addresses, in_huge_pages, new_empty
from geodl.ops.patch_gather import gather, spread
from geodl.ops.windows import Windows, wanted

_GIVEN = "x[S,C] weight[E,W] filters[R,A,C,O]; graph:csr[N,S,E] index:int[E,W]? rotations:int"
window_conv = Operator("window_conv", f"{_GIVEN} -> [N,rotations,O]")
window_conv_at = Operator("window_conv_at", f"{_GIVEN} selection:int16[N,O] -> [N,O]")
window_conv_max = Operator("window_conv_max", f"{_GIVEN} -> values[N,O] selection:int16[N,O]")
window_conv_adjoint = adjoint_operator(window_conv, "window_conv_adjoint")
window_conv_at_adjoint = adjoint_operator(window_conv_at, "window_conv_at_adjoint")

Gradients = tuple[Tensor, Tensor, Tensor]


# Given its selection, a maximum is linear.
window_conv_max.differentiable(
    lambda given, kept, grads, needs: window_conv_at_adjoint(grads[0], *given, kept[-1], list(needs)),
    lambda inputs, outputs, tangents: window_conv_at.tangent((*inputs, outputs[-1]), (), tangents),
    saves=("x", "weight", "filters", "index", "selection"),
)


# --- reference ----------------------------------------------------------------------------------------------


@window_conv.reference
def reference(
    x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None, rotations: int
) -> Tensor:
    patches = gather(x, Windows(graph, weight, index), filters.shape[0] * filters.shape[1]).flatten(1)
    return torch.stack([patches @ turned for turned in _turned(filters, rotations)], dim=1)


@window_conv_max.reference
def _(*given: Any) -> tuple[Tensor, Tensor]:
    values, selection = reference(*given).max(dim=1)
    return values, selection.to(torch.int16)


@window_conv_at.reference
def _(*given: Any) -> Tensor:
    *same, selection = given
    return reference(*same).gather(1, selection.long()[:, None]).squeeze(1)


@window_conv_adjoint.reference
def reference_adjoint(
    grad: Tensor, x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None, rotations: int,
    needs: Sequence[bool],
) -> Gradients:  # fmt: skip
    rings, rays, channels, _ = filters.shape
    windows = Windows(graph, weight, index)
    by_x, by_weight, by_filters = (x.new_empty(0) for _ in range(3))
    if needs[2]:
        patches = gather(x, windows, rings * rays).flatten(1)
        by_filters = torch.zeros_like(filters)
        for t in range(rotations):
            turned = (patches.T @ grad[:, t]).view(filters.shape)
            by_filters += turned.roll(-t * (rays // rotations), dims=1)
    if needs[0] or needs[1]:
        patch_grad = grad.new_zeros(len(grad), rings * rays * channels)
        for t, turned in enumerate(_turned(filters, rotations)):
            patch_grad += grad[:, t] @ turned.T
        by_x, by_weight = spread(patch_grad.view(len(grad), rings * rays, channels), x, windows, needs[:2])
    return by_x, by_weight, by_filters


@window_conv_at_adjoint.reference
def _(grad: Tensor, *given: Any) -> Gradients:
    *same, selection, needs = given
    everywhere = grad.new_zeros(len(grad), same[-1], grad.shape[1])
    grad = everywhere.scatter(1, selection.long()[:, None], grad[:, None])
    return reference_adjoint(grad, *(*same, needs))


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


@window_conv.native
@window_conv_at.native
def _native(
    x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None, rotations: int,
    selection: Tensor | None = None, pool: _Pool = _Pool.GIVEN,
) -> Tensor:  # fmt: skip
    rings, rays, _, channels = filters.shape
    pool = _Pool.NONE if selection is None else pool
    out = new_empty(x, graph.num_dst, *([rotations] if selection is None else []), channels)
    kernel("window_conv", x.dtype)(
        *Windows(graph, weight, index).addresses(), x.data_ptr(), *x.shape, filters.data_ptr(), rings, rays, channels,
        rotations, int(pool), *addresses(out, selection), torch.get_num_threads(), graph.num_edges,
    )  # fmt: skip
    return out


@window_conv_max.native
def _(
    x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None, rotations: int
) -> tuple[Tensor, Tensor]:
    selection = x.new_empty(graph.num_dst, filters.shape[-1], dtype=torch.int16)
    return _native(x, weight, filters, graph, index, rotations, selection, _Pool.MAXIMUM), selection


@window_conv_adjoint.native
@window_conv_at_adjoint.native
def _(
    grad: Tensor, x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None, rotations: int, *given: Any,
) -> Gradients:  # fmt: skip
    *selection, needs = given
    rings, rays, _, channels = filters.shape
    by_x, by_weight, by_filters = map(in_huge_pages, wanted((x, weight, filters), needs))
    kernel("window_conv_backward", x.dtype)(
        *Windows(graph, weight, index).addresses(), x.data_ptr(), *x.shape, filters.data_ptr(), rings, rays, channels,
        rotations, *addresses(grad, *(selection or [None]), by_x, by_weight, by_filters), torch.get_num_threads(), graph.num_edges,
    )  # fmt: skip
    return by_x, by_weight, by_filters
