"""Point clouds that are hard to search, and the rows that knn and radius must find, by definition, in NumPy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from geodl.ops import Neighbors

CLOUDS = {
    "uniform": lambda n, dims: torch.rand(n, dims),
    "surface": lambda n, dims: torch.nn.functional.normalize(torch.randn(n, dims), dim=1),
    "clusters": lambda n, dims: torch.randn(n, dims) * 1e-3 + 100 * torch.randint(4, (n, 1)),
    "lattice": lambda n, dims: torch.randint(4, (n, dims)).float(),
    "duplicates": lambda n, dims: torch.full((n, dims), 0.7),
    "collinear": lambda n, dims: torch.rand(n, 1) * torch.linspace(1, 2, dims),
    "millimetres": lambda n, dims: torch.rand(n, dims) * 1e-3,
    "far away": lambda n, dims: torch.rand(n, dims) + 1e6,
    "large": lambda n, dims: torch.randn(n, dims) * 1e6,
    "outlier": lambda n, dims: torch.rand(n, dims) + 1e6 * (torch.arange(n) == 0)[:, None],
    "squares underflow": lambda n, dims: torch.randn(n, dims) * 1e-22,
    "squares overflow": lambda n, dims: torch.randn(n, dims) * 1e25,
}


def rows_by_definition(
    x: Tensor, queries: Tensor | None, ptr: list[int], query_ptr: list[int], k: int, limit: float, loop: bool
) -> tuple[list[list[int]], list[list[float]]]:
    """The points of every row and their squared distances, with every operation rounded to the dtype of x."""
    points, centres = x.cpu().numpy(), (x if queries is None else queries).cpu().numpy()
    rows, squares = [], []
    for cloud in range(len(ptr) - 1):
        index = np.arange(ptr[cloud], ptr[cloud + 1])
        for q in range(query_ptr[cloud], query_ptr[cloud + 1]):
            squared = np.zeros(len(index), dtype=points.dtype)
            with np.errstate(over="ignore", under="ignore"):
                for d in range(points.shape[1]):
                    squared += (centres[q, d] - points[index, d]) ** 2
            order = np.lexsort((index, squared))
            order = [j for j in order if squared[j] <= limit and (loop or index[j] != q)][:k]
            rows.append(index[order].tolist())
            squares.append(squared[order].tolist())
    return rows, squares


def rows_of(neighbors: Neighbors) -> list[list[int]]:
    return [part.tolist() for part in neighbors.col.split(neighbors.degree().tolist())]


def assert_found(
    found: tuple[Neighbors, Tensor], expected: tuple[list[list[int]], list[list[float]]]
) -> None:
    """The same rows in the same order, and the same distances to the last bit (of a root in float64, which torch may miss)."""
    neighbors, distance = found
    rows, squares = expected
    neighbors.check()
    assert rows_of(neighbors) == rows
    distance = distance.cpu()
    flat = np.array([value for row in squares for value in row], dtype=distance.numpy().dtype)
    rtol = 0 if distance.dtype == torch.float32 else 2.3e-16
    np.testing.assert_allclose(distance.numpy(), np.sqrt(flat), rtol=rtol, atol=0)


def pointer(sizes: list[int]) -> Tensor:
    return torch.tensor([0, *sizes]).cumsum(0)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
