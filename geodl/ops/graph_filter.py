"""graph_filter: the steps and recurrences with a sparse matrix that filters of a Laplacian are made of.

Three custom ops, closed under differentiation:

- ``recurrence``: all or the last states of ``z_k = s_k + alpha_k A z_(k-1) + beta_k z_(k-2)``;
- ``filter_step``: ``alpha A x + d``;
- ``matmul``: a dense product whose sums depend neither on the number of threads nor on the number of rows.

Here A is the matrix L of a :class:`Matrix`, or its transpose. The adjoint of a recurrence is a recurrence with the
transpose that runs through the same numbers backwards. Primitives, the same in every backend;
``geodl.ops.triton.graph_filter`` holds functions of these names:

- ``step(x, values, edge, rowptr, col, alpha, d, beta, f, out)``: writes ``alpha A x + d + beta f`` to ``out``, where
  A has ``values[edge[e]]`` (``values[e]`` if edge is None) at its e-th place; d and f may be None. Dense tensors have
  adjacent channels, but rows that may lie apart.
- ``product(a, b) -> a b``
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geodl.ops.aggregate import edge_dot
from geodl.ops.backend import addresses, implementation, kernel, new_empty
from geodl.ops.core import CSR
from geodl.ops.custom_op import custom_op
from geodl.ops.matrix_products import native_sum
from geodl.ops.neighbors import Neighbors, check_edges, check_like, check_signal, transpose, transpose_for


class Matrix(NamedTuple):
    """A sparse square matrix L with ``values [E]`` at the edges, or its transpose, as flat as custom ops need it.

    The transpose of the structure is None where no gradient was foreseen, or where the matrix is its own.
    """

    values: Tensor
    rowptr: Tensor
    col: Tensor
    t_rowptr: Tensor | None
    t_row: Tensor | None
    perm: Tensor | None
    symmetric: bool
    transposed: bool

    def t(self) -> Matrix:
        """The transpose: for a symmetric matrix itself."""
        if self.symmetric:
            return self
        if self.t_rowptr is not None:
            return self._replace(transposed=not self.transposed)
        t_rowptr, t_row, perm = transpose(self.rowptr, self.col, self.rowptr.shape[0] - 1)
        return self._replace(t_rowptr=t_rowptr, t_row=t_row, perm=perm, transposed=not self.transposed)

    def operand(self) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """(values, edge, rowptr, col) of the matrix that a product gathers over."""
        if not self.transposed:
            return self.values.contiguous(), None, self.rowptr, self.col
        assert self.t_rowptr is not None and self.t_row is not None
        return self.values.contiguous(), self.perm, self.t_rowptr, self.t_row

    def gradient(self, g: Tensor, x: Tensor) -> Tensor:
        """Derivative of ``<g, A x>`` by the values, ``[E]``."""
        g, x = (x, g) if self.transposed else (g, x)
        by_values: Tensor = edge_dot(g, x, CSR(self[1], self[2], self[1].shape[0] - 1, *self[3:6]), None)
        return by_values


def matrix_for(x: Tensor, neighbors: Neighbors, laplacian: Tensor, symmetric: bool) -> Matrix:
    """The matrix of a filter of ``x``, with its transpose if a gradient will gather over it; checks that they fit."""
    if neighbors.num_dst != neighbors.num_src:
        raise ValueError(
            f"a Laplacian is square but neighbors have {neighbors.num_dst} destinations and {neighbors.num_src} sources"
        )
    check_signal(x, neighbors)
    check_edges(x, neighbors, "laplacian", laplacian)
    transposed = (None, None, None) if symmetric else transpose_for(x, neighbors)
    return Matrix(laplacian, neighbors.rowptr, neighbors.col, *transposed, symmetric, False)


def check_filters(filters: Tensor, name: str, shape: tuple[str | int, ...], x: Tensor) -> None:
    """Checks the dtype, device and shape of weights; where the shape has a name instead of a number, any will do."""
    fits = filters.dim() == len(shape) and all(
        isinstance(wanted, str) or size == wanted for size, wanted in zip(filters.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have shape [{', '.join(map(str, shape))}], not {list(filters.shape)}")
    check_like(x, name, filters)


# --- custom ops ---------------------------------------------------------------------------------------------


@custom_op("recurrence")
def recurrence(
    source: Tensor,
    values: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
    symmetric: bool,
    transposed: bool,
    alpha: Sequence[float],
    beta: Sequence[float],
    sources: int,
    keep: int,
    backwards: bool,
) -> Tensor:
    """``z_k = s_k + alpha[k-1] A z_(k-1) + beta[k-2] z_(k-2)`` for k = 0 .. len(alpha).

    Args:
        source: ``[N, S C]``, s_0 .. s_(S-1) side by side; those that follow are 0.
        sources: S.
        keep: how many of the last states to return.
        backwards: sources and states lie in memory in the order of descending k.

    Returns:
        ``[N, keep C]``
    """
    matrix = Matrix(values, rowptr, col, t_rowptr, t_row, perm, symmetric, transposed)
    step = implementation(source, "graph_filter", "step")
    values, edge, rowptr, col = matrix.operand()
    points, channels = source.shape[0], source.shape[1] // sources
    result = new_empty(source, points, keep * channels)
    source, out = source.contiguous().view(points, sources, channels), result.view(points, keep, channels)
    states: list[Tensor] = []
    for k in range(len(alpha) + 1):
        d = source[:, sources - 1 - k if backwards else k] if k < sources else None
        kept = k - (len(alpha) + 1 - keep)
        if kept >= 0:
            state = out[:, keep - 1 - kept if backwards else kept]
        elif k == 0 and d is not None:
            state = d
        elif k <= 3:
            state = new_empty(source, points, channels)
        else:  # nobody reads that one any more
            state = states[k - 3]
        if k > 0:
            f = (beta[k - 2], states[k - 2]) if k > 1 else (0.0, None)
            step(states[k - 1], values, edge, rowptr, col, alpha[k - 1], d, *f, state)
        elif d is not None and kept == 0:
            state.copy_(d)
        states.append(state)
    return result


@custom_op("filter_step")
def filter_step(
    x: Tensor,
    values: Tensor,
    rowptr: Tensor,
    col: Tensor,
    t_rowptr: Tensor | None,
    t_row: Tensor | None,
    perm: Tensor | None,
    symmetric: bool,
    transposed: bool,
    alpha: float,
    d: Tensor | None,
) -> Tensor:
    """``alpha A x + d``, ``[N, C]``; without d, ``alpha A x``."""
    matrix = Matrix(values, rowptr, col, t_rowptr, t_row, perm, symmetric, transposed)
    x, d = x.contiguous(), None if d is None else d.contiguous()
    out = new_empty(x, *x.shape)
    implementation(x, "graph_filter", "step")(x, *matrix.operand(), alpha, d, 0.0, None, out)
    return out


@custom_op("matmul")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product of two matrices."""
    out: Tensor = implementation(a, "graph_filter", "product")(a, b)
    return out


