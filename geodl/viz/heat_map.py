"""Where a correspondence is wrong, and by how much."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch

from geodl.geometry.shapes import as_signal
from geodl.viz.colors import ramp
from geodl.viz.picture import ColorBar, deliver
from geodl.viz.scene import View, checked, side_by_side

__all__ = ["error_map"]

_HEAT = ["#e9eaec", "#ffd84d", "#f4622a", "#a3001f", "#3d0014"]
_UNREACHABLE = (0.36, 0.20, 0.85)


def error_map(
    shape: Any,
    error: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    max_error: float = 0.1,
    title: str = "",
    up: str = "y",
    front: str | None = None,
    show: bool | None = None,
) -> Path | None:
    """Heat map of the geodesic error of every vertex, seen from the front and from behind.

    The scale is fixed, not stretched to the data, so that a good match looks good: grey is no error, dark red
    is ``max_error`` or more, violet is unreachable (infinite).

    Args:
        shape: the matched mesh: ``pos`` ``[V, 3]``, ``face`` ``[3, F]``.
        error: ``[V]``, geodesic distance / sqrt(area) as in ``CorrespondenceReport.errors``; shown in percent.
        path: of the PNG to write (atomically); None opens a window.
        max_error: end of the scale, in units of sqrt(area).
        title: written above the picture.
        up, front, show: as in :func:`geodl.viz.correspondence`.

    Returns:
        The path written, or None.

    Raises:
        ValueError: a mesh that cannot be drawn, or errors that are negative, NaN or not one a vertex.
    """
    surface = checked("shape", shape)
    value = as_signal("error", error).detach().cpu().double()
    if list(value.shape) != [surface.pos.shape[0]]:
        raise ValueError(
            f"error must have shape [{surface.pos.shape[0]}], one a vertex of shape, not {list(value.shape)}"
        )
    if not bool((value >= 0).all()):  # NaN too
        raise ValueError(f"error must not be negative or NaN; {int((~(value >= 0)).sum())} entries are")
    if not (max_error > 0 and math.isfinite(max_error)):
        raise ValueError(f"max_error must be positive and finite, not {max_error}")
    color = ramp(_HEAT, value / max_error)
    unreachable = torch.isinf(value)
    color[unreachable] = torch.tensor(_UNREACHABLE, dtype=torch.float64)
    view = View.of(up, front)
    parts = [("shape", "front", surface, color, view), ("shape", "back", surface, color, view.behind())]
    label = "geodesic error, % of sqrt(area)" + (" (violet: unreachable)" if bool(unreachable.any()) else "")
    return deliver(side_by_side(parts), path, show, title, ColorBar(_HEAT, 100 * max_error, label))
