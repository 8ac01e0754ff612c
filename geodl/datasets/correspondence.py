"""Sets of shapes in correspondence: meshes in ``off/``, and for each the vertices of a common template in ``corres/``."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import overload

import numpy as np
import torch
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
    """What the sets of the shape-matching literature share: ``off/NAME.off`` with ``corres/NAME.vts``.

    Line t of a vts file is the vertex, counted from 1, that lies at point t of a template which all shapes (of a category) have
    in common. An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` float32 (in the unit of the file), ``face [3, F]``,
    ``corres [T]`` int64 (that vertex, counted from 0), ``name``, and what the set says of it. Items are read when first asked for
    and then kept.

    Args:
        folder: that holds ``off`` and ``corres``.
        names: of the shapes, in their order.
        instructions: how to get the data, for error messages.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        FileNotFoundError: files are missing; the message says which, and how to get them.
        ValueError: on access: a damaged file, or one whose number of points is not that of the others.
        IndexError: on access: a vts file names a vertex that the mesh does not have.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        instructions: str,
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        self.folder, self.names, self.transform = folder, list(names), transform
        self.instructions = instructions
        self._meshes: dict[str, Mesh] = {}
        self._templates: dict[str, tuple[int, str]] = {}
        files = [path for name in self.names for path in self.files(name)]
        missing = [str(path.relative_to(folder)) for path in files if not path.is_file()]
        if missing:
            raise FileNotFoundError(f"{folder} lacks {listed(missing)}.\n{instructions}")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Mesh:
        mesh = copy.copy(self._mesh(self.names[index]))
        return mesh if self.transform is None else self.transform(mesh)

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

    def describe(self, name: str) -> dict[str, object]:
        """Attributes of a shape beside its geometry."""
        return {"name": name}

    def files(self, name: str) -> list[Path]:
        """That a shape needs."""
        return [self.folder / "off" / f"{name}.off", self.folder / "corres" / f"{name}.vts"]

    def _mesh(self, name: str) -> Mesh:
        if name not in self._meshes:
            self._meshes[name] = self._read(name)
        return self._meshes[name]

    def _read(self, name: str) -> Mesh:
        mesh_file, *rest = self.files(name)
        file = Mesh.load(mesh_file)
        mesh = Mesh(file.pos.float(), file.face, **self.describe(name))
        for path in rest:
            mesh.corres = read_vertices(path, file.pos.shape[0], mesh_file)
            self._check_template(name, path, mesh.corres.shape[0])
        return mesh

    def _check_template(self, name: str, path: Path, points: int) -> None:
        size, first = self._templates.setdefault(self.category(name), (points, path.name))
        if points != size:
            raise ValueError(
                f"{path} lists {points} vertices but {first} lists {size}: one is cut short or of another template"
            )


def read_vertices(path: Path, num_vertices: int, mesh_file: Path) -> Tensor:
    """Vertices ``[T]`` int64, counted from 0, of a file that lists them line by line, counted from 1.

    Args:
        path: a vts or map file.
        num_vertices: of the mesh that they are vertices of.
        mesh_file: its name, for messages.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is empty, or holds something else than whole numbers.
        IndexError: a number that is no vertex.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such correspondence file")
    words = path.read_text(encoding="utf-8", errors="replace").split()
    if not words:
        raise ValueError(f"{path} is empty: it should list a vertex on every line")
    try:
        # Some tools write whole numbers as 1.0000e+00.
        numbers = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    whole = np.isfinite(numbers) & (numbers == np.rint(numbers))
    if not whole.all():
        raise ValueError(f"{path} is damaged: line {whole.argmin() + 1} is {words[int(whole.argmin())]}")
    outside = (numbers < 1) | (numbers > num_vertices)
    if outside.any():
        line = int(outside.argmax())
        raise IndexError(
            f"{path}: line {line + 1} names vertex {words[line]}, but {mesh_file.name} has {num_vertices} vertices "
            "(counted from 1)"
        )
    return torch.from_numpy(numbers.astype(np.int64) - 1)


def read_pairs(path: Path, names: Sequence[str]) -> list[tuple[int, int]]:
    """Index pairs of a file with the names of two shapes on every line.

    Raises:
        ValueError: a line without two names, or with one that is not among the shapes.
    """
    number = {name: k for k, name in enumerate(names)}
    found = []
    for k, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        couple = line.split()
        if len(couple) != 2:
            raise ValueError(f"{path}: line {k} should name two shapes: {line.strip()!r}")
        unknown = [name for name in couple if name not in number]
        if unknown:
            raise ValueError(f"{path}: line {k} names {unknown[0]}, which is not in the set")
        found.append((number[couple[0]], number[couple[1]]))
    return found


def read_names(path: Path, instructions: str) -> list[str]:
    """Names of shapes, one a line.

    Raises:
        FileNotFoundError: no such file; the message says how to get the data.
        ValueError: the file is empty.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} lacks {path.name}, the list of the split.\n{instructions}")
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not names:
        raise ValueError(f"{path} is empty: it should name a shape on every line")
    return names


def find_folder(
    root: str | os.PathLike[str], inside: Sequence[str], needs: Sequence[str], instructions: str
) -> Path:
    """``root``, or the first of its folders named in ``inside``, that has all the folders of ``needs``.

    Raises:
        FileNotFoundError: none has; the message says how to get the data.
    """
    for folder in (Path(root), *(Path(root) / name for name in inside)):
        if all((folder / name).is_dir() for name in needs):
            return folder
    if not Path(root).is_dir():
        here = "is no folder"
    else:
        here = f"has neither {' and '.join(f'{name}/' for name in needs)} nor {' or '.join(inside)}"
    raise FileNotFoundError(f"No {inside[0]} at {root}: it {here}.\n{instructions}")


def names_in(folder: Path, instructions: str) -> list[str]:
    """Names of the off files of a folder, numbers in them in numerical order.

    Raises:
        FileNotFoundError: there are none; the message says how to get the data.
    """
    names = [path.stem for path in folder.glob("*.off")]
    if not names:
        raise FileNotFoundError(f"{folder} has no off files.\n{instructions}")
    parts = {name: re.findall(r"(\D*)(\d*)", name) for name in names}
    return sorted(names, key=lambda name: [(text, int(number or 0)) for text, number in parts[name]])


def check_split(split: str | None) -> None:
    if split not in ("train", "test", None):
        raise ValueError(f"split must be 'train', 'test' or None, not {split!r}")


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more files" if len(names) > 5 else "")
