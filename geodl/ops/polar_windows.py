"""PolarWindows: windows on rings x rays of a polar chart around every point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.ops.core.declaration import Declaration
from geodl.ops.neighbors import Neighbors, csr_for
from geodl.ops.windows import check_index, count_windows

__all__ = ["PolarWindows"]

_WINDOWS = Declaration.parse("weight[E,M]; graph:csr[N,S,E] index:int[E,M]? ->")


@dataclass(eq=False)
class PolarWindows:
    """How much each of the rings x rays windows around a point sees of each of its neighbours.

    Window ``m = ring * rays + ray``. Turning the chart of a point by one ray spacing moves what ray ``a`` saw
    to ray ``a + 1``. Dense (``index`` None): every window has a weight at every edge, as Gaussian bins do.
    Sparse: an edge is seen by few windows, as with barycentric template points (S = 1, one edge for each
        corner of the triangle that
    a template point falls in).

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

    def __post_init__(self) -> None:
        if self.rings < 1 or self.rays < 1:
            raise ValueError(
                f"there must be at least one ring and one ray, not {self.rings} rings and {self.rays} rays"
            )
        count_windows(self.weight, self.index, self.num_windows)
        _WINDOWS.bind((self.weight, csr_for(self.neighbors), self.index))
        if not torch.compiler.is_compiling():
            check_index(self.index, self.num_windows)

    @property
    def num_windows(self) -> int:
        return self.rings * self.rays

    @property
    def device(self) -> torch.device:
        return self.weight.device

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> PolarWindows:
        """The same windows, and what their neighbours have cached, on another device."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=non_blocking)

        index = None if self.index is None else move(self.index)
        neighbors = self.neighbors.to(device, non_blocking)
        return PolarWindows._valid(neighbors, move(self.weight), index, self.rings, self.rays)

    @staticmethod
    def cat(parts: Sequence[PolarWindows]) -> PolarWindows:
        """Block-diagonal packing, see :meth:`Neighbors.cat`.

        Raises:
            ValueError: no parts, or parts that differ in rings, rays, form, dtype or device.
        """
        if not parts:
            raise ValueError("PolarWindows.cat needs at least one part")
        if len(forms := {part._form() for part in parts}) > 1:
            raise ValueError(f"PolarWindows.cat needs parts of one form, not {' and '.join(sorted(forms))}")
        index = [part.index for part in parts if part.index is not None]
        return PolarWindows._valid(
            Neighbors.cat([part.neighbors for part in parts]),
            torch.cat([part.weight for part in parts]),
            torch.cat(index) if index else None,
            parts[0].rings,
            parts[0].rays,
        )

    def _form(self) -> str:
        form = "dense" if self.index is None else f"sparse (S = {self.weight.shape[1]})"
        return f"{self.rings} rings x {self.rays} rays {form} {self.weight.dtype} on {self.device}"

    @staticmethod
    def _valid(
        neighbors: Neighbors, weight: Tensor, index: Tensor | None, rings: int, rays: int
    ) -> PolarWindows:
        """Windows that are valid by construction: reading the index to check it would wait for the device."""
        made = PolarWindows.__new__(PolarWindows)
        made.neighbors, made.weight, made.index, made.rings, made.rays = neighbors, weight, index, rings, rays
        return made
