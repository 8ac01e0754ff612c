r"""attention: softmax attention over neighbourhoods, with the scores of GAT and GATv2.

Both scores are one bilinear form. With the slopes :math:`\sigma_{e,h,d}` = LeakyReLU'(source + target), which are constant
almost everywhere,

    P(a, b)[e, h] = sum over d of  sigma[e, h, d] (a[col[e], h, d] + b[row[e], h, d])        [S, H, D], [N, H, D] -> [E, H]

is linear, the score is P(vector source, vector target), and the gradients of everything inside the score are the adjoint
of P. So a backend implements four primitives (``geodl.ops.triton.attention`` holds functions of these names); the first two
hold no value per edge and channel, and what they keep for the backward pass is a maximum and a sum per row and head:

- ``attend(x, source, target, vector, scale, graph, slope) -> (out [N, H, C], maximum [N, H], total [N, H])``
- ``attend_backward(grad, out, maximum, total, <inputs of attend>) -> (by x, P^T of the gradients of the scores, by scale)``
- ``edge_scores(a, b, source, target, graph, slope) -> [E, H]``, which is P
- ``edge_scores_adjoint(u, source, target, graph, slope) -> ([S, H, D], [N, H, D])``, which is its adjoint

The first two also take the source and target of a score of GAT as they are given, ``[S, H]`` and ``[N, H]``, and return their
gradients alike.

Second derivatives are written with P, its adjoint and the primitives of aggregate, on values per edge and head.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from geodl.ops.aggregate import edge_dot, gather_sum, scatter_sum
from geodl.ops.backend import addresses, contiguous, implementation, kernel, new_empty
from geodl.ops.core import CSR
from geodl.ops.custom_op import custom_op
from geodl.ops.neighbors import Neighbors, edge_rows, transpose, transpose_for

__all__ = ["attention", "attention_weights"]


def attention(
    x: Tensor,
    neighbors: Neighbors,
    source: Tensor,
    target: Tensor,
    vector: Tensor | None = None,
    edge_scale: Tensor | None = None,
    negative_slope: float = 0.2,
) -> Tensor:
    r"""Multi-head softmax attention over neighbourhoods,

    .. math:: \text{out}_{i,h} = \sum_{e \,\in\, \text{row } i} m_{e,h} \,
        \frac{\exp s_{e,h}}{\sum_{e' \in \text{row } i} \exp s_{e',h}} \, x_{\text{col}[e],\,h}

    with the scores of GAT or, given a vector, of GATv2 (j = col[e]):

    .. math:: s_{e,h} = \text{LeakyReLU}(\text{source}_{j,h} + \text{target}_{i,h}), \qquad
        s_{e,h} = \langle \text{vector}_h, \text{LeakyReLU}(\text{source}_{j,h} + \text{target}_{i,h}) \rangle .

    An edge of score -inf has weight 0. An empty row, and one whose scores are all -inf, gives 0. A score that is NaN or +inf
    makes its row and head NaN and no other. Scores of any finite size are safe. Results are bitwise equal from run to run, for
    any number of threads. Differentiable to any order in all floating arguments; LeakyReLU has the slope ``negative_slope``
    at 0. With ``negative_slope=1`` scores are linear, and in the softmax of GAT the target then cancels.

    Args:
        x: ``[num_src, H, C]`` floating point, the signal that is averaged, for H heads.
        neighbors: which sources every destination reads (with itself, if the layer has self loops).
        source: ``[num_src, H]``, or ``[num_src, H, D]`` with a vector; what a neighbour adds to the score.
        target: ``[N, H]``, or ``[N, H, D]`` with a vector; what the destination adds to the score.
        vector: ``[H, D]``, the attention vectors of GATv2; None for the score of GAT.
        edge_scale: ``[E, H]`` m, factors of the softmax weights in CSR order, such as a dropout mask; 1 if not given.
        negative_slope: of LeakyReLU.

    Returns:
        ``[N, H, C]`` in the dtype of ``x``.

    Raises:
        ValueError: a shape, dtype or device that does not fit.

    Velickovic et al., "Graph attention networks", 2018; Brody et al., "How attentive are graph attention networks?", 2022.
    """
    _check_scores(neighbors, source, target, vector)
    if x.dim() != 3 or x.shape[0] != neighbors.num_src or x.shape[1] != source.shape[1]:
        raise ValueError(
            f"x must have shape [{neighbors.num_src}, {source.shape[1]}, C] (sources of neighbors, heads of"
            f" source), not {list(x.shape)}"
        )
    _check_same_kind("x", x, "source", source)
    if edge_scale is not None:
        if edge_scale.shape != (neighbors.num_edges, source.shape[1]):
            raise ValueError(
                f"edge_scale must have shape [{neighbors.num_edges}, {source.shape[1]}] (edges of neighbors,"
                f" heads of source), not {list(edge_scale.shape)}"
            )
        _check_same_kind("edge_scale", edge_scale, "source", source)
    graph = _graph(neighbors, x, source, target, vector, edge_scale)
    if vector is not None and vector.shape[1] == 0:
        # A sum of no terms is that of one zero; an empty tensor has no address, which tells C++ that there is no vector.
        source, target, vector = (functional.pad(scores, (0, 1)) for scores in (source, target, vector))
    out, _, _ = _attend(x, source, target, vector, edge_scale, *graph, negative_slope)
    return cast(Tensor, out)


def attention_weights(
    neighbors: Neighbors,
    source: Tensor,
    target: Tensor,
    vector: Tensor | None = None,
    negative_slope: float = 0.2,
) -> Tensor:
    """The softmax weights by which :func:`attention` averages, one per edge and head; differentiable.

    Args:
        neighbors, source, target, vector, negative_slope: as in :func:`attention`.

    Returns:
        ``[E, H]`` in CSR order and the dtype of ``source``.

    Raises:
        ValueError: a shape, dtype or device that does not fit.
    """
    _check_scores(neighbors, source, target, vector)
    graph = _graph(neighbors, source, target, vector)
    scores = _scores(_deep(source), _deep(target), vector, graph, negative_slope)
    return _softmax(scores, _Rows.of(graph))


def _deep(scores: Tensor) -> Tensor:
    """``[N, H]`` as ``[N, H, 1]``; others as they are."""
    return scores[:, :, None] if scores.dim() == 2 else scores


def score_sizes(scores: Tensor) -> tuple[int, int, int]:
    """N, H and D of ``[N, H, D]``, or of ``[N, H]`` with D = 1: a view more would be a node more in autograd."""
    rows, heads, *depth = scores.shape
    return rows, heads, depth[0] if depth else 1


def _check_scores(neighbors: Neighbors, source: Tensor, target: Tensor, vector: Tensor | None) -> None:
    if not source.is_floating_point():
        raise ValueError(f"source must be floating point, not {source.dtype}")
    if source.device != neighbors.device:
        raise ValueError(f"source is on {source.device} but neighbors are on {neighbors.device}")
    if source.dim() > 1 and source.shape[1] == 0:
        raise ValueError(f"source must have at least one head, not shape {list(source.shape)}")
    dims, form = (2, "H") if vector is None else (3, "H, D")
    if source.dim() != dims or source.shape[0] != neighbors.num_src:
        given = "without a vector" if vector is None else "with a vector"
        raise ValueError(
            f"source must have shape [{neighbors.num_src}, {form}] {given}, not {list(source.shape)}"
        )
    wanted = [neighbors.num_dst, *source.shape[1:]]
    if list(target.shape) != wanted:
        raise ValueError(
            f"target must have shape {wanted} (destinations of neighbors, then as source),"
            f" not {list(target.shape)}"
        )
    _check_same_kind("target", target, "source", source)
    if vector is not None:
        if vector.shape != source.shape[1:]:
            raise ValueError(
                f"vector must have shape {list(source.shape[1:])} as source has, not {list(vector.shape)}"
            )
        _check_same_kind("vector", vector, "source", source)


def _check_same_kind(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    if tensor.dtype != other.dtype:
        raise ValueError(f"{name} is {tensor.dtype} but {other_name} is {other.dtype}")
    if tensor.device != other.device:
        raise ValueError(f"{name} is on {tensor.device} but {other_name} is on {other.device}")


class Graph(NamedTuple):
    """The CSR and its transpose, which is None where the caller foresaw no gradient."""

    rowptr: Tensor
    col: Tensor
    t_rowptr: Tensor | None
    t_row: Tensor | None
    perm: Tensor | None

    def csr(self, num_src: int) -> CSR:
        return CSR(self.rowptr, self.col, num_src, self.t_rowptr, self.t_row, self.perm)

    def with_transpose(self, num_src: int) -> Graph:
        """The same; if a gradient is asked for after all, the transpose is made."""
        if self.t_rowptr is not None:
            return self
        return Graph(self.rowptr, self.col, *transpose(self.rowptr, self.col, num_src))


def _graph(neighbors: Neighbors, *inputs: Tensor | None) -> Graph:
    needing = [tensor for tensor in inputs if tensor is not None and tensor.requires_grad]
    transposed = transpose_for(needing[0], neighbors) if needing else (None, None, None)
    return Graph(neighbors.rowptr, neighbors.col, *transposed)


def _statistics_dtype(x: Tensor) -> torch.dtype:
    """Of maxima and sums: half precision is accumulated in float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


