"""ModelNet: CAD models of household objects, in every form in which they are passed round."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zlib import crc32

import numpy as np
from torch_geometric.data import Data

from geodl.data import Mesh
from geodl.data.formats import is_hidden
from geodl.datasets.classification import ClassificationSet
from geodl.datasets.hdf5 import check_points, read_labels, read_rows
from geodl.datasets.published import check_split
from geodl.datasets.surface_samples import Points, cloud, sample_surface, unit_ball

__all__ = ["ModelNet"]

MODELNET10 = [
    "bathtub",
    "bed",
    "chair",
    "desk",
    "dresser",
    "monitor",
    "night_stand",
    "sofa",
    "table",
    "toilet",
]
MODELNET40 = sorted([
    *MODELNET10, "airplane", "bench", "bookshelf", "bottle", "bowl", "car", "cone", "cup", "curtain", "door", "flower_pot",
    "glass_box", "guitar", "keyboard", "lamp", "laptop", "mantel", "person", "piano", "plant", "radio", "range_hood", "sink",
    "stairs", "stool", "tent", "tv_stand", "vase", "wardrobe", "xbox",
])  # fmt: skip


class _Shape(NamedTuple):
    name: str
    label: int
    file: Path
    row: int  # in a file of many shapes


class ModelNet(ClassificationSet):
    """ModelNet10 or ModelNet40 (Wu et al. 2015) as point clouds, from whichever official form is there:

    - ``ModelNet40/CLASS/{train,test}/CLASS_0001.off``: the meshes; points are drawn evenly by area, the same at every access;
    - ``modelnet40_normal_resampled/CLASS/CLASS_0001.txt``: 10,000 points with normals (Qi et al. 2017), the first are taken;
    - ``modelnet40_ply_hdf5_2048/ply_data_train0.h5``: 2048 points (Qi et al. 2017), the first are taken; needs h5py.

    An item is a PyG ``Data`` with ``pos [N, 3]`` (float32, moved to the mean and scaled to the unit ball), ``normal [N, 3]`` (where
    the file has normals; of a mesh those of its faces), ``y [1]`` and ``name`` ("chair_0001"). Classes are in alphabetical order.
    The forms have different axes (z is up in the meshes, y in the others), so do not mix them.

    Args:
        root: the folder of a form, or the one that holds it.
        variant: "10" or "40". ModelNet10 is read from a folder ``ModelNet10``, or as the ten classes of the other two forms.
        split: "train", "test", or None for both, "train" first.
        num_points: of every cloud.
        seed: of the points drawn from meshes.
        transform: applied to a shallow copy of the cloud at every access.

    Raises:
        ValueError: no such variant or split, or no points; on access, a damaged file or one of fewer points, by name.
        FileNotFoundError: files are missing; the message says which, and how to get them.
        ImportError: HDF5 files without h5py.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        variant: Literal["10", "40"] = "40",
        split: Literal["train", "test"] | None = None,
        num_points: int = 1024,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        if variant not in ("10", "40"):
            raise ValueError(f"variant must be '10' or '40', not {variant!r}")
        check_split(split)
        if num_points < 1:
            raise ValueError(f"num_points must be at least 1, got {num_points}")
        classes = MODELNET10 if variant == "10" else MODELNET40
        self.num_points, self.seed = num_points, seed
        self.form, self.folder = _find(Path(root), variant)
        parts: Sequence[str] = ["train", "test"] if split is None else [split]
        listing = {"meshes": _list_meshes, "text": _list_text, "hdf5": _list_hdf5}[self.form]
        self._where = [shape for part in parts for shape in listing(self.folder, variant, classes, part)]
        names, labels = [shape.name for shape in self._where], [shape.label for shape in self._where]
        super().__init__(names, labels, classes, transform)

    def _read(self, index: int) -> Data:
        shape = self._where[index]
        if self.form == "meshes":
            mesh = Mesh.load(shape.file)
            random = np.random.default_rng([self.seed, crc32(shape.name.encode())])
            try:
                points, normals = sample_surface(
                    mesh.pos.double().numpy(), mesh.face.t().numpy(), self.num_points, random
                )
            except ValueError as error:
                raise ValueError(f"{shape.file}: {error}") from error
            return cloud(unit_ball(points), normals)
        rows = _read_text(shape.file) if self.form == "text" else _read_hdf5(shape.file, shape.row)
        if len(rows) < self.num_points:
            raise ValueError(f"{shape.file} has {len(rows)} points, but {self.num_points} are asked for")
        points, normals = unit_ball(rows[:, :3])[: self.num_points], rows[: self.num_points, 3:]
        return cloud(points, normals if normals.shape[1] else None)


