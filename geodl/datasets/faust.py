"""FAUST: 100 scans of ten people in ten poses, registered to one template."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch.utils.data import Dataset

from geodl.data import Mesh

__all__ = ["FAUST"]

_VARIANTS = ("registrations",)
_SPLITS = {"train": range(80), "test": range(80, 100), None: range(100)}
_VERTICES, _FACES = 6890, 13776


class FAUST(Dataset[Mesh]):
    """The MPI-FAUST training set (Bogo et al., CVPR 2014): bodies in correspondence, 6890 vertices each.

    An item is a :class:`~geodl.data.Mesh` with ``pos [6890, 3]`` (metres, float32), ``face [3, 13776]``,
    ``y [6890]`` (the vertex of :attr:`reference` at the same body point: 0 to 6889, as registrations share
    their vertices), ``name`` ("tr_reg_080"), ``subject`` and ``pose`` (0 to 9: the digits of the number).
    Items are read when first asked for and then kept.

    Args:
        root: the folder ``MPI-FAUST`` as unpacked, or the one that holds it.
        variant: "registrations".
        split: "train" (subjects 0 to 7: 000 to 079), "test" (subjects 8 and 9: 080 to 099), as Masci et al.
            (2015), Boscaini et al. (2016) and Monti et al. (2017) divide them; None for all.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such variant or split; on access, a damaged file or one with another connectivity.
        FileNotFoundError: files are missing; the message says which, and how to get them.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        variant: str = "registrations",
        split: Literal["train", "test"] | None = None,
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        if variant not in _VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(map(repr, _VARIANTS))}, not {variant!r}")
        if split not in _SPLITS:
            raise ValueError(f"split must be 'train', 'test' or None, not {split!r}")
        self.variant, self.split, self.transform = variant, split, transform
        self.folder = _find_registrations(Path(root))
        self.numbers = list(_SPLITS[split])
        missing = [path.name for n in sorted({0, *self.numbers}) if not (path := self._path(n)).is_file()]
        if missing:
            raise FileNotFoundError(f"{self.folder} lacks {_some(missing)}.\n{_INSTRUCTIONS}")
        self._meshes: dict[int, Mesh] = {}

    @property
    def reference(self) -> Mesh:
        """The shape whose vertices the labels ``y`` name: tr_reg_000."""
        return self._mesh(0)

    @property
    def num_classes(self) -> int:
        """Number of labels: the vertices of the reference."""
        return _VERTICES

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Mesh:
        mesh = copy.copy(self._mesh(self.numbers[index]))
        return mesh if self.transform is None else self.transform(mesh)

    def _path(self, number: int) -> Path:
        return self.folder / f"tr_reg_{number:03d}.ply"

    def _mesh(self, number: int) -> Mesh:
        if number not in self._meshes:
            path = self._path(number)
            file = Mesh.load(path)
            vertices, faces = file.pos.shape[0], file.face.shape[1]
            if (vertices, faces) != (_VERTICES, _FACES):
                raise ValueError(
                    f"{path} has {vertices} vertices and {faces} faces; a FAUST registration has "
                    f"{_VERTICES} and {_FACES}"
                )
            if number and not torch.equal(file.face, self.reference.face):
                raise ValueError(f"{path} has other faces than {self._path(0).name}: not a registration")
            self._meshes[number] = Mesh(
                file.pos.float(),
                file.face,
                y=torch.arange(_VERTICES),
                name=path.stem,
                subject=number // 10,
                pose=number % 10,
            )
        return self._meshes[number]


_INSTRUCTIONS = """\
FAUST must be asked for, and may not be passed on:
  1. Register at https://faust-leaderboard.is.tuebingen.mpg.de and accept the licence (research only).
  2. Download MPI-FAUST.zip and unpack it.
  3. Pass the folder that it gives: FAUST(root=".../MPI-FAUST"). It holds training/registrations with
     tr_reg_000.ply to tr_reg_099.ply.
datasets/faust/README.md says more. Puppets needs no download."""


def _find_registrations(root: Path) -> Path:
    for folder in (root, root / "MPI-FAUST"):
        if (folder / "training" / "registrations").is_dir():
            return folder / "training" / "registrations"
    here = "is no folder" if not root.is_dir() else "has neither training/registrations nor MPI-FAUST"
    raise FileNotFoundError(f"No FAUST at {root}: it {here}.\n{_INSTRUCTIONS}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more files" if len(names) > 5 else "")
