"""Filters of a Laplacian: chebyshev, on a matrix that is symmetric and on one that is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from geodl.ops import Neighbors, chebyshev

from .case import Arrays, Case, Inputs

POWERS = 4


def _points(neighbors: Neighbors) -> int:
    """A Laplacian is square, so points that are only destinations or only sources are both."""
    return max(neighbors.num_dst, neighbors.num_src)


def _square(neighbors: Neighbors) -> Neighbors:
    rowptr, points = neighbors.rowptr, _points(neighbors)
    rowptr = torch.cat([rowptr, rowptr[-1:].expand(points + 1 - rowptr.shape[0])])
    return Neighbors(rowptr, neighbors.col, points)


def _symmetrised(neighbors: Neighbors, laplacian: Tensor) -> tuple[Neighbors, Tensor]:
    """L + L^T, by doubled edges: it stays symmetric however its entries change."""
    edges = neighbors.to_edge_index()
    both = Neighbors.from_edge_index(torch.cat([edges, edges.flip(0)], 1), _points(neighbors))
    return both, torch.cat([laplacian, laplacian])[both.order]


def _dense(
    rowptr: np.ndarray, col: np.ndarray, laplacian: np.ndarray, points: int, symmetric: bool
) -> np.ndarray:
    matrix = np.zeros((points, points))
    for i in range(len(rowptr) - 1):
        for e in range(rowptr[i], rowptr[i + 1]):
            matrix[i, col[e]] += laplacian[e]
    return matrix + matrix.T if symmetric else matrix


def _operator_case(
    name: str,
    symmetric: bool,
    filters: Callable[[int, torch.dtype], Inputs],
    call: Callable[[Tensor, Neighbors, Tensor, Inputs, bool], Tensor],
    oracle: Callable[[np.ndarray, np.ndarray, Arrays], np.ndarray],
) -> Case:
    """A filter of a matrix with a spectrum of about [-1, 1], from ``oracle(dense matrix, x, inputs)``."""

    def inputs(neighbors: Neighbors, channels: int, dtype: torch.dtype) -> Inputs:
        laplacian = torch.rand(neighbors.num_edges, dtype=dtype) - 0.5
        x = torch.randn(_points(neighbors), channels, dtype=dtype)
        return {"x": x, "laplacian": laplacian} | filters(channels, dtype)

    def run(neighbors: Neighbors, given: Inputs) -> Tensor:
        if symmetric:
            return call(given["x"], *_symmetrised(neighbors, given["laplacian"]), given, True)
        return call(given["x"], _square(neighbors), given["laplacian"], given, False)

    return Case(
        name=f"{name}-{'symmetric' if symmetric else 'general'}",
        inputs=inputs,
        call=run,
        oracle=lambda rowptr, col, given: oracle(
            _dense(rowptr, col, given["laplacian"], len(given["x"]), symmetric), given["x"], given
        ),
        operator="graph_filter",
        shared=tuple(filters(1, torch.float64)),
        blas=True,
    )


def _chebyshev_oracle(matrix: np.ndarray, x: np.ndarray, given: Arrays) -> np.ndarray:
    terms = [x, matrix @ x]
    while len(terms) < POWERS:
        terms.append(2 * matrix @ terms[-1] - terms[-2])
    return sum(term @ weight for term, weight in zip(terms, given["filters"], strict=True))


def _chebyshev(symmetric: bool, out_channels: int) -> Case:
    return _operator_case(
        f"chebyshev-{out_channels}",
        symmetric,
        lambda channels, dtype: {"filters": torch.randn(POWERS, channels, out_channels, dtype=dtype)},
        lambda x, neighbors, laplacian, given, symmetric: chebyshev(
            x, neighbors, laplacian, given["filters"], symmetric
        ),
        _chebyshev_oracle,
    )


CASES = [_chebyshev(symmetric, out_channels) for symmetric in (False, True) for out_channels in (2, 20)]
