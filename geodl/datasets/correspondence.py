"""Sets of shapes in correspondence, and their pairs: one type for all, so that what is trained on one is tested on another."""

from __future__ import annotations

import copy
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, overload

from torch import Tensor
from torch.utils.data import Dataset

from geodl.data import Mesh

__all__ = ["CorrespondenceSet", "ShapePair", "ShapePairs"]


@dataclass(frozen=True, eq=False)
class ShapePair:
    """Two shapes and the points that they have in common.

    A point map ``[V]`` from the vertices of ``source`` to those of ``target`` is judged by

        MatchedPair(pair.target, point_map[pair.source_vertices], pair.target_vertices, pair.name)

    Attributes:
        source: a mesh of V vertices.
        target: the mesh that it is matched to, of V' vertices.
        source_vertices: ``[P]`` int64 in ``[0, V)``. A vertex may stand for several points.
        target_vertices: ``[P]`` int64 in ``[0, V')``: the same points of the body.
        name: "source-target".
    """

    source: Mesh
    target: Mesh
    source_vertices: Tensor
    target_vertices: Tensor
    name: str


class ShapePairs(Sequence[ShapePair]):
    """Pairs of a set, whatever the set: made when asked for, so that thousands cost nothing.

    Args:
        shapes: the set.
        indices: of source and target in it, one couple a pair.
    """

    def __init__(self, shapes: CorrespondenceSet, indices: Sequence[tuple[int, int]]) -> None:
        self.shapes, self.indices = shapes, list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> ShapePair: ...

    @overload
    def __getitem__(self, index: slice) -> ShapePairs: ...

    def __getitem__(self, index: int | slice) -> ShapePair | ShapePairs:
        if isinstance(index, slice):
            return ShapePairs(self.shapes, self.indices[index])
        source, target = self.indices[index]
        names = self.shapes.names
        return ShapePair(
            self.shapes[source],
            self.shapes[target],
            *self.shapes.common_points(source, target),
            f"{names[source]}-{names[target]}",
        )

    def __iter__(self) -> Iterator[ShapePair]:
        return (self[k] for k in range(len(self)))


class CorrespondenceSet(Dataset[Mesh]):
    """Shapes that have points in common.

    An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]``, ``face [3, F]``, ``name``, in most sets ``corres [T]`` int64 (the
    vertex at each of the T points of a template that all shapes, or those of one category, share), and what the set says of it.
    Items are read or made when first asked for and then kept.

    Args:
        names: of the shapes, in their order.
        transform: applied to a shallow copy of the mesh at every access.
    """

    def __init__(self, names: Sequence[str], transform: Callable[[Mesh], Mesh] | None = None) -> None:
        self.names, self.transform = list(names), transform
        self._meshes: dict[str, Mesh] = {}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Mesh:
        mesh = copy.copy(self._mesh(self.names[operator.index(index)]))
        return mesh if self.transform is None else self.transform(mesh)

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads what it needs itself.
        return self.__dict__ | {"_meshes": {}}

    def pairs(self) -> ShapePairs:
        """The pairs that a set lists for tests, else all ordered pairs of two shapes of one category."""
        of = [self.category(name) for name in self.names]
        return ShapePairs(self, [(i, j) for i, j in permutations(range(len(self)), 2) if of[i] == of[j]])

    def common_points(self, source: int, target: int) -> tuple[Tensor, Tensor]:
        """Vertices of two shapes, by index, at the same points of the body: ``[P]`` and ``[P]`` int64.

        Raises:
            ValueError: they are of different categories.
        """
        one, other = (self._mesh(self.names[index]) for index in (source, target))
        if self.category(one.name) != self.category(other.name):
            raise ValueError(
                f"{one.name} and {other.name} are of different categories: they have no template in common"
            )
        return one.corres, other.corres

    def category(self, name: str) -> str:
        """Shapes of one category share a template; most sets have but one."""
        return ""

    def _mesh(self, name: str) -> Mesh:
        if name not in self._meshes:
            self._meshes[name] = self._read(name)
        return self._meshes[name]

    @abstractmethod
    def _read(self, name: str) -> Mesh:
        """The shape, as it is kept."""
