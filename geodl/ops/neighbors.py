"""Neighbors: CSR neighbourhoods and their transpose, the one sparse type of the library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geodl.ops.backend import native, serves_indices
from geodl.ops.core.csr import CSR, Known
from geodl.ops.custom_op import custom_op

__all__ = ["Neighbors"]


# --- custom ops: the structure alone, so integers in and out ---


@custom_op("transpose")
def transpose(rowptr: Tensor, col: Tensor, num_src: int) -> tuple[Tensor, Tensor, Tensor]:
    """The transposed CSR (rowptr ``[num_src+1]``, row ``[E]``) and perm ``[E]``, where edge k was perm[k]."""
    return _group_edges(col, _rows_of_edges(rowptr, col), num_src)


@transpose.register_fake
def _(rowptr: Tensor, col: Tensor, num_src: int) -> tuple[Tensor, Tensor, Tensor]:
    return rowptr.new_empty(num_src + 1), torch.empty_like(col), torch.empty_like(col)


@custom_op("group_edges")
def group_edges(key: Tensor, value: Tensor, num_keys: int) -> tuple[Tensor, Tensor, Tensor]:
    """Edges by key, stably: rowptr ``[num_keys+1]``, value[perm] ``[E]`` and perm ``[E]``."""
    return _group_edges(key, value, num_keys)


@group_edges.register_fake
def _(key: Tensor, value: Tensor, num_keys: int) -> tuple[Tensor, Tensor, Tensor]:
    return key.new_empty(num_keys + 1), torch.empty_like(key), torch.empty_like(key)


@custom_op("edge_rows")
def edge_rows(rowptr: Tensor, col: Tensor) -> Tensor:
    """Row of every edge ``[E]``."""
    return _rows_of_edges(rowptr, col)


@edge_rows.register_fake
def _(rowptr: Tensor, col: Tensor) -> Tensor:
    return torch.empty_like(col)


# Nothing here waits for a GPU: the number of edges is known, and sorting and searching replace counting.


def _rows_of_edges(rowptr: Tensor, col: Tensor) -> Tensor:
    rows = torch.arange(rowptr.numel() - 1, device=rowptr.device)
    return torch.repeat_interleave(rows, rowptr.diff(), output_size=col.numel())


def _group_edges(key: Tensor, value: Tensor, num_keys: int) -> tuple[Tensor, Tensor, Tensor]:
    if serves_indices(key):
        key, value = key.contiguous(), value.contiguous()
        rowptr, grouped, perm = key.new_empty(num_keys + 1), torch.empty_like(key), torch.empty_like(key)
        native.group_edges(
            key.data_ptr(), value.data_ptr(), key.numel(), num_keys,
            rowptr.data_ptr(), grouped.data_ptr(), perm.data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        return rowptr, grouped, perm
    # A GPU sorts by 8 bits at a time.
    narrow = key.to(torch.int32) if num_keys < 2**31 else key
    ascending, perm = torch.sort(narrow, stable=True)
    rowptr = torch.searchsorted(ascending, torch.arange(num_keys + 1, device=key.device, dtype=narrow.dtype))
    return rowptr, value[perm], perm


@dataclass(eq=False)
class Neighbors:
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
    _transpose: tuple[Neighbors, Tensor] | None = field(default=None, init=False, repr=False)
    _row: Tensor | None = field(default=None, init=False, repr=False)
    _csr: _Remembered | None = field(default=None, init=False, repr=False)

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
        if num_dst < 0:
            raise ValueError(f"num_dst must not be negative, got {num_dst}")
        src, dst = edge_index
        if dst.numel() and not torch.compiler.is_compiling():
            low, high = (int(bound) for bound in dst.aminmax())
            if low < 0 or high >= num_dst:
                raise IndexError(f"edge_index[1] holds {low}..{high}, but there are {num_dst} destinations")
        rowptr, col, order = group_edges(dst, src, num_dst)
        return cls(rowptr, col, num_dst if num_src is None else num_src, order)

    def to_edge_index(self) -> Tensor:
        """``[2, E]`` int64 in CSR order: sources in row 0, destinations in row 1."""
        return torch.stack([self.col, self.row])

    def t(self) -> tuple[Neighbors, Tensor]:
        """The transpose (row ``j`` lists the destinations that read ``j``) and its permutation (cached).

        Returns:
            ``(transposed, perm)``: edge ``e`` of ``transposed`` is edge ``perm[e]`` of ``self``, and
            destinations ascend in a row.
        """
        if self._transpose is None:
            rowptr, row, perm = transpose(self.rowptr, self.col, self.num_src)
            self._transpose = (Neighbors._valid(rowptr, row, self.num_dst), perm)
        return self._transpose

    def edges(self) -> Neighbors:
        """The same rows, with every edge as a source of its own."""
        return Neighbors._valid(self.rowptr, torch.arange(self.num_edges, device=self.device), self.num_edges)

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> Neighbors:
        """The same neighbourhoods, and what they have cached, on another device."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=non_blocking)

        moved = Neighbors._valid(move(self.rowptr), move(self.col), self.num_src)
        moved.order = None if self.order is None else move(self.order)
        moved._row = None if self._row is None else move(self._row)
        if self._transpose is not None:
            transposed, perm = self._transpose
            moved._transpose = (transposed.to(device, non_blocking), move(perm))
        return moved

    @staticmethod
    def cat(parts: Sequence[Neighbors]) -> Neighbors:
        """Block-diagonal packing: the points of part ``p`` follow those of part ``p - 1``; no edge crosses.

        Raises:
            ValueError: no parts, or parts on different devices.
        """
        if not parts:
            raise ValueError("Neighbors.cat needs at least one part")
        if len(devices := {str(part.device) for part in parts}) > 1:
            raise ValueError(
                f"Neighbors.cat needs all parts on one device, not on {' and '.join(sorted(devices))}"
            )
        edges, sources = 0, 0
        rowptr, col = [parts[0].rowptr[:1]], []
        for part in parts:
            rowptr.append(part.rowptr[1:] + edges)
            col.append(part.col + sources)
            edges += part.num_edges
            sources += part.num_src
        return Neighbors._valid(torch.cat(rowptr), torch.cat(col), sources)

    @staticmethod
    def _valid(rowptr: Tensor, col: Tensor, num_src: int) -> Neighbors:
        """Neighbors valid by construction: to read the values for a check would wait for the device."""
        made = Neighbors.__new__(Neighbors)
        made.rowptr, made.col, made.num_src = rowptr, col, num_src
        made.order = made._transpose = made._row = made._csr = None
        return made

    def _validate(self) -> None:
        for name, tensor in (("rowptr", self.rowptr), ("col", self.col), ("order", self.order)):
            if tensor is None:
                continue
            if tensor.dtype != torch.int64:
                raise ValueError(f"{name} must be int64, not {tensor.dtype}")
            if tensor.dim() != 1:
                raise ValueError(f"{name} must have one dimension, not shape {list(tensor.shape)}")
            if tensor.device != self.rowptr.device:
                raise ValueError(f"rowptr is on {self.rowptr.device} but {name} is on {tensor.device}")
        if self.num_src < 0:
            raise ValueError(f"num_src must not be negative, got {self.num_src}")
        if self.rowptr.numel() == 0:
            raise ValueError("rowptr must hold at least one entry (N + 1 for N rows)")
        if self.order is not None and self.order.numel() != self.num_edges:
            raise ValueError(f"order has {self.order.numel()} entries but col has {self.num_edges}")
        self.rowptr, self.col = self.rowptr.contiguous(), self.col.contiguous()
        first, last = int(self.rowptr[0]), int(self.rowptr[-1])
        if first != 0 or last != self.num_edges:
            raise ValueError(
                f"rowptr must ascend from 0 to the {self.num_edges} edges of col, not from {first} to {last}"
            )
        if bool((descends := self.rowptr.diff() < 0).any()):
            raise ValueError(
                f"rowptr must not descend, but row {int(descends.nonzero()[0])} ends before it starts"
            )
        if self.num_edges:
            low, high = (int(bound) for bound in self.col.aminmax())
            if low < 0 or high >= self.num_src:
                raise IndexError(f"col holds {low}..{high}, but there are {self.num_src} sources")


