"""A point map seen as a transfer of colour."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from geodl.geometry.shapes import IndexLike
from geodl.viz.colors import NO_LABEL, position_colors, rgb
from geodl.viz.picture import Size, write_picture
from geodl.viz.scene import Direction, View, checked, checked_map, side_by_side, unmatched

__all__ = ["correspondence"]


def correspondence(
    reference: Any,
    shape: Any,
    p2p: IndexLike,
    path: str | os.PathLike[str],
    *,
    true: IndexLike | None = None,
    title: str = "",
    up: Direction = "y",
    front: Direction | None = None,
    size: Size | None = None,
    dpi: int = 100,
) -> Path:
    """The reference coloured by position, and the shape whose vertex v wears the colour of vertex ``p2p[v]``.

    Where the match is right, both wear the same colours at the same places. From left to right: the reference,
    the shape with the true colours if ``true`` is given, the shape with the predicted ones.

    Args:
        reference: mesh that ``p2p`` points into: ``pos`` ``[V1, 3]``, ``face`` ``[3, F1]``.
        shape: the matched mesh, ``pos`` ``[V2, 3]``, ``face`` ``[3, F2]``.
        p2p: ``[V2]`` integers, a vertex of ``reference`` for every vertex of ``shape`` (p2p_21); -1 is drawn grey, and their number
            stands below.
        path: of the picture to write (atomically): png, pdf or svg.
        true: ``[V2]`` integers, the right ``p2p``.
        title: written above the picture.
        up: what points up: an axis such as "y" or "-z", or a direction ``[3]``.
        front: the side that is seen, in the same form, not parallel to ``up``; if None, +z where y is up, -y where z, +y where x,
            whatever the shape, so that all of its pictures agree.
        size: width and height in inches that the drawing fits into; (24, 9) if not given.
        dpi: pixels an inch.

    Returns:
        The path written.

    Raises:
        ValueError, IndexError: a mesh that cannot be drawn, or a map that does not fit the meshes.
        ImportError: what draws is not installed; the message says how to get it.
    """
    base, target = checked("reference", reference), checked("shape", shape)
    view = View.of(up, front)
    color = position_colors(base, up, front)
    # Where there is no match, a point wears the last row, grey.
    color = torch.cat([color, rgb([NO_LABEL])])
    parts = [("reference", "reference", base, color[:-1], view)]
    if true is not None:
        right = checked_map("true", true, target, base)
        parts.append(("shape", "ground truth" + unmatched(right), target, color[right], view))
    onto = checked_map("p2p", p2p, target, base)
    parts.append(("shape", "prediction" + unmatched(onto), target, color[onto], view))
    return write_picture(side_by_side(parts), path, title, None, size, dpi)
