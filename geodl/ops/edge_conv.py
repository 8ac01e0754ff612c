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

Two primitives do this in every backend (``geodl.ops.triton.edge_conv`` holds functions of these names):

- ``forward(x_dst, x, weight, bias, gamma, beta, negative_slope, eps, rowptr, col, t_rowptr)
  -> (out, position, mean, variance, u, v, extremum, total)``
- ``backward(grad, need_x, x_dst, x, weight, gamma, negative_slope, eps, out, position, variance, u, v, extremum, total,
  rowptr, col, t_rowptr, t_row, perm) -> gradients of (x_dst, x, weight, bias, gamma, beta)``

``x_dst`` is None where the destinations are the sources, ``gamma`` where there is no norm. ``position`` [N, C'] is the
place in the row of the edge that was taken, -1 if the row is empty. Of the others, ``extremum`` [N, C'] is the d_e that
was taken and ``total`` [N, C'] the sum of d_e over the row; they and u, v, mean and variance are empty without norm.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from geodl.ops.aggregate import gather_sum, reference_gather_max, scatter_sum
from geodl.ops.backend import addresses, contiguous, implementation, in_huge_pages, kernel
from geodl.ops.core import CSR
from geodl.ops.custom_op import custom_op
from geodl.ops.neighbors import Neighbors, check_signal, edge_rows, transpose

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
    CSR order if several attain it. Results are bitwise equal from run to run. Differentiable twice in ``x``,
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
        ``[N, C']`` in the dtype of ``x``.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, a negative slope, or statistics of fewer than two edges.

    Wang et al., "Dynamic graph CNN for learning on point clouds", 2019, eq. 7-8.
    """
    _check(x, neighbors, weight, bias, norm, negative_slope, x_dst)
    gamma = beta = None
    if norm is not None and not norm.training:
        # Running statistics are constants: the norm is part of the linear layer.
        assert norm.running_mean is not None and norm.running_var is not None
        scale = (norm.running_var + norm.eps).rsqrt().to(x.dtype)
        scale = scale if norm.weight is None else scale * norm.weight
        shift = -norm.running_mean.to(x.dtype) if bias is None else bias - norm.running_mean.to(x.dtype)
        weight, bias = weight * scale, shift * scale if norm.bias is None else shift * scale + norm.bias
    elif norm is not None:
        gamma = x.new_ones(weight.shape[1]) if norm.weight is None else norm.weight
        beta = norm.bias
    given = [tensor for tensor in (x, x_dst, weight, bias, gamma, beta) if tensor is not None]
    transposed: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given):
        t, perm = neighbors.t()
        transposed = t.rowptr, t.col, perm
    out, _, mean, variance, *_ = edge_max(
        x_dst, x, weight, bias, gamma, beta, negative_slope, norm.eps if norm else 0.0,
        neighbors.rowptr, neighbors.col, *transposed,
    )  # fmt: skip
    if norm is not None and norm.training:
        if norm.running_mean is not None:
            norm.running_mean.mul_(1 - norm.momentum).add_(mean, alpha=norm.momentum)
        if norm.running_var is not None:
            unbiased = neighbors.num_edges / (neighbors.num_edges - 1)
            norm.running_var.mul_(1 - norm.momentum).add_(variance, alpha=norm.momentum * unbiased)
    return cast(Tensor, out)


def _check(
    x: Tensor,
    neighbors: Neighbors,
    weight: Tensor,
    bias: Tensor | None,
    norm: BatchNorm | None,
    negative_slope: float,
    x_dst: Tensor | None,
) -> None:
    check_signal(x, neighbors)
    channels = x.shape[1]
    if x_dst is None and neighbors.num_dst != neighbors.num_src:
        raise ValueError(
            f"neighbors have {neighbors.num_dst} destinations and {neighbors.num_src} sources: "
            "x_dst must give the signal at the destinations"
        )
    if x_dst is not None and x_dst.shape != (neighbors.num_dst, channels):
        raise ValueError(f"x_dst must have shape {[neighbors.num_dst, channels]}, not {list(x_dst.shape)}")
    if weight.dim() != 2 or weight.shape[0] != 2 * channels:
        raise ValueError(f"weight must have shape [{2 * channels}, C'], not {list(weight.shape)}")
    if not negative_slope >= 0:
        raise ValueError(f"negative_slope must not be negative, got {negative_slope}")
    named: dict[str, Tensor | None] = {"bias": bias}
    if norm is not None:
        named |= {"weight of norm": norm.weight, "bias of norm": norm.bias}
        statistics = {"running_mean of norm": norm.running_mean, "running_var of norm": norm.running_var}
        for name, running in statistics.items():
            if running is None and not norm.training:
                raise ValueError(f"norm out of training needs its {name.split()[0]}")
            if running is not None and not running.is_floating_point():
                raise ValueError(f"{name} must be floating point, not {running.dtype}")
        if norm.training and neighbors.num_edges < 2:
            raise ValueError(
                f"norm in training needs at least 2 edges for its statistics, but neighbors have {neighbors.num_edges}"
            )
        named |= statistics
    for name, tensor in named.items():
        if tensor is not None and tensor.shape != weight.shape[1:]:
            raise ValueError(f"{name} must have shape {list(weight.shape[1:])}, not {list(tensor.shape)}")
    for name, tensor in ({"x_dst": x_dst, "weight": weight} | named).items():
        if tensor is None:
            continue
        if tensor.dtype != x.dtype and not name.startswith("running"):
            raise ValueError(f"x is {x.dtype} but {name} is {tensor.dtype}")
        if tensor.device != x.device:
            raise ValueError(f"x is on {x.device} but {name} is on {tensor.device}")


# --- custom ops ---------------------------------------------------------------

Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@custom_op("edge_max")
def edge_max(
    x_dst: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    gamma: Tensor | None,
    beta: Tensor | None,
    negative_slope: float,
    eps: float,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    given = map(contiguous, (x_dst, x, weight, bias, gamma, beta))
    results: Outputs = implementation(x, "edge_conv", "forward")(
        *given, negative_slope, eps, rowptr, col, t_rowptr
    )
    return results


@custom_op("edge_max_backward")
def edge_max_backward(
    grad: Tensor,
    need_x: bool,
    x_dst: Tensor | None,
    x: Tensor,
    weight: Tensor,
    gamma: Tensor | None,
    negative_slope: float,
    eps: float,
    out: Tensor,
    position: Tensor,
    variance: Tensor,
    u: Tensor,
    v: Tensor,
    extremum: Tensor,
    total: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor,
    t_row: Tensor,
    perm: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    results: Gradients = implementation(x, "edge_conv", "backward")(
        grad.contiguous(), need_x, *map(contiguous, (x_dst, x, weight, gamma)), negative_slope, eps, out, position, variance,
        u, v, extremum, total, rowptr, col, t_rowptr, t_row, perm,
    )  # fmt: skip
    return results


def new_outputs(x: Tensor, weight: Tensor, gamma: Tensor | None, rowptr: Tensor) -> Outputs:
    """Uninitialised results of ``forward``."""
    points, sources, channels = rowptr.shape[0] - 1, x.shape[0], weight.shape[1]
    sums = torch.promote_types(x.dtype, torch.float32)
    statistics, destinations, origins = (
        ((0,), (0,), (0,)) if gamma is None else ((channels,), (points, channels), (sources, channels))
    )
    return (
        x.new_empty(points, channels),
        x.new_empty(points, channels, dtype=torch.int32),
        x.new_empty(statistics, dtype=sums),
        x.new_empty(statistics, dtype=sums),
        x.new_empty(destinations),
        x.new_empty(origins),
        x.new_empty(destinations),
        x.new_empty(destinations),
    )


def new_gradients(
    need_x: bool, x_dst: Tensor | None, x: Tensor, weight: Tensor, gamma: Tensor | None
) -> Gradients:
    """Uninitialised results of ``backward``; that of ``bias`` is zero where a norm takes the mean away."""
    channels, normalised = weight.shape[1], 0 if gamma is None else weight.shape[1]
    return (
        x.new_empty(x_dst.shape if need_x and x_dst is not None else 0),
        x.new_empty(x.shape if need_x else 0),
        x.new_empty(weight.shape),
        x.new_empty(channels),
        x.new_empty(normalised),
        x.new_empty(normalised),
    )


@edge_max.register_fake
def _(x_dst: Any, x: Tensor, weight: Tensor, bias: Any, gamma: Tensor | None, *rest: Any) -> Outputs:
    return new_outputs(x, weight, gamma, rest[3])


@edge_max_backward.register_fake
def _(
    grad: Any, need_x: bool, x_dst: Tensor | None, x: Tensor, weight: Tensor, gamma: Tensor | None, *_: Any
) -> Gradients:
    return new_gradients(need_x, x_dst, x, weight, gamma)


# --- derivatives --------------------------------------------------------------


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x_dst, x, weight, _, gamma, _, ctx.negative_slope, ctx.eps, *graph = inputs
    out, position, _, variance, *terms = output
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x_dst, x, weight, gamma, out, position, variance, *terms, *graph)


def _differentiate(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 13
    x_dst, x, weight, gamma, *saved, rowptr, col, t_rowptr, t_row, perm = ctx.saved_tensors
    if t_rowptr is None:
        t_rowptr, t_row, perm = transpose(rowptr, col, x.shape[0])
    need_dst, need_src, need_weight, need_bias, need_gamma, need_beta = ctx.needs_input_grad[:6]
    by_dst, by_x, by_weight, by_bias, by_gamma, by_beta = edge_max_backward(
        grad, need_dst or need_src, x_dst, x, weight, gamma, ctx.negative_slope, ctx.eps, *saved,
        rowptr, col, t_rowptr, t_row, perm,
    )  # fmt: skip
    return (
        by_dst if need_dst else None,
        by_x if need_src else None,
        by_weight if need_weight else None,
        by_bias if need_bias else None,
        by_gamma if need_gamma else None,
        by_beta if need_beta else None,
        *[None] * 7,
    )


def _save_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    grad, ctx.need_x, x_dst, x, weight, gamma, ctx.negative_slope, ctx.eps, *saved = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(grad, x_dst, x, weight, gamma, *saved)


def _differentiate_backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
    """Derives the backward pass as PyTorch sees it written down below, with the selection as a constant."""
    *given, out, position, variance, _, _, _, _, rowptr, col, t_rowptr, t_row, perm = ctx.saved_tensors
    graph = rowptr, col, t_rowptr, t_row, perm
    higher = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, or the gradient by one would also run through what another was made from.
        views: list[Any] = [None if tensor is None else tensor.view_as(tensor) for tensor in given]
        grad, x_dst, x, weight, gamma = views
        terms = _terms(x_dst, x, weight, gamma, position, variance, graph)
        results = gradients(
            grad, ctx.need_x, x_dst, x, weight, gamma, ctx.negative_slope, ctx.eps, out, position, *terms, *graph
        )  # fmt: skip
    pairs = [
        (result, cotangent)
        for result, cotangent in zip(results, cotangents, strict=True)
        if cotangent is not None and result.requires_grad
    ]
    leaves = [view for view in views if view is not None and view.requires_grad]
    found: tuple[Tensor | None, ...] = ()
    if pairs and leaves:
        outputs, weights = zip(*pairs, strict=True)
        found = torch.autograd.grad(outputs, leaves, weights, create_graph=higher, allow_unused=True)
    derivative = {id(leaf): by_leaf for leaf, by_leaf in zip(leaves, found, strict=bool(found))}
    by_grad, *by_inputs = (derivative.get(id(view)) for view in views)
    return by_grad, None, *by_inputs, *[None] * 14


edge_max.register_autograd(_differentiate, setup_context=_save)
edge_max_backward.register_autograd(_differentiate_backward, setup_context=_save_backward)


# --- the passes in PyTorch ----------------------------------------------------


def turned(weight: Tensor, gamma: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """W1 - W2 and W2 of the filter, turned round by the sign of gamma, and that sign (1 where gamma is 0)."""
    sign = (
        weight.new_ones(weight.shape[1]) if gamma is None else torch.where(gamma < 0, -1, 1).to(weight.dtype)
    )
    of_point, of_offset = (weight * sign).chunk(2)
    return of_point - of_offset, of_offset, sign


def sum_over_readers(y: Tensor, u: Tensor | None, position: Tensor, *graph: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over the destinations that read a source: of y where they have selected it, and of u if there is one."""
    csr = _csr(graph)
    selected = scatter_sum(y, None, csr, position)
    return selected, y.new_empty(0) if u is None else scatter_sum(u, None, csr, None)


def _csr(graph: tuple[Tensor, ...]) -> CSR:
    return CSR(graph[0], graph[1], graph[2].shape[0] - 1, *graph[2:])


def reads_of(col: Tensor, t_rowptr: Tensor | None, num_src: int) -> Tensor:
    """How many destinations read each source."""
    if t_rowptr is not None:
        return t_rowptr.diff()
    return col.new_zeros(num_src).scatter_add_(0, col, torch.ones_like(col))


def centred(
    x_dst: Tensor | None, x: Tensor, degree: Tensor, reads: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x_i - m and x_j - s, m, and s - m, with the mean points m and s over all edges."""
    sums = torch.promote_types(x.dtype, torch.float32)
    # A point at no edge is in no message, not even as NaN.
    x_dst = (x if x_dst is None else x_dst).where(degree[:, None] > 0, 0)
    x = x.where(reads[:, None] > 0, 0)
    of_dst, of_src = ((count.to(sums) / count.sum())[None] for count in (degree, reads))
    near = of_dst @ x_dst.detach().to(
        sums
    )  # the mean, but for rounding: what is left is small, and so are its errors
    destinations, sources = x_dst - near, x - near
    m, s = of_dst @ destinations.detach(), of_src @ sources.detach()
    return (destinations - m).to(x.dtype), (sources - s).to(x.dtype), (near + m)[0], (s - m)[0]


def _terms(
    x_dst: Tensor | None,
    x: Tensor,
    weight: Tensor,
    gamma: Tensor | None,
    position: Tensor,
    variance: Tensor,
    graph: tuple[Tensor, ...],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Variance, u, v, extremum and total as differentiable functions, given the selection."""
    none = x.new_empty(0)
    if gamma is None:
        return none, none, none, none, none
    rowptr, col, t_rowptr, _, _ = graph
    degree, reads, edges = rowptr.diff(), t_rowptr.diff(), col.shape[0]
    destinations, sources, _, _ = centred(x_dst, x, degree, reads)
    degree, reads = degree.to(x.dtype)[:, None], reads.to(x.dtype)[:, None]
    first, second, _ = turned(weight, gamma)
    u, v = destinations @ first, sources @ second
    csr = _csr(graph)
    of_neighbors = gather_sum(v, None, csr, None)
    u = u - (degree * u + of_neighbors).sum(0) / edges  # zero, but not its derivative
    total = degree * u + of_neighbors
    extremum = u + gather_sum(v, None, csr, position)
    squares = (u * total).sum(0) + (v * (reads * v + scatter_sum(u, None, csr, None))).sum(0)
    variance = variance + (squares - squares.detach()) / edges  # they cancel where u is near -v
    return variance, u, v, extremum, total


def gradients(
    grad: Tensor,
    need_x: bool,
    x_dst: Tensor | None,
    x: Tensor,
    weight: Tensor,
    gamma: Tensor | None,
    negative_slope: float,
    eps: float,
    out: Tensor,
    position: Tensor,
    variance: Tensor,
    u: Tensor,
    v: Tensor,
    extremum: Tensor,
    total: Tensor,
    *graph: Tensor,
) -> Gradients:
    """The backward pass by operators that are differentiable themselves."""
    rowptr, col, t_rowptr, _, _ = graph
    first, second, sign = turned(weight, gamma)
    y = torch.where(position < 0, 0, torch.where(out > 0, grad, negative_slope * grad))
    selected, of_readers = sum_over_readers(y, None if gamma is None else u, position, *graph)
    by_u, by_v = y, selected
    by_bias, by_gamma, by_beta = y.sum(0), x.new_empty(0), x.new_empty(0)
    destinations, sources = x if x_dst is None else x_dst, x
    if gamma is not None:
        degree, reads, edges = rowptr.diff(), t_rowptr.diff(), col.shape[0]
        destinations, sources, _, _ = centred(x_dst, x, degree, reads)
        degree, reads = degree.to(x.dtype)[:, None], reads.to(x.dtype)[:, None]
        inverse = (variance + eps).rsqrt()
        by_scale = (y * extremum).sum(0) * inverse
        factor = gamma * sign * inverse
        mean = (factor * by_bias / edges).to(x.dtype)
        slope = (factor * inverse * by_scale / edges).to(x.dtype)
        by_u = factor.to(x.dtype) * by_u - degree * mean - slope * total
        by_v = factor.to(x.dtype) * by_v - reads * mean
        by_v = by_v - slope * (reads * v + of_readers)
        by_gamma, by_beta, by_bias = sign * by_scale.to(x.dtype), by_bias, torch.zeros_like(by_bias)
    by_point, by_offset = destinations.T @ by_u, sources.T @ by_v
    by_weight = sign * torch.cat([by_point, by_offset - by_point])
    by_dst, by_x = (by_u @ first.T, by_v @ second.T) if need_x else (x.new_empty(0), x.new_empty(0))
    if x_dst is None and need_x:
        by_dst, by_x = x.new_empty(0), by_dst + by_x
    return by_dst, by_x, by_weight, by_bias, by_gamma, by_beta


# --- reference: the definition in PyTorch -------------------------------------
# In double precision, so that what is rounded to single precision depends neither on the order in which a matrix product
# sums, which changes with the number of its rows and of threads, nor on where the points lie.


def reference_forward(
    x_dst: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    gamma: Tensor | None,
    beta: Tensor | None,
    negative_slope: float,
    eps: float,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
) -> tuple[Tensor, ...]:
    results = new_outputs(x, weight, gamma, rowptr)
    x_dst, x, weight, bias, gamma, beta = _double(x_dst, x, weight, bias, gamma, beta)
    destinations, row, every = (
        x if x_dst is None else x_dst,
        edge_rows(rowptr, col),
        torch.arange(len(col)).to(col),
    )
    messages = torch.cat([destinations[row], x[col] - destinations[row]], 1) @ weight
    messages = messages if bias is None else messages + bias
    rest: tuple[Tensor, ...] = ()
    if gamma is None:
        y, position = reference_gather_max(messages, None, CSR(rowptr, every, len(every)), True)
    else:
        first, second, sign = turned(weight, gamma)
        mean = messages.mean(0)
        messages = sign * (messages - mean)
        variance = messages.square().mean(0)
        extremum, position = reference_gather_max(messages, None, CSR(rowptr, every, len(every)), True)
        total = torch.segment_reduce(messages, "sum", offsets=rowptr, axis=0, initial=0)
        destinations, sources, _, _ = centred(x_dst, x, rowptr.diff(), reads_of(col, t_rowptr, len(x)))
        rest = mean, variance, destinations @ first, sources @ second, extremum, total
        y = extremum * sign * gamma * (variance + eps).rsqrt()
    y = y if beta is None else y + beta
    out = torch.where(position < 0, 0, functional.leaky_relu(y, negative_slope))
    for result, computed in zip(results, (out, position, *rest), strict=gamma is not None):
        result.copy_(computed)
    return results


def reference_backward(grad: Tensor, need_x: bool, *given: Any) -> tuple[Tensor, ...]:
    grads = gradients(*_double(grad, need_x, *given))
    return tuple(result.to(grad.dtype) for result in grads)


def _double(*given: Any) -> list[Any]:
    """The floating tensors among these in double precision."""
    return [
        value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
        for value in given
    ]


# --- native: C++ on the CPU ---------------------------------------------------


def native_forward(
    x_dst: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    gamma: Tensor | None,
    beta: Tensor | None,
    negative_slope: float,
    eps: float,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
) -> tuple[Tensor, ...]:
    results = tuple(map(in_huge_pages, new_outputs(x, weight, gamma, rowptr)))
    if weight.shape[1] > 0:
        kernel("edge_conv", x.dtype)(
            rowptr.data_ptr(), rowptr.shape[0] - 1, *addresses(col, t_rowptr), x_dst is None, *addresses(x_dst, x), *x.shape,
            weight.data_ptr(), weight.shape[1], *addresses(bias, gamma, beta), negative_slope, eps,
            *addresses(*results), torch.get_num_threads(), col.shape[0],
        )  # fmt: skip
    return results


def native_backward(
    grad: Tensor,
    need_x: bool,
    x_dst: Tensor | None,
    x: Tensor,
    weight: Tensor,
    gamma: Tensor | None,
    negative_slope: float,
    eps: float,
    out: Tensor,
    position: Tensor,
    variance: Tensor,
    u: Tensor,
    v: Tensor,
    extremum: Tensor,
    total: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor,
    t_row: Tensor,
    perm: Tensor,
) -> tuple[Tensor, ...]:
    results = tuple(map(in_huge_pages, new_gradients(need_x, x_dst, x, weight, gamma)))
    if weight.shape[1] == 0:
        return tuple(result.zero_() for result in results)
    kernel("edge_conv_backward", x.dtype)(
        rowptr.data_ptr(), rowptr.shape[0] - 1, *addresses(col, t_rowptr, t_row, perm), x_dst is None,
        *addresses(x_dst, x), *x.shape,
        weight.data_ptr(), weight.shape[1], *addresses(gamma), negative_slope, eps, grad.data_ptr(),
        *addresses(out, position, variance, u, v, extremum, total), *addresses(*results), torch.get_num_threads(),
        col.shape[0],
    )  # fmt: skip
    return results
