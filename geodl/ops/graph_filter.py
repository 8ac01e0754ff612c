"""graph_filter: the steps and recurrences with a sparse matrix that filters of a Laplacian are made of.

Operators, closed under differentiation:

- ``recurrence``: all or the last states of ``z_k = s_k + alpha_k A z_(k-1) + beta_k z_(k-2)``;
- ``filter_step``: ``alpha A x + d``;
- ``matmul``: a dense product whose sums depend neither on the number of threads nor on the number of rows, also with one of its
  factors transposed, ``matmul_nt`` and ``matmul_tn``.

Here A is the matrix L of a :class:`Matrix`, or its transpose. The adjoint of a recurrence is a recurrence with the
transpose that runs through the same numbers backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from geodl.ops.aggregate import edge_dot
from geodl.ops.core import CSR, Operator
from geodl.ops.core.csr import sum_rows
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.memory import addresses, new_empty
from geodl.ops.core.operator import total
from geodl.ops.neighbors import Neighbors, csr_for


class Matrix(NamedTuple):
    """A sparse square matrix L with ``laplacian [E]`` at the edges, or its transpose, as operators take it."""

    laplacian: Tensor
    graph: CSR
    symmetric: bool
    transposed: bool

    def t(self) -> Matrix:
        """The transpose: for a symmetric matrix itself."""
        if self.symmetric:
            return self
        return Matrix(self.laplacian, self.graph.with_transpose(), False, not self.transposed)

    def operand(self) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """(values, edge, rowptr, col) of what a product gathers over: ``values[edge[e]]`` stands at its e-th place."""
        if not self.transposed:
            return self.laplacian, None, self.graph.rowptr, self.graph.col
        t_rowptr, t_row, perm = self.graph.transpose()
        return self.laplacian, perm, t_rowptr, t_row

    def gradient(self, g: Tensor, x: Tensor) -> Tensor:
        """Derivative of ``<g, A x>`` by the values, ``[E]``."""
        g, x = (x, g) if self.transposed else (g, x)
        by_values: Tensor = edge_dot(g, x, self.graph, None)
        return by_values


def matrix_for(x: Tensor, neighbors: Neighbors, laplacian: Tensor, symmetric: bool) -> Matrix:
    """The matrix of a filter of ``x``, with its transpose if a gradient will gather over it."""
    if neighbors.num_dst != neighbors.num_src:
        raise ValueError(
            f"a Laplacian is square but neighbors have {neighbors.num_dst} destinations and {neighbors.num_src} sources"
        )
    graph = csr_for(neighbors) if symmetric else csr_for(neighbors, x)
    return Matrix(laplacian, graph, symmetric, False)


# --- operators ------------------------------------------------------------------------------------------------

# ``z_k = s_k + alpha[k-1] A z_(k-1) + beta[k-2] z_(k-2)`` for k = 0 .. len(alpha), of which the last ``keep`` are returned. The
# sources s_0 .. s_(sources-1) are given, those that follow are 0. With ``backwards``, sources and states lie in memory in the order
# of descending k.
recurrence = Operator(
    "recurrence",
    "source[N,sources,C] laplacian[E]; graph:csr[N,N,E] symmetric:bool transposed:bool alpha:floats beta:floats"
    " sources:int keep:int backwards:bool -> [N,keep,C]",
)

# ``alpha A x + d``.
filter_step = Operator(
    "filter_step",
    "x[N,C] d[N,C]? laplacian[E]; graph:csr[N,N,E] symmetric:bool transposed:bool alpha:float -> [N,C]",
)

# ``a b``, ``a b^T`` and ``a^T b``.
matmul = Operator("matmul", "a[N,D] b[D,C] -> [N,C]")
matmul_nt = Operator("matmul_nt", "a[N,D] b[C,D] -> [N,C]")
matmul_tn = Operator("matmul_tn", "a[D,N] b[D,C] -> [N,C]")


# --- derivatives ----------------------------------------------------------------------------------------------


def _recurrence_backward(inputs: Any, outputs: Any, grads: Any, needs: Sequence[bool]) -> Any:
    _, laplacian, graph, symmetric, transposed, alpha, beta, sources, keep, backwards = inputs
    matrix, g, steps = Matrix(laplacian, graph, symmetric, transposed), grads[0], len(alpha)
    adjoint = (*matrix.t(), alpha[::-1], beta[::-1], keep)
    if not needs[1]:
        return recurrence(g, *adjoint, sources, not backwards), None
    # Here state k of the recurrence and state k of its adjoint lie at the same place.
    adjoints = recurrence(g, *adjoint, steps + 1, not backwards)
    if steps == 0:
        return adjoints, torch.zeros_like(laplacian)
    scaled = _scaled_states(inputs)
    if backwards:
        left, by_source = adjoints[:, :-1], adjoints.narrow(1, steps + 1 - sources, sources)
    else:
        left, by_source = adjoints[:, 1:], adjoints.narrow(1, 0, sources)
    return by_source if needs[0] else None, matrix.gradient(left.reshape(scaled.shape), scaled)


def _scaled_states(inputs: Any) -> Tensor:
    """``[N, steps C]``: what A is applied to, ``alpha[k-1] z_(k-1)``, side by side."""
    source, *matrix, alpha, beta, sources, _, backwards = inputs
    states = recurrence(source, *matrix, alpha, beta, sources, len(alpha) + 1, backwards)
    states, scales = (states[:, 1:], alpha[::-1]) if backwards else (states[:, :-1], alpha)
    return torch.cat([scale * part for scale, part in zip(scales, states.unbind(1), strict=True)], 1)


def _recurrence_jvp(inputs: Any, outputs: Any, tangents: Any) -> Tensor:
    # The tangent of z is a recurrence too, whose sources are those of s plus alpha dA z, which has one more for every step.
    source, *matrix, alpha, beta, sources, keep, backwards = inputs
    of_source, of_laplacian = tangents
    steps = len(alpha)
    out: Tensor | None = None
    if of_laplacian is not None and steps:
        moved = filter_step(_scaled_states(inputs), None, of_laplacian, *matrix[1:], 1.0)
        moved = moved.view(moved.shape[0], steps, source.shape[2])
        moved = functional.pad(moved, (0, 0, 0, 1) if backwards else (0, 0, 1, 0))
        out = recurrence(moved, *matrix, alpha, beta, steps + 1, keep, backwards)
    if of_source is not None:
        out = total(out, recurrence(of_source, *matrix, alpha, beta, sources, keep, backwards))
    return source.new_zeros(source.shape[0], keep, source.shape[2]) if out is None else out


def _step_backward(inputs: Any, outputs: Any, grads: Any, needs: Sequence[bool]) -> Any:
    x, _, laplacian, graph, symmetric, transposed, alpha = inputs
    matrix, g = Matrix(laplacian, graph, symmetric, transposed), grads[0]
    by_x = filter_step(g, None, *matrix.t(), alpha) if needs[0] else None
    return by_x, g if needs[1] else None, alpha * matrix.gradient(g, x) if needs[2] else None


def _step_jvp(inputs: Any, outputs: Any, tangents: Any) -> Tensor | None:
    x, _, *matrix, alpha = inputs
    of_x, of_d, of_laplacian = tangents
    by_x = of_d if of_x is None else filter_step(of_x, of_d, *matrix, alpha)
    return total(
        by_x, None if of_laplacian is None else filter_step(x, None, of_laplacian, *matrix[1:], alpha)
    )


recurrence.differentiable(_recurrence_backward, _recurrence_jvp, saves=("source if laplacian", "laplacian"))
filter_step.differentiable(_step_backward, _step_jvp, saves=("x if laplacian", "laplacian"))
matmul.adjoint(lambda g, a, b: matmul_nt(g, b), lambda g, a, b: matmul_tn(a, g))
matmul_nt.adjoint(lambda g, a, b: matmul(g, b), lambda g, a, b: matmul_tn(g, a))
matmul_tn.adjoint(lambda g, a, b: matmul_nt(b, g), lambda g, a, b: matmul(a, g))


# --- reference: the definition in PyTorch ---------------------------------------------------------------------


def recur(
    step: Callable[..., None], source: Tensor, laplacian: Tensor, graph: CSR, symmetric: bool, transposed: bool,
    alpha: Sequence[float], beta: Sequence[float], sources: int, keep: int, backwards: bool,
) -> Tensor:  # fmt: skip
    """The recurrence by a ``step(x, *operand, alpha, d, beta, f, out)`` that writes ``alpha A x + d + beta f`` to ``out``.

    Its d and f may be None, and its dense tensors have adjacent channels, but rows that may lie apart.
    """
    operand = Matrix(laplacian, graph, symmetric, transposed).operand()
    points, _, channels = source.shape
    out = new_empty(source, points, keep, channels)
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
            step(states[k - 1], *operand, alpha[k - 1], d, *f, state)
        elif d is not None and kept == 0:
            state.copy_(d)
        states.append(state)
    return out


def step_once(step: Callable[..., None], x: Tensor, d: Tensor | None, *matrix: Any) -> Tensor:
    """``filter_step`` by such a step."""
    *given, alpha = matrix
    out = new_empty(x, *x.shape)
    step(x, *Matrix(*given).operand(), alpha, d, 0.0, None, out)
    return out


def _reference_step(
    x: Tensor, values: Tensor, edge: Tensor | None, rowptr: Tensor, col: Tensor, alpha: float, d: Tensor | None,
    beta: float, f: Tensor | None, out: Tensor,
) -> None:  # fmt: skip
    sums = alpha * sum_rows(x[col] * (values if edge is None else values[edge])[:, None], rowptr)
    sums = sums if d is None else sums + d
    out.copy_(sums if f is None else sums + beta * f)


recurrence.reference(lambda *given: recur(_reference_step, *given))
filter_step.reference(lambda *given: step_once(_reference_step, *given))
matmul.reference(lambda a, b: a @ b)
matmul_nt.reference(lambda a, b: a @ b.t())
matmul_tn.reference(lambda a, b: a.t() @ b)


# --- native: C++ on the CPU -----------------------------------------------------------------------------------


@filter_step.native
def _(x: Tensor, d: Tensor | None, *given: Any) -> Tensor:
    *matrix, alpha = given
    values, edge, rowptr, col = Matrix(*matrix).operand()
    out, (rows, channels) = new_empty(x, *x.shape), x.shape
    kernel("filter_step", x.dtype)(
        rowptr.data_ptr(), rows, col.data_ptr(), *addresses(values, edge), channels, alpha, 0.0,
        *addresses(x, d, None, out), *[channels] * 4, torch.get_num_threads(), col.shape[0], False,
    )  # fmt: skip
    return out


def native_recurrence(
    source: Tensor, laplacian: Tensor, graph: CSR, symmetric: bool, transposed: bool, alpha: Sequence[float],
    beta: Sequence[float], sources: int, keep: int, backwards: bool, out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    values, edge, rowptr, col = Matrix(laplacian, graph, symmetric, transposed).operand()
    points, channels = source.shape[0], source.shape[-1]
    out = new_empty(source, points, keep, channels) if out is None else out
    scratch = new_empty(source, 3, points, channels) if len(alpha) > keep else None
    kernel("recurrence", source.dtype)(
        rowptr.data_ptr(), points, *addresses(col, values, edge), channels, alpha, beta, source.data_ptr(), sources, keep,
        backwards, *addresses(scratch, out), torch.get_num_threads(), col.shape[0],
    )  # fmt: skip
    return out


def _native_product(a: Tensor, b: Tensor, rows: int, columns: int, depth: int, *strides: int) -> Tensor:
    """With the strides of a and b, by row and column: to ask for them, or to view a transpose, costs as much as a small product."""
    out = new_empty(a, rows, columns)
    of_a, of_b = addresses(a, b)
    term = depth, of_a, *strides[:2], of_b, *strides[2:]
    kernel("matmul", a.dtype)(
        rows, columns, [term], 0, 0, out.data_ptr(), columns, 0, 0, 0, torch.get_num_threads()
    )
    return out


@matmul.native
def _(a: Tensor, b: Tensor) -> Tensor:
    (rows, depth), (_, columns) = a.shape, b.shape
    return _native_product(a, b, rows, columns, depth, depth, 1, columns, 1)


@matmul_nt.native
def _(a: Tensor, b: Tensor) -> Tensor:
    (rows, depth), (columns, _) = a.shape, b.shape
    return _native_product(a, b, rows, columns, depth, depth, 1, 1, depth)


@matmul_tn.native
def _(a: Tensor, b: Tensor) -> Tensor:
    (depth, rows), (_, columns) = a.shape, b.shape
    return _native_product(a, b, rows, columns, depth, 1, rows, columns, 1)


recurrence.native(native_recurrence)
