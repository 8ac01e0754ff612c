"""What operators that read a signal through windows have in common.

The weight of window m at edge e comes in one of two forms: dense, ``weight [E, M]``, or sparse, ``weight [E, S]`` and
``index [E, S]``: edge e is seen by the windows ``index[e, s]`` alone. A window named twice counts twice.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from geodl.ops.clouds import check_range
from geodl.ops.core import CSR
from geodl.ops.neighbors import Neighbors, csr_for


class Windows(NamedTuple):
    """Neighbourhoods and the windows on them, as implementations see them."""

    graph: CSR
    weight: Tensor
    index: Tensor | None  # type: ignore[assignment]  # hides tuple.index

    def dense(self, num_windows: int) -> Tensor:
        """The weights of all windows, ``[E, M]``."""
        if self.index is None:
            return self.weight
        check_index(self.index, num_windows)
        out = self.weight.new_zeros(self.weight.shape[0], num_windows)
        for index, weight in zip(self.index.unbind(1), self.weight.unbind(1), strict=True):
            # A place once a call, so that the order of a sum is that of the columns.
            out = out.scatter_add(1, index[:, None], weight[:, None])
        return out

    def only_seen(self, messages: Tensor, window: int) -> Tensor:
        """Of messages of all edges ``[E, C]`` those that a window sees: a weight of 0 would keep NaN."""
        if self.index is None:
            return messages
        return messages.where((self.index == window).any(1, keepdim=True), 0)

    def take(self, values: Tensor) -> Tensor:
        """Of values of all windows ``[E, M]`` those that the weights stand for."""
        return values if self.index is None else values.gather(1, self.index)

    def addresses(self) -> tuple[int, int, int, int, int, int]:
        """As the kernels take them: rowptr, rows, col, weight, index and the columns of weight."""
        rowptr, col = self.graph.rowptr, self.graph.col
        index = 0 if self.index is None else self.index.data_ptr()
        columns = self.weight.shape[1]
        return rowptr.data_ptr(), rowptr.shape[0] - 1, col.data_ptr(), self.weight.data_ptr(), index, columns


def graph_for(x: Tensor, neighbors: Neighbors, *others: Tensor) -> CSR:
    """The neighbours, with the transpose if a gradient will gather over it: on a GPU, of x or the others; on the CPU none does."""
    return csr_for(neighbors, *(() if x.is_cpu else (x, *others)))


def count_windows(weight: Tensor, index: Tensor | None, num_windows: int | None) -> int:
    """The number of windows M, which a sparse form does not tell."""
    if index is None:
        if weight.dim() != 2:
            raise ValueError(f"weight must have shape [E, M], not {list(weight.shape)}")
        if num_windows is not None and num_windows != weight.shape[1]:
            raise ValueError(f"weight has {weight.shape[1]} windows but {num_windows} are expected")
        return weight.shape[1]
    if num_windows is None:
        raise ValueError("num_windows must be given with index")
    if num_windows < 0:
        raise ValueError(f"num_windows must not be negative, got {num_windows}")
    return num_windows


def check_index(index: Tensor | None, num_windows: int) -> None:
    """Checks that every window exists. It reads the values: for implementations and constructors alone."""
    if index is not None:
        check_range("index", index, num_windows, "windows")


def wanted(shapes_of: tuple[Tensor, ...], needs: Any) -> list[Tensor]:
    """An uninitialised gradient of every tensor that needs one; for the others an empty tensor, which has no address."""
    return [t.new_empty(t.shape if need else 0) for t, need in zip(shapes_of, needs, strict=True)]
