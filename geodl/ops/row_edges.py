"""Edges that every row keeps or gains, where only the values tell how many these are."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.core import Operator
from geodl.ops.core.transpose import edge_rows, group_edges
from geodl.ops.neighbors import Neighbors

__all__ = ["change_self_loops", "first_of_rows"]


def change_self_loops(neighbors: Neighbors, add: bool) -> tuple[Neighbors, Tensor]:
    """The other neighbours of every point, in their order; with ``add``, the point itself follows them once.

    Returns:
        ``(changed, edge)``: edge ``e`` was ``edge[e]``, a loop the last that the point had, or -1.
    """
    rowptr, col, edge = self_loops(neighbors.rowptr, neighbors.col, add)
    return Neighbors.trusted(rowptr, col, neighbors.num_src), edge


def first_of_rows(neighbors: Neighbors, most: int) -> Neighbors:
    """Of every row the ``most`` neighbours of lowest index, in ascending order."""
    rowptr, col = first_edges(neighbors.rowptr, neighbors.col, neighbors.num_src, most)
    return Neighbors.trusted(rowptr, col, neighbors.num_src)


self_loops = Operator("self_loops", "; rowptr[N+1] col[E] add:bool -> rowptr:int[N+1] col:int[F] edge:int[F]")
first_edges = Operator(
    "first_edges", "; rowptr[N+1] col[E] num_src:int most:int -> rowptr:int[N+1] col:int[F]"
)


@self_loops.reference
def _(rowptr: Tensor, col: Tensor, add: bool) -> tuple[Tensor, Tensor, Tensor]:
    row, edge = edge_rows(rowptr, col), torch.arange(col.shape[0], device=col.device)
    kept = row != col
    if add:
        own = torch.arange(rowptr.shape[0] - 1, device=rowptr.device)
        loop = torch.full_like(own, -1).scatter_reduce(0, row[~kept], edge[~kept], "amax")
        row, col, edge = (torch.cat(two) for two in ((row[kept], own), (col[kept], own), (edge[kept], loop)))
    else:
        row, col, edge = row[kept], col[kept], edge[kept]
    changed, col, order = group_edges(row, col, rowptr.shape[0] - 1)
    return changed, col, edge[order]


@first_edges.reference
def _(rowptr: Tensor, col: Tensor, num_src: int, most: int) -> tuple[Tensor, Tensor]:
    row = edge_rows(rowptr, col)
    order = (row * num_src + col).argsort()
    place = torch.arange(col.shape[0], device=col.device) - rowptr[row]
    degrees = rowptr.diff().clamp(max=most)
    return torch.cat([degrees.new_zeros(1), degrees.cumsum(0)]), col[order][place < most]
