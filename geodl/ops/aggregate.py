"""aggregate: weighted sums, means and extrema over neighbourhoods.

The derivatives of all reductions come from one trilinear form,

    T(g, w, x) = sum over rows i, edges e of row i, channels c of  s[e, c] w[e] g[i, c] x[col[e], c],

where the selection s[e, c] is 1 for every edge of a sum, and for an extremum is 1 for the one edge that
(i, c) took. Its three partial derivatives are the primitives ``gather_sum`` (by g), ``scatter_sum`` (by x)
and ``edge_dot`` (by w); the derivatives of these are again one another, to every order. With ``gather_max``,
which finds the selection, they are what a backend implements (``geodl.ops.triton.aggregate`` holds functions
of these names):

- ``gather_sum(x, weight, position, rowptr, col) -> [N, C]``
- ``scatter_sum(g, weight, position, rowptr, t_rowptr, t_row, perm) -> [num_src, C]``
- ``edge_dot(g, x, position, rowptr, col) -> [E]``
- ``gather_max(x, weight, rowptr, col, largest) -> (values [N, C], position [N, C])``

A selection is an int32 tensor ``position [N, C]``: the place in row i of the edge that (i, c) took, -1 if the
row is empty; None selects every edge. A weight of None is 1 everywhere.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from geodl.ops.backend import addresses, contiguous, implementation, kernel, new_empty
from geodl.ops.custom_op import custom_op
from geodl.ops.neighbors import Neighbors, check_edges, check_signal, transpose, transpose_for

__all__ = ["aggregate"]

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
        weight: ``[E]`` of the dtype of ``x``, a factor for every edge in CSR order; 1 if not given.
        reduce: "sum", "mean", "max" or "min".

    Returns:
        ``[N, C]`` in the dtype of ``x``.

    Raises:
        ValueError: a shape, dtype or device that does not fit, or no such reduction.
    """
    _check(x, neighbors, weight, reduce)
    rowptr, col = neighbors.rowptr, neighbors.col
    transposed = transpose_for(x, neighbors)
    if reduce in ("max", "min"):
        values, _ = gather_max(x, weight, rowptr, col, *transposed, reduce == "max")
        return cast(Tensor, values)
    out = cast(Tensor, gather_sum(x, weight, None, rowptr, col, *transposed))
    return out / neighbors.degree().clamp(min=1)[:, None] if reduce == "mean" else out


def _check(x: Tensor, neighbors: Neighbors, weight: Tensor | None, reduce: str) -> None:
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce must be one of {', '.join(REDUCTIONS)}, not {reduce!r}")
    check_signal(x, neighbors)
    if weight is not None:
        check_edges(x, neighbors, "weight", weight)


# --- custom ops ---------------------------------------------------------------
# The transpose (t_rowptr [num_src+1], t_row [E], perm [E]) is None where the caller foresaw no gradient of x;
# if one is asked for nevertheless, as a second derivative may, the backward pass makes it.


@custom_op("gather_sum")
def gather_sum(
    x: Tensor,
    weight: Tensor | None,
    position: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
) -> Tensor:
    """``out[i, c]`` = sum over (selected) edges e of row i of ``weight[e] x[col[e], c]``."""
    return cast(Tensor, implementation(x, "aggregate", "gather_sum")(x, weight, position, rowptr, col))


@custom_op("scatter_sum")
def scatter_sum(
    g: Tensor,
    weight: Tensor | None,
    position: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor,
    t_row: Tensor,
    perm: Tensor,
) -> Tensor:
    """``out[j, c]`` = sum over (selected) edges e of rows i that read j of ``weight[e] g[i, c]``."""
    return cast(
        Tensor,
        implementation(g, "aggregate", "scatter_sum")(g, weight, position, rowptr, t_rowptr, t_row, perm),
    )


@custom_op("edge_dot")
def edge_dot(
    g: Tensor,
    x: Tensor,
    position: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
) -> Tensor:
    """``out[e]`` = sum over channels c (that selected edge e of row i) of ``g[i, c] x[col[e], c]``."""
    return cast(Tensor, implementation(x, "aggregate", "edge_dot")(g, x, position, rowptr, col))


@custom_op("gather_max")
def gather_max(
    x: Tensor,
    weight: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
    largest: bool,
) -> tuple[Tensor, Tensor]:
    """Maximum (or minimum) over edges e of row i of ``weight[e] x[col[e], c]``, and which edge took it."""
    return cast(
        tuple[Tensor, Tensor], implementation(x, "aggregate", "gather_max")(x, weight, rowptr, col, largest)
    )


@gather_sum.register_fake
def _(x: Tensor, weight: Any, position: Any, rowptr: Tensor, *_: Any) -> Tensor:
    return x.new_empty(rowptr.shape[0] - 1, x.shape[1])


