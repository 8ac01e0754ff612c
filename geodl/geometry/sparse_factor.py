"""Factor once, solve many: sparse symmetric matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from geodl.geometry.blas import single_threaded_blas
from geodl.geometry.native import native, num_threads

__all__ = ["SparseFactor"]


class SparseFactor:
    r"""The factors :math:`P A P^\top = L D L^\top` of a sparse symmetric matrix, for solving with many right-hand sides.

    SuperLU orders and factors, without pivoting; the solves are ours, as SuperLU takes right-hand sides one by one.
    Neither depends on the number of threads.

    Args:
        matrix: ``[n, n]``, symmetric; positive definite for a backward stable factorisation.

    Raises:
        ValueError: the matrix is singular to working precision.
    """

    @single_threaded_blas()
    def __init__(self, matrix: Any) -> None:
        options = {"SymmetricMode": True}
        try:
            self._factors = splu(
                scipy.sparse.csc_matrix(matrix),
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options=options,
            )
        except RuntimeError as error:
            raise ValueError(f"the matrix of size {matrix.shape[0]} cannot be factored: {error}") from error
        self._place = self._factors.perm_r
        self._order = np.argsort(self._place)
        self._unpivoted = bool((self._place == self._factors.perm_c).all())
        if self._unpivoted:
            below = scipy.sparse.tril(self._factors.L, k=-1, format="csc")
            self._below = below.indptr.astype(np.int64), below.indices.astype(np.int64), below.data
            self._diagonal = np.ascontiguousarray(self._factors.U.diagonal())

    @property
    def order(self) -> NDArray[np.int64]:
        """``[n]``: row i of the factors is row ``order[i]`` of the matrix."""
        return self._order

    def solve(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        """``A^-1 right``, for ``right [n, m]``."""
        x: NDArray[np.float64] = np.ascontiguousarray(right[self._order])
        self.solve_ordered(x)
        solution: NDArray[np.float64] = x[self._place]
        return solution

    def solve_ordered(self, x: NDArray[np.float64]) -> None:
        """The same in place, for a contiguous ``x [n, m]`` whose rows are in the :attr:`order` of the factors."""
        if self._unpivoted:
            native().ldl_solve(*self._below, self._diagonal, x, num_threads())
        else:
            with single_threaded_blas():
                x[:] = self._factors.solve(x[self._place])[self._order]
