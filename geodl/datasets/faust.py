"""FAUST: 100 scans of ten people in ten poses, registered to one template; and the same bodies, each meshed anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from geodl.data import Mesh
from geodl.datasets.correspondence import ShapePairs
from geodl.datasets.published import (
    PublishedSet,
    check_split,
    find_folder,
    read_pairs,
)

__all__ = ["FAUST"]

_VARIANTS = ("registrations", "remeshed")
_SPLITS = {"train": range(80), "test": range(80, 100), None: range(100)}
_VERTICES, _FACES = 6890, 13776


class FAUST(PublishedSet):
    """The MPI-FAUST training set (Bogo et al., CVPR 2014): 100 bodies in correspondence.

    An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (float32), ``face [3, F]``, ``name`` ("tr_reg_080"), ``subject``
    and ``pose`` (0 to 9: the digits of the number). Of the registrations (metres), which share V = 6890 vertices, it has
    ``y [6890]`` (the vertex of :attr:`reference` at the same body point: 0 to 6889). Of the remeshed bodies (Ren et al. 2018;
    about 5000 vertices, every one its own mesh) it has ``corres [T]``: the vertex at each of the T = 5000 points of a template.
    Items are read when first asked for and then kept.

    Args:
        root: the folder ``MPI-FAUST`` as unpacked, or for "remeshed" ``FAUST_r``; or the folder that holds it.
        variant: "registrations" or "remeshed".
        split: "train" (subjects 0 to 7: 000 to 079), "test" (subjects 8 and 9: 080 to 099), as Masci et al.
            (2015), Boscaini et al. (2016) and Monti et al. (2017) divide them; None for all.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such variant or split; on access, a damaged file or one with another connectivity.
        IndexError: on access, a correspondence that names a vertex that is not there.
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
        check_split(split)
        self.variant, self.split = variant, split
        names = [f"tr_reg_{number:03d}" for number in _SPLITS[split]]
        if variant == "remeshed":
            folder = find_folder(root, ["FAUST_r"], ["off", "corres"], _REMESHED)
            super().__init__(folder, names, _REMESHED, transform)
        else:
            folder = _find_registrations(Path(root))
            super().__init__(folder, names, _REGISTRATIONS, transform)
            if not self.files("tr_reg_000")[0].is_file():
                raise FileNotFoundError(f"{folder} lacks tr_reg_000.ply.\n{_REGISTRATIONS}")

    @property
    def reference(self) -> Mesh:
        """The shape whose vertices the labels ``y`` of the registrations name, tr_reg_000."""
        return self._mesh("tr_reg_000")

    @property
    def num_classes(self) -> int:
        """Number of labels, the vertices of the reference."""
        return int(self.reference.pos.shape[0])

    def pairs(self) -> ShapePairs:
        """Of all shapes, the pairs of ``test_pairs.txt`` if the folder has it; else all ordered pairs of two shapes.

        The 300 pairs that are passed round with the remeshed bodies go across the split, so they are for methods that do not
        learn; a split is tested on all pairs of its shapes.
        """
        path = self.folder / "test_pairs.txt"
        if self.split is None and path.is_file():
            return ShapePairs(self, read_pairs(path, self.names))
        return super().pairs()

    def common_points(self, source: int, target: int) -> tuple[Tensor, Tensor]:
        if self.variant == "remeshed":
            return super().common_points(source, target)
        return torch.arange(_VERTICES), torch.arange(_VERTICES)

    def describe(self, name: str) -> dict[str, object]:
        return {"name": name, "subject": int(name[-2]), "pose": int(name[-1])}

    def files(self, name: str) -> list[Path]:
        return super().files(name) if self.variant == "remeshed" else [self.folder / f"{name}.ply"]

    def _read(self, name: str) -> Mesh:
        mesh = super()._read(name)
        if self.variant == "remeshed":
            return mesh
        (path,) = self.files(name)
        vertices, faces = mesh.pos.shape[0], mesh.face.shape[1]
        if (vertices, faces) != (_VERTICES, _FACES):
            raise ValueError(
                f"{path} has {vertices} vertices and {faces} faces; a FAUST registration has "
                f"{_VERTICES} and {_FACES}"
            )
        if name != "tr_reg_000" and not torch.equal(mesh.face, self.reference.face):
            raise ValueError(f"{path} has other faces than tr_reg_000.ply: not a registration")
        mesh.y = torch.arange(_VERTICES)
        return mesh


_REGISTRATIONS = """\
FAUST must be asked for, and may not be passed on:
  1. Register at https://faust-leaderboard.is.tuebingen.mpg.de and accept the licence (research only).
  2. Download MPI-FAUST.zip and unpack it.
  3. Pass the folder that it gives: FAUST(root=".../MPI-FAUST"). It holds training/registrations with
     tr_reg_000.ply to tr_reg_099.ply.
datasets/faust/README.md says more. Puppets needs no download."""

_REMESHED = """\
The remeshed FAUST must be got under FAUST's own licence (research only):
  1. Register at https://faust-leaderboard.is.tuebingen.mpg.de and accept the licence.
  2. Download FAUST_r from where https://github.com/dongliangcao/Unsupervised-Learning-of-Robust-Spectral-Shape-Matching links.
  3. Pass the folder that it gives: FAUST(root=".../FAUST_r", variant="remeshed"). It holds off/tr_reg_000.off to
     tr_reg_099.off and corres/tr_reg_000.vts to tr_reg_099.vts.
datasets/faust/README.md says more. Puppets needs no download."""


def _find_registrations(root: Path) -> Path:
    for folder in (root, root / "MPI-FAUST"):
        if (folder / "training" / "registrations").is_dir():
            return folder / "training" / "registrations"
    here = "is no folder" if not root.is_dir() else "has neither training/registrations nor MPI-FAUST"
    raise FileNotFoundError(f"No FAUST at {root}: it {here}.\n{_REGISTRATIONS}")
