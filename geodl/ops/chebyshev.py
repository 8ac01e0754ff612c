"""chebyshev: polynomials of a graph Laplacian, in Chebyshev's basis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.compiler import is_compiling

from geodl.ops.core import Operator
from geodl.ops.core.declaration import Declaration
from geodl.ops.core.derivative import pushed
from geodl.ops.core.dispatch import kernel, select
from geodl.ops.core.memory import addresses, new_empty
from geodl.ops.core.operator import HALF
from geodl.ops.core.plain import MUST_BE_RESOLVED, write_look
from geodl.ops.core.watch import watched
from geodl.ops.graph_filter import (
    Matrix,
    matmul,
    matmul_nt,
    matmul_tn,
    matrix_for,
    native_recurrence,
    recurrence,
)
from geodl.ops.neighbors import Neighbors

__all__ = ["chebyshev"]


def chebyshev(
    x: Tensor, neighbors: Neighbors, laplacian: Tensor, filters: Tensor, symmetric: bool = False
) -> Tensor:
    r"""Filters a signal by a polynomial of the Laplacian,

    .. math:: \text{out} = \sum_{k=0}^{K-1} T_k(L) \, x \, W_k,
        \qquad T_k(\lambda) = 2 \lambda T_{k-1}(\lambda) - T_{k-2}(\lambda), \quad T_1(\lambda) = \lambda, \quad T_0 = 1

    where row i of L has the numbers ``laplacian[e]`` in the columns ``col[e]`` (the diagonal, where there is one, is
    edges of a vertex with itself), scaled so that its spectrum lies in [-1, 1].

    The signal is multiplied by the weights first if that leaves fewer channels (Clenshaw's recurrence), else last, so
    that the sparse products run at min(C, C') channels. What is kept for the gradient of ``filters`` is ``x`` in the first
    case and, in the second, the K terms :math:`T_k(L) x`, ``[N, K, C]``. Results are bitwise equal from run to run, for any
    number of threads.

    Args:
        x: ``[N, C]`` floating point, the signal.
        neighbors: the places of the Laplacian, N by N.
        laplacian: ``[E]`` its entries in CSR order, of the dtype of ``x``.
        filters: ``[K, C, C']`` one matrix a power, K > 0.
        symmetric: the Laplacian is known to be symmetric, values included. Then it is its own transpose, and the
            backward pass makes none. If it is not, gradients are wrong; nobody checks.

    Returns:
        ``[N, C']``. Differentiable to any order in ``x``, ``laplacian`` and ``filters``. With ``symmetric``, derivatives
        by ``laplacian`` hold as long as its entries change symmetrically.

    Raises:
        ValueError: a shape, dtype or device that does not fit.

    Defferrard et al., "Convolutional neural networks on graphs with fast localized spectral filtering", 2016.
    """
    check_powers(filters)
    return apply_polynomial(x, filters, matrix_for(x, neighbors, laplacian, symmetric))


def check_powers(filters: Tensor) -> None:
    """Raises if these are no matrices, one a power; whether they fit the signal the operator looks at."""
    if filters.dim() != 3:
        raise ValueError(f"filters must have shape [K, C, C'], not {list(filters.shape)}")
    if filters.shape[0] == 0:
        raise ValueError("filters must have at least one matrix, not 0")


def apply_polynomial(x: Tensor, filters: Tensor, matrix: Matrix) -> Tensor:
    """``sum_k T_k(L) x filters[k]``."""
    powers, channels, out_channels = filters.shape
    return cast(Tensor, polynomial(x, filters, *matrix, 0 if out_channels <= channels else powers)[0])


# The filtered signal and, where ``terms`` is K instead of 0, the terms T_k(L) x that it is the product of with the filters.
Filtered = tuple[Tensor, Tensor | None]
polynomial = Operator(
    "polynomial",
    "x[N,C] filters[K,C,D] laplacian[E]; graph:csr[N,N,E] symmetric:bool transposed:bool terms:int"
    " -> out[N,D] basis:const[N,terms,C]?",
)


@polynomial.fake
def _(x: Tensor, filters: Tensor, *given: Any) -> Filtered:
    (points, channels), terms = x.shape, given[-1]
    return x.new_empty(points, filters.shape[2]), x.new_empty(points, terms, channels) if terms else None


@cache
def _clenshaw(powers: int) -> tuple[Any, ...]:
    """What the recurrence takes after its matrix, for the sum over the weighted signals ``x filters[k]``."""
    ups = max(powers - 2, 0)
    return [2.0] * ups + [1.0] * min(powers - 1, 1), [-1.0] * ups, powers, 1, True


@cache
def _chebyshev(powers: int) -> tuple[Any, ...]:
    """The same for all terms T_k(L) x."""
    ups = max(powers - 2, 0)
    return [1.0] * min(powers - 1, 1) + [2.0] * ups, [-1.0] * ups, 1, powers, False


# Not flatten, for which batches of gradients have no rule.


def _flat(states: Tensor) -> Tensor:
    return states.reshape(states.shape[0], states.shape[1] * states.shape[2])


def _stacked(filters: Tensor) -> Tensor:
    return filters.reshape(filters.shape[0] * filters.shape[1], filters.shape[2])


def _side_by_side(filters: Tensor) -> Tensor:
    return filters.transpose(0, 1).reshape(filters.shape[1], filters.shape[0] * filters.shape[2])


def _filtered(recur: Callable[..., Tensor], product: Callable[..., Tensor], *given: Any) -> Filtered:
    """The operator by the recurrence and the product of graph_filter, or by what they are made of."""
    x, filters, *matrix, terms = given
    powers = int(filters.shape[0])  # a size that is traced has no hash
    if terms:
        basis = recur(x.unsqueeze(1), *matrix, *_chebyshev(powers))
        return product(_flat(basis), _stacked(filters)), basis
    weighted = product(x, _side_by_side(filters)).view(x.shape[0], powers, filters.shape[2])
    return recur(weighted, *matrix, *_clenshaw(powers)).squeeze(1), None


_compute = partial(_filtered, recurrence.run, matmul.run)

polynomial.reference(_compute)
polynomial.triton(_compute)


# --- small signals on the CPU, where views, copies and calls in between cost more than the work ---------------------

SMALL = 2**18  # bytes of a signal that is read once a power, out of the cache


@polynomial.native
def _(x: Tensor, filters: Tensor, *given: Any) -> Filtered:
    *matrix, terms = given
    if terms or x.nbytes > SMALL:
        return _compute(x, filters, *given)
    points, (powers, channels, width) = x.shape[0], filters.shape
    weighted = new_empty(x, points, powers, width)
    of_x, of_filters, of_weighted = addresses(x, filters, weighted)
    kernel("products", x.dtype)(
        powers, points, width, (channels, of_x, channels, 1, of_filters, width, 1), 0, channels * width,
        of_weighted, powers * width, width, torch.get_num_threads(),
    )  # fmt: skip
    out = native_recurrence(weighted, *(*matrix, *_clenshaw(powers), new_empty(x, points, width)))
    return out, None


_LOOK = write_look(Declaration.parse("g[N,D] x[N,C] filters[K,C,D] laplacian[E]; graph:csr[N,N,E]"))


def _native_gradients(g: Tensor, inputs: Any) -> tuple[Tensor, Tensor] | None:
    """Gradients of the signal and the filters, if these are small and plain, nobody looks on and none will ask for further ones."""
    x, filters, laplacian, graph, symmetric, transposed, terms = inputs
    if terms or not x.is_cpu or torch.is_grad_enabled() or is_compiling() or watched():
        return None
    found = _LOOK((g, x, filters, laplacian, graph))
    # The size is asked for last: of a tensor that is traced it has no number.
    if not found or found & MUST_BE_RESOLVED or select(g) != "native" or g.dtype in HALF or x.nbytes > SMALL:
        return None
    points, (powers, channels, width) = x.shape[0], filters.shape
    matrix = Matrix(laplacian, graph, symmetric, transposed).t()
    by_weighted, size = native_recurrence(g, *matrix, *_chebyshev(powers)), width * x.itemsize
    by_x, by_filters = new_empty(x, points, channels), new_empty(x, powers, channels, width)
    of_x, of_filters, of_weighted, out = addresses(x, filters, by_weighted, by_filters)
    row, matrix_size, threads = powers * width, channels * width, torch.get_num_threads()
    kernel("products", x.dtype)(
        powers, channels, width, (points, of_x, 1, channels, of_weighted, row, 1), 0, width, out, width, matrix_size, threads
    )  # fmt: skip
    terms = [
        (width, of_weighted + k * size, row, 1, of_filters + k * channels * size, 1, width)
        for k in range(powers)
    ]
    kernel("matmul", x.dtype)(points, channels, terms, 0, 0, by_x.data_ptr(), channels, 0, 0, 0, threads)
    return by_x, by_filters


def _backward(inputs: Any, outputs: Any, grads: Any, needs: Sequence[bool]) -> Any:
    x, filters, *matrix, terms = inputs
    powers, channels, out_channels = filters.shape
    by_x = by_filters = by_laplacian = weighted = None
    g = grads[0]
    if not needs[2] and (found := _native_gradients(g, inputs)) is not None:
        return *found, None
    powers = int(powers)  # a size that is traced has no hash
    if terms:
        given = x.unsqueeze(1), *matrix, *_chebyshev(powers)
        if needs[1]:
            # What was kept has no derivative of its own.
            basis = recurrence(*given) if torch.is_grad_enabled() else outputs[0]
            by_filters = matmul_tn(_flat(basis), g).view(filters.shape)
        if needs[0] or needs[2]:
            by_basis = matmul_nt(g, _stacked(filters)).view(x.shape[0], powers, channels)
            by_x, by_laplacian = recurrence.derive(given, (), (by_basis,), (needs[0], needs[2]))
            by_x = None if by_x is None else by_x.squeeze(1)
        return by_x, by_filters, by_laplacian
    if needs[2]:
        weighted = matmul(x, _side_by_side(filters)).view(x.shape[0], powers, out_channels)
    given = weighted, *matrix, *_clenshaw(powers)
    by_weighted, by_laplacian = recurrence.derive(given, (), (g.unsqueeze(1),), (True, needs[2]))
    by_weighted = _flat(by_weighted)
    by_x = matmul_nt(by_weighted, _side_by_side(filters)) if needs[0] else None
    if needs[1]:
        by_filters = matmul_tn(x, by_weighted).view(channels, powers, out_channels).transpose(0, 1)
    return by_x, by_filters, by_laplacian


polynomial.differentiable(
    _backward,
    lambda inputs, outputs, tangents: pushed(partial(_filtered, recurrence, matmul), inputs, tangents)[0],
    saves=("x", "filters", "laplacian", "basis"),
)
