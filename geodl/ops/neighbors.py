"""Neighbors: CSR neighbourhoods and their transpose, the one sparse type of the library."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.compiler import is_compiling

from geodl.ops.clouds import check_pointer, check_range
from geodl.ops.core.csr import CSR, Known
from geodl.ops.core.fitting import Fitting
from geodl.ops.core.structure import Count, Layout, Pointer, Rows, Structure
from geodl.ops.core.transpose import edge_rows, group_edges, transpose
from geodl.ops.core.watch import wrapped
from geodl.ops.remembered import mark, plainly, remembered

__all__ = ["Neighbors"]


@dataclass(eq=False)
class Neighbors(Structure):
    """Which source points every destination point reads: row ``i`` lists ``col[rowptr[i]:rowptr[i+1]]``.

    A neighbour may occur several times in a row, a row may be empty, and sources need not be destinations.

    Args:
        rowptr: ``[N+1]`` int64, non-decreasing from 0 to E.
        col: ``[E]`` int64 in ``[0, num_src)``.
        num_src: number of source points, i.e. of rows of the ``x`` that operators read.
        order: ``[E]`` int64 or None: CSR edge ``e`` was edge ``order[e]`` of the ``edge_index`` it was made
            from, so ``edge_attr[order]`` puts edge attributes in CSR order.

    Raises:
        ValueError: wrong dtype, shape, device, or a ``rowptr`` that is no row pointer.
        IndexError: a neighbour outside ``[0, num_src)``.
    """

    rowptr: Tensor
    col: Tensor
    num_src: int
    order: Tensor | None = None

    layout: ClassVar[Layout] = {
        "rowptr": Pointer("destinations", into="edges"),
        "col": Rows("edges", into="sources"),
        "num_src": Count("sources"),
        "order": Rows("edges", into="edges"),
    }

    _graph: ClassVar[_Graph | None] = None

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
        """Destination of every edge, ``[E]`` int64 (remembered)."""
        return remembered(self, "row", lambda: cast(Tensor, edge_rows(self.rowptr, self.col)))

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
            hint = "; transpose it" if edge_index.dim() == 2 and edge_index.shape[1] == 2 else ""
            raise ValueError(f"edge_index must have shape [2, E], not {list(edge_index.shape)}{hint}")
        if edge_index.dtype != torch.int64:
            raise ValueError(f"edge_index must be int64, not {edge_index.dtype}")
        num_src = num_dst if num_src is None else num_src
        for name, count in (("num_dst", num_dst), ("num_src", num_src)):
            if count < 0:
                raise ValueError(f"{name} must not be negative, got {count}")
        src, dst = edge_index
        if not is_compiling():
            check_range("edge_index[1]", dst, num_dst, "destinations")
            check_range("col", src, num_src, "sources")
        rowptr, col, order = group_edges(dst, src, num_dst)
        return cls.trusted(rowptr, col, num_src, order)

    def to_edge_index(self) -> Tensor:
        """``[2, E]`` int64 in CSR order: sources in row 0, destinations in row 1."""
        return torch.stack([self.col, self.row])

    def t(self) -> tuple[Neighbors, Tensor]:
        """The transpose (row ``j`` lists the destinations that read ``j``) and its permutation (remembered).

        Returns:
            ``(transposed, perm)``: edge ``e`` of ``transposed`` is edge ``perm[e]`` of ``self``, and
            destinations ascend in a row.
        """

        def make() -> tuple[Neighbors, Tensor]:
            rowptr, row, perm = transpose(self.rowptr, self.col, self.num_src)
            return Neighbors.trusted(rowptr, row, self.num_dst), perm

        return remembered(self, "t", make)

    def edges(self) -> Neighbors:
        """Every edge as a source of its own row: row ``i`` lists the edges of row ``i`` here, so that operators read values
        ``[E, C]``. Nothing is sorted for its transpose, in which every edge reads its row (remembered).
        """

        def make() -> Neighbors:
            count, rows = self.num_edges, self.num_dst
            every = torch.arange(count + 1, device=self.device)
            number = every[:-1]
            own = Neighbors.trusted(self.rowptr, number, count)
            transposed = Neighbors.trusted(every, self.row, rows)
            transposed.know("t", (Neighbors.trusted(self.rowptr, number, count), number))
            own.know("t", (transposed, number))
            return own

        return remembered(self, "edges", make)

    def select(self, mask: Tensor) -> Neighbors:
        """The neighbours of some edges alone, in the same rows; edge values in CSR order go with them by ``values[mask]``.

        Args:
            mask: ``[E]`` bool.

        Raises:
            ValueError: another shape, dtype or device.
        """
        if mask.shape != self.col.shape or mask.dtype != torch.bool:
            raise ValueError(
                f"mask must be bool of shape [{self.num_edges}], one an edge, not {mask.dtype} {list(mask.shape)}"
            )
        if mask.device != self.device:
            raise ValueError(f"mask is on {mask.device} but neighbors are on {self.device}")
        kept = torch.cat([mask.new_zeros(1, dtype=torch.int64), mask.cumsum(0)])
        return Neighbors.trusted(kept[self.rowptr], self.col[mask], self.num_src)

    def is_symmetric(self) -> bool:
        """Whether j reads i as often as i reads j, for all i and j (remembered)."""

        def make() -> bool:
            if self.num_dst != self.num_src:
                return False
            transposed = self.t()[0]
            if not torch.equal(transposed.rowptr, self.rowptr):
                return False
            # Twice transposed, columns ascend as those of the transpose do.
            return torch.equal(transpose(transposed.rowptr, transposed.col, self.num_dst)[1], transposed.col)

        return remembered(self, "symmetric", make)

    def mark(self) -> tuple[Hashable, ...]:
        # As the base has it, without a loop: every operator asks for it.
        return mark(self.rowptr), mark(self.col), self.num_src, mark(self.order)

    def check(self) -> None:
        self.rowptr, self.col, _ = _FIELDS(self.rowptr, self.col, self.order)
        if self.num_src < 0:
            raise ValueError(f"num_src must not be negative, got {self.num_src}")
        check_pointer(self.rowptr, self.num_edges, "edges of col", "rowptr", "row")
        check_range("col", self.col, self.num_src, "sources")


_FIELDS = Fitting("; rowptr[N+1] col[E] order[E]?")


class _Graph:
    """Neighbours as operators take them, made of fields that were so. Each operator asks for it: hence no :func:`remembered`."""

    __slots__ = ("col", "graph", "rowptr", "state", "storages", "transpose", "transposed", "versions")

    def __init__(self, neighbors: Neighbors) -> None:
        neighbors.memory()  # which checks fields that were changed
        self.rowptr, self.col = rowptr, col = neighbors.rowptr, neighbors.col
        self.storages = rowptr.untyped_storage(), col.untyped_storage()
        self.state = self.state_of(neighbors)
        # Tensors of our own in the same memory: nobody gives them other memory, shapes or dtypes.
        self.graph = Known(rowptr.detach(), col.detach(), neighbors.num_src)
        self.transposed: Known | None = None
        self.transpose: tuple[Tensor, Tensor, Tensor] | None = None
        self.versions: tuple[int, int, int] | None = None

    def state_of(self, neighbors: Neighbors) -> tuple[int, ...]:
        """What differs after every change of the fields but their replacement."""
        rowptr, col = self.rowptr, self.col
        of_rows, of_col = self.storages
        addresses = rowptr.data_ptr(), col.data_ptr(), of_rows.nbytes(), of_col.nbytes()
        return rowptr._version, col._version, neighbors.num_src, *addresses

    def holds(self, neighbors: Neighbors) -> bool:
        return (
            self.rowptr is neighbors.rowptr
            and self.col is neighbors.col
            and self.state == self.state_of(neighbors)
        )

    def with_transpose(self, neighbors: Neighbors) -> Known:
        if self.transposed is not None and self.transpose is not None:
            rowptr, row, perm = self.transpose  # which whoever asked for t() may have changed
            if self.versions == (rowptr._version, row._version, perm._version):
                return self.transposed
        other, perm = neighbors.t()
        rowptr, row = other.rowptr, other.col
        self.transpose = rowptr, row, perm
        self.versions = rowptr._version, row._version, perm._version
        made = plainly(lambda: Known(*self.graph[:3], rowptr.detach(), row.detach(), perm.detach()))
        self.transposed = made
        return made


def csr_for(neighbors: Neighbors, *inputs: Tensor | None) -> CSR:
    """The neighbours as operators take them, with the transpose if a gradient of one of the inputs will be asked for."""
    if is_compiling():
        return CSR(neighbors.rowptr, neighbors.col, neighbors.num_src)
    known = neighbors._graph
    if known is None or not known.holds(neighbors):
        if any(part.is_inference() or wrapped(part) for part in (neighbors.rowptr, neighbors.col)):
            return CSR(neighbors.rowptr, neighbors.col, neighbors.num_src)
        known = vars(neighbors)["_graph"] = plainly(partial(_Graph, neighbors))
    for tensor in inputs:
        if tensor is not None and tensor.requires_grad:
            return known.with_transpose(neighbors) if torch.is_grad_enabled() else known.graph
    return known.graph
