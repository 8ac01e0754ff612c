"""ScanObjectNN: objects cut out of scanned rooms."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch_geometric.data import Data

from geodl.datasets.classification import ClassificationSet
from geodl.datasets.hdf5 import check_points, read_labels, read_rows, require_h5py
from geodl.datasets.published import check_split
from geodl.datasets.surface_samples import cloud, unit_ball

__all__ = ["ScanObjectNN"]

SCANOBJECTNN = [
    "bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed", "pillow", "sink", "sofa", "toilet",
]  # fmt: skip
# The folder and the ending of the files of every variant.
_VARIANTS = {
    "objectonly": ("main_split_nobg", "objectdataset"),
    "bg": ("main_split", "objectdataset"),
    "hardest": ("main_split", "objectdataset_augmentedrot_scale75"),
}


class ScanObjectNN(ClassificationSet):
    """ScanObjectNN (Uy et al. 2019): 2902 objects of 15 classes, 2048 points each, from scans of real rooms. Needs h5py.

    An item is a PyG ``Data`` with ``pos [N, 3]`` (float32, moved to the mean and scaled to the unit ball; y is up), ``y [1]`` and
    ``name`` ("training_objectdataset/0007"), and ``foreground [N]`` (bool, where the file has a mask: whether a point belongs to
    the object). The first ``num_points`` points are taken.

    Args:
        root: the folder ``h5_files``, or one that holds it.
        split: "train", "test", or None for both, "train" first; the official main split.
        variant: "objectonly" (OBJ_ONLY), "bg" (OBJ_BG: with what stands around), or "hardest" (PB_T50_RS: cut out of place,
            turned and scaled, five times each).
        num_points: of every cloud, at most 2048.
        transform: applied to a shallow copy of the cloud at every access.

    Raises:
        ValueError: no such variant or split, or no points; a damaged file; on access a cloud of fewer points.
        FileNotFoundError: files are missing; the message says which, and how to get them.
        ImportError: no h5py.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Literal["train", "test"] | None = None,
        variant: Literal["objectonly", "bg", "hardest"] = "hardest",
        num_points: int = 1024,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        if variant not in _VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(_VARIANTS)}, not {variant!r}")
        check_split(split)
        if num_points < 1:
            raise ValueError(f"num_points must be at least 1, got {num_points}")
        require_h5py(_WHAT)
        folder, ending = _VARIANTS[variant]
        self.folder, self.num_points = _find(Path(root), folder), num_points
        self._where: list[tuple[Path, int]] = []
        names, labels = [], []
        for part in ["train", "test"] if split is None else [split]:
            path = self.folder / f"{'training' if part == 'train' else part}_{ending}.h5"
            if not path.is_file():
                raise FileNotFoundError(f"{self.folder} lacks {path.name}.\n{_INSTRUCTIONS}")
            of_part = read_labels(path, len(SCANOBJECTNN), _WHAT).tolist()
            self._where += [(path, row) for row in range(len(of_part))]
            names += [f"{path.stem}/{row:04d}" for row in range(len(of_part))]
            labels += of_part
        super().__init__(names, labels, SCANOBJECTNN, transform)

    def _read(self, index: int) -> Data:
        path, row = self._where[index]
        found = read_rows(path, row, ("data", "mask"), _WHAT)
        rows = check_points(path, found["data"], (3,))
        if len(rows) < self.num_points:
            raise ValueError(f"{path} has {len(rows)} points, but {self.num_points} are asked for")
        shape = cloud(unit_ball(rows)[: self.num_points])
        if "mask" in found:
            # Of what is not the object, the mask is -1.
            shape.foreground = torch.from_numpy(found["mask"][: self.num_points] != -1)
        return shape


def _find(root: Path, folder: str) -> Path:
    for place in (root / folder, root / "h5_files" / folder, root / "ScanObjectNN" / "h5_files" / folder):
        if place.is_dir():
            return place
    trouble = f"it has no folder {folder}" if root.is_dir() else "it is no folder"
    raise FileNotFoundError(f"No ScanObjectNN at {root}: {trouble}.\n{_INSTRUCTIONS}")


_WHAT = "ScanObjectNN"
_INSTRUCTIONS = """\
ScanObjectNN is given to those who agree to its terms of use:
  1. Fill in the form at https://hkust-vgd.github.io/scanobjectnn/ and get h5_files.zip.
  2. Unpack it and pass its folder: ScanObjectNN(root=".../h5_files"). It holds main_split/training_objectdataset.h5 and others.
datasets/scanobjectnn/README.md says more."""
