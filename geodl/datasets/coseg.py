"""COSEG: families of shapes, segmented alike."""

from __future__ import annotations

import os
from collections.abc import Callable

from geodl.data import Mesh
from geodl.datasets.published import find_folder, names_in
from geodl.datasets.segmentation import SegmentationSet, read_face_labels

__all__ = ["COSEG"]


class COSEG(SegmentationSet):
    """A family of the shape COSEG set (Wang et al. 2012): meshes of one kind of object, a part for every face.

    An item is as of :class:`~geodl.datasets.SegmentationSet`. Parts are the labels that occur in the family, in ascending order.
    The owners give no split.

    Args:
        root: the folder of a family as unpacked, with ``shapes/NAME.off`` and ``gt/NAME.seg``, or one that holds it by ``family``.
        family: name of that folder, such as "Large-Vases" or "Chairs".
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        FileNotFoundError: files are missing; the message says which, and how to get them.
        ValueError: a file of labels that is damaged, or labels that are not consecutive numbers; on access, other damaged files.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        family: str = "Large-Vases",
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        self.folder = find_folder(root, [family], ["shapes", "gt"], _INSTRUCTIONS)
        names = names_in(self.folder / "shapes", _INSTRUCTIONS)
        files = [
            (self.folder / "shapes" / f"{name}.off", self.folder / "gt" / f"{name}.seg") for name in names
        ]
        if missing := [labels.name for _, labels in files if not labels.is_file()]:
            raise FileNotFoundError(
                f"{self.folder / 'gt'} lacks {missing[0]} and {len(missing) - 1} more.\n{_INSTRUCTIONS}"
            )
        found = sorted({int(label) for _, labels in files for label in read_face_labels(labels).unique()})
        if found != list(range(found[0], found[0] + len(found))):
            raise ValueError(f"{self.folder / 'gt'} has the labels {found}, which should be consecutive")
        super().__init__(names, files, found[0], [f"part {label}" for label in found], transform)


_INSTRUCTIONS = """\
COSEG is got family by family:
  1. Get Shapes and Ground-truth of a family from http://irc.cs.sdu.edu.cn/~yunhai/public_html/ssl/ssd.htm.
  2. Unpack both into one folder and pass it: COSEG(root=".../Large-Vases"). It holds shapes/1.off and gt/1.seg.
datasets/coseg/README.md says more."""
