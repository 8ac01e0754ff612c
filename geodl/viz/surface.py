"""A mesh that wears colours, a function, or labels."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geodl.geometry.shapes import SignalLike, as_index
from geodl.viz.layers import worn
from geodl.viz.picture import Size, write_picture
from geodl.viz.scene import Body, Direction, View, checked, side_by_side

__all__ = ["surface"]


def surface(
    mesh: Any,
    path: str | os.PathLike[str],
    *,
    color: SignalLike | None = None,
    scalar: SignalLike | None = None,
    label: SignalLike | None = None,
    limits: tuple[float, float] | None = None,
    title: str = "",
    up: Direction = "y",
    front: Direction | None = None,
    size: Size | None = None,
    dpi: int = 100,
) -> Path:
    """A mesh from the front and from behind, in the colours of its vertices, of a function on it, or of labels; else grey.

    Colours and functions are interpolated within a face; labels are not: a face is divided among its corners.

    Args:
        mesh: ``pos [V, 3]``, ``face [3, F]``.
        path: of the picture to write (atomically): png, pdf or svg.
        color: ``[V, 3]``, or ``[V, 1]`` for greys: floats in 0..1 or uint8, sRGB.
        scalar: ``[V]``, finite; a bar beside the picture is its scale.
        label: ``[V]`` integers. A label has the same colour in every picture; negative ones (no label) are grey.
        limits: with ``scalar``: the ends of the scale, for pictures that compare; if None, its smallest and largest value.
        title, up, front, size, dpi: as in :func:`geodl.viz.correspondence`.

    Returns:
        The path written.

    Raises:
        ValueError: a mesh that cannot be drawn; more than one of ``color``, ``scalar`` and ``label``, or one of another
            shape, dtype or range; limits that are not ascending.
        ImportError, RuntimeError: as :func:`geodl.viz.correspondence`.
    """
    body = checked("mesh", mesh)
    colors, beside = worn(body.pos.shape[0], color, scalar, label, limits)
    view = View.of(up, front)
    scene = side_by_side(
        [("mesh", "front", body, colors, view), ("mesh", "back", body, colors, view.behind())]
    )
    if label is not None:
        _, number = torch.unique(as_index("label", label).detach().cpu(), return_inverse=True)
        scene.bodies = [_divided(part, number.numpy()) for part in scene.bodies]
    return write_picture(scene, path, title, beside, size, dpi)


def _divided(body: Body, label: NDArray[np.int64]) -> Body:
    """The body with the faces between labels cut in three, from their middle to the middles of their edges."""
    worn = label[body.face]
    mixed = (worn != worn[:, :1]).any(axis=1)
    corner = body.face[mixed]  # [n, 3]
    after, before = np.roll(corner, -1, axis=1), np.roll(corner, 1, axis=1)
    start = len(body.pos) + 3 * np.arange(corner.size).reshape(corner.shape)

    def with_middles(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of every corner the middle of the edge that leaves it, of the face, and of the edge that comes."""
        middle = np.broadcast_to(values[corner].mean(axis=1, keepdims=True), (*corner.shape, 3))
        added = [(values[corner] + values[after]) / 2, middle, (values[corner] + values[before]) / 2]
        return np.concatenate([values, np.stack(added, axis=2).reshape(-1, 3)])

    pieces = [np.stack([corner, start + k, start + k + 1], axis=2).reshape(-1, 3) for k in (0, 1)]
    normal = with_middles(body.normal)
    return replace(
        body,
        pos=with_middles(body.pos),
        face=np.concatenate([body.face[~mixed], *pieces]),
        normal=normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12),
        color=np.concatenate([body.color, np.repeat(body.color[corner].reshape(-1, 3), 3, axis=0)]),
    )
