"""depthwise_conv: convolution through windows with a filter of one number per window and channel.

    out[i, c] = sum over edges e of row i  (sum over m of w[e, m] filters[m, c])  x[col[e], c]

The number in brackets is made for a few edges at a time and used at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from geodl.ops.core import CSR, Operator, adjoint_operator
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.memory import addresses, new_empty
from geodl.ops.patch_gather import gather, spread
from geodl.ops.windows import Windows, wanted

depthwise_conv = Operator(
    "depthwise_conv", "x[S,C] weight[E,W] filters[M,C]; graph:csr[N,S,E] index:int[E,W]? -> [N,C]"
)
depthwise_conv_adjoint = adjoint_operator(depthwise_conv, "depthwise_conv_adjoint")


@depthwise_conv.reference
def _(x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None) -> Tensor:
    return (gather(x, Windows(graph, weight, index), len(filters)) * filters).sum(1)


@depthwise_conv_adjoint.reference
def _(
    grad: Tensor, x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None, needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    windows = Windows(graph, weight, index)
    by_x, by_weight = spread(grad[:, None] * filters, x, windows, needs[:2])
    by_filters = (gather(x, windows, len(filters)) * grad[:, None]).sum(0) if needs[2] else x.new_empty(0)
    return by_x, by_weight, by_filters


@depthwise_conv.native
def _(x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None) -> Tensor:
    return _native_sum(x, graph.rowptr, graph.col, None, weight, index, filters)


@depthwise_conv_adjoint.native
def _(
    grad: Tensor, x: Tensor, weight: Tensor, filters: Tensor, graph: CSR, index: Tensor | None, needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    by_x, by_weight, by_filters = wanted((x, weight, filters), (False, *needs[1:]))
    if needs[0]:
        by_x = _native_sum(grad, *graph.transpose(), weight, index, filters)
    if needs[1] or needs[2]:
        kernel("depthwise_backward", x.dtype)(
            *Windows(graph, weight, index).addresses(), len(filters), x.data_ptr(), *x.shape, *addresses(filters, grad),
            *addresses(by_weight, by_filters), torch.get_num_threads(), graph.num_edges,
        )  # fmt: skip
    return by_x, by_weight, by_filters


def _native_sum(
    x: Tensor, rowptr: Tensor, col: Tensor, edge: Tensor | None, weight: Tensor, index: Tensor | None, filters: Tensor,
) -> Tensor:  # fmt: skip
    """Over the CSR, or over its transpose, whose k-th edge is ``edge[k]``."""
    rows = rowptr.shape[0] - 1
    if weight.shape[1] == 0:  # a product over no windows, which the kernel would leave unwritten
        return x.new_zeros(rows, x.shape[1])
    out = new_empty(x, rows, x.shape[1])
    kernel("depthwise", x.dtype)(
        rowptr.data_ptr(), rows, *addresses(col, edge, weight, index), weight.shape[1], len(filters),
        x.data_ptr(), *x.shape, *addresses(filters, out), torch.get_num_threads(), len(col),
    )  # fmt: skip
    return out
