"""Point clouds side by side, every point a small ball."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geodl.data.shapes import as_shape
from geodl.geometry.shapes import ShapeLike
from geodl.viz.picture import deliver
from geodl.viz.scene import Body, Floats, Scene

__all__ = ["point_clouds"]

_LOW, _MIDDLE, _HIGH = np.array(
    [[0.13, 0.30, 0.75], [0.88, 0.45, 0.55], [1.0, 0.78, 0.25]]
)  # colours by height
_AROUND, _ABOVE = np.deg2rad(30), np.deg2rad(20)  # where the camera stands
_BALL = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=np.float64)
_SIDES = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])


def point_clouds(
    clouds: Sequence[ShapeLike],
    path: str | os.PathLike[str] | None = None,
    *,
    labels: Sequence[str] | None = None,
    title: str = "",
    up: str = "z",
    size: float = 0.016,
    show: bool | None = None,
) -> Path | None:
    """Draws clouds from left to right, from a little above, coloured by height, each scaled to the same largest extent.

    Args:
        clouds: positions ``[N, 3]`` each, or whatever :func:`geodl.data.as_shape` takes, whose faces are not drawn.
        path: of the PNG to write (atomically); None opens a window.
        labels: written below the clouds.
        title: written above the picture.
        up: axis that points up: "x", "y" or "z".
        size: radius of a point, as a share of the largest extent.
        show: whether to open a window; if None, only when there is no path.

    Returns:
        The path written, or None.

    Raises:
        ValueError: no cloud, a cloud without points or with numbers that are not finite, labels that are not one a cloud.
    """
    if not clouds:
        raise ValueError("clouds is empty: there is nothing to draw")
    labels = [""] * len(clouds) if labels is None else labels
    if len(labels) != len(clouds):
        raise ValueError(f"there are {len(clouds)} clouds but {len(labels)} labels")
    if up not in ("x", "y", "z"):
        raise ValueError(f"up must be one of x, y, z, not {up!r}")
    bodies: list[Body] = []
    left = 0.0
    for number, (cloud, label) in enumerate(zip(clouds, labels, strict=True)):
        height, seen = _seen(number, cloud, up)
        color = np.where(
            height < 0.5, _LOW + 2 * height * (_MIDDLE - _LOW), _MIDDLE + (2 * height - 1) * (_HIGH - _MIDDLE)
        )
        # Every cloud has a cell of its own, of unit width, and stands in its middle.
        bodies.append(_balls(label, seen + np.array([left, 0.0, 0.0]), color, size))
        left += 1.15
    return deliver(Scene(bodies), path, show, title)


def _seen(number: int, given: ShapeLike, up: str) -> tuple[Floats, Floats]:
    """Heights ``[N, 1]`` in 0..1, and the cloud in camera coordinates (x right, y up, z towards the camera) about the origin."""
    cloud = given if isinstance(given, Tensor) else as_shape(given).pos
    if cloud.dim() != 2 or cloud.shape[1] != 3 or not len(cloud):
        raise ValueError(
            f"cloud {number} must have shape [N, 3] with a point at least, not {list(cloud.shape)}"
        )
    pos = cloud.detach().cpu().double()
    if not bool(torch.isfinite(pos).all()):
        raise ValueError(f"cloud {number} has points that are NaN or infinite")
    axis = "xyz".index(up)
    pos = pos[:, [(axis + 1) % 3, (axis + 2) % 3, axis]]
    low, high = pos.amin(0), pos.amax(0)
    extent = float((high - low).max()) or 1.0
    x, y, z = ((pos - (low + high) / 2) / extent).numpy().T
    x, y = x * np.cos(_AROUND) - y * np.sin(_AROUND), x * np.sin(_AROUND) + y * np.cos(_AROUND)
    seen = np.stack(
        [x, z * np.cos(_ABOVE) + y * np.sin(_ABOVE), z * np.sin(_ABOVE) - y * np.cos(_ABOVE)], axis=1
    )
    return (z - z.min())[:, None] / max(float(np.ptp(z)), 1e-12), seen


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