@scatter_sum.register_fake
def _(g: Tensor, weight: Any, position: Any, rowptr: Any, col: Any, t_rowptr: Tensor, *_: Any) -> Tensor:
    return g.new_empty(t_rowptr.shape[0] - 1, g.shape[1])


@edge_dot.register_fake
def _(g: Tensor, x: Any, position: Any, rowptr: Any, col: Tensor, *_: Any) -> Tensor:
    return g.new_empty(col.shape[0])


@gather_max.register_fake
def _(x: Tensor, weight: Any, rowptr: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    shape = rowptr.shape[0] - 1, x.shape[1]
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.int32)


# --- derivatives --------------------------------------------------------------


def _by_x(
    g: Tensor, weight: Tensor | None, position: Tensor | None, graph: tuple[Tensor | None, ...], num_src: int
) -> Tensor:
    rowptr, col, *transposed = graph
    if transposed[0] is None:
        transposed = transpose(rowptr, col, num_src)
    return cast(Tensor, scatter_sum(g, weight, position, rowptr, col, *transposed))


def _save_gather(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, position, *graph = inputs
    # x is read by the gradient of weight alone, weight by that of x alone: neither is kept without need.
    needs_x, needs_weight = ctx.needs_input_grad[:2]
    ctx.num_src = x.shape[0]
    ctx.save_for_backward(x if needs_weight else None, weight if needs_x else None, position, *graph)


def _differentiate_gather(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, position, *graph = ctx.saved_tensors
    by_x = _by_x(g, weight, position, graph, ctx.num_src) if ctx.needs_input_grad[0] else None
    by_weight = edge_dot(g, x, position, *graph) if ctx.needs_input_grad[1] else None
    return by_x, by_weight, None, None, None, None, None, None


def _save_max(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, weight, *graph, _largest = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # or every backward pass would write zeros for the positions
    _save_gather(ctx, (x, weight, output[1], *graph), output[0])


def _differentiate_max(ctx: Any, g: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    if g is None:
        return (None,) * 8
    return _differentiate_gather(ctx, g)  # given its selection, an extremum is linear


def _save_scatter(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    g, weight, position, *graph = inputs
    needs_g, needs_weight = ctx.needs_input_grad[:2]
    ctx.save_for_backward(g if needs_weight else None, weight if needs_g else None, position, *graph)


def _differentiate_scatter(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    g, weight, position, *graph = ctx.saved_tensors
    by_g = gather_sum(h, weight, position, *graph) if ctx.needs_input_grad[0] else None
    by_weight = edge_dot(g, h, position, *graph) if ctx.needs_input_grad[1] else None
    return by_g, by_weight, None, None, None, None, None, None


def _save_dot(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    g, x, position, *graph = inputs
    needs_g, needs_x = ctx.needs_input_grad[:2]
    ctx.num_src = x.shape[0]
    ctx.save_for_backward(g if needs_x else None, x if needs_g else None, position, *graph)


def _differentiate_dot(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:
    g, x, position, *graph = ctx.saved_tensors
    by_g = gather_sum(x, h, position, *graph) if ctx.needs_input_grad[0] else None
    by_x = _by_x(g, h, position, graph, ctx.num_src) if ctx.needs_input_grad[1] else None
    return by_g, by_x, None, None, None, None, None, None


gather_sum.register_autograd(_differentiate_gather, setup_context=_save_gather)
gather_max.register_autograd(_differentiate_max, setup_context=_save_max)
scatter_sum.register_autograd(_differentiate_scatter, setup_context=_save_scatter)
edge_dot.register_autograd(_differentiate_dot, setup_context=_save_dot)


# --- reference: the definition in PyTorch -------------------------------------


def _rows(rowptr: Tensor) -> tuple[Tensor, Tensor]:
    """Row of every edge and its position in the row, ``[E]`` each."""
    row = torch.repeat_interleave(torch.arange(rowptr.shape[0] - 1, device=rowptr.device), rowptr.diff())
    return row, torch.arange(row.shape[0], device=row.device) - rowptr[row]


def _messages(x: Tensor, weight: Tensor | None) -> Tensor:
    return x if weight is None else x * weight[:, None]


def _sum_rows(messages: Tensor, rowptr: Tensor) -> Tensor:
    # Not index_add_, whose order of summation on a GPU changes from run to run.
    return torch.segment_reduce(messages, "sum", offsets=rowptr, axis=0, initial=0)


def reference_gather_sum(
    x: Tensor, weight: Tensor | None, position: Tensor | None, rowptr: Tensor, col: Tensor
) -> Tensor:
    messages = _messages(x[col], weight)
    if position is not None:
        row, place = _rows(rowptr)
        messages = messages.where(position[row] == place[:, None], 0)
    return _sum_rows(messages, rowptr)


def reference_scatter_sum(
    g: Tensor,
    weight: Tensor | None,
    position: Tensor | None,
    rowptr: Tensor,
    t_rowptr: Tensor,
    t_row: Tensor,
    perm: Tensor,
) -> Tensor:
    messages = _messages(g[t_row], None if weight is None else weight[perm])
    if position is not None:
        place = perm - rowptr[t_row]
        messages = messages.where(position[t_row] == place[:, None], 0)
    return _sum_rows(messages, t_rowptr)


def reference_edge_dot(g: Tensor, x: Tensor, position: Tensor | None, rowptr: Tensor, col: Tensor) -> Tensor:
    row, place = _rows(rowptr)
    products = g[row] * x[col]
    if position is not None:
        products = products.where(position[row] == place[:, None], 0)
    return products.sum(1)


def reference_gather_max(
    x: Tensor, weight: Tensor | None, rowptr: Tensor, col: Tensor, largest: bool
) -> tuple[Tensor, Tensor]:
    row, place = _rows(rowptr)
    messages = _messages(x[col], weight)
    index = row[:, None].expand(messages.shape)
    values = x.new_zeros(rowptr.shape[0] - 1, x.shape[1])
    values = values.scatter_reduce(0, index, messages, "amax" if largest else "amin", include_self=False)
    attained = (messages == values[row]) | (messages.isnan() & values[row].isnan())
    last = torch.iinfo(torch.int32).max
    places = torch.where(attained, place[:, None], last).int()
    position = places.new_full(values.shape, last).scatter_reduce(0, index, places, "amin")
    return values, position.where(position != last, -1)


# --- native: C++ on the CPU ---------------------------------------------------


def native_gather_sum(
    x: Tensor, weight: Tensor | None, position: Tensor | None, rowptr: Tensor, col: Tensor
) -> Tensor:
    x, weight, position = x.contiguous(), contiguous(weight), contiguous(position)
    rows, channels, threads = rowptr.shape[0] - 1, x.shape[1], torch.get_num_threads()
    out, sizes = new_empty(x, rows, channels), (col.shape[0], x.shape[0])
    graph = rowptr.data_ptr(), rows, col.data_ptr(), x.data_ptr(), channels, *addresses(weight)
    if position is None:
        kernel("gather_sum", x.dtype)(*graph, 0, out.data_ptr(), threads, *sizes)
    else:
        kernel("pick", x.dtype)(*graph, position.data_ptr(), out.data_ptr(), threads, *sizes)
    return out


def native_scatter_sum(
    g: Tensor,
    weight: Tensor | None,
    position: Tensor | None,
    rowptr: Tensor,
    t_rowptr: Tensor,
    t_row: Tensor,
    perm: Tensor,
) -> Tensor:
    g, weight, position = g.contiguous(), contiguous(weight), contiguous(position)
    rows, channels, threads = t_rowptr.shape[0] - 1, g.shape[1], torch.get_num_threads()
    out, sizes = new_empty(g, rows, channels), (t_row.shape[0], g.shape[0])
    weights = addresses(weight, perm)
    graph = t_rowptr.data_ptr(), rows, t_row.data_ptr(), g.data_ptr(), channels, *weights
    if position is None:
        kernel("gather_sum", g.dtype)(*graph, out.data_ptr(), threads, *sizes)
    else:
        selection = rowptr.data_ptr(), position.data_ptr()
        kernel("gather_selected", g.dtype)(*graph, *selection, out.data_ptr(), threads, *sizes)
    return out


def native_edge_dot(g: Tensor, x: Tensor, position: Tensor | None, rowptr: Tensor, col: Tensor) -> Tensor:
    g, x, position = g.contiguous(), x.contiguous(), contiguous(position)
    rows, channels, threads = rowptr.shape[0] - 1, x.shape[1], torch.get_num_threads()
    out = new_empty(g, col.shape[0])
    graph = rowptr.data_ptr(), rows, col.data_ptr(), *addresses(position)
    sizes = col.shape[0], x.shape[0]
    kernel("edge_dot", g.dtype)(*graph, g.data_ptr(), x.data_ptr(), channels, out.data_ptr(), threads, *sizes)
    return out


def native_gather_max(
    x: Tensor, weight: Tensor | None, rowptr: Tensor, col: Tensor, largest: bool
) -> tuple[Tensor, Tensor]:
    x, weight = x.contiguous(), contiguous(weight)
    rows, channels, threads = rowptr.shape[0] - 1, x.shape[1], torch.get_num_threads()
    values = new_empty(x, rows, channels)
    position = new_empty(x, rows, channels, dtype=torch.int32)
    graph = rowptr.data_ptr(), rows, col.data_ptr(), x.data_ptr(), channels, *addresses(weight)
    kernel("gather_max", x.dtype)(
        *graph, largest, *addresses(values, position), threads, col.shape[0], x.shape[0]
    )
    return values, position