def check_signal(x: Tensor, neighbors: Neighbors) -> None:
    """Checks that ``x [num_src, C]`` is a signal on the sources."""
    if x.dim() != 2 or x.shape[0] != neighbors.num_src:
        raise ValueError(f"neighbors have {neighbors.num_src} sources but x has shape {list(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"x must be floating point, not {x.dtype}")
    if x.device != neighbors.device:
        raise ValueError(f"x is on {x.device} but neighbors are on {neighbors.device}")


def check_like(x: Tensor, name: str, tensor: Tensor) -> None:
    """Checks that a tensor has the dtype and the device of ``x``."""
    if tensor.dtype != x.dtype:
        raise ValueError(f"x is {x.dtype} but {name} is {tensor.dtype}")
    if tensor.device != x.device:
        raise ValueError(f"x is on {x.device} but {name} is on {tensor.device}")


def check_edges(x: Tensor, neighbors: Neighbors, name: str, values: Tensor) -> None:
    """Checks that ``values [E]`` are a number an edge, like ``x``."""
    if values.dim() != 1 or values.shape[0] != neighbors.num_edges:
        raise ValueError(
            f"neighbors have {neighbors.num_edges} edges but {name} has shape {list(values.shape)}"
        )
    check_like(x, name, values)


def transpose_for(
    x: Tensor, neighbors: Neighbors, *others: Tensor
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The transpose (rowptr, row, perm), if the gradient of ``x`` or of one of the others will be asked for."""
    if not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *others))):
        return None, None, None
    transposed, perm = neighbors.t()
    return transposed.rowptr, transposed.col, perm


class _Remembered:
    """The graph of neighbours, and what it was made of."""

    __slots__ = ("col", "graph", "places", "rowptr", "transposed", "versions")

    def __init__(self, neighbors: Neighbors) -> None:
        self.rowptr, self.col = neighbors.rowptr, neighbors.col
        self.versions = self.rowptr._version, self.col._version, neighbors.num_src
        self.places = self.rowptr.data_ptr(), self.col.data_ptr()
        # Tensors of our own in the same memory: nobody gives them other memory, shapes or dtypes.
        self.graph = Known(self.rowptr.detach(), self.col.detach(), neighbors.num_src)
        self.transposed: Known | None = None


def csr_for(neighbors: Neighbors, *inputs: Tensor | None) -> CSR:
    """The neighbours as operators take them, with the transpose if a gradient of one of the inputs will be asked for."""
    rowptr, col = neighbors.rowptr, neighbors.col
    if torch.compiler.is_compiling():
        return CSR(rowptr, col, neighbors.num_src)
    known = neighbors._csr
    if (
        known is None
        or known.rowptr is not rowptr
        or known.col is not col
        or known.versions != (rowptr._version, col._version, neighbors.num_src)
        or known.places != (rowptr.data_ptr(), col.data_ptr())
    ):
        known = neighbors._csr = _Remembered(neighbors)
    for tensor in inputs:
        if tensor is not None and tensor.requires_grad and torch.is_grad_enabled():
            if known.transposed is None:
                transposed, perm = neighbors.t()
                known.transposed = Known(*known.graph[:3], transposed.rowptr, transposed.col, perm)
            return known.transposed
    return known.graph
