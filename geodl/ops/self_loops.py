"""change_self_loops: a graph whose points read themselves once, or not at all."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.custom_op import custom_op
from geodl.ops.dynamic_size import dynamic_size
from geodl.ops.neighbors import Neighbors, edge_rows, group_edges

__all__ = ["change_self_loops"]


def change_self_loops(neighbors: Neighbors, add: bool) -> Neighbors:
    """The other neighbours of every point, in their order; with ``add``, the point itself follows them once."""
    return Neighbors._valid(*loops(neighbors.rowptr, neighbors.col, add), neighbors.num_src)


@custom_op("self_loops")
def loops(rowptr: Tensor, col: Tensor, add: bool) -> tuple[Tensor, Tensor]:
    row = edge_rows(rowptr, col)
    kept = row != col
    row, col = row[kept], col[kept]
    if add:
        own = torch.arange(rowptr.shape[0] - 1, device=rowptr.device)
        row, col = torch.cat([row, own]), torch.cat([col, own])
    changed, col, _ = group_edges(row, col, rowptr.shape[0] - 1)
    return changed, col


@loops.register_fake
def _(rowptr: Tensor, col: Tensor, add: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(rowptr), col.new_empty(dynamic_size())
