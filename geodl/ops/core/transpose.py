"""Operators on structure alone, so integers in and out: the row of every edge, edges by key, the transpose.

Nothing here waits for a GPU: the number of edges is known, and sorting and searching replace counting.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.ops.core.dispatch import native
from geodl.ops.core.operator import Operator

# The row of every edge.
edge_rows = Operator("edge_rows", "; rowptr[N+1] col[E] -> row:int[E]")

# Edges by key, stably: rowptr, ``value[perm]`` and perm.
group_edges = Operator(
    "group_edges", "; key[E] value[E] num_keys:int -> rowptr:int[num_keys+1] grouped:int[E] perm:int[E]"
)

# The transposed CSR (rowptr and row), and perm, where edge k was ``perm[k]``.
transpose = Operator(
    "transpose", "; rowptr[N+1] col[E] num_src:int -> t_rowptr:int[num_src+1] t_row:int[E] perm:int[E]"
)

Groups = tuple[Tensor, Tensor, Tensor]


@edge_rows.reference
def rows(rowptr: Tensor, col: Tensor) -> Tensor:
    # Not repeat_interleave, which a rowptr that is none takes beyond its memory.
    return torch.searchsorted(rowptr[1:], torch.arange(col.shape[0], device=col.device), right=True)


@edge_rows.native
def native_rows(rowptr: Tensor, col: Tensor) -> Tensor:
    out = torch.empty_like(col)
    native.edge_rows(rowptr.data_ptr(), rowptr.shape[0] - 1, col.shape[0], out.data_ptr())
    return out


@group_edges.reference
def group(key: Tensor, value: Tensor, num_keys: int) -> Groups:
    # A GPU sorts by 8 bits at a time.
    narrow = key.to(torch.int32) if num_keys < 2**31 else key
    ascending, perm = torch.sort(narrow, stable=True)
    rowptr = torch.searchsorted(ascending, torch.arange(num_keys + 1, device=key.device, dtype=narrow.dtype))
    return rowptr, value[perm], perm


@group_edges.native
def native_group(key: Tensor, value: Tensor, num_keys: int) -> Groups:
    rowptr, grouped, perm = key.new_empty(num_keys + 1), torch.empty_like(key), torch.empty_like(key)
    native.group_edges(
        key.data_ptr(), value.data_ptr(), key.shape[0], num_keys,
        rowptr.data_ptr(), grouped.data_ptr(), perm.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return rowptr, grouped, perm


@transpose.reference
def _(rowptr: Tensor, col: Tensor, num_src: int) -> Groups:
    return group(col, rows(rowptr, col), num_src)


@transpose.native
def _(rowptr: Tensor, col: Tensor, num_src: int) -> Groups:
    return native_group(col, native_rows(rowptr, col), num_src)
