"""patch_gather: a signal read through the windows of every neighbourhood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from geodl.ops.core import CSR, Operator, adjoint_operator
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.memory import addresses, in_huge_pages, new_empty
from geodl.ops.neighbors import Neighbors
from geodl.ops.windows import Windows, count_windows, graph_for, wanted

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
    windows = count_windows(weight, index, num_windows)
    return cast(Tensor, read_patches(x, weight, graph_for(x, neighbors), index, windows))


read_patches = Operator(
    "patch_gather",
    "x[S,C] weight[E,W]; graph:csr[N,S,E] index:int[E,W]? num_windows:int -> [N,num_windows,C]",
)
read_patches_adjoint = adjoint_operator(read_patches, "patch_gather_adjoint")


# --- reference ----------------------------------------------------------------------------------------------


def gather(x: Tensor, windows: Windows, num_windows: int) -> Tensor:
    """The patches ``[N, M, C]``."""
    source, dense = x[windows.graph.col], windows.dense(num_windows)
    patches = [
        windows.graph.sum_rows(windows.only_seen(weight[:, None] * source, m))
        for m, weight in enumerate(dense.unbind(1))
    ]
    return torch.stack(patches, 1) if patches else x.new_zeros(windows.graph.num_dst, 0, x.shape[1])


def spread(grad: Tensor, x: Tensor, windows: Windows, needs: Sequence[bool]) -> tuple[Tensor, Tensor]:
    """The adjoint of :func:`gather`, by x and by weight."""
    graph, at = windows.graph, grad[windows.graph.row]
    dense = windows.dense(grad.shape[1])
    by_x = by_weight = x.new_empty(0)
    if needs[0]:
        none = torch.zeros_like(x[graph.col])
        weighed = zip(dense.unbind(1), at.unbind(1), strict=True)
        messages = sum((windows.only_seen(w[:, None] * g, m) for m, (w, g) in enumerate(weighed)), none)
        by_x = graph.sum_sources(messages)
    if needs[1]:
        by_weight = windows.take((at * x[graph.col][:, None]).sum(2))
    return by_x, by_weight


@read_patches.reference
def _(x: Tensor, weight: Tensor, graph: CSR, index: Tensor | None, num_windows: int) -> Tensor:
    return gather(x, Windows(graph, weight, index), num_windows)


@read_patches_adjoint.reference
def _(
    grad: Tensor, x: Tensor, weight: Tensor, graph: CSR, index: Tensor | None, num_windows: int, needs: Sequence[bool],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    return spread(grad, x, Windows(graph, weight, index), needs)


# --- native -------------------------------------------------------------------------------------------------


@read_patches.native
def _(x: Tensor, weight: Tensor, graph: CSR, index: Tensor | None, num_windows: int) -> Tensor:
    windows = Windows(graph, weight, index)
    out = new_empty(x, graph.num_dst, num_windows, x.shape[1])
    kernel("patch_gather", x.dtype)(
        *windows.addresses(), num_windows, x.data_ptr(), *x.shape, out.data_ptr(), torch.get_num_threads(),
        graph.num_edges,
    )  # fmt: skip
    return out


@read_patches_adjoint.native
def _(
    grad: Tensor, x: Tensor, weight: Tensor, graph: CSR, index: Tensor | None, num_windows: int, needs: Sequence[bool],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    by_x, by_weight = map(in_huge_pages, wanted((x, weight), needs))
    kernel("patch_gather_backward", x.dtype)(
        *Windows(graph, weight, index).addresses(), num_windows, x.data_ptr(), *x.shape, grad.data_ptr(),
        *addresses(by_x, by_weight), torch.get_num_threads(), graph.num_edges,
    )  # fmt: skip
    return by_x, by_weight
