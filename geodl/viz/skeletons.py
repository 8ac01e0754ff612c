"""Motions as strips of skeletons and as films."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from geodl.data import Motion, Skeleton
from geodl.viz.film import film
from geodl.viz.ground import Floats, camera, ground_lines
from geodl.viz.picture import save_figure
from geodl.viz.pixels import INSTALL_MATPLOTLIB

__all__ = ["skeleton_film", "skeleton_strip"]

_COLORS = {"left": "#c8501e", "right": "#2b6cb0", "": "#404040"}
_GROUND = "#d8d8d8"
_DPI = 100
_WIDEST = 24.0  # inches of a strip
_TILT = 12.0  # degrees
_PANEL, _TALL = 300, 340  # pixels of a film


class _Moving(NamedTuple):
    positions: Floats
    parents: list[int]
    colors: list[str]
    frame_time: float


def skeleton_strip(
    motions: Mapping[str, Motion | tuple[Tensor, Skeleton]],
    path: str | os.PathLike[str],
    *,
    poses: int = 12,
    azimuth: float = 60.0,
    title: str = "",
) -> Path:
    """Poses at equal times side by side, a row a motion; left limbs are red, right ones blue.

    Args:
        motions: by name, each a :class:`~geodl.data.Motion` or positions ``[F, J, 3]`` with their skeleton; y is up.
        path: of the PNG to write (atomically).
        poses: number of them in a row.
        azimuth: where they are looked at from, in degrees from +z towards +x.
        title: written above the picture.

    Returns:
        The path written.

    Raises:
        ValueError: no motions or poses, positions that do not fit or are not finite, or a path that does not end in .png.
        ImportError: matplotlib is not installed.
    """
    rows = _all(motions)
    if poses < 1:
        raise ValueError(f"poses must be positive, got {poses}")
    high, wide = _extent(list(rows.values()), azimuth)
    figure_class, lines_class = _matplotlib()
    step = max(wide, high / 2)
    across = min(_WIDEST, 1.7 * poses * step / high)  # inches
    figure = figure_class(figsize=(across + 0.4, 0.4 * bool(title) + 2.2 * len(rows)), dpi=_DPI)
    for number, (name, moving) in enumerate(rows.items()):
        axes = figure.add_subplot(len(rows), 1, number + 1)
        axes.set_aspect("equal")
        axes.axis("off")
        axes.plot([-0.6 * step, (poses - 0.4) * step], [0, 0], color=_GROUND, linewidth=1, zorder=0)
        for place, frame in enumerate(np.linspace(0, len(moving.positions) - 1, poses).round().astype(int)):
            flat = _project(moving.positions[frame], moving.positions[frame, 0], azimuth, 0.0)
            flat[:, 0] += place * step
            segments = _bones(moving, flat)
            axes.add_collection(lines_class(segments, colors=moving.colors, linewidths=2, capstyle="round"))
        axes.set(xlim=(-0.6 * step, (poses - 0.4) * step), ylim=(-0.06 * high, 1.05 * high))
        axes.set_title(name, loc="left", fontsize=10)
    if title:
        figure.suptitle(title, fontsize=13)
    figure.tight_layout()
    return save_figure(figure, Path(path))


def skeleton_film(
    motions: Mapping[str, Motion | tuple[Tensor, Skeleton]],
    path: str | os.PathLike[str],
    *,
    azimuth: float = 60.0,
    fps: float | None = None,
) -> Path:
    """Motions side by side, each followed by the camera over a ground of squares; left limbs are red, right ones blue.

    Args:
        motions: as of :func:`skeleton_strip`; a shorter one stands still at its end.
        path: of the .gif or .mp4 to write (see :func:`film`).
        azimuth: as of :func:`skeleton_strip`.
        fps: frames a second; by default as fast as the first motion, and of a GIF every second or third frame where that is more
            than 25.

    Returns:
        The path written.

    Raises:
        ValueError, ImportError: as :func:`skeleton_strip` and :func:`film`.
    """
    rows = _all(motions)
    rate = 1 / next(iter(rows.values())).frame_time
    skip = max(1, round(rate / 25)) if fps is None and Path(path).suffix.lower() == ".gif" else 1
    high, wide = _extent(list(rows.values()), azimuth)
    figure_class, lines_class = _matplotlib()
    figure = figure_class(figsize=(_PANEL * len(rows) / _DPI, _TALL / _DPI), dpi=_DPI)
    half = max(0.62 * high, 0.55 * wide)
    square = high / 2
    panels = []
    for number, (name, moving) in enumerate(rows.items()):
        axes = figure.add_axes((number / len(rows), 0, 1 / len(rows), 0.92))
        axes.axis("off")
        axes.set(xlim=(-half, half), ylim=(-0.25 * high, 2 * half * _TALL * 0.92 / _PANEL - 0.25 * high))
        ground = lines_class([], colors=_GROUND, linewidths=1, zorder=0)
        bones = lines_class([], colors=moving.colors, linewidths=2.5, capstyle="round")
        axes.add_collection(ground, autolim=False)
        axes.add_collection(bones, autolim=False)
        figure.text((number + 0.5) / len(rows), 0.95, name, ha="center", va="center", fontsize=10)
        panels.append((moving, ground, bones))

    def frames() -> Any:
        for frame in range(0, max(len(moving.positions) for moving, *_ in panels), skip):
            for moving, ground, bones in panels:
                now = moving.positions[min(frame, len(moving.positions) - 1)]
                center = now[0] * (1, 0, 1)
                bones.set_segments(_bones(moving, _project(now, center, azimuth, _TILT)))
                ground.set_segments(ground_lines(center, square, 3 * half, camera(azimuth, _TILT)))
            figure.canvas.draw()
            yield np.asarray(figure.canvas.buffer_rgba())[..., :3].transpose(2, 0, 1).copy()

    pictures = (torch.from_numpy(pixels) for pixels in frames())
    return film(pictures, path, fps=rate / skip if fps is None else fps)


def _all(motions: Mapping[str, Motion | tuple[Tensor, Skeleton]]) -> dict[str, _Moving]:
    if not motions:
        raise ValueError("motions is empty: there is nothing to draw")
    rows = {}
    for name, given in motions.items():
        if isinstance(given, Motion):
            positions, skeleton, frame_time = given.positions(), given.skeleton, float(given.frame_time)
        else:
            (positions, skeleton), frame_time = given, 1 / 30
        if positions.dim() != 3 or positions.shape[1:] != (skeleton.num_joints, 3) or not len(positions):
            raise ValueError(
                f"{name}: positions must have shape [F, {skeleton.num_joints}, 3], not {list(positions.shape)}"
            )
        if not bool(positions.isfinite().all()):
            raise ValueError(f"{name}: positions hold NaN or infinite numbers")
        parents = skeleton.parents.tolist()
        colors = [
            _COLORS[_side(skeleton.names[joint])] for joint, parent in enumerate(parents) if parent >= 0
        ]
        rows[name] = _Moving(positions.detach().cpu().double().numpy(), parents, colors, frame_time)
    return rows


def _side(name: str) -> str:
    """Of a limb, by how files of motions name it: LeftArm, left hand, Hand_L, lHand."""
    for side, letter in (("left", "l"), ("right", "r")):
        if re.search(rf"{side}|(^|[_.\s]){letter}($|[_.\s])", name, re.IGNORECASE) or re.match(
            rf"{letter}[A-Z]", name
        ):
            return side
    return ""


def _project(points: Floats, center: Floats, azimuth: float, tilt: float) -> Floats:
    made: Floats = (points - center * (1, 0, 1)) @ camera(azimuth, tilt)[:2].T
    return made


def _bones(moving: _Moving, flat: Floats) -> list[Floats]:
    return [flat[[parent, joint]] for joint, parent in enumerate(moving.parents) if parent >= 0]


def _extent(rows: Sequence[_Moving], azimuth: float) -> tuple[float, float]:
    """Height above the ground and width of the poses."""
    high = max(float(moving.positions[..., 1].max()) for moving in rows)
    wide = max(float(np.ptp(moving.positions @ camera(azimuth, 0.0)[0], axis=1).max()) for moving in rows)
    size = max(high, wide, 1e-9)
    return max(high, size / 4), wide


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.collections import LineCollection
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"pictures of motions need matplotlib: {INSTALL_MATPLOTLIB} ({error})") from error

    def figure(**options: Any) -> Any:
        made = Figure(facecolor="white", **options)
        FigureCanvasAgg(made)
        return made

    return figure, LineCollection
