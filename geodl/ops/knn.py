"""knn: the k nearest points of every point, or of queries, cloud by cloud.

A backend implements a function ``(layout, k, loop, rowptr, edges) -> (col [E], squared distance [E])``: rows and the number of
edges follow from the sizes of the clouds, and are given.

The squared distance of x and y is the sum over coordinates d, in ascending order, of (x_d - y_d)^2, with every difference,
product and sum rounded to float32, or to float64 for points in float64. No backend fuses a product with a sum, so all
give the same bits and agree about what a tie is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, Literal, NamedTuple, TypeVar, overload

import torch
from torch import Tensor

from geodl.ops.clouds import check_finite, one_cloud
from geodl.ops.core import Operator
from geodl.ops.core.declaration import dynamic_size
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.memory import addresses
from geodl.ops.edge_index import pointer, ptr_of
from geodl.ops.neighbors import Neighbors
from geodl.ops.remembered import remembered

__all__ = ["knn"]

Result = TypeVar("Result")


@overload
def knn(
    x: Tensor,
    k: int,
    ptr: Tensor | None = ...,
    queries: Tensor | None = ...,
    query_ptr: Tensor | None = ...,
    loop: bool = ...,
    return_distance: Literal[False] = ...,
    *,
    batch: Tensor | None = ...,
    query_batch: Tensor | None = ...,
) -> Neighbors: ...


@overload
def knn(
    x: Tensor,
    k: int,
    ptr: Tensor | None = ...,
    queries: Tensor | None = ...,
    query_ptr: Tensor | None = ...,
    loop: bool = ...,
    *,
    return_distance: Literal[True],
    batch: Tensor | None = ...,
    query_batch: Tensor | None = ...,
) -> tuple[Neighbors, Tensor]: ...


def knn(
    x: Tensor,
    k: int,
    ptr: Tensor | None = None,
    queries: Tensor | None = None,
    query_ptr: Tensor | None = None,
    loop: bool = True,
    return_distance: bool = False,
    *,
    batch: Tensor | None = None,
    query_batch: Tensor | None = None,
) -> Neighbors | tuple[Neighbors, Tensor]:
    r"""The nearest points in Euclidean distance,

    .. math:: \text{row } i = \text{the first } \min(k, n) \text{ of the } n \text{ points } j \text{ of } i\text{'s cloud
        in ascending order of } (\lVert q_i - x_j \rVert^2,\; j)

    Ties are broken by the index, and every backend gives the same rows, bit by bit. A cloud of fewer than k points gives
    shorter rows, with no padding.

    On a GPU, a `ptr` that is new costs one wait for the device, which the number of edges needs. There, points
    are not checked: the distance of a NaN coordinate counts as infinite.

    Args:
        x: ``[P, D]`` floating point, the points; half precision is measured in float32.
        k: how many neighbours, at least 1.
        ptr: ``[B+1]`` int64, cloud b is the points ``ptr[b]`` to ``ptr[b+1]``, and no edge crosses clouds; one cloud if
            not given.
        queries: ``[Q, D]`` of the dtype of ``x``, whose neighbours to find; the points themselves if not given.
        query_ptr: ``[B+1]`` int64, which queries are asked of which cloud; needed with `queries` if `ptr` is given.
        loop: whether a point is its own neighbour (as in DGCNN). Without, it is left out of its own row, by its index: its
            duplicates remain.
        return_distance: also return the distances.
        batch, query_batch: PyG's vectors ``[P]`` and ``[Q]`` int64 of the cloud of every point and query, ascending, in the place
            of `ptr` and `query_ptr`.

    Returns:
        Neighbors with a row for every query (or point); with `return_distance` also ``[E]`` Euclidean distances in the dtype
        of ``x``, which carry no gradient: for one, compute them anew on the edges, as
        ``(x[neighbors.row] - x[neighbors.col]).norm(dim=1)``.

    Raises:
        ValueError: a shape, dtype or device that does not fit, a ``ptr`` that is none, ``k`` below 1, or on the CPU a point
            that is not finite.
    """
    asked = asked_of(x, ptr, batch, queries, query_ptr, query_batch, loop)
    rowptr, col, squared = nearest(*asked, k, loop)
    neighbors = Neighbors.trusted(rowptr, col, x.shape[0])
    return (neighbors, distance_of(squared, x.dtype)) if return_distance else neighbors


def asked_of(
    x: Tensor, ptr: Tensor | None, batch: Tensor | None, queries: Tensor | None, query_ptr: Tensor | None,
    query_batch: Tensor | None, loop: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """The points, where their clouds begin, and the same of queries: constants, of as many clouds.

    Raises:
        ValueError: arguments that do not go together.
    """
    ptr, query_ptr = pointer(ptr, batch, x), pointer(query_ptr, query_batch, queries, "query_batch")
    if ptr is not None and query_ptr is not None:
        # The last clouds may have no points, or nobody may ask of them.
        clouds = max(ptr.shape[0], query_ptr.shape[0]) - 1
        ptr = ptr if batch is None else ptr_of(batch, clouds)
        query_ptr = query_ptr if query_batch is None else ptr_of(query_batch, clouds)
    if queries is None:
        if query_ptr is not None:
            raise ValueError("query_ptr is given but queries are not")
    elif not loop:
        raise ValueError("loop=False leaves a point out of its own row, but queries are no points of x")
    elif (ptr is None) != (query_ptr is None):
        raise ValueError("queries in several clouds need both ptr and query_ptr")
    return x.detach(), ptr, None if queries is None else queries.detach(), query_ptr


# --- operator -----------------------------------------------------------------

nearest = Operator(
    "knn",
    "; x:const[P,D] ptr:int[B+1]? queries:const[Q,D]? query_ptr:int[B+1]? k:int loop:bool"
    " -> rowptr:int[Q+1] col:int[E] squared:acc[E]",
)


@nearest.fake
def _(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    nearest.declaration.bind(arguments)
    x, ptr, queries, _, k, loop = arguments
    rows = (x if queries is None else queries).shape[0]
    fewest = torch.sym_max(torch.sym_min(k, x.shape[0] - (0 if loop else 1)), 0)
    return new_rows(x, rows, rows * fewest if ptr is None else dynamic_size())


def new_rows(x: Tensor, rows: int, edges: int) -> tuple[Tensor, Tensor, Tensor]:
    """Uninitialised rowptr, col and squared distances."""
    rowptr, col = (x.new_empty(size, dtype=torch.int64) for size in (rows + 1, edges))
    return rowptr, col, x.new_empty(edges, dtype=measured_dtype(x))


def in_rows(search: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """What a backend does, for the arguments of the operator."""

    def run(
        x: Tensor, ptr: Tensor | None, queries: Tensor | None, query_ptr: Tensor | None, k: int, loop: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        layout = arrange(x, ptr, queries, query_ptr)
        rowptr, edges = _rows(layout, k if loop else k + 1, 0 if loop else 1)
        return rowptr, *search(layout, k, loop, rowptr, edges)

    return run


def measured_dtype(x: Tensor) -> torch.dtype:
    """The dtype that distances of points like x are computed in."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def distance_of(squared: Tensor, dtype: torch.dtype) -> Tensor:
    """The distance, by a root in float64: that in float32 may miss the nearest number, and differs between devices."""
    return squared.double().sqrt().to(dtype)


