r"""attention: softmax attention over neighbourhoods, with the scores of GAT and GATv2.

Both scores are one bilinear form. With the slopes :math:`\sigma_{e,h,d}` = LeakyReLU'(source + target), which are constant
almost everywhere,

    P(a, b)[e, h] = sum over d of  sigma[e, h, d] (a[col[e], h, d] + b[row[e], h, d])        [S, H, D], [N, H, D] -> [E, H]

is linear, the score is P(vector source, vector target), and the gradients of everything inside the score are the adjoint
of P. So there are four operators. ``attend`` and ``attend_backward`` hold no value per edge and channel, and what they keep for
the backward pass is a maximum and a sum per row and head; ``edge_scores`` is P, and ``edge_scores_adjoint`` its adjoint. The
source and target of a score of GAT, whose D is 1, come as ``[S, H]`` and ``[N, H]``.

Further derivatives are written with P, its adjoint and the operators of aggregate, on values per edge and head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from geodl.ops.aggregate import edge_dot, gather_sum, scatter_sum
from geodl.ops.core import CSR, Operator
from geodl.ops.core.derivative import pushed
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.memory import addresses, new_empty
from geodl.ops.neighbors import Neighbors, csr_for

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
    _check_heads(source, vector)
    graph = csr_for(neighbors, x, source, target, vector, edge_scale)
    if vector is not None and vector.shape[-1] == 0:
        # A sum of no terms is that of one zero; an empty tensor has no address, which tells C++ that there is no vector.
        source, target, vector = (functional.pad(scores, (0, 1)) for scores in (source, target, vector))
    return cast(Tensor, attend(x, source, target, vector, edge_scale, graph, negative_slope)[0])


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
    _check_heads(source, vector)
    graph = csr_for(neighbors, source, target, vector)
    scores = _scores(source, target, vector, graph, negative_slope)
    return _softmax(scores, _Rows(graph), _maximum(scores.detach(), graph))


def _check_heads(source: Tensor, vector: Tensor | None) -> None:
    form = "[S, H] without a vector" if vector is None else "[S, H, D] with a vector"
    if source.dim() != (2 if vector is None else 3):
        raise ValueError(f"source must have shape {form}, not {list(source.shape)}")
    if source.shape[1] == 0:
        raise ValueError(f"source must have at least one head, not shape {list(source.shape)}")


def score_sizes(scores: Tensor) -> tuple[int, int, int]:
    """N, H and D of ``[N, H, D]``, or of ``[N, H]`` with D = 1: a view more would be a node more in autograd."""
    rows, heads, *depth = scores.shape
    return rows, heads, depth[0] if depth else 1


# --- operators ------------------------------------------------------------------------------------------------

# Softmax averages, and statistics: of every row and head the largest score (0 if there is none above -inf), and the sum of powers.
attend = Operator(
    "attend",
    "x[S,H,C] source[S,H,...] target[N,H,...] vector[H,...]? edge_scale[E,H]?; graph:csr[N,S,E] slope:float"
    " -> out[N,H,C] statistics:acc[2,N,H]",
)

# Its gradients by x and by edge_scale, and P^T of those by the scores.
attend_backward = Operator(
    "attend_backward",
    "grad[N,H,C] x[S,H,C] source[S,H,...] target[N,H,...] vector[H,...]? edge_scale[E,H]?;"
    " out:const[N,H,C] statistics:acc[2,N,H] graph:csr[N,S,E] slope:float"
    " -> by_x[S,H,C] by_source[S,H,...] by_target[N,H,...] by_scale[E,H]?",
)

# P and its adjoint.
edge_scores = Operator(
    "edge_scores",
    "a[S,H,...] b[N,H,...]; source:const[S,H,...] target:const[N,H,...] graph:csr[N,S,E] slope:float -> [E,H]",
)
edge_scores_adjoint = Operator(
    "edge_scores_adjoint",
    "u[E,H]; source:const[S,H,...] target:const[N,H,...] graph:csr[N,S,E] slope:float"
    " -> by_source[S,H,...] by_target[N,H,...]",
)


Gradients = tuple[Tensor, Tensor, Tensor, Tensor | None]


@attend_backward.fake
def _(
    grad: Tensor, x: Tensor, source: Tensor, target: Tensor, vector: Tensor | None, scale: Tensor | None, *_: Any
) -> Gradients:  # fmt: skip
    by_x, by_source, by_target = (tensor.new_empty(tensor.shape) for tensor in (x, source, target))
    return by_x, by_source, by_target, None if scale is None else scale.new_empty(scale.shape)


# --- derivatives ----------------------------------------------------------------------------------------------


def _attend_backward(inputs: Any, outputs: Any, grads: Any, needs: Sequence[bool]) -> Any:
    *given, graph, slope = inputs
    _, source, target, vector, _ = given
    by_x, a, b, by_scale = attend_backward(grads[0], *given, *outputs, graph.with_transpose(), slope)
    return by_x, *_by_scores(a, b, source, target, vector), by_scale


def _by_scores(
    a: Tensor, b: Tensor, source: Tensor, target: Tensor, vector: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of source, target and vector, where (a, b) is P^T of those of the scores."""
    if vector is None:
        return a, b, None
    return a * vector, b * vector, (a * source).sum(0) + (b * target).sum(0)


