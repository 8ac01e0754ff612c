"""voxel_pool: points of packed clouds merged by the cells of a grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor

from geodl.ops.aggregate import REDUCTIONS, aggregate
from geodl.ops.clouds import check_finite, check_pointer, first_of, one_cloud
from geodl.ops.core import Operator
from geodl.ops.core.declaration import dynamic_size
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.fitting import Fitting
from geodl.ops.edge_index import pointer
from geodl.ops.neighbors import Neighbors

__all__ = ["VoxelPool", "voxel_neighbors", "voxel_pool"]

Grouped = tuple[Tensor, Tensor, Tensor]

_SIGNAL = Fitting("pos:any[P,D] x:const[P,C] ->")
_GIVEN = Fitting("; pos:const[P,D] ptr[B+1] size:double[D]?")


class VoxelPool(NamedTuple):
    """What :func:`voxel_pool` returns.

    Args:
        x: ``[Q, C]``, the signal of every voxel.
        pos: ``[Q, D]``, the mean position of its points.
        ptr: ``[B+1]`` int64, cloud ``b`` has the voxels ``ptr[b]`` to ``ptr[b+1]``.
        cluster: ``[P]`` int64, the voxel of every point.
    """

    x: Tensor
    pos: Tensor
    ptr: Tensor
    cluster: Tensor


def voxel_pool(
    x: Tensor,
    pos: Tensor,
    size: float | Tensor,
    ptr: Tensor | None = None,
    reduce: str = "mean",
    batch: Tensor | None = None,
) -> VoxelPool:
    r"""Pooling over the occupied cells of a grid,

    .. math:: x'_q = \bigoplus_{i \,\in\, \text{voxel } q} x_i, \qquad
              p'_q = \frac{1}{|\text{voxel } q|} \sum_{i \,\in\, \text{voxel } q} p_i

    where the points of one cloud with the same :math:`\lfloor p_i / \text{size} \rfloor` form a voxel. Order, range and
    arguments of the voxels are those of :func:`voxel_neighbors`, the reduction is that of :func:`aggregate`.
    Differentiable to any order in ``x`` and, through the mean positions, in ``pos``.

    Args:
        x: ``[P, C]`` floating point, the signal at the points.
        pos: ``[P, D]`` floating point, where the points are.
        size: the side of a cell, or ``[D]`` its sides along the axes.
        ptr: ``[B+1]`` int64, cloud ``b`` holds the points ``ptr[b]`` to ``ptr[b+1]``; one cloud if not given.
        reduce: "mean", "sum", "max" or "min", what becomes of the signal.
        batch: ``[P]`` int64, the cloud of every point, ascending, in the place of `ptr`.

    Returns:
        The pooled signal and positions, where each cloud begins, and the voxel of every point.

    Raises:
        ValueError: as for :func:`voxel_neighbors`; an ``x`` that does not fit ``pos``, or no such reduction.
    """
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce must be one of {', '.join(REDUCTIONS)}, not {reduce!r}")
    pos, x = _SIGNAL(pos, x)
    neighbors, voxel_ptr = voxel_neighbors(pos, size, ptr, batch)
    pooled = aggregate(x, neighbors, reduce=reduce)
    cluster = neighbors.t()[0].col  # every point is read by one voxel
    return VoxelPool(pooled, aggregate(pos, neighbors, reduce="mean"), voxel_ptr, cluster)


def voxel_neighbors(
    pos: Tensor, size: float | Tensor, ptr: Tensor | None = None, batch: Tensor | None = None
) -> tuple[Neighbors, Tensor]:
    r"""The voxels of packed point clouds, each of which reads its points.

    A voxel is a cell :math:`\lfloor p / \text{size} \rfloor` of the grid through the origin of the coordinates that holds
    a point: whether two points share one does not depend on the others, and a grid of twice the size merges whole
    voxels. The division is done in float64. Voxels are ordered by cloud, then lexicographically by cell, the points of a
    voxel by index: the same for every implementation. Cells are compared, not numbered, so the extent of a cloud may
    be any multiple of the size.

    The number of voxels is read from the device; nothing else waits for a GPU, on which the values of the arguments
    are therefore not checked.

    Args:
        pos: ``[P, D]`` floating point.
        size: the side of a cell, or ``[D]`` its sides along the axes.
        ptr: ``[B+1]`` int64, cloud ``b`` holds the points ``ptr[b]`` to ``ptr[b+1]``; one cloud if not given.
        batch: ``[P]`` int64, the cloud of every point, ascending, in the place of `ptr`.

    Returns:
        ``(neighbors, ptr)``: Q voxels that read P points, and ``[B+1]`` int64, where those of each cloud begin. The voxel
        of every point is ``neighbors.t()[0].col``.

    Raises:
        ValueError: a shape, dtype or device that does not fit, a size that is not positive and finite, a ``ptr`` that does
            not ascend from 0 to P, or a point that is not finite, or not after division by the size.
    """
    ptr = pointer(ptr, batch, pos)
    sides = size.detach().double() if isinstance(size, Tensor) else None
    pos, ptr, sides = _GIVEN(pos.detach(), one_cloud(pos) if ptr is None else ptr, sides)
    if sides is None:
        sides = torch.full(pos.shape[1:], cast(float, size), dtype=torch.float64, device=pos.device)
    rowptr, col, voxel_ptr = group_voxels(pos, sides, ptr)
    return Neighbors.trusted(rowptr, col, pos.shape[0]), voxel_ptr


# --- operator: points in, integers out, so there is nothing to differentiate ---

# Which points every voxel reads, and which voxels every cloud has.
group_voxels = Operator(
    "group_voxels",
    "; pos:const[P,D] size:double[D] ptr:int[B+1] -> rowptr:int[Q+1] col:int[P] voxel_ptr:int[B+1]",
)


@group_voxels.fake
def _(pos: Tensor, size: Tensor, ptr: Tensor) -> Grouped:
    group_voxels.declaration.bind((pos, size, ptr))
    return ptr.new_empty(dynamic_size(1)), ptr.new_empty(pos.shape[0]), torch.empty_like(ptr)


def checked(group: Callable[..., Grouped]) -> Callable[..., Grouped]:
    """What a backend does, for checked values."""

    def run(pos: Tensor, size: Tensor, ptr: Tensor) -> Grouped:
        if pos.is_cpu:
            _check_values(pos, size, ptr)
        return group(pos, size.double(), ptr)

    return run


def _check_values(pos: Tensor, size: Tensor, ptr: Tensor) -> None:
    check_pointer(ptr, pos.shape[0])
    if not bool((size.isfinite() & (size > 0)).all()):
        raise ValueError(f"size must be positive and finite, not {size.tolist()}")
    check_finite("pos", pos)
    if pos.dtype == torch.float64 and not bool((finite := (pos / size).isfinite()).all()):
        row = first_of(~finite.all(1))
        raise ValueError(f"size is too small: row {row} of pos divided by it is not finite")


# --- reference: the definition in PyTorch -------------------------------------


@group_voxels.triton  # PyTorch's own sort does
@group_voxels.reference
@checked
def reference_group_voxels(pos: Tensor, size: Tensor, ptr: Tensor) -> Grouped:
    points, clouds = pos.shape[0], ptr.shape[0] - 1
    cloud = torch.repeat_interleave(torch.arange(clouds, device=ptr.device), ptr.diff(), output_size=points)
    cell = (pos.double() / size).floor() + 0.0  # no negative zeros
    order = torch.arange(points, device=pos.device)
    for key in (*cell.t().flip(0), cloud):  # the last to be sorted by decides first
        order = order[key[order].argsort(stable=True)]
    cell, cloud = cell[order], cloud[order]
    begins = (cell[1:] != cell[:-1]).any(1) | (cloud[1:] != cloud[:-1])
    begins = torch.cat([begins.new_ones(min(points, 1)), begins])
    first = begins.nonzero().flatten()
    voxels = torch.bincount(cloud[first], minlength=clouds).cumsum(0)
    rowptr = torch.cat([first, first.new_full((1,), points)])
    return rowptr, order, torch.cat([ptr.new_zeros(1), voxels])


# --- native: C++ on the CPU ---------------------------------------------------


@group_voxels.native
@checked
def native_group_voxels(pos: Tensor, size: Tensor, ptr: Tensor) -> Grouped:
    points, clouds = pos.shape[0], ptr.shape[0] - 1
    rowptr, col, voxel_ptr = ptr.new_empty(points + 1), ptr.new_empty(points), torch.empty_like(ptr)
    kernel("group_voxels", pos.dtype)(
        pos.data_ptr(), pos.shape[1], size.data_ptr(), ptr.data_ptr(), clouds,
        rowptr.data_ptr(), col.data_ptr(), voxel_ptr.data_ptr(), torch.get_num_threads(), points,
    )  # fmt: skip
    return rowptr[: int(voxel_ptr[-1]) + 1].clone(), col, voxel_ptr