class Layout(NamedTuple):
    """Which queries are asked of which points, checked."""

    x: Tensor
    queries: Tensor | None  # None: the points themselves
    ptr: Tensor
    query_ptr: Tensor
    single: bool  # one cloud, whose sizes the shapes tell
    largest: int | None  # points of the largest cloud, where the points are asked for their own neighbours

    @property
    def rows(self) -> int:
        return (self.x if self.queries is None else self.queries).shape[0]


def arrange(x: Tensor, ptr: Tensor | None, queries: Tensor | None, query_ptr: Tensor | None) -> Layout:
    """The points and their clouds, in the dtype that they are measured in.

    Raises:
        ValueError: points that are not finite (on the CPU), or too many; ``ptr`` that is no pointer.
    """
    points, rows = x.shape[0], (x if queries is None else queries).shape[0]
    if points >= 2**31:
        raise ValueError(f"x may have at most 2^31 - 1 points, not {points}")
    if x.device.type == "cpu":
        for name, tensor in (("x", x), ("queries", queries)):
            if tensor is not None:
                check_finite(name, tensor)
    single, largest = ptr is None, points if queries is None else None
    if ptr is None:
        ptr, query_ptr = one_cloud(x), one_cloud(x if queries is None else queries)
    else:
        query_ptr = ptr if query_ptr is None else query_ptr
        if ptr.shape != query_ptr.shape:
            raise ValueError(
                f"ptr has {ptr.shape[0] - 1} clouds but query_ptr has {query_ptr.shape[0] - 1} of them"
            )
        longest = of_pointer(ptr, ("checked", points), lambda: _longest("ptr", ptr, "x", points))
        of_pointer(query_ptr, ("checked", rows), lambda: _longest("query_ptr", query_ptr, "queries", rows))
        largest = longest if query_ptr is ptr else None
    dtype = measured_dtype(x)  # of half precision on a GPU; elsewhere it comes in it
    return Layout(
        x.to(dtype), None if queries is None else queries.to(dtype), ptr, query_ptr, single, largest
    )


