"""Neighbors: CSR neighbourhoods and their transpose, the one sparse type of the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["Neighbors"]


@torch.library.custom_op("geodl::transpose", mutates_args=())
def transpose(rowptr: Tensor, col: Tensor, num_src: int) -> tuple[Tensor, Tensor, Tensor]:
    """Transposed CSR (rowptr [num_src+1], col [E]) and the permutation [E]: transposed edge e is edge perm[e]."""
    perm = torch.argsort(col, stable=True)
    t_rowptr = _rowptr_of_counts(torch.bincount(col, minlength=num_src))
    rows = torch.repeat_interleave(torch.arange(rowptr.numel() - 1, device=col.device), rowptr.diff())
    return t_rowptr, rows[perm], perm


@transpose.register_fake
def _(rowptr: Tensor, col: Tensor, num_src: int) -> tuple[Tensor, Tensor, Tensor]:
    return rowptr.new_empty(num_src + 1), torch.empty_like(col), torch.empty_like(col)


@torch.library.custom_op("geodl::edge_rows", mutates_args=())
def edge_rows(rowptr: Tensor, col: Tensor) -> Tensor:
    """Row of every edge [E]."""
    return torch.repeat_interleave(torch.arange(rowptr.numel() - 1, device=rowptr.device), rowptr.diff())


@edge_rows.register_fake
def _(rowptr: Tensor, col: Tensor) -> Tensor:
    return torch.empty_like(col)


def _rowptr_of_counts(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


@dataclass(eq=False)
class Neighbors:
    """Which source points every destination point reads: row ``i`` lists ``col[rowptr[i]:rowptr[i+1]]``.

    A neighbour may occur several times in a row, a row may be empty, and sources need not be destinations.

    Args:
        rowptr: ``[N+1]`` int64, non-decreasing from 0 to E.
        col: ``[E]`` int64 in ``[0, num_src)``.
        num_src: number of source points, i.e. of rows of the ``x`` that operators read.
        order: ``[E]`` int64 or None: CSR edge ``e`` was edge ``order[e]`` of the ``edge_index`` it was made from, so
            ``edge_attr[order]`` puts edge attributes in CSR order.

    Raises:
        ValueError: wrong dtype, shape, device, or a ``rowptr`` that is no row pointer.
        IndexError: a neighbour outside ``[0, num_src)``.
    """

    rowptr: Tensor
    col: Tensor
    num_src: int
    order: Tensor | None = None
    _transpose: tuple[Neighbors, Tensor] | None = field(default=None, init=False, repr=False)
    _row: Tensor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not torch.compiler.is_compiling():
            self._validate()

    @property
    def num_dst(self) -> int:
        return self.rowptr.shape[0] - 1

    @property
    def num_edges(self) -> int:
        return self.col.shape[0]

    @property
    def device(self) -> torch.device:
        return self.col.device

    @property
    def row(self) -> Tensor:
        """Destination of every edge, ``[E]`` int64 (cached)."""
        if self._row is None:
            self._row = edge_rows(self.rowptr, self.col)
        return self._row

    def degree(self) -> Tensor:
        """Number of neighbours of every destination, ``[N]`` int64."""
        return self.rowptr.diff()

    @classmethod
    def from_edge_index(cls, edge_index: Tensor, num_dst: int, num_src: int | None = None) -> Neighbors:
        """Neighbourhoods of a PyG ``edge_index``: edge ``(j, i)`` means that ``i`` reads ``j``.

        Args:
            edge_index: ``[2, E]`` int64, sources in row 0, destinations in row 1, in any order.
            num_dst: number of destination points.
            num_src: number of source points; ``num_dst`` if not given.

        Returns:
            Neighbors whose rows keep the order of ``edge_index`` and whose ``order`` holds the permutation.
        """
        if edge_index.dim() != 2 or edge_index.shape[0] != 2:
            raise ValueError(f"edge_index must have shape [2, E], not {list(edge_index.shape)}")
        if edge_index.dtype != torch.int64:
            raise ValueError(f"edge_index must be int64, not {edge_index.dtype}")
        src, dst = edge_index
        if dst.numel() and not 0 <= int(dst.min()) <= int(dst.max()) < num_dst:
            raise IndexError(f"edge_index[1] holds {int(dst.min())}..{int(dst.max())}, but there are {num_dst} destinations")
        order = torch.argsort(dst, stable=True)
        rowptr = _rowptr_of_counts(torch.bincount(dst, minlength=num_dst))
        return cls(rowptr, src[order], num_dst if num_src is None else num_src, order)

    def to_edge_index(self) -> Tensor:
        """``[2, E]`` int64 in CSR order: sources in row 0, destinations in row 1."""
        return torch.stack([self.col, self.row])

    def t(self) -> tuple[Neighbors, Tensor]:
        """The transpose (row ``j`` lists the destinations that read ``j``) and its permutation (cached).

        Returns:
            ``(transposed, perm)``: edge ``e`` of ``transposed`` is edge ``perm[e]`` of ``self``; destinations ascend in a row.
        """
        if self._transpose is None:
            rowptr, col, perm = transpose(self.rowptr, self.col, self.num_src)
            transposed = Neighbors.__new__(Neighbors)  # valid by construction
            transposed.rowptr, transposed.col, transposed.num_src = rowptr, col, self.num_dst
            transposed.order = transposed._transpose = transposed._row = None
            self._transpose = (transposed, perm)
        return self._transpose

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> Neighbors:
        """The same neighbourhoods, and what they have cached, on another device."""

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=non_blocking)

        moved = Neighbors.__new__(Neighbors)
        moved.rowptr = self.rowptr.to(device, non_blocking=non_blocking)
        moved.col = self.col.to(device, non_blocking=non_blocking)
        moved.num_src, moved.order, moved._row = self.num_src, move(self.order), move(self._row)
        moved._transpose = None
        if self._transpose is not None:
            transposed, perm = self._transpose
            moved._transpose = (transposed.to(device, non_blocking), perm.to(device, non_blocking=non_blocking))
        return moved

    @staticmethod
    def cat(parts: Sequence[Neighbors]) -> Neighbors:
        """Block-diagonal packing: the points of part ``p`` follow those of part ``p - 1``; no edge crosses."""
        if not parts:
            raise ValueError("Neighbors.cat needs at least one part")
        edges, sources = 0, 0
        rowptr, col = [parts[0].rowptr[:1]], []
        for part in parts:
            rowptr.append(part.rowptr[1:] + edges)
            col.append(part.col + sources)
            edges += part.num_edges
            sources += part.num_src
        return Neighbors(torch.cat(rowptr), torch.cat(col), sources)

    def _validate(self) -> None:
        for name in ("rowptr", "col"):
            tensor = getattr(self, name)
            if tensor.dtype != torch.int64:
                raise ValueError(f"{name} must be int64, not {tensor.dtype}")
            if tensor.dim() != 1:
                raise ValueError(f"{name} must have one dimension, not shape {list(tensor.shape)}")
        if self.rowptr.device != self.col.device:
            raise ValueError(f"rowptr is on {self.rowptr.device} but col is on {self.col.device}")
        if self.num_src < 0:
            raise ValueError(f"num_src must not be negative, got {self.num_src}")
        if self.rowptr.numel() == 0:
            raise ValueError("rowptr must hold at least one entry (N + 1 for N rows)")
        self.rowptr, self.col = self.rowptr.contiguous(), self.col.contiguous()
        first, last = int(self.rowptr[0]), int(self.rowptr[-1])
        if first != 0 or last != self.num_edges or bool((self.rowptr.diff() < 0).any()):
            raise ValueError(
                f"rowptr must ascend from 0 to the {self.num_edges} edges of col; it starts at {first}, ends at {last}"
                + (" and descends in between" if first == 0 and last == self.num_edges else "")
            )
        if self.num_edges and not 0 <= int(self.col.min()) <= int(self.col.max()) < self.num_src:
            raise IndexError(f"col holds {int(self.col.min())}..{int(self.col.max())}, but there are {self.num_src} sources")
