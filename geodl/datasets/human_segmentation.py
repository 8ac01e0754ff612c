"""HumanSegmentation: bodies of five sources in eight parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from geodl.data import Mesh
from geodl.data.formats import is_hidden
from geodl.datasets.published import check_split, find_folder
from geodl.datasets.segmentation import SegmentationSet

__all__ = ["HumanSegmentation"]

_PARTS = ("head", "hand", "lower arm", "upper arm", "body", "upper leg", "lower leg", "foot")
_MIT = ("bouncing", "crane", "handstand", "jumping", "march1", "march2", "squat1", "squat2")
_MESHES = (".obj", ".off", ".ply")


class HumanSegmentation(SegmentationSet):
    """The human body segmentation set of Maron et al. (2017): bodies of SCAPE, FAUST, MIT and Adobe to train on, 18 of SHREC07 to
    test on, each face in one of eight parts; left and right are one part.

    An item is as of :class:`~geodl.datasets.SegmentationSet`, in the unit of its source; names are "faust/tr_reg_000" and the like.

    Args:
        root: the folder ``sig17_seg_benchmark`` as unpacked, or the one that holds it.
        split: "train", "test", or None for both, "train" first.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such split; on access, a damaged file.
        IndexError: on access, a label that is none of 1 to 8.
        FileNotFoundError: files are missing; the message says which, and how to get them.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: Literal["train", "test"] | None = None,
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        check_split(split)
        self.folder = find_folder(root, ["sig17_seg_benchmark"], ["meshes", "segs"], _INSTRUCTIONS)
        listings = {"train": _training, "test": _test}
        listed = [found for part in ([split] if split else listings) for found in listings[part](self.folder)]
        for _, mesh, labels in listed:
            for path in (mesh, labels):
                if not path.is_file():
                    raise FileNotFoundError(f"{path} is missing.\n{_INSTRUCTIONS}")
        names, files = [name for name, *_ in listed], [(mesh, labels) for _, mesh, labels in listed]
        super().__init__(names, files, 1, _PARTS, transform)


def _training(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """Name, mesh and labels of every shape. All bodies of FAUST, of SCAPE and of a motion of MIT share theirs."""
    meshes, segs = root / "meshes" / "train", root / "segs" / "train"
    for mesh in _meshes(meshes / "adobe"):
        yield f"adobe/{mesh.stem}", mesh, segs / "adobe" / f"{mesh.stem}.txt"
    for source in ("faust", "scape"):
        for mesh in _meshes(meshes / source):
            yield f"{source}/{mesh.stem}", mesh, segs / source / f"{source}_corrected.txt"
    for motion in _MIT:
        for mesh in _meshes(meshes / "MIT_animation" / f"meshes_{motion}" / "meshes"):
            yield f"mit/{motion}/{mesh.stem}", mesh, segs / "mit" / f"mit_{motion}_corrected.txt"


def _test(root: Path) -> Iterator[tuple[str, Path, Path]]:
    meshes, segs = root / "meshes" / "test" / "shrec", root / "segs" / "test" / "shrec"
    for number in range(1, 21):
        if number in (16, 18):  # they are not in the set
            continue
        name = "12_fix_orientation" if number == 12 else str(number)
        yield f"shrec/{number}", meshes / f"{name}.off", segs / f"shrec_{number}_full.txt"


def _meshes(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in _MESHES and not is_hidden(p))
    if not found:
        raise FileNotFoundError(f"{folder} has no meshes.\n{_INSTRUCTIONS}")
    return found


_INSTRUCTIONS = """\
The human body segmentation set is got from its authors (Maron et al., "Convolutional neural networks on surfaces via seamless
toric covers", 2017):
  1. Get human_benchmark_sig_17.zip from where https://github.com/nmwsharp/diffusion-net (human segmentation) links.
  2. Unpack it and pass the folder: HumanSegmentation(root=".../sig17_seg_benchmark"). It holds meshes/ and segs/.
datasets/human_segmentation/README.md says more."""
