"""radius: all points within a distance, cloud by cloud.

A backend implements a function ``(layout, limit, max_neighbors, loop) -> (rowptr [Q+1], col [E], squared distance [E])``, with the
squared distance of geodl/ops/knn.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import torch
from torch import Tensor

from geodl.ops.core import Operator
from geodl.ops.core.declaration import dynamic_size
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.memory import addresses
from geodl.ops.knn import Layout, arrange, asked_of, distance_of, in_order, measured_dtype, new_rows
from geodl.ops.neighbors import Neighbors

__all__ = ["radius"]

Found = tuple[Tensor, Tensor, Tensor]


@overload
def radius(
    x: Tensor,
    r: float,
    ptr: Tensor | None = ...,
    queries: Tensor | None = ...,
    query_ptr: Tensor | None = ...,
    max_neighbors: int | None = ...,
    loop: bool = ...,
    return_distance: Literal[False] = ...,
    *,
    batch: Tensor | None = ...,
    query_batch: Tensor | None = ...,
) -> Neighbors: ...


@overload
def radius(
    x: Tensor,
    r: float,
    ptr: Tensor | None = ...,
    queries: Tensor | None = ...,
    query_ptr: Tensor | None = ...,
    max_neighbors: int | None = ...,
    loop: bool = ...,
    *,
    return_distance: Literal[True],
    batch: Tensor | None = ...,
    query_batch: Tensor | None = ...,
) -> tuple[Neighbors, Tensor]: ...


def radius(
    x: Tensor,
    r: float,
    ptr: Tensor | None = None,
    queries: Tensor | None = None,
    query_ptr: Tensor | None = None,
    max_neighbors: int | None = None,
    loop: bool = True,
    return_distance: bool = False,
    *,
    batch: Tensor | None = None,
    query_batch: Tensor | None = None,
) -> Neighbors | tuple[Neighbors, Tensor]:
    r"""All points in a closed ball,

    .. math:: \text{row } i = \{\, j \text{ in } i\text{'s cloud} : \lVert q_i - x_j \rVert^2 \le r^2 \,\}

    in ascending order of (squared distance, j), with both sides rounded to float32, or to float64 for points in float64.
    Every backend gives the same rows, bit by bit. A row may be empty.

    On a GPU this waits for the device, since the number of edges depends on the points. There, points are not checked: a
    point with a NaN coordinate is nobody's neighbour.

    Args:
        x: ``[P, D]`` floating point, the points; half precision is measured in float32.
        r: the radius, not negative; may be infinite.
        ptr: ``[B+1]`` int64, cloud b is the points ``ptr[b]`` to ``ptr[b+1]``, and no edge crosses clouds; one cloud if
            not given.
        queries: ``[Q, D]`` of the dtype of ``x``, the centres; the points themselves if not given.
        query_ptr: ``[B+1]`` int64, which queries are asked of which cloud; needed with `queries` if `ptr` is given.
        max_neighbors: list only the nearest so many, at least 1; all if not given.
        loop: whether a point is its own neighbour. Without, it is left out of its own row, by its index: its duplicates
            remain.
        return_distance: also return the distances.
        batch, query_batch: PyG's vectors ``[P]`` and ``[Q]`` int64 of the cloud of every point and query, ascending, in the place
            of `ptr` and `query_ptr`.

    Returns:
        Neighbors with a row for every query (or point); with `return_distance` also ``[E]`` Euclidean distances in the dtype
        of ``x``, which carry no gradient: for one, compute them anew on the edges, as
        ``(x[neighbors.row] - x[neighbors.col]).norm(dim=1)``.

    Raises:
        ValueError: a shape, dtype or device that does not fit, a ``ptr`` that is none, ``r`` negative or NaN,
            ``max_neighbors`` below 1, or on the CPU a point that is not finite.
    """
    asked = asked_of(x, ptr, batch, queries, query_ptr, query_batch, loop)
    rowptr, col, squared = within(*asked, r, max_neighbors, loop)
    neighbors = Neighbors.trusted(rowptr, col, x.shape[0])
    return (neighbors, distance_of(squared, x.dtype)) if return_distance else neighbors


# --- operator -----------------------------------------------------------------

within = Operator(
    "radius",
    "; x:const[P,D] ptr:int[B+1]? queries:const[Q,D]? query_ptr:int[B+1]? r:float max_neighbors:int? loop:bool"
    " -> rowptr:int[Q+1] col:int[E] squared:acc[E]",
)


@within.fake
def _(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    within.declaration.bind(arguments)
    x, _, queries, *_ = arguments
    return new_rows(x, (x if queries is None else queries).shape[0], dynamic_size())


def in_balls(search: Callable[..., Found]) -> Callable[..., Found]:
    """What a backend does, for the arguments of the operator."""

    def run(
        x: Tensor, ptr: Tensor | None, queries: Tensor | None, query_ptr: Tensor | None, r: float,
        max_neighbors: int | None, loop: bool,
    ) -> Found:  # fmt: skip
        if not r >= 0:
            raise ValueError(f"r must not be negative, got {r}")
        if max_neighbors is not None and max_neighbors < 1:
            raise ValueError(f"max_neighbors must be at least 1, got {max_neighbors}")
        rounded = torch.tensor(r, dtype=measured_dtype(x))
        return search(arrange(x, ptr, queries, query_ptr), float(rounded * rounded), max_neighbors, loop)

    return run


# --- reference: the definition in PyTorch -------------------------------------


@within.reference
@in_balls
def reference_within(layout: Layout, limit: float, max_neighbors: int | None, loop: bool) -> Found:
    degrees, cols, squares = [], [], []
    for some, distance, col in in_order(layout):
        inside = distance <= limit
        if not loop:
            inside &= col != some[:, None]
        if max_neighbors is not None:
            inside &= inside.cumsum(1) <= max_neighbors
        degrees.append(inside.sum(1))
        cols.append(col[inside])
        squares.append(distance[inside])
    rowptr = torch.cat([layout.ptr.new_zeros(1), *degrees]).cumsum(0)
    return rowptr, torch.cat([layout.ptr.new_empty(0), *cols]), torch.cat([layout.x.new_empty(0), *squares])


# --- native: C++ on the CPU ---------------------------------------------------


@within.native
@in_balls
def native_within(layout: Layout, limit: float, max_neighbors: int | None, loop: bool) -> Found:
    x, count, threads = layout.x, layout.ptr.shape[0] - 1, torch.get_num_threads()
    given = addresses(layout.ptr, layout.queries, layout.query_ptr)
    most = -1 if max_neighbors is None else max_neighbors
    found = kernel("within", x.dtype)(
        x.data_ptr(), x.shape[1], *given, count, limit, most, loop, threads, len(x), layout.rows
    )
    rowptr = layout.ptr.new_empty(layout.rows + 1)
    col, squared = layout.ptr.new_empty(found.edges()), x.new_empty(found.edges())
    found.write(*addresses(rowptr, col, squared), threads)
    return rowptr, col, squared
