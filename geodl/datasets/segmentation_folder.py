"""SegmentationFolder: a folder of labelled shapes of one's own."""

from __future__ import annotations

import copy
import operator
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from geodl.data import as_shape
from geodl.data.formats import FORMATS
from geodl.datasets.drawn_points import drawn_points
from geodl.datasets.listing import (
    Listed,
    Split,
    chosen_split,
    read_list,
    shapes_within,
    split_folders,
    text_of,
)

__all__ = ["SegmentationFolder"]

_LABELS = (".labels.npy", ".npy", ".labels.txt", ".txt", ".seg", ".labels", ".eseg")


class SegmentationFolder(Dataset[Any]):
    """Shapes from files with a label at every vertex (or point) or at every face.

    The labels of ``NAME.off`` lie beside it, in ``NAME.txt``, ``NAME.seg``, ``NAME.labels`` (a whole number a line) or
    ``NAME.npy``, or in the shape itself as the property ``label`` of a ply's vertices or faces. There may be folders ``train``,
    ``test`` and ``val``; or a csv file with the columns ``file``, ``labels`` and maybe ``split`` stands for the folder. Hidden
    files are left out.

    An item is a :class:`~geodl.data.Mesh` or a :class:`~geodl.data.PointCloud` with what its file holds, ``y [V]`` or ``y [F]``
    int64 and ``name``; with ``num_points``, a cloud in the unit ball with ``pos [num_points, 3]`` and ``y [num_points]``. Labels
    are kept as they are: -1 for none. Items are read when first asked for and then kept.

    Args:
        root: the folder, or a csv file.
        split: "train", "val", "test", or None for all.
        num_points: of every cloud, as of :class:`ShapeFolder`; None for shapes as they are.
        transform: applied to a shallow copy of the shape at every access; ``SpectralOperators(OperatorCache())`` keeps operators.
        test_share, val_share: where the layout does not tell splits.
        seed: of splits and points.

    Raises:
        FileNotFoundError: there is no such folder or file.
        ValueError: no shapes are there; no such split, or one without shapes; on access, a shape without labels, or with another
            number of them than it has vertices or faces; a damaged file; by name.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Split | None = None,
        num_points: int | None = None,
        transform: Callable[[Any], Any] | None = None,
        test_share: float = 0.2,
        val_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        if num_points is not None and num_points < 1:
            raise ValueError(f"num_points must be at least 1, got {num_points}")
        place = Path(root)
        self._every = _listed(place)
        alike = [""] * len(self._every)
        self._where = chosen_split(self._every, alike, split, test_share, val_share, seed)
        self._folder = place.parent if place.is_file() else place
        self.names = [one.name for one in self._where]
        self.num_points, self.seed, self.transform = num_points, seed, transform
        self._shapes: dict[int, Any] = {}

    @cached_property
    def num_classes(self) -> int:
        """One more than the largest label of all shapes, of every split; reads their labels."""
        return 1 + max(int(self._labelled(one)[1].max()) for one in self._every)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Any:
        number = range(len(self))[operator.index(index)]  # counts from the end, or raises IndexError
        if number not in self._shapes:
            shape, y = self._labelled(self._where[number])
            shape.y = y
            if self.num_points is not None:
                shape = drawn_points(shape, self.num_points, self.seed, self.names[number])
            shape.name = self.names[number]
            self._shapes[number] = shape
        shape = copy.copy(self._shapes[number])
        return shape if self.transform is None else self.transform(shape)

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads what it needs itself.
        return self.__dict__ | {"_shapes": {}}

    def _labelled(self, one: Listed) -> tuple[Any, Tensor]:
        shape = as_shape(one.file)
        file = self._folder / one.label if one.label else _beside(one.file)
        if file is not None:
            y = _read_labels(file)
        else:
            given = (getattr(shape, key, None) for key in ("y", "label", "face_label", "face_y"))
            held: Tensor | None = next((value for value in given if value is not None), None)
            if held is None or bool((held != held.round()).any()):
                ends = ", ".join(_LABELS)
                raise ValueError(
                    f"{one.file} has no labels: expected a property `label`, or a file beside it that ends in one of {ends}"
                )
            y = held.long()
        faces = None if getattr(shape, "face", None) is None else shape.face.shape[1]
        if len(y) not in (len(shape.pos), faces):
            counts = f"{len(shape.pos)} vertices" + (f" and {faces} faces" if faces else "")
            raise ValueError(f"{file or one.file} has {len(y)} labels but {one.file.name} has {counts}")
        return shape, y


def _listed(root: Path) -> list[Listed]:
    if root.is_file():
        return read_list(root, "labels")
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}")
    places = split_folders(root) or {"": root}
    found = [
        Listed(file.relative_to(root).as_posix(), file, "", split)
        for split, folder in places.items()
        for file in shapes_within(folder)
    ]
    if not found:
        raise ValueError(f"{root} has no shapes: expected files of one of {', '.join(FORMATS)}")
    return found


def _beside(file: Path) -> Path | None:
    """The file of labels of a shape's file."""
    places = (file.with_name(file.stem + end) for end in _LABELS)
    return next((path for path in places if path.is_file() and path != file), None)


def _read_labels(path: Path) -> Tensor:
    try:
        if path.suffix == ".npy":
            numbers = np.load(path, allow_pickle=False)
            numbers = numbers[:, 0] if numbers.ndim == 2 and numbers.shape[1] == 1 else numbers
        else:
            numbers = np.array(text_of(path).split(), dtype=np.float64)
        if numbers.ndim != 1 or not len(numbers) or not (numbers == np.rint(numbers)).all():
            raise ValueError("labels must be whole numbers, one a vertex or face")
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no labels: {error}") from error
    return torch.from_numpy(numbers.astype(np.int64))
