"""ShapeFolder: a folder of shapes of one's own, for classification."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geodl.data import as_shape
from geodl.data.formats import FORMATS
from geodl.datasets.classification import ClassificationSet
from geodl.datasets.drawn_points import drawn_points
from geodl.datasets.listing import (
    Listed,
    Split,
    chosen_split,
    folders_within,
    read_list,
    shapes_within,
    split_folders,
)

__all__ = ["ShapeFolder"]


class ShapeFolder(ClassificationSet):
    """Shapes from files, of one class each: meshes and clouds in every format that geodl reads.

    Four layouts are understood:

    - ``ROOT/CLASS/NAME.off`` (or ply, obj, stl, npy, ...): a folder a class; splits are drawn;
    - ``ROOT/train/CLASS/NAME.off`` and ``ROOT/test/CLASS/NAME.off``, maybe ``ROOT/val``;
    - ``ROOT/CLASS/train/NAME.off`` and ``ROOT/CLASS/test/NAME.off``;
    - ``LIST.csv`` with the columns ``file`` (from its own folder on), ``label`` and maybe ``split``.

    Hidden files, such as the ``._NAME`` of macOS, and those of other kinds are left out. An item is a :class:`~geodl.data.Mesh` or
    a :class:`~geodl.data.PointCloud` with what its file holds, ``y [1]`` and ``name``; with ``num_points``, whatever the files
    hold, a cloud in the unit ball with ``pos [num_points, 3]``. Items are read when first asked for and then kept.
    For a set of another layout, derive from :class:`ClassificationSet`: it asks for names, labels, classes and ``_read(index)``.

    Args:
        root: the folder, or a csv file.
        split: "train", "val", "test", or None for all.
        num_points: of every cloud: drawn evenly from the area of a mesh, or chosen from the points of a cloud, the same at every
            access. None for shapes as they are.
        transform: applied to a shallow copy of the shape at every access; ``SpectralOperators(OperatorCache())`` keeps operators.
        test_share, val_share: of every class, where the layout does not tell splits.
        seed: of splits and points.

    Raises:
        FileNotFoundError: there is no such folder or file.
        ValueError: no shapes are there; no such split, or one without shapes; on access, a damaged file, by name.
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
        listed = _listed(Path(root))
        classes = sorted({one.label for one in listed})
        labels = [one.label for one in listed]
        chosen = chosen_split(listed, labels, split, test_share, val_share, seed)
        self.num_points, self.seed = num_points, seed
        self.files = [one.file for one in chosen]
        super().__init__(
            [one.name for one in chosen], [classes.index(one.label) for one in chosen], classes, transform
        )

    def _read(self, index: int) -> Any:
        shape = as_shape(self.files[index])
        if self.num_points is None:
            return shape
        shape.y = None  # of the file; the class takes its place
        return drawn_points(shape, self.num_points, self.seed, self.names[index])


def _listed(root: Path) -> list[Listed]:
    if root.is_file():
        found = read_list(root, "label")
        if unnamed := [one.name for one in found if not one.label]:
            raise ValueError(f"{root} says no label of {unnamed[0]}")
        return found
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}")
    parts = split_folders(root)
    places = [(split, of.name, of) for split, part in parts.items() for of in folders_within(part)]
    for folder in [] if parts else folders_within(root):
        inner = split_folders(folder)
        places += [(split, folder.name, part) for split, part in inner.items()] or [("", folder.name, folder)]
    found = []
    for split, label, folder in places:
        files = shapes_within(folder)
        found += [Listed(file.relative_to(root).as_posix(), file, label, split) for file in files]
        if not files:
            warnings.warn(f"{folder} has no shapes and is left out", UserWarning, stacklevel=3)
    if not found:
        if lists := sorted(root.glob("*.csv")):
            raise ValueError(
                f"{root} has no shapes in folders of classes: give {lists[0]}, if that lists them"
            )
        raise ValueError(
            f"{root} has no shapes: expected a folder a class with files of one of {', '.join(FORMATS)}"
        )
    return found