def _longest(name: str, ptr: Tensor, of: str, count: int) -> int:
    """Points of the largest cloud, and checks that the pointer is one, in one wait for the device."""
    sizes = torch.cat([ptr.diff(), ptr.new_zeros(1)])
    ends = torch.stack([ptr[0], ptr[-1], sizes.min(), sizes.max()])
    first, last, least, most = map(int, ends.tolist())
    if first != 0 or last != count or least < 0:
        raise ValueError(
            f"{name} must ascend from 0 to the {count} rows of {of}, not from {first} to {last}"
            + (" and descend between" if least < 0 else "")
        )
    return most


def _rows(layout: Layout, k: int, without: int) -> tuple[Tensor, int]:
    """Row pointer of rows that list all points of their cloud, at most k, less so many; its last entry."""
    if layout.single:
        degree = max(min(k, layout.x.shape[0]) - without, 0)
        return torch.arange(layout.rows + 1, device=layout.x.device) * degree, layout.rows * degree

    def rows() -> tuple[Tensor, int]:
        sizes = (layout.ptr.diff().clamp(max=k) - without).clamp(min=0)
        degrees = torch.repeat_interleave(sizes, layout.query_ptr.diff(), output_size=layout.rows)
        rowptr = torch.cat([degrees.new_zeros(1), degrees.cumsum(0)])
        return rowptr, int(rowptr[-1])

    return of_pointer(layout.ptr, ("rows", k, without), rows) if layout.ptr is layout.query_ptr else rows()


def of_pointer(ptr: Tensor, key: Hashable, make: Callable[[], Result]) -> Result:
    """What follows from a pointer alone: a network asks for neighbours in the same clouds again and again, and on a GPU every
    first answer waits for the device. An inference tensor, which does not count its changes, is asked anew."""
    return make() if ptr.is_inference() else remembered(ptr, key, make)


# --- reference: the definition in PyTorch -------------------------------------

CHUNK = 2**22  # distances that exist at one time


def squared_distances(queries: Tensor, points: Tensor) -> Tensor:
    """The squared distance of every query to every point ``[Q, P]``; infinite where one is not finite."""
    total = queries.new_zeros(queries.shape[0], points.shape[0])
    for q, p in zip(queries.unbind(1), points.unbind(1), strict=True):
        difference = q[:, None] - p
        total = total + difference * difference
    return total.nan_to_num(nan=torch.inf, posinf=torch.inf)


def in_order(layout: Layout) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For some queries at a time their numbers, the squared distances of all points of their cloud, ascending, and these points."""
    x, queries = layout.x, layout.x if layout.queries is None else layout.queries
    p, q = layout.ptr.tolist(), layout.query_ptr.tolist()
    for begin, end, first, last in zip(p[:-1], p[1:], q[:-1], q[1:], strict=True):
        for some in torch.arange(first, last, device=x.device).split(max(1, CHUNK // max(1, end - begin))):
            if some.numel():
                distance, order = squared_distances(queries[some], x[begin:end]).sort(dim=1, stable=True)
                yield some, distance, order + begin


@nearest.reference
@in_rows
def reference_nearest(
    layout: Layout, k: int, loop: bool, rowptr: Tensor, edges: int
) -> tuple[Tensor, Tensor]:
    col, squared = rowptr.new_empty(edges), layout.x.new_empty(edges)
    filled = 0
    for some, distance, points in in_order(layout):
        if not loop:
            others = points != some[:, None]
            distance, points = (found[others].view(len(some), -1) for found in (distance, points))
        written = slice(filled, filled + points[:, :k].numel())
        col[written], squared[written] = points[:, :k].flatten(), distance[:, :k].flatten()
        filled = written.stop
    return col, squared


# --- native: C++ on the CPU ---------------------------------------------------


@nearest.native
@in_rows
def native_nearest(layout: Layout, k: int, loop: bool, rowptr: Tensor, edges: int) -> tuple[Tensor, Tensor]:
    x, count = layout.x, layout.ptr.shape[0] - 1
    col, squared = rowptr.new_empty(edges), x.new_empty(edges)
    given = addresses(layout.ptr, layout.queries, layout.query_ptr)
    kernel("knn", x.dtype)(
        x.data_ptr(), x.shape[1], *given, count, k, loop, *addresses(rowptr, col, squared), torch.get_num_threads(),
        len(x), layout.rows, edges,
    )  # fmt: skip
    return col, squared
