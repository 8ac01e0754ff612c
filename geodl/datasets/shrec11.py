"""SHREC11: non-rigid shapes of thirty classes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from geodl.data import Mesh
from geodl.data.formats import is_hidden
from geodl.datasets.classification import ClassificationSet
from geodl.datasets.published import check_split

__all__ = ["SHREC11"]


class SHREC11(ClassificationSet):
    """SHREC 2011 non-rigid (Lian et al. 2011): 30 classes of 20 meshes, simplified to 500 faces, split 16 + 4 by MeshCNN.

    An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (float32), ``face [3, F]``, ``y [1]`` and ``name`` ("snake/T251").

    Args:
        root: the folder with ``CLASS/train/*.obj`` and ``CLASS/test/*.obj``, or one that holds it as ``SHREC11`` or ``shrec_16``.
        split: "train", "test", or None for both, "train" first.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such split; on access, a damaged file.
        FileNotFoundError: files are missing; the message says which, and how to get them.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Literal["train", "test"] | None = None,
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        check_split(split)
        splits = ["train", "test"] if split is None else [split]
        self.folder, classes = _find(Path(root))
        self._files: list[Path] = []
        labels = []
        for part in splits:
            for label, name in enumerate(classes):
                files = sorted(p for p in (self.folder / name / part).glob("*.obj") if not is_hidden(p))
                if not files:
                    raise FileNotFoundError(f"{self.folder / name / part} has no obj files.\n{_INSTRUCTIONS}")
                self._files += files
                labels += [label] * len(files)
        names = [f"{path.parent.parent.name}/{path.stem}" for path in self._files]
        super().__init__(names, labels, classes, transform)

    def _read(self, index: int) -> Mesh:
        return Mesh.load(self._files[index])


def _find(root: Path) -> tuple[Path, list[str]]:
    """The folder of the set, and its classes in alphabetical order."""
    for folder in (root, root / "SHREC11", root / "shrec_16"):
        if folder.is_dir():
            classes = sorted(path.name for path in folder.iterdir() if (path / "train").is_dir())
            if classes:
                return folder, classes
    trouble = "has no folders CLASS/train" if root.is_dir() else "is no folder"
    raise FileNotFoundError(f"No SHREC11 at {root}: it {trouble}.\n{_INSTRUCTIONS}")


_INSTRUCTIONS = """\
SHREC11 is passed round as simplified for MeshCNN (Hanocka et al. 2019):
  1. Get shrec_16.tar.gz as scripts/shrec/get_data.sh of https://github.com/ranahanocka/MeshCNN does.
  2. Pass the folder: SHREC11(root=".../shrec_16"). It holds alien/train/T124.obj and others.
datasets/shrec11/README.md says more."""
