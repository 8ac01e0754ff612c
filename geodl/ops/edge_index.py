"""From an ``edge_index`` and values in its order to Neighbors and values in theirs: made once for a tensor, anew after a change."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.core.watch import constant
from geodl.ops.neighbors import Neighbors
from geodl.ops.remembered import remembered, remembered_beside

__all__ = ["in_csr_order", "neighbors_of", "pointer", "ptr_of", "shapes_of"]


def neighbors_of(edge_index: Tensor, num_dst: int, num_src: int | None = None) -> Neighbors:
    """:meth:`Neighbors.from_edge_index`, made once for a tensor (see :mod:`geodl.ops.remembered`).

    Where a pass is traced, it is a part of it. With it lives what layers make of it: its transpose, the matrices of the graph.
    """
    if type(edge_index) is not Tensor and hasattr(edge_index, "as_tensor"):
        edge_index = edge_index.as_tensor()  # an EdgeIndex of PyG
    if torch.compiler.is_compiling():
        return Neighbors.from_edge_index(edge_index, num_dst, num_src)
    key = "neighbors", num_dst, num_src
    return remembered(edge_index, key, lambda: Neighbors.from_edge_index(edge_index, num_dst, num_src))


def in_csr_order(value: Tensor, neighbors: Neighbors, order: Tensor | None, dtype: torch.dtype) -> Tensor:
    """``value[order]`` (as it is without), of a dtype; made once for a value that wants no gradient."""
    if order is None and value.dtype == dtype:
        return value

    def make() -> Tensor:
        return (value if order is None else value[order]).to(dtype)

    key = "in order", order is not None, dtype
    return remembered_beside(value, neighbors, key, make) if constant(value) else make()


def ptr_of(batch: Tensor, shapes: int = 0) -> Tensor:
    """Where shapes begin ``[B + 1]``, of the shape of every point ``[P]`` (remembered).

    Args:
        shapes: at least so many.

    Raises:
        ValueError: it is no ascending vector of whole numbers from 0 on.
    """

    def make() -> Tensor:
        _check_batch(batch)
        if bool((batch.diff() < 0).any()):
            raise ValueError("batch must ascend: the points of a cloud stand together, clouds in their order")
        ends = torch.arange(max(_shapes(batch), shapes) + 1, device=batch.device)
        return torch.searchsorted(batch, ends)

    known = isinstance(batch, Tensor) and not torch.compiler.is_compiling()
    return remembered(batch, ("ptr", shapes), make) if known else make()


def pointer(ptr: Tensor | None, batch: Tensor | None, x: Tensor | None, name: str = "batch") -> Tensor | None:
    """``ptr``, or that of a ``batch`` of the points x given in its place."""
    if batch is None:
        return ptr
    if ptr is not None:
        raise ValueError(f"give {name.replace('batch', 'ptr')} or {name}, not both")
    found = ptr_of(batch)
    if x is not None and batch.shape[0] != x.shape[0]:
        raise ValueError(f"{name} is of {batch.shape[0]} points, but there are {x.shape[0]}")
    return found


def shapes_of(batch: Tensor) -> Neighbors:
    """The points of every shape as a row each, of the shape of every point ``[P]`` in any order (remembered).

    Raises:
        ValueError: it is no vector of whole numbers from 0 on.
    """

    def make() -> Neighbors:
        _check_batch(batch)
        points = torch.arange(batch.shape[0], device=batch.device)
        return Neighbors.from_edge_index(torch.stack([points, batch]), _shapes(batch), batch.shape[0])

    return make() if torch.compiler.is_compiling() else remembered(batch, "shapes", make)


def _shapes(batch: Tensor) -> int:
    return int(batch.max()) + 1 if batch.numel() else 0


def _check_batch(batch: Tensor) -> None:
    if not isinstance(batch, Tensor):
        raise ValueError(
            f"batch must be a tensor, not {type(batch).__name__}; a packed batch is given alone: network(batch)"
        )
    if batch.dim() != 1 or batch.dtype != torch.int64:
        raise ValueError(f"batch must be int64 of shape [P], not {batch.dtype} {list(batch.shape)}")
    if batch.numel() and int(batch.min()) < 0:
        raise ValueError(f"batch must hold the number of a shape, from 0 on, not {int(batch.min())}")