def _averages(
    x: Tensor, source: Tensor, target: Tensor, vector: Tensor | None, scale: Tensor | None, graph: CSR, slope: float,
    statistics: Tensor,
) -> tuple[Tensor]:  # fmt: skip
    weights = _softmax(_scores(source, target, vector, graph, slope), _Rows(graph), statistics[0])
    return (_by_head(gather_sum, x, _product(weights, scale), graph),)


@attend_backward.composed
def _(
    grad: Tensor, x: Tensor, source: Tensor, target: Tensor, vector: Tensor | None, scale: Tensor | None,
    out: Tensor, statistics: Tensor, graph: CSR, slope: float,
) -> Gradients:  # fmt: skip
    rows = _Rows(graph)
    weights = _softmax(_scores(source, target, vector, graph, slope), rows, statistics[0])
    products, scaled = _by_head(edge_dot, grad, x, graph), _product(weights, scale)
    by_scores = scaled * products - weights * rows.spread(rows.sum(scaled * products))
    by_score = edge_scores_adjoint(by_scores, source, target, graph, slope)
    by_scale = None if scale is None else weights * products
    return _by_head(scatter_sum, grad, scaled, graph), *by_score, by_scale


attend.differentiable(
    _attend_backward,
    lambda inputs, outputs, tangents: pushed(_averages, (*inputs, outputs[1]), tangents)[0],
    saves=("x", "source", "target", "vector", "edge_scale", "out", "statistics"),
)
edge_scores.differentiable(
    lambda inputs, outputs, grads, needs: edge_scores_adjoint(grads[0], *inputs[2:]),
    lambda inputs, outputs, tangents: _scores_of(*tangents, *inputs[2:]),
    saves=("source", "target"),
)
edge_scores_adjoint.differentiable(
    lambda inputs, outputs, grads, needs: [_scores_of(*grads, *inputs[1:])],
    lambda inputs, outputs, tangents: edge_scores_adjoint(tangents[0], *inputs[1:]),
    saves=("source", "target"),
)


# --- values per edge and head, from operators that have derivatives -------------------------------------------


class _Rows:
    """Sums over the edges of a row, and their adjoint, which spreads values of rows over the edges."""

    def __init__(self, graph: CSR) -> None:
        self.summing, self.spreading = graph.edges(), graph.writing()

    def sum(self, values: Tensor) -> Tensor:
        return cast(Tensor, gather_sum(values, None, self.summing, None))

    def spread(self, values: Tensor) -> Tensor:
        return cast(Tensor, gather_sum(values, None, self.spreading, None))


