"""DeformingThings4D, humanoids, remeshed: near-isometric poses of a character, and characters far from one another."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Literal

from torch import Tensor

from geodl.data import Mesh
from geodl.data.formats import is_hidden
from geodl.datasets.correspondence import ShapePairs
from geodl.datasets.published import (
    PublishedSet,
    check_split,
    find_folder,
    read_names,
    read_vertices,
)

__all__ = ["DT4D"]

# Left out by all who report results on DT4D-H, after Cao et al. (2023).
_IGNORED = ("pumpkinhulk",)


class DT4D(PublishedSet):
    """DT4D-H: humanoids of DeformingThings4D (Li et al., ICCV 2021), matched by Magnet et al. (3DV 2022) and remeshed.

    Poses of one character share a template, and the templates of some characters are matched to one another. An item is a
    :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (float32), ``face [3, F]``, ``corres [T]`` (the vertex at each of the T points of
    the character's template), ``name`` ("crypto/Idle012") and ``category`` ("crypto"). The character pumpkinhulk is left out, as
    those who report results do.

    Args:
        root: the folder ``DT4D_r``, or the one that holds it.
        split: "train" or "test", as the folder's lists divide the poses; None for both.
        between: which pairs :meth:`pairs` gives: "intra", of one character, or "inter", of two.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such split, or an empty list of it; on access, a damaged file.
        IndexError: on access, a correspondence that names a vertex or a template point that is not there.
        FileNotFoundError: files are missing; the message says which, and how to get them.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Literal["train", "test"] | None = None,
        between: Literal["intra", "inter"] = "intra",
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        check_split(split)
        if between not in ("intra", "inter"):
            raise ValueError(f"between must be 'intra' or 'inter', not {between!r}")
        self.between = between
        folder = find_folder(root, ["DT4D_r"], ["off", "corres"], _INSTRUCTIONS)
        splits = ("train", "test") if split is None else (split,)
        names = [name for part in splits for name in read_names(folder / f"{part}.txt", _INSTRUCTIONS)]
        kept = [name for name in names if self.category(name) not in _IGNORED]
        super().__init__(folder, kept, _INSTRUCTIONS, transform)

    def pairs(self) -> ShapePairs:
        """All ordered pairs of one character; or all pairs of those two that have a map between their templates.

        Raises:
            FileNotFoundError: "inter", and there are no maps between templates.
        """
        if self.between == "intra":
            return super().pairs()
        poses: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            poses.setdefault(self.category(name), []).append(index)
        maps = sorted(p for p in self._templates_folder.glob("*.vts") if not is_hidden(p))
        if not maps:
            raise FileNotFoundError(f"{self._templates_folder} has no maps.\n{_INSTRUCTIONS}")
        found: list[tuple[int, int]] = []
        for path in maps:
            one, _, other = path.stem.partition("_")
            found += product(poses.get(one, []), poses.get(other, []))
        return ShapePairs(self, found)

    def common_points(self, source: int, target: int) -> tuple[Tensor, Tensor]:
        one, other = (self._mesh(self.names[index]) for index in (source, target))
        if one.category == other.category:
            return super().common_points(source, target)
        path = self._templates_folder / f"{one.category}_{other.category}.vts"
        template = self.files(other.name)[1]
        across = read_vertices(path, other.corres.shape[0], template)
        if across.shape != one.corres.shape:
            raise ValueError(
                f"{path} has {across.shape[0]} lines, but the template of {one.category} has {one.corres.shape[0]} points"
            )
        return one.corres, other.corres[across]

    @property
    def _templates_folder(self) -> Path:
        return self.folder / "corres" / "cross_category_corres"

    def category(self, name: str) -> str:
        return name.partition("/")[0]

    def describe(self, name: str) -> dict[str, object]:
        return {"name": name, "category": self.category(name)}


_INSTRUCTIONS = """\
The remeshed DT4D-H is passed round by those who work on shape matching:
  1. Accept the terms of DeformingThings4D: https://github.com/rabbityl/DeformingThings4D.
  2. Download DT4D_r from where https://github.com/dongliangcao/Unsupervised-Learning-of-Robust-Spectral-Shape-Matching links.
  3. Pass the folder that it gives: DT4D(root=".../DT4D_r"). It holds off/CHARACTER/*.off, corres/CHARACTER/*.vts,
     corres/cross_category_corres/ONE_OTHER.vts, train.txt and test.txt.
datasets/dt4d/README.md says more."""
