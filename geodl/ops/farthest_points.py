"""farthest_points: subsets of packed point clouds that cover them evenly."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from geodl.ops.clouds import check_finite, check_pointer, first_of, one_cloud
from geodl.ops.core import Operator
from geodl.ops.core.dispatch import kernel
from geodl.ops.core.fitting import Fitting
from geodl.ops.core.memory import addresses
from geodl.ops.core.operator import HALF
from geodl.ops.edge_index import pointer

__all__ = ["farthest_points"]

_GIVEN = Fitting("; x:const[P,D] ptr[B+1] count[B]? start[B]?")


def farthest_points(
    x: Tensor,
    count: int | Tensor,
    ptr: Tensor | None = None,
    start: int | Tensor | None = None,
    batch: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Farthest-point sampling of every cloud of a packed batch,

    .. math:: i_0 = \text{start}, \qquad i_k = \arg\max_i \; \min_{l < k} \; \lVert x_i - x_{i_l} \rVert^2

    over the points of the cloud that are not yet samples, the lowest index among equals: so once every distinct place
    is taken, the duplicates follow in their order, and no index occurs twice. Each sample is at most twice as far from
    the cloud as the best choice of as many points (Gonzalez 1985, "Clustering to minimize the maximum intercluster
    distance").

    The squared distance is summed in the order of the coordinates, every operation rounded to the dtype of ``x`` and
    none fused, so all implementations choose the same points. (float16 and bfloat16 are computed in float32.) On the
    CPU, large clouds are searched through a tree whose branches remember their farthest point (Han et al. 2023,
    "QuickFPS"), with the same result as a full search.

    A cloud gives no more samples than it has points. A number of samples that depends on values (``ptr`` is given, or
    ``count`` is a tensor) is read from the device once; nothing else waits for a GPU, on which the values of the
    arguments are therefore not checked: points that are not finite are then taken first, and a start outside its cloud
    is moved into it.

    Args:
        x: ``[P, D]`` floating point, the points of all clouds.
        count: how many samples each cloud gives, or ``[B]`` int64. For a share of each cloud:
            ``(ratio * ptr.diff()).ceil().long()``.
        ptr: ``[B+1]`` int64, cloud ``b`` holds the points ``ptr[b]`` to ``ptr[b+1]``; one cloud if not given.
        start: ``[B]`` int64, the row of ``x`` that is the first sample of each cloud (of an empty cloud it is ignored),
            or for one cloud its number; the first point of each cloud if not given.
        batch: ``[P]`` int64, the cloud of every point, ascending, in the place of `ptr`.

    Returns:
        ``(index, ptr)``: rows of ``x`` ``[M]`` int64, the samples of each cloud in the order in which they were taken, and
        ``[B+1]`` int64, where those of each cloud begin.

    Raises:
        ValueError: a shape, dtype or device that does not fit, a negative count, a ``ptr`` that does not ascend from 0 to
            P, or a point that is not finite.
        IndexError: a start outside its cloud.
    """
    if isinstance(count, int) and count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    ptr = pointer(ptr, batch, x)
    single, counts = ptr is None, count if isinstance(count, Tensor) else None
    first = start if isinstance(start, Tensor) else None
    x, ptr, counts, first = _GIVEN(x.detach(), one_cloud(x) if ptr is None else ptr, counts, first)
    if x.dtype in HALF:
        x = x.float()
    # The number of samples where it depends on no value, so that shapes are static and nothing waits for the device.
    total = min(count, x.shape[0]) if single and isinstance(count, int) else None
    sample_ptr = torch.cat(
        [ptr.new_zeros(1), ptr.diff().clamp(max=count if counts is None else counts).cumsum(0)]
    )
    if first is None:
        if start is not None and ptr.shape[0] != 2:
            raise ValueError(f"start must be a row for each of the {ptr.shape[0] - 1} clouds, not one number")
        first = ptr[:-1] if start is None else torch.full_like(ptr[:-1], cast(int, start))
    return cast(Tensor, sample_farthest(x, ptr, sample_ptr, first, total)), sample_ptr


# --- operator: points in, integers out, so there is nothing to differentiate ---

# Rows of x, of which ``sample_ptr[b]`` to ``sample_ptr[b+1]`` are the samples of cloud b; ``total`` in all, if that is known.
sample_farthest = Operator(
    "sample_farthest",
    "; x:const[P,D] ptr:int[B+1] sample_ptr:int[B+1] start:int[B] total:int? -> index:int[total]",
)


def counted(sample: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """What a backend does, for checked values and a number of samples."""

    def run(x: Tensor, ptr: Tensor, sample_ptr: Tensor, start: Tensor, total: int | None) -> Tensor:
        if x.is_cpu:
            _check_values(x, ptr, sample_ptr, start)
        return sample(x, ptr, sample_ptr, start, int(sample_ptr[-1]) if total is None else total)

    return run


def _check_values(x: Tensor, ptr: Tensor, sample_ptr: Tensor, start: Tensor) -> None:
    check_pointer(ptr, x.shape[0])
    if bool((negative := sample_ptr.diff() < 0).any()):
        raise ValueError(f"count must not be negative, but is for cloud {first_of(negative)}")
    if bool((outside := (ptr.diff() > 0) & ((start < ptr[:-1]) | (start >= ptr[1:]))).any()):
        cloud = first_of(outside)
        raise IndexError(
            f"start[{cloud}] is {int(start[cloud])}, but cloud {cloud} has the points {int(ptr[cloud])} to "
            f"{int(ptr[cloud + 1]) - 1}"
        )
    check_finite("x", x)


# --- reference: the definition in PyTorch -------------------------------------


@sample_farthest.reference
@counted
def reference_sample_farthest(
    x: Tensor, ptr: Tensor, sample_ptr: Tensor, start: Tensor, total: int
) -> Tensor:
    index = ptr.new_empty(total)
    for cloud, (first, last) in enumerate(zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True)):
        points = x[first:last]
        distance = points.new_full((last - first,), torch.inf)
        sample = (start[cloud] - first).clamp(0, max(last - first - 1, 0))
        for k in range(int(sample_ptr[cloud]), int(sample_ptr[cloud + 1])):
            index[k] = first + sample
            squared = torch.zeros_like(distance)
            for coordinate in (points - points[sample]).t():
                squared += coordinate * coordinate
            distance = torch.where(squared < distance, squared, distance)
            distance[sample] = -1  # less than any distance: never taken again
            sample = distance.argmax()
    return index


# --- native: C++ on the CPU ---------------------------------------------------


@sample_farthest.native
@counted
def native_sample_farthest(x: Tensor, ptr: Tensor, sample_ptr: Tensor, start: Tensor, total: int) -> Tensor:
    index = ptr.new_empty(total)
    kernel("farthest_points", x.dtype)(
        x.data_ptr(), x.shape[1], *addresses(ptr, start, sample_ptr), ptr.shape[0] - 1, index.data_ptr(),
        torch.get_num_threads(), len(x), total,
    )  # fmt: skip
    return index
