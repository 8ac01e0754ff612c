"""CSR: neighbourhoods as operators see them, with the transpose that gradients gather over."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor

from geodl.ops.core.memory import resolve


class CSR(NamedTuple):
    """Row i reads the sources ``col[rowptr[i]:rowptr[i+1]]``.

    The transpose is None where nobody foresaw that a gradient gathers over it; :meth:`with_transpose` makes it then.

    Attributes:
        rowptr: ``[N+1]`` int64.
        col: ``[E]`` int64 in ``[0, num_src)``.
        num_src: S, the number of sources.
        t_rowptr: ``[S+1]``, of the transpose.
        t_row: ``[E]``, the destinations that read every source, ascending.
        perm: ``[E]``, edge k of the transpose is edge ``perm[k]``.
    """

    rowptr: Tensor
    col: Tensor
    num_src: int
    t_rowptr: Tensor | None = None
    t_row: Tensor | None = None
    perm: Tensor | None = None

    @property
    def num_dst(self) -> int:
        return self.rowptr.shape[0] - 1

    @property
    def num_edges(self) -> int:
        return self.col.shape[0]

    @property
    def row(self) -> Tensor:
        """Destination of every edge, ``[E]``."""
        return _rows_of(self.rowptr, self.col)

    def with_transpose(self) -> CSR:
        """The same with the transpose."""
        if self.t_rowptr is not None:
            return self
        from geodl.ops.core.transpose import transpose

        return CSR(*self[:3], *transpose(self.rowptr, self.col, self.num_src))

    def transpose(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rowptr ``[S+1]``, row ``[E]`` and perm ``[E]`` of the transpose, made now if nobody foresaw that it is needed."""
        return cast(tuple[Tensor, Tensor, Tensor], self.with_transpose()[3:])

    def edges(self) -> CSR:
        """The same rows, whose sources are the edges themselves: what sums values of edges."""
        each, ptr = self._each()
        return CSR(self.rowptr, each, each.shape[0], ptr, _rows_of(self.rowptr, self.col), each)

    def reading(self) -> CSR:
        """A row for every edge, which reads its source."""
        _, ptr = self._each()
        transposed = (None,) * 3 if self.t_rowptr is None else (self.t_rowptr, self.perm, self.perm)
        return CSR(ptr, self.col, self.num_src, *transposed)

    def writing(self) -> CSR:
        """A row for every edge, which reads its destination: what spreads values of rows over their edges."""
        each, ptr = self._each()
        row, points = _rows_of(self.rowptr, self.col), self.rowptr.shape[0] - 1
        return CSR(ptr, row, points, self.rowptr, each, each)

    def _each(self) -> tuple[Tensor, Tensor]:
        """The number of every edge, and the pointer of rows of one entry."""
        # Dynamo of torch 2.6 knows no properties of named tuples.
        ptr = torch.arange(self.col.shape[0] + 1, device=self.col.device)
        return ptr[:-1], ptr

    def resolved(self) -> CSR:
        """The same in memory that kernels can read.

        Raises:
            ValueError: the memory of a part was freed.
        """
        parts = {n: resolve(part, n) for n, part in self._asdict().items() if isinstance(part, Tensor)}
        return CSR(**{**self._asdict(), **parts})

    def sum_rows(self, values: Tensor) -> Tensor:
        """``[E, ...] -> [N, ...]``: the sum over the edges of every row, in their order; 0 for an empty row."""
        return sum_rows(values, self.rowptr)

    def sum_sources(self, values: Tensor) -> Tensor:
        """``[E, ...] -> [S, ...]``: the sum over the edges of every source, in the order of the transpose."""
        known = self.with_transpose()
        return sum_rows(values[known.perm], cast(Tensor, known.t_rowptr))

    def max_rows(self, values: Tensor) -> Tensor:
        """``[E, H] -> [N, H]``: the maximum over the edges of every row; -inf for an empty row."""
        row = _rows_of(self.rowptr, self.col)
        least = values.new_full((self.rowptr.shape[0] - 1, *values.shape[1:]), -torch.inf)
        return least.scatter_reduce(0, row[:, None].expand(values.shape), values, "amax")


def _rows_of(rowptr: Tensor, col: Tensor) -> Tensor:
    from geodl.ops.core.transpose import edge_rows

    return cast(Tensor, edge_rows(rowptr, col))


def sum_rows(values: Tensor, rowptr: Tensor) -> Tensor:
    """Sums of the rows of ``values`` between the entries of ``rowptr``."""
    # Not index_add_, whose order of summation on a GPU changes from run to run.
    summed = torch.segment_reduce(values.flatten(1), "sum", offsets=rowptr, axis=0, initial=0)
    return summed.view(rowptr.shape[0] - 1, *values.shape[1:])


class Known(CSR):
    """A graph whose parts have the right dtypes, shapes and memory, and that nobody else holds: it is not checked again."""

    __slots__ = ()
