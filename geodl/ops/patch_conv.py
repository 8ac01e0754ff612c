"""patch_conv: convolution of a signal with a filter of one matrix per window."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.core.fitting import Fitting
from geodl.ops.depthwise_conv import depthwise_conv
from geodl.ops.neighbors import Neighbors, csr_for
from geodl.ops.window_conv import window_conv
from geodl.ops.windows import count_windows, graph_for

__all__ = ["patch_conv"]

_GIVEN = Fitting("x[S,C] weight[E,W] filters[M,R,D]; graph:csr[N,S,E] index[E,W]?")

# Groups of fewer channels cost more one by one, each with a pass over the edges, than zeros between them.
NARROW = 32


def patch_conv(
    x: Tensor,
    neighbors: Neighbors,
    weight: Tensor,
    filters: Tensor,
    index: Tensor | None = None,
    groups: int = 1,
) -> Tensor:
    r"""Patch convolution: reads the signal through M windows around every point and mixes them by the filter.

    .. math:: (x * g)(i) = \sum_m D_m x(i) \, g_m, \qquad D_m x(i) = \sum_{e \in N(i)} w_m(e) \, x_{j(e)}

    Equal to ``einsum("nmc,mco->no", patch_gather(x, neighbors, weight, ...), filters)``, but neither ``[E, M,
    C]`` nor ``[N, M, C]`` is stored whole. Results are bitwise equal from run to run, for any number of
    threads.

    Groups are those of :class:`torch.nn.Conv2d`: group g reads the channels from g C / groups and writes the
    channels from g C' / groups. With as many groups as channels of ``x`` the filter is depthwise, and costs E M
    C' products instead of E M C + N M C C'. (Narrow groups share a filter with zeros in between, so that a NaN in
    one may reach the others.)

    Args:
        x: signal ``[num_src, C]``, floating point.
        neighbors: which sources each of the N points reads.
        weight: ``[E, M]``, or ``[E, S]`` in the sparse form, in CSR order and of the dtype of ``x``.
        filters: ``[M, C / groups, C']``.
        index: None, or ``[E, S]`` int64 in ``[0, M)``: the windows that see the edge.
        groups: a common divisor of C and C'.

    Returns:
        ``[N, C']``; zero for a point without neighbours. Differentiable in ``x``, ``weight`` and ``filters``,
        to any order.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, or ``groups`` that divide no channels.
        IndexError: a window outside ``[0, M)``.

    Monti et al., "Geometric deep learning on graphs and manifolds using mixture model CNNs", 2017, eq. 9-10.
    """
    x, weight, filters, _, index = _GIVEN(x, weight, filters, csr_for(neighbors), index)
    count_windows(weight, index, filters.shape[0])
    channels, (_, read, out_channels) = x.shape[1], filters.shape
    if groups < 1 or channels % groups or out_channels % groups:
        raise ValueError(f"groups must divide {channels} and {out_channels} channels, got {groups}")
    if read * groups != channels:
        raise ValueError(f"filters read {read} channels a group, but x has {channels} for {groups} groups")
    if 1 < groups < channels and channels // groups < NARROW:
        filters, groups = _block_diagonal(filters, groups), 1
    if groups == 1:
        return _dense(x, neighbors, weight, filters, index)
    if groups == channels:
        return _depthwise(x, neighbors, weight, filters.squeeze(1), index)
    parts = zip(x.chunk(groups, dim=1), filters.chunk(groups, dim=2), strict=True)
    return torch.cat([_dense(signal, neighbors, weight, filter, index) for signal, filter in parts], dim=1)


def _dense(x: Tensor, neighbors: Neighbors, weight: Tensor, filters: Tensor, index: Tensor | None) -> Tensor:
    graph = graph_for(x, neighbors, weight, filters)
    # A single ray leaves nothing to rotate.
    out: Tensor = window_conv(x, weight, filters.unsqueeze(1), graph, index, 1)
    return out.squeeze(1)


def _block_diagonal(filters: Tensor, groups: int) -> Tensor:
    """``[M, C / groups, C']`` as ``[M, C, C']`` with zeros between groups."""
    num_windows, read, out_channels = filters.shape
    apart = filters.reshape(num_windows, 1, read, groups, out_channels // groups)
    own = torch.eye(groups, dtype=filters.dtype, device=filters.device).reshape(groups, 1, groups, 1)
    return (apart * own).reshape(num_windows, groups * read, out_channels)


def _depthwise(
    x: Tensor, neighbors: Neighbors, weight: Tensor, filters: Tensor, index: Tensor | None
) -> Tensor:
    x = x.unsqueeze(2).expand(-1, -1, filters.shape[1] // x.shape[1]).flatten(1)  # each, once an output
    out: Tensor = depthwise_conv(x, weight, filters, csr_for(neighbors, x), index)
    return out
