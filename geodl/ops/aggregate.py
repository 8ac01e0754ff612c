"""aggregate: weighted sums, means and extrema over neighbourhoods.

The derivatives of all reductions come from one trilinear form,

    T(g, w, x) = sum over rows i, edges e of row i, channels c of  s[e, c] w[e] g[i, c] x[col[e], c],

where the selection s[e, c] is 1 for every edge of a sum, and for an extremum is 1 for the one edge that (i, c) took. Its three
partial derivatives are the operators ``gather_sum`` (by g), ``scatter_sum`` (by x) and ``edge_dot`` (by w); the derivatives of
these are again one another, to every order. ``gather_max`` finds the selection.

A selection is an int32 tensor ``position [N, C]``: the place in row i of the edge that (i, c) took, -1 if the row is empty; None
selects every edge. A weight of None is 1 everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from geodl.ops.core import CSR, Operator
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.memory import addresses, new_empty
from geodl.ops.core.operator import HALF
from geodl.ops.neighbors import Neighbors, csr_for

__all__ = ["aggregate", "edge_sum", "gather"]

REDUCTIONS = ("sum", "mean", "max", "min")


def aggregate(x: Tensor, neighbors: Neighbors, weight: Tensor | None = None, reduce: str = "sum") -> Tensor:
    r"""Weighted aggregation over neighbourhoods,

    .. math:: \text{out}_{i,c} = \bigoplus_{e \,\in\, \text{row } i} w_e \, x_{\text{col}[e],\,c}

    where the reduction is the sum (sparse times dense matrix), the mean (the sum divided by the number of
    neighbours), the maximum or the minimum.

    An empty row gives 0. A maximum or minimum over a row that holds NaN is NaN. The gradient of a maximum
    goes to the edge that attains it, to the first in CSR order if several do (to the first NaN if there is
    one). Results are bitwise equal from run to run, for any number of threads. Differentiable to any order in
    ``x`` and ``weight``.

    Args:
        x: ``[num_src, C]`` floating point, the signal at the sources.
        neighbors: which sources every destination reads.
        weight: ``[E]`` of the dtype of ``x``, a factor for every edge in CSR order, or ``[E, C]``, one for every edge and
            channel; 1 if not given.
        reduce: "sum", "mean", "max" or "min".

    Returns:
        ``[N, C]`` in the dtype of ``x``; half precision is accumulated in float32.

    Raises:
        ValueError: a shape, dtype or device that does not fit, or no such reduction.
        IndexError: a neighbour outside of the sources.
    """
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce must be one of {', '.join(REDUCTIONS)}, not {reduce!r}")
    if weight is not None and weight.dim() == 2:
        shape = [neighbors.num_edges, x.shape[-1]]
        if [*weight.shape] != shape:
            raise ValueError(f"weight must have shape [E] or [E, C] = {shape}, not {list(weight.shape)}")
        return aggregate(gather(x, neighbors) * weight, neighbors.edges(), reduce=reduce)
    graph = csr_for(neighbors, x)  # the gradient of a weight gathers over no transpose
    if reduce in ("max", "min"):
        return cast(Tensor, gather_max(x, weight, graph, reduce == "max")[0])
    if reduce == "mean" and x.dtype in HALF:  # where the sum may be too large
        return aggregate(x.float(), neighbors, None if weight is None else weight.float(), reduce).to(x.dtype)
    out = cast(Tensor, gather_sum(x, weight, graph, None))
    return out / neighbors.degree().clamp(min=1)[:, None] if reduce == "mean" else out


def gather(x: Tensor, neighbors: Neighbors) -> Tensor:
    """What every edge reads, ``out[e] = x[col[e]]``: :func:`edge_sum` of it is :func:`aggregate`.

    The gradient is a sum over the edges of every source in a fixed order, bitwise equal from run to run.

    Args:
        x: ``[num_src, C]`` floating point.
        neighbors: which sources every destination reads.

    Returns:
        ``[E, C]`` in CSR order. Differentiable to any order.

    Raises:
        ValueError: a shape, dtype or device that does not fit.
    """
    return cast(Tensor, gather_sum(x, None, csr_for(neighbors, x).reading(), None))


def edge_sum(values: Tensor, neighbors: Neighbors) -> Tensor:
    """Sums over the edges of every row, ``out[i] = sum over edges e of row i of values[e]``; 0 for an empty row.

    Args:
        values: ``[E, C]`` floating point, in CSR order.
        neighbors: the rows.

    Returns:
        ``[N, C]``, accumulated in float32 at least. Differentiable to any order.

    Raises:
        ValueError: a shape, dtype or device that does not fit.
    """
    return cast(Tensor, gather_sum(values, None, csr_for(neighbors).edges(), None))


# --- operators ------------------------------------------------------------------------------------------------

# ``out[i, c]`` = sum over (selected) edges e of row i of ``weight[e] x[col[e], c]``.
gather_sum = Operator("gather_sum", "x[S,C] weight[E]?; graph:csr[N,S,E] position:int32[N,C]? -> [N,C]")

# ``out[j, c]`` = sum over (selected) edges e of rows i that read j of ``weight[e] g[i, c]``.
scatter_sum = Operator("scatter_sum", "g[N,C] weight[E]?; graph:csr[N,S,E] position:int32[N,C]? -> [S,C]")

# ``out[e]`` = sum over channels c (that selected edge e of row i) of ``g[i, c] x[col[e], c]``.
edge_dot = Operator("edge_dot", "g[N,C] x[S,C]; graph:csr[N,S,E] position:int32[N,C]? -> [E]")

# Maximum (or minimum) over edges e of row i of ``weight[e] x[col[e], c]``, and which edge took it.
gather_max = Operator(
    "gather_max", "x[S,C] weight[E]?; graph:csr[N,S,E] largest:bool -> values[N,C] position:int32[N,C]"
)


gather_sum.adjoint(
    lambda g, x, weight, graph, position: scatter_sum(g, weight, graph, position),
    lambda g, x, weight, graph, position: edge_dot(g, x, graph, position),
)
scatter_sum.adjoint(
    lambda h, g, weight, graph, position: gather_sum(h, weight, graph, position),
    lambda h, g, weight, graph, position: edge_dot(g, h, graph, position),
)
edge_dot.adjoint(
    lambda h, g, x, graph, position: gather_sum(x, h, graph, position),
    lambda h, g, x, graph, position: scatter_sum(g, h, graph, position),
)


def _max_backward(inputs: Any, outputs: Any, grads: Any, needs: Sequence[bool]) -> Any:
    x, weight, graph, _ = inputs
    g, position = grads[0], outputs[-1]  # given its selection, an extremum is linear
    by_x = scatter_sum(g, weight, graph, position) if needs[0] else None
    return by_x, edge_dot(g, x, graph, position) if needs[1] else None


gather_max.differentiable(
    _max_backward,
    lambda inputs, outputs, tangents: gather_sum.tangent((*inputs[:3], outputs[-1]), (), tangents),
    linear=True,
    saves=("x", "weight", "position"),
)


# --- reference: the definition in PyTorch ---------------------------------------------------------------------


def _selected(messages: Tensor, graph: CSR, position: Tensor | None) -> Tensor:
    if position is None:
        return messages
    row = graph.row
    place = torch.arange(row.shape[0], device=row.device) - graph.rowptr[row]
    return messages.where(position[row] == place[:, None], 0)


def _weighted(messages: Tensor, weight: Tensor | None) -> Tensor:
    return messages if weight is None else messages * weight[:, None]


@gather_sum.reference
def _(x: Tensor, weight: Tensor | None, graph: CSR, position: Tensor | None) -> Tensor:
    return graph.sum_rows(_selected(_weighted(x[graph.col], weight), graph, position))


@scatter_sum.reference
def _(g: Tensor, weight: Tensor | None, graph: CSR, position: Tensor | None) -> Tensor:
    return graph.sum_sources(_selected(_weighted(g[graph.row], weight), graph, position))


@edge_dot.reference
def _(g: Tensor, x: Tensor, graph: CSR, position: Tensor | None) -> Tensor:
    return _selected(g[graph.row] * x[graph.col], graph, position).sum(1)


@gather_max.reference
def reference_gather_max(
    x: Tensor, weight: Tensor | None, graph: CSR, largest: bool
) -> tuple[Tensor, Tensor]:
    row = graph.row
    place = torch.arange(row.shape[0], device=row.device) - graph.rowptr[row]
    messages = _weighted(x[graph.col], weight)
    index = row[:, None].expand(messages.shape)
    values = x.new_zeros(graph.num_dst, x.shape[1])
    values = values.scatter_reduce(0, index, messages, "amax" if largest else "amin", include_self=False)
    attained = (messages == values[row]) | (messages.isnan() & values[row].isnan())
    last = torch.iinfo(torch.int32).max
    places = torch.where(attained, place[:, None], last).int()
    position = places.new_full(values.shape, last).scatter_reduce(0, index, places, "amin")
    return values, position.where(position != last, -1)


# --- native: C++ on the CPU -----------------------------------------------------------------------------------


@gather_sum.native
def _(x: Tensor, weight: Tensor | None, graph: CSR, position: Tensor | None) -> Tensor:
    rows, channels = graph.rowptr.shape[0] - 1, x.shape[1]
    out, sizes = new_empty(x, rows, channels), (torch.get_num_threads(), graph.col.shape[0], x.shape[0])
    weights = 0 if weight is None else weight.data_ptr()
    given = graph.rowptr.data_ptr(), rows, graph.col.data_ptr(), x.data_ptr(), channels, weights
    if position is None:
        kernel("gather_sum", x.dtype)(*given, 0, out.data_ptr(), *sizes)
    else:
        kernel("pick", x.dtype)(*given, position.data_ptr(), out.data_ptr(), *sizes)
    return out


@scatter_sum.native
def _(g: Tensor, weight: Tensor | None, graph: CSR, position: Tensor | None) -> Tensor:
    t_rowptr, t_row, perm = graph.transpose()
    rows, channels = graph.num_src, g.shape[1]
    out, sizes = new_empty(g, rows, channels), (torch.get_num_threads(), t_row.shape[0], g.shape[0])
    weights = 0 if weight is None else weight.data_ptr()
    given = t_rowptr.data_ptr(), rows, t_row.data_ptr(), g.data_ptr(), channels, weights, perm.data_ptr()
    if position is None:
        kernel("gather_sum", g.dtype)(*given, out.data_ptr(), *sizes)
    else:
        selection = graph.rowptr.data_ptr(), position.data_ptr()
        kernel("gather_selected", g.dtype)(*given, *selection, out.data_ptr(), *sizes)
    return out


@edge_dot.native
def _(g: Tensor, x: Tensor, graph: CSR, position: Tensor | None) -> Tensor:
    rows, channels = graph.num_dst, x.shape[1]
    out, sizes = new_empty(g, graph.num_edges), (torch.get_num_threads(), graph.num_edges, x.shape[0])
    given = graph.rowptr.data_ptr(), rows, graph.col.data_ptr(), *addresses(position)
    kernel("edge_dot", g.dtype)(*given, *addresses(g, x), channels, out.data_ptr(), *sizes)
    return out


@gather_max.native
def _(x: Tensor, weight: Tensor | None, graph: CSR, largest: bool) -> tuple[Tensor, Tensor]:
    rows, channels = graph.num_dst, x.shape[1]
    values = new_empty(x, rows, channels)
    position = new_empty(x, rows, channels, dtype=torch.int32)
    sizes = torch.get_num_threads(), graph.num_edges, x.shape[0]
    given = graph.rowptr.data_ptr(), rows, graph.col.data_ptr(), x.data_ptr(), channels, *addresses(weight)
    kernel("gather_max", x.dtype)(*given, largest, *addresses(values, position), *sizes)
    return values, position
