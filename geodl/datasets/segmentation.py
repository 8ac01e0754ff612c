"""Sets of meshes with a label for every face."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from geodl.data import Mesh

__all__ = ["SegmentationSet"]


class SegmentationSet(Dataset[Mesh]):
    """Meshes whose faces are labelled, each in a file of its own.

    An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (float32), ``face [3, F]``, ``y [F]`` int64 (the part of every face)
    and ``name``. Items are read when first asked for and then kept.

    Args:
        names: of the shapes, in their order.
        files: of every shape the mesh, and the file that lists a label for each of its faces.
        first: the label in the files that is part 0 here.
        parts: their names, in the order of the labels.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: on access, a damaged file, or one with another number of labels than the mesh has faces.
        IndexError: on access, a label that is no part.
    """

    def __init__(
        self,
        names: Sequence[str],
        files: Sequence[tuple[Path, Path]],
        first: int,
        parts: Sequence[str],
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        self.names, self.parts, self.transform = list(names), tuple(parts), transform
        self._files, self._first = list(files), first
        self._meshes: dict[int, Mesh] = {}

    @property
    def num_classes(self) -> int:
        return len(self.parts)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Mesh:
        number = range(len(self))[operator.index(index)]  # counts from the end, or raises IndexError
        if number not in self._meshes:
            self._meshes[number] = self._read(number)
        mesh = copy.copy(self._meshes[number])
        return mesh if self.transform is None else self.transform(mesh)

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads what it needs itself.
        return self.__dict__ | {"_meshes": {}}

    def _read(self, number: int) -> Mesh:
        mesh_file, label_file = self._files[number]
        file = Mesh.load(mesh_file)
        y = read_face_labels(label_file) - self._first
        if len(y) != file.face.shape[1]:
            raise ValueError(
                f"{label_file} has {len(y)} labels but {mesh_file.name} has {file.face.shape[1]} faces"
            )
        if not 0 <= int(y.min()) <= int(y.max()) < self.num_classes:
            low, high = int(y.min()) + self._first, int(y.max()) + self._first
            last = self._first + self.num_classes - 1
            raise IndexError(
                f"{label_file} holds labels {low}..{high}, which should be {self._first}..{last}"
            )
        return Mesh(file.pos.float(), file.face, y=y, name=self.names[number])


def read_face_labels(path: Path) -> Tensor:
    """Whole numbers ``[F]`` int64, one a line.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is empty, or holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of labels")
    words = path.read_text(encoding="utf-8", errors="replace").split()
    if not words:
        raise ValueError(f"{path} is empty: it should hold a label for every face")
    try:
        numbers = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not (numbers == np.rint(numbers)).all():
        raise ValueError(f"{path} is damaged: labels must be whole numbers")
    return torch.from_numpy(numbers.astype(np.int64))
