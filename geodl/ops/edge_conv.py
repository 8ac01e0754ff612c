"""edge_conv: the edge convolution of DGCNN with its batch norm, activation and maximum.

A message of the edge from j to i is linear in the two points,

    h_e = x_i W1 + (x_j - x_i) W2 + b = u_i + v_j + b    with    u = x (W1 - W2),  v = x W2,

so that the filter costs two products a point instead of one an edge. What follows, batch norm and a leaky ReLU, is
monotone in every channel, so that the maximum over the neighbours may be taken of h itself. It ascends if the filter is
turned round (multiplied by -1) in the channels where the scale of the norm is negative, which is done throughout here.

Statistics of all messages need no messages either, if sums over rows are kept. Messages are centred on their mean, which
is the message between the mean points: with m the mean of x_i and s that of x_j over all edges,

    d_e = h_e - mean(h) = (x_i - m)(W1 - W2) + (x_j - s) W2 = u_i + v_j,

and so u and v are made of centred points: neither the variance, the sum of d_e^2, nor the maximum suffers from points
that lie far from the origin. With y the derivative of the loss by the input of the activation, kept at the edge that
(i, c) took, E edges and sigma^2 = variance + eps, the derivative by every message is that of batch norm,

    dh_e = gamma / sigma (y_e - sum(y) / E - d_e sum(y d) / (E sigma^2)),

whose sums over the edges of a row and of a source need, of the neighbours, the selected y and the sums of u and v alone.

Every further derivative, and forward mode, is that of ``given_selection`` and ``gradients``: both passes, with the selection
as a constant, by operators that are differentiable themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from geodl.ops.aggregate import gather_sum, reference_gather_max, scatter_sum
from geodl.ops.core import CSR, Operator
from geodl.ops.core.derivative import pushed
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.fitting import Fitting
from geodl.ops.core.memory import addresses, in_huge_pages
from geodl.ops.neighbors import Neighbors, csr_for

__all__ = ["BatchNorm", "edge_conv"]


class BatchNorm(NamedTuple):
    """Batch norm over all edges; the arguments of :func:`torch.nn.functional.batch_norm`.

    Attributes:
        running_mean: ``[C']``, updated in training; needed out of training.
        running_var: the same for the (unbiased) variance.
        weight: ``[C']``, the scale; 1 if not given. Of any sign.
        bias: ``[C']``, the shift; 0 if not given.
        training: whether to normalise by the statistics of the messages, or by the running ones.
        momentum: how much of the new statistics the running ones take.
        eps: added to the variance.
    """

    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    training: bool = False
    momentum: float = 0.1
    eps: float = 1e-5


def edge_conv(
    x: Tensor,
    neighbors: Neighbors,
    weight: Tensor,
    bias: Tensor | None = None,
    norm: BatchNorm | None = None,
    negative_slope: float = 0.2,
    x_dst: Tensor | None = None,
) -> Tensor:
    r"""Edge convolution: the maximum over the neighbours of a linear layer, batch norm and leaky ReLU,

    .. math:: \text{out}_i = \max_{j \in N(i)} \; \text{LeakyReLU}\big(\text{BN}([x_i,\; x_j - x_i] \, W + b)\big)

    Batch norm is that of all edges, exactly as if their messages had been computed, but no value an edge and channel
    is stored, forward or backward, and the linear layer costs two products a point. An empty row gives 0. A maximum
    over a row that holds NaN is NaN. The gradient of a maximum goes to the edge of the greatest message, to the first in
    CSR order if several attain it. Results are bitwise equal from run to run. Differentiable to any order in ``x``,
    ``x_dst``, ``weight``, ``bias`` and the weight and bias of the norm.

    Args:
        x: ``[num_src, C]`` floating point, the signal at the sources :math:`x_j`.
        neighbors: which sources every destination reads.
        weight: ``[2C, C']``: C rows for :math:`x_i`, then C rows for :math:`x_j - x_i`.
        bias: ``[C']``, or None.
        norm: batch norm between linear layer and activation, whose running statistics are updated in training; or None.
        negative_slope: slope of the leaky ReLU below zero, at least 0; 0 gives the ReLU, 1 no activation.
        x_dst: ``[N, C]``, the signal at the destinations :math:`x_i`, where they are not the sources.

    Returns:
        ``[N, C']`` in the dtype of ``x``; half precision is computed, and its statistics kept, in float32.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, a negative slope, or statistics of fewer than two edges.
            Running statistics may be of any floating dtype.

    Wang et al., "Dynamic graph CNN for learning on point clouds", 2019, eq. 7-8.
    """
    if not negative_slope >= 0:
        raise ValueError(f"negative_slope must not be negative, got {negative_slope}")
    gamma = beta = None
    eps, training = 0.0, norm is not None and norm.training
    if norm is not None:
        _check_statistics(norm, neighbors, weight)
        eps = norm.eps
        if training:
            gamma = x.new_ones(weight.shape[-1:]) if norm.weight is None else norm.weight
            beta = norm.bias
        else:
            weight, bias = _folded(norm, weight, bias)
    graph = csr_for(neighbors, x, weight, x_dst, bias, gamma, beta)
    out, _, statistics, _ = edge_max(x, x_dst, weight, bias, gamma, beta, graph, negative_slope, eps)
    if training:
        assert norm is not None
        if norm.running_mean is not None:
            norm.running_mean.mul_(1 - norm.momentum).add_(statistics[0], alpha=norm.momentum)
        if norm.running_var is not None:
            unbiased = neighbors.num_edges / (neighbors.num_edges - 1)
            norm.running_var.mul_(1 - norm.momentum).add_(statistics[1], alpha=norm.momentum * unbiased)
    return cast(Tensor, out)


def _check_statistics(norm: BatchNorm, neighbors: Neighbors, weight: Tensor) -> None:
    """Checks what the operator is not given."""
    for name, running in (("running_mean", norm.running_mean), ("running_var", norm.running_var)):
        if running is None:
            if not norm.training:
                raise ValueError(f"norm out of training needs its {name}")
        elif running.shape != weight.shape[-1:] or running.device != weight.device:
            raise ValueError(
                f"{name} of norm must have shape {list(weight.shape[-1:])} on {weight.device}, "
                f"not {list(running.shape)} on {running.device}"
            )
        elif not running.is_floating_point():
            raise ValueError(f"{name} of norm must be floating point, not {running.dtype}")
    if norm.training and neighbors.num_edges < 2:
        raise ValueError(
            f"norm in training needs at least 2 edges for its statistics, but neighbors have {neighbors.num_edges}"
        )


_FOLDED = Fitting(
    "weight[C,D] bias[D]? norm_weight[D]? norm_bias[D]?; running_mean:any[D] running_var:any[D]"
)


def _folded(norm: BatchNorm, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """The linear layer with the norm in it, as running statistics are constants."""
    weight, bias, gamma, beta, mean, variance = _FOLDED(
        weight, bias, norm.weight, norm.bias, norm.running_mean, norm.running_var
    )
    mean, scale = mean.to(weight.dtype), (variance + norm.eps).rsqrt().to(weight.dtype)
    scale = scale if gamma is None else scale * gamma
    shift = (-mean if bias is None else bias - mean) * scale
    return weight * scale, shift if beta is None else shift + beta


# --- operators ------------------------------------------------------------------------------------------------
# Without a norm there are no statistics, no terms and no gradients of the norm.
# ``position`` is the place in the row of the edge that was taken, -1 if the row is empty; ``statistics`` mean and variance of
# the messages; ``terms`` the rows of u, of the d_e that was taken, of the sum of d_e over the row, and of v.

edge_max = Operator(
    "edge_max",
    "x[S,C] x_dst[N,C]? weight[C*2,D] bias[D]? norm_weight[D]? norm_bias[D]?; graph:csr[N,S,E] negative_slope:float eps:float"
    " -> out[N,D] position:int32[N,D] statistics:acc[2,P]? terms:const[R,P]?",
)
edge_max_backward = Operator(
    "edge_max_backward",
    "grad[N,D] x[S,C] x_dst[N,C]? weight[C*2,D] norm_weight[D]?; graph:csr[N,S,E] negative_slope:float eps:float out:const[N,D]"
    " position:int32[N,D] statistics:acc[2,P]? terms:const[R,P]? need_x:bool"
    " -> by_x[S,C]? by_dst[N,C]? by_weight[C*2,D] by_bias[D] by_norm_weight[P]? by_norm_bias[P]?",
)

Tensors = tuple[Tensor, ...]
Results = tuple[Tensor | None, ...]


@edge_max.fake
def new_results(
    x: Tensor, x_dst: Tensor | None, weight: Tensor, bias: Any, gamma: Tensor | None, beta: Any, graph: CSR, *_: Any,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:  # fmt: skip
    """Uninitialised results."""
    _check_destinations(x_dst, graph)
    points, channels = graph.rowptr.shape[0] - 1, weight.shape[1]
    out, position = x.new_empty(points, channels), x.new_empty(points, channels, dtype=torch.int32)
    if gamma is None:
        return out, position, None, None
    statistics = x.new_empty(2, channels, dtype=torch.promote_types(x.dtype, torch.float32))
    return out, position, statistics, x.new_empty(3 * points + x.shape[0], channels)


@edge_max_backward.fake
def new_gradients(
    grad: Tensor, x: Tensor, x_dst: Tensor | None, weight: Tensor, gamma: Tensor | None, graph: CSR, *given: Any,
) -> Results:  # fmt: skip
    """Uninitialised gradients; that of ``bias`` is zero where a norm takes the mean away."""
    *_, statistics, terms, need_x = given
    check_norm(x_dst, gamma, graph, statistics, terms)
    channels = weight.shape[1]
    by_norm = (None, None) if gamma is None else (x.new_empty(channels), x.new_empty(channels))
    by_x = x.new_empty(*x.shape) if need_x else None
    by_dst = x.new_empty(*x_dst.shape) if need_x and x_dst is not None else None
    return by_x, by_dst, x.new_empty(*weight.shape), x.new_empty(channels), *by_norm


def check_norm(
    x_dst: Tensor | None, gamma: Tensor | None, graph: CSR, statistics: Tensor | None, terms: Tensor | None
) -> None:
    """Checks what the declaration of the backward pass does not say."""
    _check_destinations(x_dst, graph)
    if gamma is None:
        return
    if statistics is None or terms is None:
        raise ValueError("statistics and terms must be given where norm_weight is")
    shape = 3 * (graph.rowptr.shape[0] - 1) + graph.num_src, gamma.shape[0]
    if terms.shape != shape or statistics.shape[1] != gamma.shape[0]:
        raise ValueError(f"terms must have shape {list(shape)}, not {list(terms.shape)}")


def parts_of(terms: Tensor | None, graph: CSR) -> Sequence[Any]:
    """u, extremum, total and v."""
    if terms is None:
        return None, None, None, None
    points = graph.rowptr.shape[0] - 1
    return torch.split(terms, [points, points, points, graph.num_src])


def _check_destinations(x_dst: Tensor | None, graph: CSR) -> None:
    if x_dst is None and graph.rowptr.shape[0] - 1 != graph.num_src:
        raise ValueError(
            f"neighbors have {graph.rowptr.shape[0] - 1} destinations and {graph.num_src} sources: "
            "x_dst must give the signal at the destinations"
        )


# --- derivatives ----------------------------------------------------------------------------------------------


def _backward(inputs: Any, outputs: Any, grads: Any, needs: Sequence[bool]) -> Sequence[Tensor | None]:
    x, x_dst, weight, _, gamma, _, *rest = inputs
    found = edge_max_backward(grads[0], x, x_dst, weight, gamma, *rest, *outputs, needs[0] or needs[1])
    return [by if need else None for by, need in zip(found, needs, strict=False)]


edge_max.differentiable(
    _backward,
    lambda inputs, outputs, tangents: pushed(given_selection, (*inputs, *outputs[:3]), tangents)[0],
    saves=("x", "x_dst", "weight", "norm_weight", "out", "position", "statistics", "terms"),
)


@edge_max_backward.composed
def _(*given: Any) -> Results:
    grad, x, x_dst, weight, gamma, graph, negative_slope, eps, out, position, statistics, terms, need_x = (
        given
    )
    graph = graph.with_transpose()
    if gamma is not None:
        statistics, terms = _differentiable(x, x_dst, weight, gamma, graph, position, statistics)
    rest = graph, negative_slope, eps, out, position, statistics, terms, need_x
    return gradients(grad, x, x_dst, weight, gamma, *rest)


# --- the passes in PyTorch ------------------------------------------------------------------------------------


def turned(weight: Tensor, gamma: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """W1 - W2 and W2 of the filter, turned round by the sign of gamma, and that sign (1 where gamma is 0)."""
    sign = weight.new_ones(weight.shape[1]) if gamma is None else torch.where(gamma < 0, -1, 1).to(weight)
    of_point, of_offset = (weight * sign).chunk(2)
    return of_point - of_offset, of_offset, sign


def reads_of(graph: CSR) -> Tensor:
    """How many destinations read each source."""
    if graph.t_rowptr is not None:
        return graph.t_rowptr.diff()
    return graph.col.new_zeros(graph.num_src).scatter_add_(0, graph.col, torch.ones_like(graph.col))


def centred(x: Tensor, x_dst: Tensor | None, graph: CSR) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x_i - m and x_j - s, with the mean points m and s over all edges, and how many edges each has, ``[N, 1]`` and ``[S, 1]``."""

    def about_mean(points: Tensor, edges: Tensor) -> Tensor:
        points = points.where(edges > 0, 0)  # a point at no edge is in no message, not even as NaN
        share = edges.T.to(torch.promote_types(points.dtype, torch.float32)) / edges.sum()
        # Twice: what rounding leaves of the mean is small, and so is its error.
        points = points - share @ points.detach().to(share)
        return (points - share @ points.detach()).to(x.dtype)

    degree, reads = graph.rowptr.diff()[:, None], reads_of(graph)[:, None]
    destinations = about_mean(x if x_dst is None else x_dst, degree)
    return destinations, about_mean(x, reads), degree.to(x.dtype), reads.to(x.dtype)


def _differentiable(
    x: Tensor, x_dst: Tensor | None, weight: Tensor, gamma: Tensor, graph: CSR, position: Tensor, statistics: Any
) -> tuple[tuple[Tensor, Tensor], Tensors]:  # fmt: skip
    """Statistics and the parts of terms as differentiable functions, given the selection."""
    destinations, sources, degree, reads = centred(x, x_dst, graph)
    first, second, _ = turned(weight, gamma)
    u, v = destinations @ first, sources @ second
    of_neighbors = gather_sum(v, None, graph, None)
    u = u - (degree * u + of_neighbors).sum(0) / graph.num_edges  # zero, but not its derivative
    total = degree * u + of_neighbors
    squares = (u * total).sum(0) + (v * (reads * v + scatter_sum(u, None, graph, None))).sum(0)
    mean, variance = statistics
    variance = variance + (squares - squares.detach()) / graph.num_edges  # they cancel where u is near -v
    return (mean, variance), (u, u + gather_sum(v, None, graph, position), total, v)


def given_selection(
    x: Tensor, x_dst: Tensor | None, weight: Tensor, bias: Tensor | None, gamma: Tensor | None, beta: Tensor | None,
    graph: CSR, negative_slope: float, eps: float, out: Tensor, position: Tensor, statistics: Tensor,
) -> tuple[Tensor]:  # fmt: skip
    """The forward pass: what has the value ``out`` and its derivatives."""
    first, second, sign = turned(weight, gamma)
    if gamma is None:
        y = (x if x_dst is None else x_dst) @ first + gather_sum(x @ second, None, graph, position)
        y = y if bias is None else y + bias
    else:
        graph = graph.with_transpose()
        (_, variance), terms = _differentiable(x, x_dst, weight, gamma, graph, position, statistics)
        _, extremum, _, _ = terms
        y = gamma * sign * (variance + eps).rsqrt() * extremum
        y = y if beta is None else y + beta
    return (torch.where(position < 0, 0, torch.where(out > 0, y, negative_slope * y)).to(x.dtype),)


def gradients(
    grad: Tensor, x: Tensor, x_dst: Tensor | None, weight: Tensor, gamma: Tensor | None, graph: CSR, negative_slope: float,
    eps: float, out: Tensor, position: Tensor, statistics: Any, terms: Any, need_x: bool,
) -> Results:  # fmt: skip
    """The backward pass, of terms in their parts."""
    first, second, sign = turned(weight, gamma)
    y = torch.where(position < 0, 0, torch.where(out > 0, grad, negative_slope * grad))
    by_u, by_v = y, scatter_sum(y, None, graph, position)
    by_bias, by_gamma, by_beta = y.sum(0), None, None
    destinations, sources = x if x_dst is None else x_dst, x
    if gamma is not None:
        (_, variance), (u, extremum, total, v), edges = statistics, terms, graph.num_edges
        destinations, sources, degree, reads = centred(x, x_dst, graph)
        inverse = (variance + eps).rsqrt()
        by_scale = (y * extremum).sum(0) * inverse
        factor = gamma * sign * inverse
        mean = (factor * by_bias / edges).to(x.dtype)
        slope = (factor * inverse * by_scale / edges).to(x.dtype)
        by_u = factor.to(x.dtype) * by_u - degree * mean - slope * total
        by_v = factor.to(x.dtype) * by_v - reads * mean
        by_v = by_v - slope * (reads * v + scatter_sum(u, None, graph, None))
        by_gamma, by_beta, by_bias = sign * by_scale.to(x.dtype), by_bias, torch.zeros_like(by_bias)
    by_point, by_offset = destinations.T @ by_u, sources.T @ by_v
    by_weight = sign * torch.cat([by_point, by_offset - by_point])
    by_dst = by_x = None
    if need_x:
        by_dst, by_x = by_u @ first.T, by_v @ second.T
        if x_dst is None:
            by_dst, by_x = None, by_dst + by_x
    return by_x, by_dst, by_weight, by_bias, by_gamma, by_beta


# --- reference: the definition in PyTorch ---------------------------------------------------------------------
# In double precision, so that what is rounded to single precision depends neither on the order in which a matrix product
# sums, which changes with the number of its rows and of threads, nor on where the points lie.


@edge_max.reference
def _(*given: Any) -> Results:
    results = new_results(*given)
    x, x_dst, weight, bias, gamma, beta, graph, negative_slope, eps = _double(given)
    destinations = x if x_dst is None else x_dst
    messages = torch.cat([destinations[graph.row], x[graph.col] - destinations[graph.row]], 1) @ weight
    messages = messages if bias is None else messages + bias
    rest: Tensors = ()
    if gamma is None:
        y, position = reference_gather_max(messages, None, graph.edges(), True)
    else:
        first, second, sign = turned(weight, gamma)
        mean = messages.mean(0)
        messages = sign * (messages - mean)
        variance = messages.square().mean(0)
        extremum, position = reference_gather_max(messages, None, graph.edges(), True)
        destinations, sources, _, _ = centred(x, x_dst, graph)
        rest = (
            torch.stack([mean, variance]),
            torch.cat([destinations @ first, extremum, graph.sum_rows(messages), sources @ second]),
        )
        y = extremum * sign * gamma * (variance + eps).rsqrt()
    y = y if beta is None else y + beta
    out = torch.where(position < 0, 0, functional.leaky_relu(y, negative_slope))
    for result, computed in zip(results, (out, position, *rest), strict=gamma is not None):
        cast(Tensor, result).copy_(computed)
    return results


@edge_max_backward.reference
def _(*given: Any) -> Results:
    new_gradients(*given)
    *inputs, terms, need_x = _double(given)
    found = gradients(*(*inputs, parts_of(terms, given[5]), need_x))
    return tuple(None if by is None else by.to(given[0].dtype) for by in found)


def _double(given: Sequence[Any]) -> list[Any]:
    """The floating tensors among these in double precision."""
    return [v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for v in given]


# --- native: C++ on the CPU -----------------------------------------------------------------------------------


@edge_max.native
def _(
    x: Tensor, x_dst: Tensor | None, weight: Tensor, bias: Tensor | None, gamma: Tensor | None, beta: Tensor | None,
    graph: CSR, negative_slope: float, eps: float,
) -> Results:  # fmt: skip
    found = new_results(x, x_dst, weight, bias, gamma, beta, graph)
    out, position, statistics, terms = results = (*map(in_huge_pages, found),)
    if weight.shape[1] > 0:
        kernel("edge_conv", x.dtype)(
            graph.rowptr.data_ptr(), graph.num_dst, *addresses(graph.col, graph.t_rowptr), x_dst is None,
            *addresses(x_dst, x), *x.shape, weight.data_ptr(), weight.shape[1], *addresses(bias, gamma, beta),
            negative_slope, eps, *addresses(out, position), *_kept(statistics, terms, graph),
            torch.get_num_threads(), graph.num_edges,
        )  # fmt: skip
    return results


@edge_max_backward.native
def _(
    grad: Tensor, x: Tensor, x_dst: Tensor | None, weight: Tensor, gamma: Tensor | None, graph: CSR, negative_slope: float,
    eps: float, out: Tensor, position: Tensor, statistics: Tensor | None, terms: Tensor | None, need_x: bool,
) -> Results:  # fmt: skip
    found = new_gradients(grad, x, x_dst, weight, gamma, graph, statistics, terms, need_x)
    results = (*map(in_huge_pages, found),)
    if weight.shape[1] == 0:
        return tuple(None if result is None else result.zero_() for result in results)
    graph = graph.with_transpose()
    by_x, by_dst, *by_layer = results
    kernel("edge_conv_backward", x.dtype)(
        graph.rowptr.data_ptr(), graph.num_dst, *addresses(graph.col, *graph[3:]), x_dst is None, *addresses(x_dst, x),
        *x.shape, weight.data_ptr(), weight.shape[1], *addresses(gamma), negative_slope, eps, grad.data_ptr(),
        *addresses(out, position), *_kept(statistics, terms, graph)[1:], *addresses(by_dst, by_x, *by_layer),
        torch.get_num_threads(), graph.num_edges,
    )  # fmt: skip
    return results


def _kept(statistics: Tensor | None, terms: Tensor | None, graph: CSR) -> tuple[int, ...]:
    """Where mean, variance, u, v, extremum and total lie; 0 without norm."""
    if statistics is None or terms is None:
        return 0, 0, 0, 0, 0, 0
    channels = terms.shape[1]
    row, mean, u = channels * terms.itemsize, statistics.data_ptr(), terms.data_ptr()
    size = graph.num_dst * row
    return mean, mean + row, u, u + 3 * size, u + size, u + 2 * size
