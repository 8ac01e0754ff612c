"""TOSCA, remeshed: animals and people in many poses."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from geodl.data import Mesh
from geodl.datasets.correspondence import ShapePairs
from geodl.datasets.published import (
    PublishedSet,
    find_folder,
    names_in,
    read_pairs,
)

__all__ = ["TOSCA"]


class TOSCA(PublishedSet):
    """TOSCA (Bronstein et al. 2008) as remeshed by Ren et al. (2018): 76 shapes of 8 categories, about 5000 vertices each.

    Shapes of one category (cat, centaur, david, dog, horse, michael, victoria, wolf) are poses of one body and share a template.
    An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (float32), ``face [3, F]``, ``corres [T]`` (the vertex at each of the
    T points of the category's template), ``name`` ("cat10") and ``category`` ("cat").

    Args:
        root: the folder ``TOSCA_Isometric`` as published, with ``vtx_5k/NAME.off``, ``vtx_5k/corres`` and ``test_pairs.txt``; or a
            folder ``TOSCA_r`` or ``TOSCA`` with ``off`` and ``corres``; or the folder that holds one of them.
        categories: those wanted; None for all.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such category; on access, a damaged file.
        IndexError: on access, a correspondence that names a vertex that is not there.
        FileNotFoundError: files are missing; the message says which, and how to get them.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        categories: list[str] | None = None,
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        published = [
            folder for folder in (Path(root), Path(root) / "TOSCA_Isometric") if (folder / "vtx_5k").is_dir()
        ]
        if published:
            self._off, folder = "vtx_5k", published[0]
        else:
            inside = ["TOSCA_r", "TOSCA", "TOSCA_Isometric"]
            self._off, folder = "off", find_folder(root, inside, ["off", "corres"], _INSTRUCTIONS)
        names = names_in(folder / self._off, _INSTRUCTIONS)
        found = {self.category(name) for name in names}
        if unknown := sorted(set(categories or []) - found):
            raise ValueError(f"{folder} has no category {unknown[0]!r}; it has {', '.join(sorted(found))}")
        self.categories = sorted(categories or found)
        chosen = [name for name in names if self.category(name) in self.categories]
        super().__init__(folder, chosen, _INSTRUCTIONS, transform)

    def pairs(self) -> ShapePairs:
        """The pairs of ``test_pairs.txt`` if the folder has it, else all ordered pairs within a category.

        With ``categories``, those of the wanted ones.
        """
        path = self.folder / "test_pairs.txt"
        if not path.is_file():
            return super().pairs()
        everything = names_in(self.folder / self._off, _INSTRUCTIONS)
        number = {name: k for k, name in enumerate(self.names)}
        couples = [(everything[i], everything[j]) for i, j in read_pairs(path, everything)]
        return ShapePairs(self, [(number[a], number[b]) for a, b in couples if a in number and b in number])

    def category(self, name: str) -> str:
        return name.rstrip("0123456789")

    def describe(self, name: str) -> dict[str, object]:
        return {"name": name, "category": self.category(name)}

    def files(self, name: str) -> list[Path]:
        corres = self.folder / ("vtx_5k/corres" if self._off == "vtx_5k" else "corres")
        return [self.folder / self._off / f"{name}.off", corres / f"{name}.vts"]


_INSTRUCTIONS = """\
The remeshed TOSCA is published beside the paper of Ren et al. (2018):
  1. Download Dataset/TOSCA_Isometric of https://github.com/llorz/SGA18_orientation_BCICP_dataset.
  2. Pass the folder: TOSCA(root=".../TOSCA_Isometric"). It holds vtx_5k/cat0.off and others, vtx_5k/corres/cat0.vts and others,
     and test_pairs.txt.
datasets/tosca/README.md says more."""
