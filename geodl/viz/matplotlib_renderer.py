"""The matplotlib renderer: Gouraud triangles painted from back to front. It runs everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from geodl.viz.scene import Buffers, Floats, Pixels, Scene

__all__ = ["draw"]

_DPI = 100


def draw(scene: Scene, width: int, height: int) -> Buffers:
    """Draw bodies that fill the picture; see ``render``."""
    pos, face, normal, color = scene.stacked()
    face = face[np.argsort(pos[face, 2].mean(1), kind="stable")]  # painter's algorithm
    low, high = scene.box()
    box = (low[0], high[0]), (low[1], high[1])
    return Buffers(
        _paint(pos, face, color, box, width, height),
        _paint(pos, face, (normal + 1) / 2, box, width, height),
    )


def _paint(pos: Floats, face: Any, color: Floats, box: Any, width: int, height: int) -> Pixels:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import TriMesh
    from matplotlib.figure import Figure
    from matplotlib.tri import Triangulation

    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=box[0], ylim=box[1])
    axes.axis("off")
    triangles = TriMesh(Triangulation(pos[:, 0], pos[:, 1], face))
    triangles.set_facecolor(np.clip(color, 0, 1))
    axes.add_collection(triangles, autolim=False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