def _scores(source: Tensor, target: Tensor, vector: Tensor | None, graph: CSR, slope: float) -> Tensor:
    a, b = (source, target) if vector is None else (source * vector, target * vector)
    return cast(Tensor, edge_scores(a, b, source, target, graph, slope))


def _scores_of(
    a: Tensor | None, b: Tensor | None, source: Tensor, target: Tensor, graph: CSR, slope: float
) -> Tensor:
    """P(a, b), where None is 0."""
    a = torch.zeros_like(source) if a is None else a
    b = torch.zeros_like(target) if b is None else b
    return cast(Tensor, edge_scores(a, b, source, target, graph, slope))


def _softmax(scores: Tensor, rows: _Rows, maximum: Tensor) -> Tensor:
    """Over the edges of every row, whose maximum, or what is near it, is a constant; 0 where all scores are -inf."""
    values = (scores - rows.spread(maximum.to(scores.dtype))).exp()
    total = rows.sum(values)
    return values / rows.spread(total.masked_fill(total == 0, 1))


def _product(value: Tensor, factor: Tensor | None) -> Tensor:
    """The product, where a factor of None is 1."""
    return value if factor is None else value * factor


def _by_head(operator: Operator, one: Tensor, other: Tensor, graph: CSR) -> Tensor:
    """An operator of aggregate for every head."""
    heads = zip(one.unbind(1), other.unbind(1), strict=True)
    return torch.stack([operator(left, right, graph, None) for left, right in heads], 1)


# --- reference: the definition in PyTorch ---------------------------------------------------------------------


def _deep(scores: Tensor) -> Tensor:
    """``[N, H]`` as ``[N, H, 1]``; others as they are."""
    return scores[:, :, None] if scores.dim() == 2 else scores


def _sums(source: Tensor, target: Tensor, graph: CSR) -> Tensor:
    """``[E, H, D]``: of what an edge's source and row have."""
    return _deep(source)[graph.col] + _deep(target)[graph.row]


def _slopes(source: Tensor, target: Tensor, graph: CSR, slope: float) -> Tensor:
    z = _sums(source, target, graph)
    return torch.ones_like(z).masked_fill(~(z > 0), slope)


def _maximum(scores: Tensor, graph: CSR) -> Tensor:
    """Of every row; 0 for a row without a score above -inf."""
    maximum = graph.max_rows(scores)
    return maximum.masked_fill(maximum == -torch.inf, 0)


def _powers(
    source: Tensor, target: Tensor, vector: Tensor | None, graph: CSR, slope: float, maximum: Tensor | None
) -> tuple[Tensor, Tensor]:
    """exp(score - maximum) ``[E, H]``, and the maximum of every row."""
    activated = _slopes(source, target, graph, slope) * _sums(source, target, graph)
    scores = (activated if vector is None else activated * vector).sum(2)
    maximum = _maximum(scores, graph) if maximum is None else maximum
    return (scores - maximum[graph.row]).exp(), maximum


