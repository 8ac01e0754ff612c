"""RNA: molecular surfaces with a functional segment at every vertex."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from geodl.data import Mesh
from geodl.datasets.published import check_split, find_folder, missing_files, read_names

__all__ = ["RNA"]

_CLASSES = 259


class RNA(Dataset[Any]):
    """RNA surface segmentation (Poulenard, Rakotosaona, Ponty, Ovsjanikov, 3DV 2019): 547 + 136 molecular surfaces of 5S ribosomal
    RNA, of about 15,000 vertices, each labelled with the place in the common alignment of the nucleotide that it belongs to.

    An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (float32, in angstrom), ``face [3, F]``, ``y [V]`` int64 in 0 .. 258,
    or -1 where a vertex has no label (to be ignored; DiffusionNet's published code counts it as a class), and ``name`` ("1N8R_B").
    Some meshes have several components, handles, coinciding vertices or some that belong to no face; all are kept as published.
    Items are read when first asked for and then kept.

    Args:
        root: the folder with ``off/``, ``labels/``, ``train.txt`` and ``test.txt``, or one that holds it as
            ``RNA-Surface-Segmentation-Dataset`` or ``RNA``.
        split: "train", "test", or None for both, "train" first.
        part: whether shapes of the lists whose files are missing are left out, instead of an error. At least one must be there.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such split; on access: a damaged file, labels that do not fit their mesh or lie outside of -1 .. 258.
        FileNotFoundError: lists or files of the lists are missing; the message says which, and how to get them.
    """

    num_classes = _CLASSES

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Literal["train", "test"] | None = None,
        part: bool = False,
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        check_split(split)
        folders = ["RNA-Surface-Segmentation-Dataset", "RNA"]
        self.folder = find_folder(root, folders, ["off", "labels"], _INSTRUCTIONS)
        self.transform = transform
        lists = [self.folder / f"{name}.txt" for name in (["train", "test"] if split is None else [split])]
        listed = [name.removesuffix(".off") for path in lists for name in read_names(path, _INSTRUCTIONS)]
        lacks = {name: missing_files(self.folder, self.files(name)) for name in listed}
        self.names = [name for name in listed if not lacks[name]]
        if not self.names or (len(self.names) < len(listed) and not part):
            some = missing_files(self.folder, [path for name in listed for path in self.files(name)])
            hint = "" if part else "\nRNA(..., part=True) takes the shapes that are there."
            raise FileNotFoundError(
                f"{self.folder} lacks {len(listed) - len(self.names)} of the {len(listed)} shapes that its lists name: {some}."
                f"{hint}\n{_INSTRUCTIONS}"
            )
        self._shapes: dict[str, Mesh] = {}

    def files(self, name: str) -> list[Path]:
        """That a shape needs: its mesh and its labels."""
        return [self.folder / "off" / f"{name}.off", self.folder / "labels" / f"{name}.txt"]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Mesh:
        name = self.names[index]
        if name not in self._shapes:
            self._shapes[name] = self._read(name)
        shape = copy.copy(self._shapes[name])
        return shape if self.transform is None else self.transform(shape)

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads what it needs itself.
        return self.__dict__ | {"_shapes": {}}

    def _read(self, name: str) -> Mesh:
        off, labels = self.files(name)
        mesh = Mesh.load(off)
        y = _read_labels(labels)
        if y.shape[0] != mesh.pos.shape[0]:
            raise ValueError(
                f"{labels} has {y.shape[0]} labels, but {off.name} has {mesh.pos.shape[0]} vertices"
            )
        return Mesh(mesh.pos.float(), mesh.face, y=y, name=name)


def _read_labels(path: Path) -> Tensor:
    """One whole number a line, ``[V]``."""
    words = path.read_text(encoding="utf-8", errors="replace").split()
    try:
        labels = np.array(words, dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    outside = (labels < -1) | (labels >= _CLASSES)
    if outside.any():
        line = int(outside.argmax())
        raise ValueError(
            f"{path}: line {line + 1} is {words[line]}, but labels are -1 (none) to {_CLASSES - 1}"
        )
    return torch.from_numpy(labels)


_INSTRUCTIONS = """\
The RNA set is a repository of its own:
  1. git clone https://github.com/nmwsharp/RNA-Surface-Segmentation-Dataset
  2. Pass its folder: RNA(root=".../RNA-Surface-Segmentation-Dataset"). It holds off/, labels/, train.txt and test.txt.
datasets/rna/README.md says more."""
