"""SCAPE, remeshed: one man in 71 poses."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from geodl.data import Mesh
from geodl.datasets.published import (
    PublishedSet,
    check_split,
    find_folder,
)

__all__ = ["SCAPE"]

# The scan of pose 51 was never registered.
_NAMES = [f"mesh{number:03d}" for number in range(72) if number != 51]
_SPLITS = {"train": _NAMES[:51], "test": _NAMES[51:], None: _NAMES}


class SCAPE(PublishedSet):
    """SCAPE (Anguelov et al., SIGGRAPH 2005) as remeshed by Ren et al. (2018): about 5000 vertices, every pose its own mesh.

    An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (float32), ``face [3, F]``, ``corres [T]`` (the vertex at each of the
    T points of the template), ``name`` ("mesh052") and ``pose`` (the number in it).

    Args:
        root: the folder ``SCAPE_r``, or the one that holds it.
        split: "train" (the first 51 poses: 000 to 050), "test" (the last 20: 052 to 071), as Donati et al. (2020) divide them;
            None for all.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such split; on access, a damaged file.
        IndexError: on access, a correspondence that names a vertex that is not there.
        FileNotFoundError: files are missing; the message says which, and how to get them.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Literal["train", "test"] | None = None,
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        check_split(split)
        folder = find_folder(root, ["SCAPE_r"], ["off", "corres"], _INSTRUCTIONS)
        super().__init__(folder, _SPLITS[split], _INSTRUCTIONS, transform)

    def describe(self, name: str) -> dict[str, object]:
        return {"name": name, "pose": int(name[-3:])}


_INSTRUCTIONS = """\
The remeshed SCAPE is passed round by those who work on shape matching:
  1. Download SCAPE_r from where https://github.com/dongliangcao/Unsupervised-Learning-of-Robust-Spectral-Shape-Matching links.
  2. Pass the folder that it gives: SCAPE(root=".../SCAPE_r"). It holds off/mesh000.off to mesh071.off and
     corres/mesh000.vts to mesh071.vts (there is no 051).
datasets/scape/README.md says more."""
