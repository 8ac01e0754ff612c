"""Which vertex of a repaired shape a vertex of its file has become: what users read and write is numbered as their files are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Numbering"]


@dataclass(frozen=True)
class Numbering:
    """Of a shape.

    Attributes:
        new: ``[V_file]``, the vertex of the shape that a vertex of the file has become, -1 if it was left out.
    """

    new: Tensor

    @property
    def old(self) -> Tensor:
        """``[V]``: the first vertex of the file that has become one of the shape."""
        kept = (self.new >= 0).nonzero()[:, 0]
        new = self.new[kept]
        size = int(new.max()) + 1 if len(new) else 0
        return kept.new_full((size,), len(self.new)).scatter_reduce(0, new, kept, "amin")

    def old_of(self, vertices: Tensor) -> Tensor:
        """Vertices of the shape, -1 for none, by their numbers in the file."""
        return vertices.where(vertices < 0, self.old[vertices.clamp(min=0)])

    def to_file(self, rows: Tensor) -> Tensor:
        """Rows of the shape's vertices as those of the file's: of vertices left out NaN, or -1 of whole numbers."""
        made = rows[self.new.clamp(min=0)]
        made[self.new < 0] = float("nan") if rows.is_floating_point() else -1
        return made

    def landmark(self, vertex: int, which: str) -> int:
        """The vertex of the shape, of one of the file.

        Raises:
            IndexError: the file has no such vertex.
            ValueError: it was left out.
        """
        if not 0 <= vertex < len(self.new):
            raise IndexError(f"landmark {vertex} is no vertex of {which}, which has {len(self.new)}")
        if (new := int(self.new[vertex])) < 0:
            raise ValueError(f"landmark {vertex} of {which} was left out by --repair")
        return new
