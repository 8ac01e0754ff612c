"""chebyshev: polynomials of a graph Laplacian, in Chebyshev's basis."""

from __future__ import annotations

from torch import Tensor

from geodl.ops.graph_filter import Matrix, check_filters, matmul, matrix_for, recurrence
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
    matrix = matrix_for(x, neighbors, laplacian, symmetric)
    check_filters(filters, "filters", ("K", x.shape[1], "C'"), x)
    if filters.shape[0] == 0:
        raise ValueError("filters must have at least one matrix, not 0")
    return polynomial(x, matrix, filters)


def polynomial(x: Tensor, matrix: Matrix, filters: Tensor) -> Tensor:
    """``sum_k T_k(L) x filters[k]``."""
    powers, channels, out_channels = filters.shape
    doubled, minus = [2.0] * max(powers - 2, 0), [-1.0] * max(powers - 2, 0)
    first = [1.0] * min(powers - 1, 1)
    if out_channels <= channels:
        weighted = matmul(x, filters.transpose(0, 1).flatten(1))
        out: Tensor = recurrence(weighted, *matrix, doubled + first, minus, powers, 1, True)
        return out
    basis = recurrence(x, *matrix, first + doubled, minus, 1, powers, False)
    out = matmul(basis, filters.flatten(0, 1))
    return out
