"""Filters of a Laplacian: chebyshev, bernstein, cayley and arma."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from geodl.ops import Neighbors, arma, bernstein, cayley, chebyshev

from .case import Arrays, Case, Inputs

POWERS, ITERATIONS, STEPS = 4, 2, 3


def _points(neighbors: Neighbors) -> int:
    """A Laplacian is square, so points that are only destinations or only sources are both."""
    return max(neighbors.num_dst, neighbors.num_src)


@functools.lru_cache(maxsize=8)  # a structure that is new is checked, which waits for a GPU
def _square(neighbors: Neighbors) -> Neighbors:
    rowptr, points = neighbors.rowptr, _points(neighbors)
    rowptr = torch.cat([rowptr, rowptr[-1:].expand(points + 1 - rowptr.shape[0])])
    return Neighbors(rowptr, neighbors.col, points)


@functools.lru_cache(maxsize=8)
def _symmetrised(neighbors: Neighbors) -> Neighbors:
    """The structure of L + L^T, by doubled edges: it stays symmetric however its entries change."""
    edges = neighbors.to_edge_index()
    return Neighbors.from_edge_index(torch.cat([edges, edges.flip(0)], 1), _points(neighbors))


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
    variant: bool = False,
) -> Case:
    """A filter of a matrix with a spectrum of about [-1, 1], from ``oracle(dense matrix, x, inputs)``."""

    def inputs(neighbors: Neighbors, channels: int, dtype: torch.dtype) -> Inputs:
        laplacian = torch.rand(neighbors.num_edges, dtype=dtype) - 0.5
        x = torch.randn(_points(neighbors), channels, dtype=dtype)
        return {"x": x, "laplacian": laplacian} | filters(channels, dtype)

    def run(neighbors: Neighbors, given: Inputs) -> Tensor:
        if symmetric:
            both, twice = _symmetrised(neighbors), torch.cat([given["laplacian"], given["laplacian"]])
            return call(given["x"], both, twice[both.order], given, True)
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
        variant=variant,
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
        variant=symmetric != (out_channels == 20),  # filters first, or last
    )


def _bernstein_oracle(matrix: np.ndarray, x: np.ndarray, given: Arrays) -> np.ndarray:
    degree = len(given["filters"]) - 1
    low, high = (np.eye(len(matrix)) - matrix) / 2, (np.eye(len(matrix)) + matrix) / 2
    power = np.linalg.matrix_power
    return sum(
        math.comb(degree, k) * power(low, degree - k) @ power(high, k) @ x @ weight
        for k, weight in enumerate(given["filters"])
    )


def _bernstein(symmetric: bool) -> Case:
    return _operator_case(
        "bernstein",
        symmetric,
        lambda channels, dtype: {"filters": torch.randn(POWERS, channels, 3, dtype=dtype)},
        lambda x, neighbors, laplacian, given, symmetric: bernstein(
            x, neighbors, laplacian, given["filters"], symmetric
        ),
        _bernstein_oracle,
    )


def _cayley_oracle(matrix: np.ndarray, x: np.ndarray, given: Arrays) -> np.ndarray:
    """Jacobi's iteration as the paper has it, with dense complex matrices."""
    scaled = given["zoom"].sum() * matrix
    diagonal = np.diag(np.diag(scaled)) + 1j * np.eye(len(scaled))
    jacobi = -np.linalg.solve(diagonal, scaled + 1j * np.eye(len(scaled)) - diagonal)
    first, *rest = given["filters"]
    out, state = x @ first, x.astype(complex)
    for real, imaginary in zip(rest[::2], rest[1::2], strict=True):
        begin = np.linalg.solve(diagonal, scaled @ state - 1j * state)
        state = begin
        for _ in range(ITERATIONS):
            state = jacobi @ state + begin
        out = out + 2 * (state @ (real + 1j * imaginary)).real
    return out


def _cayley(symmetric: bool, out_channels: int) -> Case:
    return _operator_case(
        f"cayley-{out_channels}",
        symmetric,
        lambda channels, dtype: {
            "filters": torch.randn(5, channels, out_channels, dtype=dtype),
            "zoom": torch.tensor(
                [0.3, 0.4], dtype=dtype
            ),  # its sum: the suite wants tensors that can have strides
        },
        lambda x, neighbors, laplacian, given, symmetric: cayley(
            x, neighbors, laplacian, given["filters"], given["zoom"].sum(), ITERATIONS, symmetric
        ),
        _cayley_oracle,
        variant=symmetric,
    )


def _arma_oracle(matrix: np.ndarray, x: np.ndarray, given: Arrays) -> np.ndarray:
    stacks = []
    for initial, recurrent, skip in zip(given["initial"], given["recurrent"], given["skip"], strict=True):
        state = matrix @ x @ initial + x @ skip
        for _ in range(STEPS - 1):
            state = matrix @ state @ recurrent + x @ skip
        stacks.append(state)
    return np.mean(stacks, axis=0)


def _arma(symmetric: bool) -> Case:
    return _operator_case(
        "arma",
        symmetric,
        lambda channels, dtype: {
            "initial": torch.randn(2, channels, 3, dtype=dtype),
            "recurrent": torch.randn(2, 3, 3, dtype=dtype),
            "skip": torch.randn(2, channels, 3, dtype=dtype),
        },
        lambda x, neighbors, laplacian, given, symmetric: arma(
            x,
            neighbors,
            laplacian,
            given["initial"],
            given["recurrent"],
            given["skip"],
            STEPS,
            None,
            symmetric,
        ),
        _arma_oracle,
    )


CASES = [_chebyshev(symmetric, out_channels) for symmetric in (False, True) for out_channels in (2, 20)]
CASES += [_bernstein(False), _cayley(False, 2), _cayley(True, 20), _arma(False)]
