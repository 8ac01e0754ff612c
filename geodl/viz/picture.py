"""From a scene to a picture with titles: png, or pdf and svg, whose drawing is a picture and whose text and lines are not."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geodl.data.whole_file import whole_file
from geodl.viz.renderer import render
from geodl.viz.scene import Floats, Scene
from geodl.viz.shading import shade

__all__ = ["ColorBar", "Legend", "Size", "save_figure", "write_picture"]

Size = tuple[float, float]
SIZE: Size = (24.0, 9.0)  # inches that the drawing fits into, if not told otherwise
DPI = 100
_OVERSAMPLING = 2
_MOST_PIXELS = 20_000  # of a side
_KINDS = (".png", ".pdf", ".svg")


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


def save_figure(figure: Any, path: Path, dpi: float | None = None) -> Path:
    """Write a figure to a temporary name and move it into place, so that no half picture is ever seen."""
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise ValueError(f"path must end in {', '.join(_KINDS)}, it is {str(path)!r}")
    with whole_file(path) as part:
        figure.savefig(part, format=kind[1:], dpi=dpi or figure.dpi)
    return path


def write_picture(
    scene: Scene,
    path: str | os.PathLike[str],
    title: str = "",
    beside: ColorBar | Legend | None = None,
    size: Size | None = None,
    dpi: int = DPI,
) -> Path:
    """Draws a scene as large as fits into ``size`` inches, with labels below the bodies, and writes it."""
    path, most = Path(path), SIZE if size is None else size
    if path.suffix.lower() not in _KINDS:  # before the work
        raise ValueError(f"path must end in {', '.join(_KINDS)}, it is {str(path)!r}")
    if len(most) != 2 or not all(0 < side < math.inf for side in most):
        raise ValueError(f"size must be a width and a height in inches, not {size}")
    if not (dpi >= 1 and max(most) * dpi <= _MOST_PIXELS):
        raise ValueError(
            f"dpi must be at least 1, and {max(most):g} inches have at most {_MOST_PIXELS} pixels, not dpi {dpi}"
        )
    low, high = scene.box()
    wide, tall = high[0] - low[0], high[1] - low[1]
    scale = dpi * min(most[1] / tall, most[0] / wide)
    width, height = max(1, round(wide * scale)), max(1, round(tall * scale))
    buffers = render(scene, width * _OVERSAMPLING, height * _OVERSAMPLING)
    image = shade(buffers).reshape(height, _OVERSAMPLING, width, _OVERSAMPLING, 4).mean((1, 3))
    # Of the pixels on a silhouette only the part that is drawn.
    image[..., :3] /= np.maximum(image[..., 3:], 1e-6)
    return save_figure(_figure(scene, np.clip(image, 0, 1), title, beside, min(most), dpi), path)


def _figure(
    scene: Scene, image: Floats, title: str, beside: ColorBar | Legend | None, shorter: float, dpi: int
) -> Any:
    """Letters are smaller in small pictures, but never too small to be read in print."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    unit = min(1.0, max(0.5, shorter / SIZE[1]))
    pixels = unit * dpi
    height, width = image.shape[:2]
    low, high = scene.box()
    margin, labels = round(0.24 * pixels), round(0.48 * pixels)
    head, side = round(0.56 * pixels) if title else 0, round(1.3 * pixels) if beside else 0
    full_width, full_height = width + 2 * margin + side, height + 2 * margin + labels + head
    full_width = max(full_width, round(4.8 * pixels))
    figure = Figure(figsize=(full_width / dpi, full_height / dpi), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    left = (full_width - side - width) // 2

    def place(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        return x / full_width, y / full_height, w / full_width, h / full_height

    axes = figure.add_axes(place(left, margin + labels, width, height))
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
        foot = (body.pos[:, 0].min() + body.pos[:, 0].max()) / 2, body.pos[:, 1].min()
        below = (0, -24 * 0.72 * unit)  # points
        axes.annotate(
            body.label, foot, below, textcoords="offset points", ha="center", va="center", size=15 * unit,
            annotation_clip=False,
        )  # fmt: skip
    if title:
        figure.text(
            0.5, 1 - (margin / 2 + head / 2) / full_height, title, ha="center", va="center", size=17 * unit
        )
    if isinstance(beside, ColorBar):
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        colors = LinearSegmentedColormap.from_list("bar", beside.colors)
        scale = ScalarMappable(Normalize(beside.first, beside.last), colors)
        tall = min(height, round(4.2 * pixels))
        box = figure.add_axes(
            place(
                full_width - side + 0.12 * pixels, margin + labels + (height - tall) / 2, 0.18 * pixels, tall
            )
        )
        figure.colorbar(scale, cax=box, extend=beside.extend).set_label(beside.label, size=12 * unit)
        box.tick_params(labelsize=10 * unit)
    elif beside:
        from matplotlib.patches import Patch

        patches = [
            Patch(color=color, label=name) for color, name in zip(beside.colors, beside.names, strict=True)
        ]
        middle = (full_width - side) / full_width, (margin + labels + height / 2) / full_height
        figure.legend(
            handles=patches, loc="center left", bbox_to_anchor=middle, frameon=False, fontsize=12 * unit
        )
    return figure
