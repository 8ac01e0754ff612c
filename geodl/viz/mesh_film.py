"""A mesh that moves, as a film."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodl.geometry import vertex_normals
from geodl.viz.film import film
from geodl.viz.ground import camera, ground_lines
from geodl.viz.pixels import INSTALL_MATPLOTLIB, unit_interval
from geodl.viz.renderer import render
from geodl.viz.scene import Body, Scene, checked
from geodl.viz.shading import shade

__all__ = ["mesh_film"]

_BODY = (0.80, 0.81, 0.83)
_GROUND = "#d8d8d8"
_TALL, _DPI = 420, 100  # pixels
_TILT = 12.0  # degrees
_OVERSAMPLING = 2


def mesh_film(
    meshes: Iterable[Any],
    path: str | os.PathLike[str],
    *,
    color: Tensor | None = None,
    azimuth: float = 60.0,
    fps: float = 25.0,
) -> Path:
    """A mesh in every frame, y up, followed by the camera over a ground of squares.

    Args:
        meshes: a frame each, ``pos [V, 3]``, ``face [3, F]``.
        path: of the .gif or .mp4 to write (see :func:`film`).
        color: ``[V, 3]``, floats in 0..1 or uint8, sRGB; grey if None.
        azimuth: where it is looked at from, in degrees from +z towards +x.
        fps: frames a second.

    Returns:
        The path written.

    Raises:
        ValueError: no meshes, one that cannot be drawn, or colours that do not fit; as :func:`film`.
        ImportError: what draws is not installed; the message says how to get it.
    """
    bodies = [checked(f"mesh {number}", mesh) for number, mesh in enumerate(meshes)]
    if not bodies:
        raise ValueError("meshes is empty: there is nothing to show")
    worn = torch.tensor(_BODY, dtype=torch.float64) if color is None else unit_interval("color", color)
    if color is not None and worn.shape != (len(bodies[0].pos), 3):
        raise ValueError(f"color must have shape [{len(bodies[0].pos)}, 3], not {list(color.shape)}")
    axes = camera(azimuth, _TILT)
    placed = []
    for body in bodies:
        pos = body.pos.numpy()
        center = (pos.min(0) + pos.max(0)) / 2 * (1, 0, 1)
        placed.append((center, (pos - center) @ axes.T))
    low = np.min([pos.min(0) for _, pos in placed], 0)
    high = np.max([pos.max(0) for _, pos in placed], 0)
    margin = 0.06 * float((high - low)[1])
    if not margin > 0:
        raise ValueError("the meshes have no height: there is nothing to show")
    low, high = low - margin, high + margin
    wide, tall = (math.ceil(_TALL * size / (high - low)[1]) for size in (high - low)[:2])
    figure, ground, picture = _sheet(low, high, wide, tall)

    def frames() -> Iterator[Tensor]:
        for body, (center, pos) in zip(bodies, placed, strict=True):
            normal = vertex_normals(body).numpy() @ axes.T
            colors = worn.expand(len(pos), 3).numpy()
            scene = Scene(
                [Body("", pos, body.face.T.contiguous().numpy(), normal, colors)], frame=(low, high)
            )
            shaded = shade(render(scene, wide * _OVERSAMPLING, tall * _OVERSAMPLING))
            shaded = shaded.reshape(tall, _OVERSAMPLING, wide, _OVERSAMPLING, 4).mean((1, 3))
            shaded[..., :3] /= np.maximum(shaded[..., 3:], 1e-6)
            picture.set_data(np.clip(shaded, 0, 1))
            square = float((high - low)[1]) / 4
            ground.set_segments(ground_lines(center, square, 16 * square, axes))
            figure.canvas.draw()
            yield torch.from_numpy(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()).permute(2, 0, 1)

    return film(frames(), path, fps=fps)


def _sheet(low: Any, high: Any, wide: int, tall: int) -> tuple[Any, Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.collections import LineCollection
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"films of meshes need matplotlib: {INSTALL_MATPLOTLIB} ({error})") from error
    figure = Figure(figsize=(wide / _DPI, tall / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    ground = LineCollection([], colors=_GROUND, linewidths=1, zorder=0)
    axes.add_collection(ground, autolim=False)
    extent = (low[0], high[0], low[1], high[1])
    picture = axes.imshow(
        np.zeros((tall, wide, 4)), interpolation="none", aspect="auto", extent=extent, zorder=1
    )
    axes.set(xlim=extent[:2], ylim=extent[2:])
    return figure, ground, picture
