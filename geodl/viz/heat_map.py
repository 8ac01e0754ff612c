"""Where a correspondence is wrong, and by how much."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geodl.geometry.shapes import SignalLike, as_signal
from geodl.viz.colors import ramp
from geodl.viz.picture import ColorBar, Size, write_picture
from geodl.viz.scene import Direction, Surface, View, checked, side_by_side

__all__ = ["error_map", "heat", "heat_scale"]

_HEAT = ["#e9eaec", "#ffd84d", "#f4622a", "#a3001f", "#3d0014"]
_UNREACHABLE = (0.36, 0.20, 0.85)


def error_map(
    shape: Any,
    error: Any,
    path: str | os.PathLike[str],
    *,
    max_error: float = 0.1,
    title: str = "",
    up: Direction = "y",
    front: Direction | None = None,
    size: Size | None = None,
    dpi: int = 100,
) -> Path:
    """Heat map of the geodesic error of every vertex, seen from the front and from behind.

    The scale is fixed, not stretched to the data, so that a good match looks good: grey is no error, dark red
    is ``max_error`` or more, violet is unreachable (infinite).

    Args:
        shape: the matched mesh: ``pos`` ``[V, 3]``, ``face`` ``[3, F]``.
        error: ``[V]``, geodesic distance / sqrt(area) as in ``CorrespondenceReport.errors``; shown in percent.
        path: of the picture to write (atomically): png, pdf or svg.
        max_error: end of the scale, in units of sqrt(area).
        title: written above the picture.
        up, front, size, dpi: as in :func:`geodl.viz.correspondence`.

    Returns:
        The path written.

    Raises:
        ValueError: a mesh that cannot be drawn, or errors that are negative, NaN or not one a vertex.
    """
    surface = checked("shape", shape)
    color, _, lost = heat("error", error, surface, max_error)
    view = View.of(up, front)
    parts = [("shape", "front", surface, color, view), ("shape", "back", surface, color, view.behind())]
    return write_picture(side_by_side(parts), path, title, heat_scale(max_error, lost), size, dpi)


def heat(argument: str, error: SignalLike, surface: Surface, max_error: float) -> tuple[Tensor, float, bool]:
    """Colours ``[V, 3]`` of errors, their mean, and whether any is infinite."""
    value = as_signal(argument, error).detach().cpu().double()
    if list(value.shape) != [surface.pos.shape[0]]:
        raise ValueError(
            f"{argument} must have shape [{surface.pos.shape[0]}], one a vertex of shape, not {list(value.shape)}"
        )
    if not bool((value >= 0).all()):  # NaN too
        raise ValueError(f"{argument} must not be negative or NaN; {int((~(value >= 0)).sum())} entries are")
    if not (max_error > 0 and math.isfinite(max_error)):
        raise ValueError(f"max_error must be positive and finite, not {max_error}")
    color = ramp(_HEAT, value / max_error)
    unreachable = torch.isinf(value)
    color[unreachable] = torch.tensor(_UNREACHABLE, dtype=torch.float64)
    return color, float(value.mean()), bool(unreachable.any())


def heat_scale(max_error: float, unreachable: bool) -> ColorBar:
    """The bar beside them."""
    label = "geodesic error, % of sqrt(area)" + (" (violet: unreachable)" if unreachable else "")
    return ColorBar(_HEAT, 100 * max_error, label)