def _find(root: Path, variant: str) -> tuple[str, Path]:
    """Which form is at ``root``, and in which folder."""
    places = [root, *(root / name for name in (f"ModelNet{variant}", *_FOLDERS))]
    for folder in places:
        if (folder / "train_files.txt").is_file():
            return "hdf5", folder
        if (folder / f"modelnet{variant}_train.txt").is_file():
            return "text", folder
        if (folder / "chair" / "train").is_dir():
            return "meshes", folder
    trouble = f"none of its forms is there ({', '.join(_FOLDERS)})" if root.is_dir() else "it is no folder"
    raise FileNotFoundError(f"No ModelNet{variant} at {root}: {trouble}.\n{_INSTRUCTIONS}")


def _list_meshes(folder: Path, variant: str, classes: Sequence[str], part: str) -> list[_Shape]:
    found = []
    for label, name in enumerate(classes):
        files = sorted(path for path in (folder / name / part).glob("*.off") if not is_hidden(path))
        if not files:
            raise FileNotFoundError(f"{folder / name / part} has no off files.\n{_INSTRUCTIONS}")
        found += [_Shape(file.stem, label, file, 0) for file in files]
    return found


def _list_text(folder: Path, variant: str, classes: Sequence[str], part: str) -> list[_Shape]:
    path = folder / f"modelnet{variant}_{part}.txt"
    found = []
    for name in _lines(path):
        kind = name.rpartition("_")[0]
        if kind not in classes:
            raise ValueError(f"{path} names {name}, whose class is none of ModelNet{variant}")
        found.append(_Shape(name, classes.index(kind), folder / kind / f"{name}.txt", 0))
    if missing := [str(shape.file.relative_to(folder)) for shape in found if not shape.file.is_file()]:
        more = f" and {len(missing) - 3} more files" if len(missing) > 3 else ""
        raise FileNotFoundError(f"{folder} lacks {', '.join(missing[:3])}{more}.\n{_INSTRUCTIONS}")
    return found


def _list_hdf5(folder: Path, variant: str, classes: Sequence[str], part: str) -> list[_Shape]:
    kinds = _lines(folder / "shape_names.txt") if (folder / "shape_names.txt").is_file() else MODELNET40
    if unknown := [name for name in classes if name not in kinds]:
        raise ValueError(
            f"{folder / 'shape_names.txt'} does not name {', '.join(unknown[:3])}{', ...' * (len(unknown) > 3)}, "
            f"but {', '.join(kinds[:3])}, ...: these are not the classes of ModelNet{variant}"
        )
    found = []
    for line in _lines(folder / f"{part}_files.txt"):
        path = folder / Path(line).name  # they are listed by where their authors had them
        if not path.is_file():
            raise FileNotFoundError(f"{folder} lacks {path.name}.\n{_INSTRUCTIONS}")
        labels = read_labels(path, len(kinds), _HDF5)
        for row, label in enumerate(labels.tolist()):
            if kinds[label] in classes:
                name = f"{path.stem}/{row:04d}"
                found.append(_Shape(name, classes.index(kinds[label]), path, row))
    return found


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} lacks {path.name}.\n{_INSTRUCTIONS}")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{path} is empty")
    return lines


def _read_text(path: Path) -> Points:
    """Rows ``x,y,z,nx,ny,nz``."""
    try:
        rows = np.loadtxt(path, delimiter=",", ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return check_points(path, rows, (3, 6))


def _read_hdf5(path: Path, row: int) -> Points:
    found = read_rows(path, row, ("data", "normal"), _HDF5)
    return check_points(path, np.concatenate(list(found.values()), axis=1), (3, 6))


_HDF5 = "the HDF5 form of ModelNet"
_FOLDERS = ("modelnet40_normal_resampled", "modelnet40_ply_hdf5_2048")
_INSTRUCTIONS = """\
ModelNet is published in three forms, any of which will do:
  - meshes: ModelNet10.zip or ModelNet40.zip of https://modelnet.cs.princeton.edu, with chair/train/chair_0001.off and others;
  - points with normals: modelnet40_normal_resampled.zip, with chair/chair_0001.txt and others and modelnet40_train.txt;
  - 2048 points: modelnet40_ply_hdf5_2048.zip, with ply_data_train0.h5 and others and train_files.txt.
Unpack one and pass its folder: ModelNet(root=".../ModelNet40", variant="40"). datasets/modelnet/README.md says more."""
