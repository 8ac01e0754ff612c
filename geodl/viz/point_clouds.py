"""Point clouds side by side, every point a small ball."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geodl.data.shapes import as_shape
from geodl.geometry.shapes import IndexLike, ShapeLike
from geodl.viz.colors import label_colors
from geodl.viz.layers import checked_label, legend_of
from geodl.viz.picture import Size, write_picture
from geodl.viz.scene import Body, Direction, Floats, Scene, View

__all__ = ["point_clouds"]

_LOW, _MIDDLE, _HIGH = np.array(
    [[0.13, 0.30, 0.75], [0.88, 0.45, 0.55], [1.0, 0.78, 0.25]]
)  # colours by height
_AROUND, _ABOVE = np.deg2rad(30), np.deg2rad(20)  # where the camera stands
_GAP = 0.15  # between clouds, as a share of their largest extent
_BALL = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float64)
_SIDES = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])


def point_clouds(
    clouds: Sequence[ShapeLike],
    path: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
    title: str = "",
    up: Direction = "z",
    front: Direction | None = None,
    label: Sequence[IndexLike] | None = None,
    radius: float = 0.016,
    size: Size | None = None,
    dpi: int = 100,
) -> Path:
    """Draws clouds from left to right, from a little above, coloured by height, each scaled to the same largest extent.

    Args:
        clouds: positions ``[N, 3]`` each, or whatever :func:`geodl.data.as_shape` takes, whose faces are not drawn.
        path: of the picture to write (atomically): png, pdf or svg.
        labels: written below the clouds.
        title: written above the picture.
        up, front: as in :func:`geodl.viz.correspondence`; if there is no front, from a little above and aside.
        label: of every cloud ``[N]`` integers, whose colours its points have, in place of those by height; a legend names them.
        radius: of a point, as a share of the largest extent.
        size, dpi: as in :func:`geodl.viz.correspondence`.

    Returns:
        The path written.

    Raises:
        ValueError: no cloud, a cloud without points or with numbers that are not finite, labels that are not one a cloud.
    """
    if not clouds:
        raise ValueError("clouds is empty: there is nothing to draw")
    labels = [""] * len(clouds) if labels is None else labels
    if len(labels) != len(clouds):
        raise ValueError(f"there are {len(clouds)} clouds but {len(labels)} labels")
    if label is not None and len(label) != len(clouds):
        raise ValueError(f"label must have one entry for each of the {len(clouds)} clouds, not {len(label)}")
    view = View.of(up, _oblique(up) if front is None else front)
    bodies: list[Body] = []
    left = 0.0
    found: list[Tensor] = []
    for number, (cloud, name) in enumerate(zip(clouds, labels, strict=True)):
        height, seen = _seen(number, cloud, view)
        if label is None:
            low = height < 0.5
            color = np.where(
                low, _LOW + 2 * height * (_MIDDLE - _LOW), _MIDDLE + (2 * height - 1) * (_HIGH - _MIDDLE)
            )
        else:
            found.append(checked_label(f"label of cloud {number}", label[number], len(seen)))
            color = label_colors(found[-1]).numpy()
        left -= float(seen[:, 0].min())
        bodies.append(_balls(name, seen + np.array([left, 0.0, 0.0]), color, radius))
        left += float(seen[:, 0].max()) + 2 * radius + _GAP
    beside = legend_of(torch.cat(found)) if found else None
    return write_picture(Scene(bodies), path, title, beside, size, dpi)


def _oblique(up: Direction) -> Floats:
    """From a little above and aside of where a shape is seen from as a rule."""
    axes = View.of(up).axes
    aside, toward = np.sin(_AROUND) * axes[0], np.cos(_AROUND) * axes[2]
    made: Floats = np.cos(_ABOVE) * (toward - aside) + np.sin(_ABOVE) * axes[1]
    return made


def _seen(number: int, given: ShapeLike, view: View) -> tuple[Floats, Floats]:
    """Heights ``[N, 1]`` in 0..1, and the cloud in camera coordinates (x right, y up, z towards the camera) about the origin."""
    cloud = given if isinstance(given, Tensor) else as_shape(given).pos
    if cloud.dim() != 2 or cloud.shape[1] != 3 or not len(cloud):
        raise ValueError(
            f"cloud {number} must have shape [N, 3] with a point at least, not {list(cloud.shape)}"
        )
    pos = cloud.detach().cpu().double()
    if not bool(torch.isfinite(pos).all()):
        raise ValueError(f"cloud {number} has points that are NaN or infinite")
    low, high = pos.amin(0), pos.amax(0)
    extent = float((high - low).max()) or 1.0
    unit = ((pos - (low + high) / 2) / extent).numpy()
    height = unit @ view.upward
    return (height - height.min())[:, None] / max(float(np.ptp(height)), 1e-12), unit @ view.axes.T


def _balls(label: str, pos: Floats, color: Floats, size: float) -> Body:
    """A double pyramid for every point, shaded as a ball."""
    count, corners = len(pos), len(_BALL)
    return Body(
        label,
        (pos[:, None] + size * _BALL).reshape(-1, 3),
        (np.arange(count)[:, None, None] * corners + _SIDES).reshape(-1, 3),
        np.tile(_BALL, (count, 1)),
        np.repeat(color, corners, axis=0),
    )
