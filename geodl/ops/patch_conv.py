"""patch_conv: convolution of a signal with a filter of one matrix per window."""

from __future__ import annotations

from torch import Tensor

from geodl.ops.neighbors import Neighbors
from geodl.ops.window_conv import window_conv
from geodl.ops.windows import check_filters, check_signal, check_windows, windows_for

__all__ = ["patch_conv"]


def patch_conv(
    x: Tensor, neighbors: Neighbors, weight: Tensor, filters: Tensor, index: Tensor | None = None
) -> Tensor:
    r"""Patch convolution: reads the signal through M windows around every point and mixes them by the filter.

    .. math:: (x * g)(i) = \sum_m D_m x(i) \, g_m, \qquad D_m x(i) = \sum_{e \in N(i)} w_m(e) \, x_{j(e)}

    Equal to ``einsum("nmc,mco->no", patch_gather(x, neighbors, weight, ...), filters)``, but neither ``[E, M,
    C]`` nor ``[N, M, C]`` is stored whole. Results are bitwise equal from run to run, for any number of
    threads.

    Args:
        x: signal ``[num_src, C]``, floating point.
        neighbors: which sources each of the N points reads.
        weight: ``[E, M]``, or ``[E, S]`` in the sparse form, in CSR order and of the dtype of ``x``.
        filters: ``[M, C, C']``.
        index: None, or ``[E, S]`` int64 in ``[0, M)``: the windows that see the edge.

    Returns:
        ``[N, C']``; zero for a point without neighbours. Differentiable in ``x``, ``weight`` and ``filters``,
        to any order.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit.
        IndexError: a window outside ``[0, M)``.

    Monti et al., "Geometric deep learning on graphs and manifolds using mixture model CNNs", 2017, eq. 9-10.
    """
    if filters.dim() != 3:
        raise ValueError(f"filters must have shape [M, C, C'], not {list(filters.shape)}")
    num_windows = check_windows(neighbors, weight, index, filters.shape[0])
    check_signal(x, neighbors, weight)
    check_filters(filters, x, (num_windows,))
    windows = windows_for(x, neighbors, weight, index)
    out: Tensor = window_conv(
        x, *windows, filters.unsqueeze(1), 1, None
    )  # a single ray leaves nothing to rotate
    return out.squeeze(1)