@attend.reference
def _(
    x: Tensor, source: Tensor, target: Tensor, vector: Tensor | None, scale: Tensor | None, graph: CSR, slope: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    powers, maximum = _powers(source, target, vector, graph, slope, None)
    total = graph.sum_rows(powers)
    weights = _product(powers / total.where(total != 0, 1)[graph.row], scale)
    return graph.sum_rows(weights[:, :, None] * x[graph.col]), torch.stack([maximum, total])


@attend_backward.reference
def _(
    grad: Tensor, x: Tensor, source: Tensor, target: Tensor, vector: Tensor | None, scale: Tensor | None,
    out: Tensor, statistics: Tensor, graph: CSR, slope: float,
) -> Gradients:  # fmt: skip
    row, (maximum, total) = graph.row, statistics
    powers, _ = _powers(source, target, vector, graph, slope, maximum)
    weights = powers / total.where(total != 0, 1)[row]
    products = (grad[row] * x[graph.col]).sum(2)
    scaled = _product(weights, scale)
    by_x = graph.sum_sources(scaled[:, :, None] * grad[row])
    by_scores = scaled * products - weights * (grad * out).sum(2)[row]
    a, b = _reference_adjoint(by_scores, source, target, graph, slope)
    return by_x, a, b, None if scale is None else weights * products


@edge_scores.reference
def _(a: Tensor, b: Tensor, source: Tensor, target: Tensor, graph: CSR, slope: float) -> Tensor:
    return (_slopes(source, target, graph, slope) * _sums(a, b, graph)).sum(2)


@edge_scores_adjoint.reference
def _reference_adjoint(
    u: Tensor, source: Tensor, target: Tensor, graph: CSR, slope: float
) -> tuple[Tensor, Tensor]:
    values = u[:, :, None] * _slopes(source, target, graph, slope)
    return graph.sum_sources(values).view(source.shape), graph.sum_rows(values).view(target.shape)


# --- native: C++ on the CPU -----------------------------------------------------------------------------------


@attend.native
def _(
    x: Tensor, source: Tensor, target: Tensor, vector: Tensor | None, scale: Tensor | None, graph: CSR, slope: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    rows, heads, depth = score_sizes(target)
    channels = x.shape[2]
    out, statistics = new_empty(x, rows, heads, channels), new_empty(x, 2, rows, heads)
    kernel("attend", x.dtype)(
        graph.rowptr.data_ptr(), rows, *addresses(graph.col, x, source, target, vector, scale), heads, depth,
        channels, slope, *addresses(out, statistics), torch.get_num_threads(), graph.num_edges, x.shape[0],
    )  # fmt: skip
    return out, statistics


@attend_backward.native
def _(
    grad: Tensor, x: Tensor, source: Tensor, target: Tensor, vector: Tensor | None, scale: Tensor | None,
    out: Tensor, statistics: Tensor, graph: CSR, slope: float,
) -> Gradients:  # fmt: skip
    rows, heads, depth = score_sizes(target)
    (sources, _, channels), edges = x.shape, graph.num_edges
    t_rowptr, t_row, perm = graph.transpose()
    by_x = new_empty(x, sources, heads, channels)
    by_source, by_target = new_empty(x, *source.shape), new_empty(x, *target.shape)
    by_scale, scratch = (
        None if scale is None else new_empty(x, edges, heads),
        new_empty(x, edges + 3 * rows, heads),
    )
    kernel("attend_backward", x.dtype)(
        graph.rowptr.data_ptr(), rows, *addresses(graph.col, t_rowptr), sources,
        *addresses(t_row, perm, x, source, target, vector, scale), heads, depth, channels, slope,
        *addresses(grad, out, statistics, scratch, by_x, by_source, by_target, by_scale), torch.get_num_threads(), edges,
    )  # fmt: skip
    return by_x, by_source, by_target, by_scale


@edge_scores.native
def _(a: Tensor, b: Tensor, source: Tensor, target: Tensor, graph: CSR, slope: float) -> Tensor:
    rows, heads, depth = score_sizes(target)
    out = new_empty(a, graph.num_edges, heads)
    kernel("edge_scores", a.dtype)(
        graph.rowptr.data_ptr(), rows, *addresses(graph.col, a, b, source, target), heads, depth, slope,
        out.data_ptr(), torch.get_num_threads(), graph.num_edges, source.shape[0],
    )  # fmt: skip
    return out


@edge_scores_adjoint.native
def _(u: Tensor, source: Tensor, target: Tensor, graph: CSR, slope: float) -> tuple[Tensor, Tensor]:
    rows, heads, depth = score_sizes(target)
    t_rowptr, t_row, perm = graph.transpose()
    by_source, by_target = new_empty(source, *source.shape), new_empty(target, *target.shape)
    kernel("edge_scores_adjoint", u.dtype)(
        graph.rowptr.data_ptr(), rows, *addresses(graph.col, t_rowptr), source.shape[0],
        *addresses(t_row, perm, u, source, target), heads, depth, slope,
        *addresses(by_source, by_target), torch.get_num_threads(), graph.num_edges,
    )  # fmt: skip
    return by_source, by_target
