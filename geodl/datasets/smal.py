"""SMAL, remeshed: animals of several species."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Literal

from geodl.data import Mesh
from geodl.datasets.published import (
    PublishedSet,
    check_split,
    find_folder,
    names_in,
    read_names,
)

__all__ = ["SMAL"]


class SMAL(PublishedSet):
    """Animals of the SMAL model (Zuffi et al., CVPR 2017), remeshed: 49 four-legged shapes of several species, far from isometric.

    An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (float32), ``face [3, F]``, ``corres [T]`` (the vertex at each of the
    T points of the template, which all species share), ``name`` and ``species`` (the letters that the name begins with).

    Args:
        root: the folder ``SMAL_r``, or the one that holds it.
        split: "train" or "test", as the folder's lists divide them; None for all shapes.
        by_species: which lists: ``train_cat.txt`` and ``test_cat.txt``, where the species of the 20 test shapes are not among
            the 29 of training (the split that the papers report); or ``train.txt`` and ``test.txt``, where they are.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such split, or an empty list of it; on access, a damaged file.
        IndexError: on access, a correspondence that names a vertex that is not there.
        FileNotFoundError: files are missing; the message says which, and how to get them.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Literal["train", "test"] | None = None,
        by_species: bool = True,
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        check_split(split)
        folder = find_folder(root, ["SMAL_r"], ["off", "corres"], _INSTRUCTIONS)
        if split is None:
            names = names_in(folder / "off", _INSTRUCTIONS)
        else:
            names = read_names(folder / f"{split}{'_cat' if by_species else ''}.txt", _INSTRUCTIONS)
        super().__init__(folder, names, _INSTRUCTIONS, transform)

    def describe(self, name: str) -> dict[str, object]:
        letters = re.match(r"[A-Za-z]+", name)
        return {"name": name, "species": letters[0] if letters else name}


_INSTRUCTIONS = """\
The remeshed SMAL is passed round by those who work on shape matching:
  1. Download SMAL_r from where https://github.com/dongliangcao/Unsupervised-Learning-of-Robust-Spectral-Shape-Matching links.
  2. Pass the folder that it gives: SMAL(root=".../SMAL_r"). It holds off/, corres/, train_cat.txt and test_cat.txt.
datasets/smal/README.md says more."""