# --- reference: the definition in PyTorch -------------------------------------


def _slopes(z: Tensor, slope: float) -> Tensor:
    return torch.ones_like(z).masked_fill(~(z > 0), slope)


def _sum_rows(values: Tensor, rowptr: Tensor) -> Tensor:
    summed = torch.segment_reduce(values.flatten(1), "sum", offsets=rowptr, axis=0, initial=0)
    return summed.view(rowptr.shape[0] - 1, *values.shape[1:])


def _max_rows(scores: Tensor, row: Tensor, rowptr: Tensor) -> Tensor:
    """Maxima of the rows; 0 for a row without a score above -inf, so that exp(-inf - maximum) is 0."""
    least = scores.new_full((rowptr.shape[0] - 1, scores.shape[1]), -torch.inf)
    maximum = least.scatter_reduce(0, row[:, None].expand(scores.shape), scores, "amax")
    return maximum.masked_fill(maximum == -torch.inf, 0)


def _reference_weights(
    source: Tensor,
    target: Tensor,
    vector: Tensor | None,
    graph: Graph,
    slope: float,
    statistics: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Softmax weights ``[E, H]``, maxima and sums of the rows, which may be known already."""
    row = edge_rows(graph.rowptr, graph.col)
    z = (source[graph.col] + target[row]).to(_statistics_dtype(source))
    activated = _slopes(z, slope) * z
    scores = (activated if vector is None else activated * vector).sum(2)
    if statistics is None:
        maximum = _max_rows(scores, row, graph.rowptr)
        total = _sum_rows((scores - maximum[row]).exp(), graph.rowptr)
    else:
        maximum, total = statistics
    weights = (scores - maximum[row]).exp() / total.where(total != 0, 1)[row]
    return weights, maximum, total


def reference_attend(
    x: Tensor,
    source: Tensor,
    target: Tensor,
    vector: Tensor | None,
    scale: Tensor | None,
    graph: Graph,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    weights, maximum, total = _reference_weights(_deep(source), _deep(target), vector, graph, slope)
    scaled = weights if scale is None else weights * scale
    out = _sum_rows(scaled[:, :, None] * x[graph.col], graph.rowptr)
    return out.to(x.dtype), maximum, total


def reference_attend_backward(
    grad: Tensor,
    out: Tensor,
    maximum: Tensor,
    total: Tensor,
    x: Tensor,
    source: Tensor,
    target: Tensor,
    vector: Tensor | None,
    scale: Tensor | None,
    graph: Graph,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    deep = _deep(source), _deep(target)
    weights, *_ = _reference_weights(*deep, vector, graph, slope, (maximum, total))
    row = edge_rows(graph.rowptr, graph.col)
    products = (grad[row] * x[graph.col]).sum(2)
    by_scale = x.new_empty(0, x.shape[1]) if scale is None else (weights * products).to(x.dtype)
    scaled = weights if scale is None else weights * scale
    messages = (scaled[:, :, None] * grad[row])[graph.perm]
    by_x = _sum_rows(messages, cast(Tensor, graph.t_rowptr)).to(x.dtype)
    by_scores = scaled * products - weights * (grad * out).sum(2)[row]
    by_source, by_target = reference_edge_scores_adjoint(by_scores.to(x.dtype), *deep, graph, slope)
    return by_x, by_source.view(source.shape), by_target.view(target.shape), by_scale


def reference_edge_scores(
    a: Tensor, b: Tensor, source: Tensor, target: Tensor, graph: Graph, slope: float
) -> Tensor:
    row = edge_rows(graph.rowptr, graph.col)
    return (_slopes(source[graph.col] + target[row], slope) * (a[graph.col] + b[row])).sum(2)


def reference_edge_scores_adjoint(
    u: Tensor, source: Tensor, target: Tensor, graph: Graph, slope: float
) -> tuple[Tensor, Tensor]:
    row = edge_rows(graph.rowptr, graph.col)
    values = u[:, :, None] * _slopes(source[graph.col] + target[row], slope)
    return _sum_rows(values[graph.perm], cast(Tensor, graph.t_rowptr)), _sum_rows(values, graph.rowptr)


# --- native: C++ on the CPU ---------------------------------------------------


def native_attend(
    x: Tensor,
    source: Tensor,
    target: Tensor,
    vector: Tensor | None,
    scale: Tensor | None,
    graph: Graph,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    x, source, target = x.contiguous(), source.contiguous(), target.contiguous()
    vector, scale = contiguous(vector), contiguous(scale)
    rows, heads, depth = score_sizes(target)
    out = new_empty(x, rows, heads, x.shape[2])
    maximum, total = x.new_empty(rows, heads), x.new_empty(rows, heads)
    kernel("attend", x.dtype)(
        *addresses(graph.rowptr), rows, *addresses(graph.col, x, source, target, vector, scale), heads, depth,
        x.shape[2], slope, *addresses(out, maximum, total), torch.get_num_threads(), graph.col.shape[0], x.shape[0],
    )  # fmt: skip
    return out, maximum, total


def native_attend_backward(
    grad: Tensor,
    out: Tensor,
    maximum: Tensor,
    total: Tensor,
    x: Tensor,
    source: Tensor,
    target: Tensor,
    vector: Tensor | None,
    scale: Tensor | None,
    graph: Graph,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    grad, out, x = grad.contiguous(), out.contiguous(), x.contiguous()
    source, target, vector, scale = (
        source.contiguous(),
        target.contiguous(),
        contiguous(vector),
        contiguous(scale),
    )
    rows, heads, depth = score_sizes(target)
    by_x, by_source, by_target = (new_empty(tensor, *tensor.shape) for tensor in (x, source, target))
    by_scale = x.new_empty(0, heads) if scale is None else torch.empty_like(scale)
    by_scores, statistics = new_empty(x, graph.col.shape[0], heads), new_empty(x, rows, 3, heads)
    kernel("attend_backward", x.dtype)(
        *addresses(graph.rowptr), rows, *addresses(graph.col, graph.t_rowptr), x.shape[0],
        *addresses(graph.t_row, graph.perm, x, source, target, vector, scale), heads, depth, x.shape[2], slope,
        *addresses(grad, out, maximum, total, statistics, by_scores, by_x, by_source, by_target),
        *addresses(None if scale is None else by_scale), torch.get_num_threads(), graph.col.shape[0],
    )  # fmt: skip
    return by_x, by_source, by_target, by_scale


def native_edge_scores(
    a: Tensor, b: Tensor, source: Tensor, target: Tensor, graph: Graph, slope: float
) -> Tensor:
    a, b, source, target = a.contiguous(), b.contiguous(), source.contiguous(), target.contiguous()
    rows, heads, depth = target.shape
    out = a.new_empty(graph.col.shape[0], heads)
    kernel("edge_scores", a.dtype)(
        *addresses(graph.rowptr), rows, *addresses(graph.col, a, b, source, target), heads, depth, slope,
        *addresses(out), torch.get_num_threads(), graph.col.shape[0], source.shape[0],
    )  # fmt: skip
    return out


def native_edge_scores_adjoint(
    u: Tensor, source: Tensor, target: Tensor, graph: Graph, slope: float
) -> tuple[Tensor, Tensor]:
    u, source, target = u.contiguous(), source.contiguous(), target.contiguous()
    rows, heads, depth = target.shape
    by_source, by_target = torch.empty_like(source), torch.empty_like(target)
    kernel("edge_scores_adjoint", u.dtype)(
        *addresses(graph.rowptr), rows, *addresses(graph.col, graph.t_rowptr), source.shape[0],
        *addresses(graph.t_row, graph.perm, u, source, target), heads, depth, slope,
        *addresses(by_source, by_target), torch.get_num_threads(), graph.col.shape[0],
    )  # fmt: skip
    return by_source, by_target


# --- custom ops ---------------------------------------------------------------


@custom_op("attend")
def _attend(
    x: Tensor,
    source: Tensor,
    target: Tensor,
    vector: Tensor | None,
    scale: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor]:
    graph = Graph(rowptr, col, t_rowptr, t_row, perm)
    found = implementation(x, "attention", "attend")(x, source, target, vector, scale, graph, slope)
    return cast(tuple[Tensor, Tensor, Tensor], found)


@custom_op("attend_backward")
def _attend_backward(
    grad: Tensor,
    out: Tensor,
    maximum: Tensor,
    total: Tensor,
    x: Tensor,
    source: Tensor,
    target: Tensor,
    vector: Tensor | None,
    scale: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor,
    t_row: Tensor,
    perm: Tensor,
    slope: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    graph = Graph(rowptr, col, t_rowptr, t_row, perm)
    found = implementation(x, "attention", "attend_backward")(
        grad, out, maximum, total, x, source, target, vector, scale, graph, slope
    )
    return cast(tuple[Tensor, Tensor, Tensor, Tensor], found)


@custom_op("edge_scores")
def _edge_scores(
    a: Tensor,
    b: Tensor,
    source: Tensor,
    target: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
    slope: float,
) -> Tensor:
    graph = Graph(rowptr, col, t_rowptr, t_row, perm)
    return cast(Tensor, implementation(a, "attention", "edge_scores")(a, b, source, target, graph, slope))


@custom_op("edge_scores_adjoint")
def _edge_scores_adjoint(
    u: Tensor,
    source: Tensor,
    target: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor,
    t_row: Tensor,
    perm: Tensor,
    slope: float,
) -> tuple[Tensor, Tensor]:
    graph = Graph(rowptr, col, t_rowptr, t_row, perm)
    found = implementation(u, "attention", "edge_scores_adjoint")(u, source, target, graph, slope)
    return cast(tuple[Tensor, Tensor], found)


@_attend.register_fake
def _(x: Tensor, source: Tensor, target: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    statistics = target.new_empty(target.shape[:2], dtype=_statistics_dtype(x))
    return x.new_empty(*target.shape[:2], x.shape[2]), statistics, torch.empty_like(statistics)


@_attend_backward.register_fake
def _(
    grad: Any, out: Any, maximum: Any, total: Any, x: Tensor, source: Tensor, target: Tensor, vector: Any,
    scale: Tensor | None, *_: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    by_scale = x.new_empty(0, x.shape[1]) if scale is None else scale.new_empty(scale.shape)
    return x.new_empty(x.shape), source.new_empty(source.shape), target.new_empty(target.shape), by_scale


@_edge_scores.register_fake
def _(a: Tensor, b: Any, source: Any, target: Any, rowptr: Any, col: Tensor, *_: Any) -> Tensor:
    return a.new_empty(col.shape[0], a.shape[1])


@_edge_scores_adjoint.register_fake
def _(u: Tensor, source: Tensor, target: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return source.new_empty(source.shape), target.new_empty(target.shape)


# --- derivatives --------------------------------------------------------------


def _save_attend(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.slope = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)  # or every backward pass would write zeros for maxima and sums
    ctx.save_for_backward(*output, *tensors)


def _differentiate_attend(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 11
    out, maximum, total, x, source, target, vector, scale, *tensors = ctx.saved_tensors
    graph = Graph(*tensors).with_transpose(x.shape[0])
    by_x, a, b, by_scale = _attend_backward(
        grad, out, maximum, total, x, source, target, vector, scale, *graph, ctx.slope
    )
    by_scores = _by_scores(a, b, source, target, vector)
    return by_x, *by_scores, None if scale is None else by_scale, *[None] * 6


def _by_scores(
    a: Tensor, b: Tensor, source: Tensor, target: Tensor, vector: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of source, target and vector, where (a, b) is P^T of those of the scores."""
    if vector is None:
        return a, b, None
    return a * vector, b * vector, (a * source).sum(0) + (b * target).sum(0)


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.slope = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_backward(
    ctx: Any, vx: Tensor, va: Tensor, vb: Tensor, vscale: Tensor
) -> tuple[Tensor | None, ...]:
    # With w the softmax weights, m their scale, p = <grad_i, x_j>, and t = P(va, vb), the results of the backward
    # pass times v are the sum over edges of  w (m <grad_i, vx_j> + vscale p + m p (t - mean of t under w)).
    grad, _, _, _, x, of_source, of_target, vector, scale, *tensors = ctx.saved_tensors
    graph = Graph(*tensors)
    rows = _Rows.of(graph)
    source, target, va, vb = map(_deep, (of_source, of_target, va, vb))
    w = _softmax(_scores(source, target, vector, graph, ctx.slope), rows)
    t = _edge_scores(va, vb, source, target, *graph, ctx.slope)
    p, q = _head_dot(grad, x, graph), _head_dot(grad, vx, graph)
    m, vm = (torch.ones_like(w), torch.zeros_like(w)) if scale is None else (scale, vscale)
    centred = t - rows.spread(rows.sum(w * t))
    by_p = w * (vm + m * centred)
    by_w = m * q + vm * p + m * p * centred - rows.spread(rows.sum(w * m * p)) * t
    by_s = w * (by_w - rows.spread(rows.sum(w * by_w)))
    by_grad = _head_sum(vx, w * m, graph) + _head_sum(x, by_p, graph)
    by_x = torch.stack(
        [
            scatter_sum(g, u, graph.csr(x.shape[0]), None)
            for g, u in zip(grad.unbind(1), by_p.unbind(1), strict=True)
        ],
        1,
    )
    a, b = _edge_scores_adjoint(by_s, source, target, *graph, ctx.slope)
    by_source, by_target, by_vector = _by_scores(a, b, source, target, vector)
    by_scores = by_source.view(of_source.shape), by_target.view(of_target.shape), by_vector
    by_scale = None if scale is None else w * (q + p * centred)
    return by_grad, None, None, None, by_x, *by_scores, by_scale, *[None] * 6


def _save_scores(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, _, *tensors, ctx.slope = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_scores(ctx: Any, u: Tensor) -> tuple[Tensor | None, ...]:
    source, target, *tensors = ctx.saved_tensors
    graph = Graph(*tensors).with_transpose(source.shape[0])
    return *_edge_scores_adjoint(u, source, target, *graph, ctx.slope), *[None] * 8


def _save_adjoint(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    _, *tensors, ctx.slope = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_adjoint(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
    return _edge_scores(a, b, *ctx.saved_tensors, ctx.slope), *[None] * 8


_attend.register_autograd(_differentiate_attend, setup_context=_save_attend)
_attend_backward.register_autograd(_differentiate_backward, setup_context=_save_backward)
_edge_scores.register_autograd(_differentiate_scores, setup_context=_save_scores)
_edge_scores_adjoint.register_autograd(_differentiate_adjoint, setup_context=_save_adjoint)


# --- values per edge and head, from operators that have derivatives -----------


class _Rows(NamedTuple):
    """Sums over the edges of a row, and its adjoint, which spreads values of rows over their edges."""

    rowptr: Tensor
    row: Tensor
    edge: Tensor
    edge_ptr: Tensor

    @staticmethod
    def of(graph: Graph) -> _Rows:
        edges = torch.arange(graph.col.shape[0] + 1, device=graph.col.device)
        return _Rows(graph.rowptr, edge_rows(graph.rowptr, graph.col), edges[:-1], edges)

    def sum(self, values: Tensor) -> Tensor:
        graph = self.rowptr, self.edge, self.edge_ptr, self.row, self.edge
        return cast(
            Tensor, gather_sum(values, None, CSR(graph[0], graph[1], values.shape[0], *graph[2:]), None)
        )

    def spread(self, values: Tensor) -> Tensor:
        graph = self.edge_ptr, self.row, self.rowptr, self.edge, self.edge
        return cast(
            Tensor, gather_sum(values, None, CSR(graph[0], graph[1], values.shape[0], *graph[2:]), None)
        )


def _scores(source: Tensor, target: Tensor, vector: Tensor | None, graph: Graph, slope: float) -> Tensor:
    a, b = (source, target) if vector is None else (source * vector, target * vector)
    return cast(Tensor, _edge_scores(a, b, source, target, *graph, slope))


def _softmax(scores: Tensor, rows: _Rows) -> Tensor:
    """Over the edges of every row; 0 where all scores are -inf."""
    with torch.no_grad():
        shift = _max_rows(scores, rows.row, rows.rowptr)
    values = (scores - rows.spread(shift)).exp()
    total = rows.sum(values)
    return values / rows.spread(total.masked_fill(total == 0, 1))


def _head_sum(x: Tensor, weight: Tensor, graph: Graph) -> Tensor:
    """``[N, H, C]``: sums of x over the edges of every row, with a weight per edge and head."""
    sums = [
        gather_sum(y, w, graph.csr(y.shape[0]), None)
        for y, w in zip(x.unbind(1), weight.unbind(1), strict=True)
    ]
    return torch.stack(sums, 1)


def _head_dot(g: Tensor, x: Tensor, graph: Graph) -> Tensor:
    """``[E, H]``: products of the row of g and the row of x that an edge joins, over the channels of a head."""
    products = [
        edge_dot(h, y, graph.csr(y.shape[0]), None) for h, y in zip(g.unbind(1), x.unbind(1), strict=True)
    ]
    return torch.stack(products, 1)