@recurrence.register_fake
def _(source: Tensor, *rest: Any) -> Tensor:
    *_, sources, keep, _ = rest
    return source.new_empty(source.shape[0], source.shape[1] // sources * keep)


@filter_step.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


@matmul.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty(a.shape[0], b.shape[1])


# --- derivatives --------------------------------------------------------------------------------------------


def _save_recurrence(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    source, *matrix, ctx.alpha, ctx.beta, ctx.sources, ctx.keep, ctx.backwards = inputs
    ctx.flags = matrix[6:]
    # The source is read by the gradient of the values alone: it is not kept without need.
    ctx.save_for_backward(source if ctx.needs_input_grad[1] else None, *matrix[:6])


def _differentiate_recurrence(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    source, *tensors = ctx.saved_tensors
    matrix, alpha, beta = Matrix(*tensors, *ctx.flags), ctx.alpha, ctx.beta
    adjoint = (*matrix.t(), alpha[::-1], beta[::-1])
    if not ctx.needs_input_grad[1]:
        return recurrence(g, *adjoint, ctx.keep, ctx.sources, not ctx.backwards), *[None] * 13
    # Here state k of the recurrence and state k of its adjoint lie at the same place.
    steps, channels = len(alpha), source.shape[1] // ctx.sources
    adjoints = recurrence(g, *adjoint, ctx.keep, steps + 1, not ctx.backwards)
    if steps == 0:
        return adjoints, torch.zeros_like(matrix.values), *[None] * 12
    states = recurrence(source, *matrix, alpha, beta, ctx.sources, steps + 1, ctx.backwards)
    adjoints, states = (every.unflatten(1, (steps + 1, channels)) for every in (adjoints, states))
    if ctx.backwards:
        left, right, scales = adjoints[:, :-1], states[:, 1:], alpha[::-1]
        by_source = adjoints[:, -ctx.sources :]
    else:
        left, right, scales = adjoints[:, 1:], states[:, :-1], alpha
        by_source = adjoints[:, : ctx.sources]
    scaled = torch.stack([scale * part for scale, part in zip(scales, right.unbind(1), strict=True)], 1)
    by_values = matrix.gradient(left.flatten(1), scaled.flatten(1))
    return by_source.flatten(1), by_values, *[None] * 12


def _save_step(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, values, *structure, ctx.alpha, _ = inputs
    ctx.flags = structure[5:]
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, values, *structure[:5])


def _differentiate_step(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    x, *tensors = ctx.saved_tensors
    matrix = Matrix(*tensors, *ctx.flags)
    by_x = filter_step(g, *matrix.t(), ctx.alpha, None) if ctx.needs_input_grad[0] else None
    by_values = ctx.alpha * matrix.gradient(g, x) if ctx.needs_input_grad[1] else None
    return by_x, by_values, *[None] * 8, g if ctx.needs_input_grad[10] else None


def _save_matmul(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate_matmul(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    a, b = ctx.saved_tensors
    by_a = matmul(g, b.t()) if ctx.needs_input_grad[0] else None
    by_b = matmul(a.t(), g) if ctx.needs_input_grad[1] else None
    return by_a, by_b


recurrence.register_autograd(_differentiate_recurrence, setup_context=_save_recurrence)
filter_step.register_autograd(_differentiate_step, setup_context=_save_step)
matmul.register_autograd(_differentiate_matmul, setup_context=_save_matmul)


# --- reference: the definition in PyTorch -------------------------------------------------------------------


def reference_step(
    x: Tensor,
    values: Tensor,
    edge: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    alpha: float,
    d: Tensor | None,
    beta: float,
    f: Tensor | None,
    out: Tensor,
) -> None:
    terms = x[col] * (values if edge is None else values[edge])[:, None]
    total = alpha * torch.segment_reduce(terms, "sum", offsets=rowptr, axis=0, initial=0)
    if d is not None:
        total = total + d
    out.copy_(total if f is None else total + beta * f)


def reference_product(a: Tensor, b: Tensor) -> Tensor:
    return a.contiguous() @ b.contiguous()


# --- native: C++ on the CPU ---------------------------------------------------------------------------------


def native_step(
    x: Tensor,
    values: Tensor,
    edge: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    alpha: float,
    d: Tensor | None,
    beta: float,
    f: Tensor | None,
    out: Tensor,
) -> None:
    # A view of one row or one channel may have any strides there, so those of the allocation are computed.
    rows = [0 if tensor is None else tensor.stride(0) for tensor in (x, d, f, out)]
    kernel("filter_step", x.dtype)(
        rowptr.data_ptr(), out.shape[0], col.data_ptr(), *addresses(values, edge), out.shape[1], alpha, beta,
        *addresses(x, d, f, out), *rows, torch.get_num_threads(), col.shape[0],
    )  # fmt: skip


def native_product(a: Tensor, b: Tensor) -> Tensor:
    return native_sum(new_empty(a, a.shape[0], b.shape[1]), (a, b))
