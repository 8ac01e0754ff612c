"""Straight lines between matched points."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodl.geometry import surface_area
from geodl.geometry.shapes import IndexLike
from geodl.viz.colors import position_colors
from geodl.viz.picture import Size, write_picture
from geodl.viz.scene import Direction, View, checked, checked_map, side_by_side, unmatched

__all__ = ["lines"]

_BODY = (0.80, 0.81, 0.83)
_RIGHT, _WRONG = (0.10, 0.62, 0.34), (0.90, 0.10, 0.14)
_GAP = 0.5  # between the shapes, in units of sqrt(area): room for the lines


def lines(
    reference: Any,
    shape: Any,
    p2p: IndexLike,
    path: str | os.PathLike[str],
    *,
    true: IndexLike | None = None,
    count: int = 60,
    tolerance: float = 0.0,
    title: str = "",
    up: Direction = "y",
    front: Direction | None = None,
    size: Size | None = None,
    dpi: int = 100,
) -> Path:
    """Lines from points spread over the shape to the points of the reference that they are matched to.

    With ``true``, right matches are green and wrong ones red, drawn last; without, a line wears the colour of its
    point on the reference (see :func:`geodl.viz.position_colors`).

    Args:
        reference, shape, p2p, path, true, title, up, front, size, dpi: as in :func:`geodl.viz.correspondence`.
        count: number of lines, from points far from each other (farthest-point sampling).
        tolerance: with ``true``: straight distance on the reference between match and truth, in units of
            sqrt(area), up to which a match still counts as right.

    Returns:
        The path written.

    Raises:
        ValueError, IndexError: as in :func:`geodl.viz.correspondence`; ``count`` < 1 or ``tolerance`` < 0.
    """
    base, target = checked("reference", reference), checked("shape", shape)
    match = checked_map("p2p", p2p, target, base)
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must not be negative, it is {tolerance}")
    view = View.of(up, front)
    grey = torch.tensor(_BODY, dtype=torch.float64)
    scene = side_by_side(
        [
            ("reference", "reference", base, grey.expand(base.pos.shape[0], 3), view),
            ("shape", "shape" + unmatched(match), target, grey.expand(target.pos.shape[0], 3), view),
        ],
        gap=_GAP,
    )
    used = torch.unique(target.face)  # not vertices of no face: nothing is drawn there
    used = used[match[used] >= 0]
    if not used.numel():
        raise ValueError("p2p is -1 everywhere: there is no line to draw")
    chosen = used[_spread(target.pos[used], count)]
    if true is None:
        color = position_colors(base, up, front)[match[chosen]]
    else:
        truth = checked_map("true", true, target, base)
        chosen = chosen[truth[chosen] >= 0]
        off = (base.pos[match[chosen]] - base.pos[truth[chosen]]).norm(dim=1) / math.sqrt(
            float(surface_area(base))
        )
        wrong = (match[chosen] != truth[chosen]) & (off > tolerance)
        order = wrong.long().argsort(stable=True)
        chosen, wrong = chosen[order], wrong[order]
        color = torch.where(wrong[:, None], torch.tensor(_WRONG), torch.tensor(_RIGHT))
        title = title or f"{int((~wrong).sum())} of {len(chosen)} matches right"
    ends = ((0, match[chosen].numpy()), (1, chosen.numpy()))
    scene.line_ends = np.stack([scene.bodies[body].pos[vertex] for body, vertex in ends], axis=1)
    scene.line_front = np.stack([scene.bodies[body].normal[vertex, 2] > 0 for body, vertex in ends], axis=1)
    scene.line_color = color.double().numpy()
    return write_picture(scene, path, title, None, size, dpi)


def _spread(pos: Tensor, count: int) -> Tensor:
    """Indices of at most ``count`` points, each the farthest from those before (Gonzalez 1985)."""
    chosen = [0]
    distance = torch.full((pos.shape[0],), math.inf, dtype=pos.dtype)
    while len(chosen) < min(count, pos.shape[0]):
        distance = torch.minimum(distance, (pos - pos[chosen[-1]]).norm(dim=1))
        chosen.append(int(distance.argmax()))
    return torch.tensor(chosen)
