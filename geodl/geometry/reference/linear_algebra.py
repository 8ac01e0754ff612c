"""What the block Lanczos method does most: solves with a factor, and products with the basis."""

from __future__ import annotations

import scipy.sparse
from scipy.sparse.linalg import spsolve_triangular

from geodl.geometry.reference.intrinsic_mesh import Indices, Reals

__all__ = ["ldl_solve", "orthogonalize"]


def ldl_solve(colptr: Indices, row: Indices, value: Reals, diagonal: Reals, x: Reals, threads: int) -> None:
    """Solves L D L^T in place; L has a unit diagonal and its columns hold what lies below it."""
    size = len(diagonal)
    lower = scipy.sparse.csc_array((value, row, colptr), shape=(size, size)) + scipy.sparse.eye_array(size)
    half = spsolve_triangular(lower.tocsr(), x, lower=True, unit_diagonal=True)
    x[:] = spsolve_triangular(lower.T.tocsr(), half / diagonal[:, None], lower=False, unit_diagonal=True)


def orthogonalize(basis: Reals, x: Reals, overlap: Reals, threads: int) -> None:
    """Subtracts from ``x [n, 8]`` its parts along ``basis [s, n, 8]`` and keeps them in ``overlap [s, 8, 8]``."""
    overlap[:] = basis.transpose(0, 2, 1) @ x
    for slab, part in zip(basis, overlap, strict=True):
        x -= slab @ part
