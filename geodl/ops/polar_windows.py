"""PolarWindows: windows on rings x rays of a polar chart around every point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.ops.neighbors import Neighbors
from geodl.ops.windows import check_index, check_windows

__all__ = ["PolarWindows"]


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
        check_windows(self.neighbors, self.weight, self.index, self.num_windows)
        if not torch.compiler.is_compiling():
            check_index(self.index, self.num_windows)

    @property
    def num_windows(self) -> int:
        return self.rings * self.rays

    @property
    def device(self) -> torch.device:
        return self.weight.device

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> PolarWindows:
        """The same windows on another device."""
        index = None if self.index is None else self.index.to(device, non_blocking=non_blocking)
        weight = self.weight.to(device, non_blocking=non_blocking)
        return PolarWindows(self.neighbors.to(device, non_blocking), weight, index, self.rings, self.rays)

    @staticmethod
    def cat(parts: Sequence[PolarWindows]) -> PolarWindows:
        """Block-diagonal packing, see :meth:`Neighbors.cat`.

        Raises:
            ValueError: no parts, or parts that differ in rings, rays or form.
        """
        if not parts:
            raise ValueError("PolarWindows.cat needs at least one part")
        forms = {(part.rings, part.rays, part.index is None or part.weight.shape[1]) for part in parts}
        if len(forms) > 1:
            told = ", ".join(
                f"{part.rings} x {part.rays} "
                + ("dense" if part.index is None else f"sparse with S = {part.weight.shape[1]}")
                for part in parts
            )
            raise ValueError(f"parts must have the same rings, rays and form to be packed, not {told}")
        index = [part.index for part in parts if part.index is not None]
        return PolarWindows(
            Neighbors.cat([part.neighbors for part in parts]),
            torch.cat([part.weight for part in parts]),
            torch.cat(index) if index else None,
            parts[0].rings,
            parts[0].rays,
        )
