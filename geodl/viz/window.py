"""window: Open3D's window, for who has a screen."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodl.data.shapes import as_shape
from geodl.geometry.shapes import IndexLike, ShapeLike, SignalLike
from geodl.viz.colors import NO_LABEL, position_colors, rgb
from geodl.viz.layers import worn
from geodl.viz.renderer import INSTALL_OPEN3D
from geodl.viz.scene import Direction, View, checked, checked_map

__all__ = ["window"]


def window(
    shapes: ShapeLike | list[ShapeLike],
    *,
    color: SignalLike | None = None,
    scalar: SignalLike | None = None,
    label: SignalLike | None = None,
    map: IndexLike | None = None,
    title: str = "",
    up: Direction = "y",
    front: Direction | None = None,
) -> None:
    """Opens an Open3D window with shapes side by side, and waits until it is closed.

    Args:
        shapes, color, scalar, label, map, title, up, front: as in :func:`geodl.viz.show`, which needs no screen and no Open3D.

    Raises:
        ValueError, IndexError: as :func:`geodl.viz.show`.
        RuntimeError: there is no display.
        ImportError: Open3D is not installed.
    """
    several = isinstance(shapes, list)
    made = [as_shape(shape) for shape in shapes] if several else [as_shape(shapes)]
    if not made:
        raise ValueError("shapes is empty: there is nothing to show")
    count, layers = len(made), []
    for name, layer in (("color", color), ("scalar", scalar), ("label", label)):
        each = layer if several and layer is not None else [layer] * count
        if len(each) != count:
            raise ValueError(
                f"{name} must be a list with one entry for each of the {count} shapes, not {len(each)}"
            )
        layers.append(each)
    colors = [worn(len(shape.pos), *given)[0] for shape, *given in zip(made, *layers, strict=True)]
    if map is not None:
        if count != 2:
            raise ValueError(f"a map joins two shapes, but there are {count}")
        surfaces = [checked(f"shape {number}", shape) for number, shape in enumerate(made)]
        onto = checked_map("map", map, surfaces[1], surfaces[0])
        if all(given is None for each in layers for given in each):
            colors[0] = position_colors(surfaces[0], up, front)
        colors[1] = torch.cat([colors[0], rgb([NO_LABEL])])[onto]  # where there is no match, the last row
    _open(made, colors, View.of(up, front), title)


def _open(shapes: list[Any], colors: list[Tensor], view: View, title: str) -> None:
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise RuntimeError("there is no display to open a window on: viz.show makes a page")
    try:
        import open3d
    except ImportError as error:
        raise ImportError(f"windows need Open3D: {INSTALL_OPEN3D} ({error})") from error
    vector = open3d.utility.Vector3dVector
    shown, left = [], 0.0
    for shape, color in zip(shapes, colors, strict=True):
        pos = shape.pos.detach().cpu().double().numpy() @ view.axes.T
        size = float(np.ptp(pos, axis=0).max()) or 1.0
        pos = (pos - pos.min(0)) / size + np.array([left, 0.0, 0.0])
        left += float(np.ptp(pos[:, 0])) + 0.1
        body: Any
        if getattr(shape, "face", None) is None:
            body = open3d.geometry.PointCloud(vector(pos))
            body.colors = vector(color.numpy())
        else:
            body = open3d.geometry.TriangleMesh(
                vector(pos), open3d.utility.Vector3iVector(shape.face.T.cpu().int().numpy())
            )
            body.vertex_colors = vector(color.numpy())
            body.compute_vertex_normals()
        shown.append(body)
    open3d.visualization.draw_geometries(
        shown,
        window_name=title or "geodl",
        lookat=[(left - 0.1) / 2, 0.5, 0.0],
        up=[0.0, 1.0, 0.0],
        front=[0.0, 0.0, 1.0],
        zoom=0.7,
    )
