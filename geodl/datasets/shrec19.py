"""SHREC'19, remeshed: people of many sources, matched in pairs. A test set only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from geodl.data import Mesh
from geodl.data.formats import is_hidden
from geodl.datasets.correspondence import ShapePairs
from geodl.datasets.published import (
    PublishedSet,
    find_folder,
    names_in,
    read_vertices,
)

__all__ = ["SHREC19"]

# Half a body: whoever reports results leaves it out.
_PARTIAL = "40"


class SHREC19(PublishedSet):
    """SHREC 2019, "Matching humans with different connectivity" (Melzi et al.), remeshed to about 5000 vertices.

    43 people of different sources, poses and meshing (the partial shape 40 is left out), with no template in common: points in
    common are given for 407 pairs. An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (float32), ``face [3, F]`` and
    ``name`` ("1" to "44").

    Args:
        root: the folder ``SHREC19_r``, or the one that holds it.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: on access, a damaged file.
        IndexError: on access, a map that names a vertex that is not there.
        FileNotFoundError: files are missing; the message says which, and how to get them.
    """

    def __init__(self, root: str | os.PathLike[str], transform: Callable[[Mesh], Mesh] | None = None) -> None:
        folder = find_folder(root, ["SHREC19_r"], ["off", "corres"], _INSTRUCTIONS)
        names = [name for name in names_in(folder / "off", _INSTRUCTIONS) if name != _PARTIAL]
        super().__init__(folder, names, _INSTRUCTIONS, transform)

    def pairs(self) -> ShapePairs:
        """The pairs that have a map ``corres/I_J.map``, in the order of their numbers.

        Raises:
            ValueError: a map whose name is not that of two shapes.
            FileNotFoundError: there are no maps.
        """
        number = {name: k for k, name in enumerate(self.names)}
        found = []
        for path in (p for p in (self.folder / "corres").glob("*.map") if not is_hidden(p)):
            couple = path.stem.split("_")
            if _PARTIAL in couple:
                continue
            if len(couple) != 2 or not number.keys() >= set(couple):
                raise ValueError(f"{path} should be named after two shapes of off/, as 1_2.map")
            found.append((number[couple[0]], number[couple[1]]))
        if not found:
            raise FileNotFoundError(f"{self.folder / 'corres'} has no maps.\n{_INSTRUCTIONS}")
        return ShapePairs(self, sorted(found))

    def common_points(self, source: int, target: int) -> tuple[Tensor, Tensor]:
        one, other = (self._mesh(self.names[index]) for index in (source, target))
        path = self.folder / "corres" / f"{one.name}_{other.name}.map"
        mapped = read_vertices(path, other.pos.shape[0], self.files(other.name)[0])
        if mapped.shape[0] != one.pos.shape[0]:
            raise ValueError(
                f"{path} has {mapped.shape[0]} lines, but {one.name}.off has {one.pos.shape[0]} vertices"
            )
        return torch.arange(mapped.shape[0]), mapped

    def files(self, name: str) -> list[Path]:
        return [self.folder / "off" / f"{name}.off"]


_INSTRUCTIONS = """\
The remeshed SHREC'19 is passed round by those who work on shape matching:
  1. Download SHREC19_r from where https://github.com/dongliangcao/Unsupervised-Learning-of-Robust-Spectral-Shape-Matching links.
  2. Pass the folder that it gives: SHREC19(root=".../SHREC19_r"). It holds off/1.off to 44.off and corres/I_J.map.
datasets/shrec19/README.md says more."""
