"""From a scene to a PNG with titles, or to a window."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geodl.data.whole_file import whole_file
from geodl.viz.renderer import INSTALL_OPEN3D, render
from geodl.viz.scene import Floats, Scene
from geodl.viz.shading import shade

__all__ = ["ColorBar", "Legend", "deliver", "save_figure"]

_HEIGHT, _WIDEST = 900, 2400  # pixels of the drawing
_MARGIN = 24
_OVERSAMPLING = 2
_DPI = 100


@dataclass(frozen=True)
class ColorBar:
    """The scale beside a heat map: matplotlib colours from ``first`` to ``last``, and what they mean."""

    colors: list[str]
    last: float
    label: str
    first: float = 0.0
    extend: str = "max"


@dataclass(frozen=True)
class Legend:
    """What the colours of labels mean."""

    colors: list[tuple[float, float, float]]
    names: list[str]


def deliver(
    scene: Scene,
    path: str | os.PathLike[str] | None,
    show: bool | None,
    title: str,
    beside: ColorBar | Legend | None = None,
) -> Path | None:
    """Write the picture if there is a path, open a window if ``show`` says so or if there is no path."""
    written = None if path is None else _write(scene, Path(path), title, beside)
    if show or (show is None and path is None):
        _window(scene, title)
    return written


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure to a temporary name and move it into place, so that no half picture is ever seen."""
    if path.suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, it is {str(path)!r}")
    with whole_file(path) as part:
        figure.savefig(part, format="png")
    return path


def _write(scene: Scene, path: Path, title: str, beside: ColorBar | Legend | None) -> Path:
    low, high = scene.box()
    wide, tall = high[0] - low[0], high[1] - low[1]
    scale = min(_HEIGHT / tall, _WIDEST / wide)
    width, height = max(1, round(wide * scale)), max(1, round(tall * scale))
    buffers = render(scene, width * _OVERSAMPLING, height * _OVERSAMPLING)
    image = shade(buffers).reshape(height, _OVERSAMPLING, width, _OVERSAMPLING, 4).mean((1, 3))
    image[..., :3] /= np.maximum(
        image[..., 3:], 1e-6
    )  # of the pixels on a silhouette only the part that is drawn
    return save_figure(_figure(scene, np.clip(image, 0, 1), title, beside), path)


def _figure(scene: Scene, image: Floats, title: str, beside: ColorBar | Legend | None) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    height, width = image.shape[:2]
    low, high = scene.box()
    labels, head, side = 48, 56 if title else 0, 130 if beside else 0
    full_width, full_height = width + 2 * _MARGIN + side, height + 2 * _MARGIN + labels + head
    full_width = max(full_width, 480)
    figure = Figure(figsize=(full_width / _DPI, full_height / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    left = (full_width - side - width) // 2

    def place(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        return x / full_width, y / full_height, w / full_width, h / full_height

    axes = figure.add_axes(place(left, _MARGIN + labels, width, height))
    axes.imshow(
        image, interpolation="none", aspect="auto", extent=(low[0], high[0], low[1], high[1]), zorder=2
    )
    axes.axis("off")
    # Half a line lies before the bodies if its end is on a side that faces the camera, else behind them.
    ends = scene.line_ends[..., :2]
    for end in (0, 1):
        for before, layer in ((True, 3), (False, 1)):
            chosen = scene.line_front[:, end] == before
            halves = np.stack([ends[chosen, end], ends[chosen].mean(1)], axis=1)
            strokes = LineCollection(
                list(halves), colors=scene.line_color[chosen], linewidths=1.1, zorder=layer
            )
            axes.add_collection(strokes, autolim=False)
    for body in scene.bodies:
        centre = (body.pos[:, 0].min() + body.pos[:, 0].max()) / 2
        x = left + (centre - low[0]) / (high[0] - low[0]) * width
        figure.text(
            x / full_width,
            (_MARGIN + labels / 2) / full_height,
            body.label,
            ha="center",
            va="center",
            size=15,
        )
    if title:
        figure.text(0.5, 1 - (_MARGIN / 2 + head / 2) / full_height, title, ha="center", va="center", size=17)
    if isinstance(beside, ColorBar):
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        colors = LinearSegmentedColormap.from_list("bar", beside.colors)
        scale = ScalarMappable(Normalize(beside.first, beside.last), colors)
        tall = min(height, 420)
        box = figure.add_axes(place(full_width - side + 12, _MARGIN + labels + (height - tall) / 2, 18, tall))
        figure.colorbar(scale, cax=box, extend=beside.extend).set_label(beside.label, size=12)
    elif beside:
        from matplotlib.patches import Patch

        patches = [
            Patch(color=color, label=name) for color, name in zip(beside.colors, beside.names, strict=True)
        ]
        middle = (full_width - side) / full_width, (_MARGIN + labels + height / 2) / full_height
        figure.legend(handles=patches, loc="center left", bbox_to_anchor=middle, frameon=False, fontsize=12)
    return figure


def _window(scene: Scene, title: str) -> None:
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise RuntimeError(
            "there is no display to open a window on; pass path='picture.png' to write a picture"
        )
    try:
        import open3d
    except ImportError as error:
        raise ImportError(f"windows need Open3D: {INSTALL_OPEN3D} ({error})") from error
    vector = open3d.utility.Vector3dVector
    pos, face, normal, color = scene.stacked()
    bodies = open3d.geometry.TriangleMesh(vector(pos), open3d.utility.Vector3iVector(face))
    bodies.vertex_normals, bodies.vertex_colors = vector(normal), vector(color)
    shown: list[Any] = [bodies]
    if len(scene.line_ends):
        ends = scene.line_ends.reshape(-1, 3)
        pairs = open3d.utility.Vector2iVector(np.arange(len(ends)).reshape(-1, 2))
        lines = open3d.geometry.LineSet(vector(ends), pairs)
        lines.colors = vector(scene.line_color)
        shown.append(lines)
    low, high = scene.box()
    open3d.visualization.draw_geometries(
        shown,
        window_name=title or "geodl",
        lookat=(low + high) / 2,
        up=[0.0, 1.0, 0.0],
        front=[0.0, 0.0, 1.0],
        zoom=0.7,
    )
