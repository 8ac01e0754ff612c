"""PolarWindows: windows on rings x rays of a polar chart around every point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from geodl.ops.core.fitting import Fitting
from geodl.ops.core.structure import Fixed, Layout, Part, Rows, Structure
from geodl.ops.neighbors import Neighbors, csr_for
from geodl.ops.windows import check_index, count_windows

__all__ = ["PolarWindows"]

_GIVEN = Fitting("weight[E,M]; graph:csr[N,S,E] index:int[E,M]? ->")


@dataclass(eq=False)
class PolarWindows(Structure):
    """How much each of the rings x rays windows around a point sees of each of its neighbours.

    Window ``m = ring * rays + ray``. Turning the chart of a point by one ray spacing moves what ray ``a`` saw
    to ray ``a + 1``. Dense (``index`` None): every window has a weight at every edge, as Gaussian bins do.
    Sparse: an edge is seen by few windows, as with barycentric template points (S = 1, one edge for each corner of the
    triangle that a template point falls in).

    Args:
        neighbors: which sources each of the N points reads; rows may hold duplicates.
        weight: ``[E, rings * rays]``, or ``[E, S]`` in the sparse form; floating point.
        index: None, or ``[E, S]`` int64 in ``[0, rings * rays)``: the windows that see the edge.
        rings: number of radii.
        rays: number of directions, evenly spaced over the full turn.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit.
        IndexError: a window outside ``[0, rings * rays)``.
    """

    neighbors: Neighbors
    weight: Tensor
    index: Tensor | None
    rings: int
    rays: int

    layout: ClassVar[Layout] = {
        "neighbors": Part(Neighbors),
        "weight": Rows("edges"),
        "index": Rows("edges"),
        "rings": Fixed(),
        "rays": Fixed(),
    }

    def check(self) -> None:
        if self.rings < 1 or self.rays < 1:
            raise ValueError(
                f"there must be at least one ring and one ray, not {self.rings} rings and {self.rays} rays"
            )
        count_windows(self.weight, self.index, self.num_windows)
        _GIVEN(self.weight, csr_for(self.neighbors), self.index)
        check_index(self.index, self.num_windows)

    @property
    def num_windows(self) -> int:
        return self.rings * self.rays
