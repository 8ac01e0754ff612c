"""A mesh that wears colours, a function, or labels."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.geometry.shapes import SignalLike, as_index, as_signal
from geodl.viz.colors import label_colors, ramp
from geodl.viz.picture import ColorBar, Legend, deliver
from geodl.viz.pixels import unit_interval
from geodl.viz.scene import Body, View, checked, side_by_side

__all__ = ["surface"]

_BODY = (0.80, 0.81, 0.83)
# From dark to light, as viridis, whose darkest end would look like shade.
_SEQUENTIAL = ["#482878", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"]
# So many labels have their names beside the picture.
_MOST_NAMES = 24


def surface(
    mesh: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    color: SignalLike | None = None,
    scalar: SignalLike | None = None,
    label: SignalLike | None = None,
    limits: tuple[float, float] | None = None,
    title: str = "",
    up: str = "y",
    front: str | None = None,
    show: bool | None = None,
) -> Path | None:
    """A mesh from the front and from behind, in the colours of its vertices, of a function on it, or of labels; else grey.

    Colours and functions are interpolated within a face; labels are not: a face is divided among its corners.

    Args:
        mesh: ``pos [V, 3]``, ``face [3, F]``.
        path: of the PNG to write (atomically); None opens a window.
        color: ``[V, 3]``, or ``[V, 1]`` for greys: floats in 0..1 or uint8, sRGB.
        scalar: ``[V]``, finite; a bar beside the picture is its scale.
        label: ``[V]`` integers. A label has the same colour in every picture; negative ones (no label) are grey.
        limits: with ``scalar``: the ends of the scale, for pictures that compare; if None, its smallest and largest value.
        title, up, front, show: as in :func:`geodl.viz.correspondence`.

    Returns:
        The path written, or None.

    Raises:
        ValueError: a mesh that cannot be drawn; more than one of ``color``, ``scalar`` and ``label``, or one of another
            shape, dtype or range; limits that are not ascending.
        ImportError, RuntimeError: as :func:`geodl.viz.correspondence`.
    """
    given = [n for n, v in (("color", color), ("scalar", scalar), ("label", label)) if v is not None]
    if len(given) > 1:
        raise ValueError(f"a surface wears one of color, scalar and label, not {' and '.join(given)}")
    if limits is not None and scalar is None:
        raise ValueError("limits are those of scalar, which is not given")
    body = checked("mesh", mesh)
    label = None if label is None else as_index("label", label)
    vertices = body.pos.shape[0]
    beside: ColorBar | Legend | None = None
    if color is not None:
        worn = _rows("color", color, vertices)
        if worn.dim() != 2 or worn.shape[1] not in (1, 3):
            raise ValueError(
                f"color must have shape [{vertices}, 3] or [{vertices}, 1], not {list(worn.shape)}"
            )
        worn = unit_interval("color", worn).expand(-1, 3)
    elif scalar is not None:
        worn, beside = _scale(_rows("scalar", scalar, vertices), limits)
    elif label is not None:
        worn, beside = _legend(_rows("label", label, vertices))
    else:
        worn = torch.tensor(_BODY, dtype=torch.float64).expand(vertices, 3)
    view = View.of(body, up, front)
    scene = side_by_side([("mesh", "front", body, worn, view), ("mesh", "back", body, worn, view.behind())])
    if label is not None:
        _, number = torch.unique(label.detach().cpu(), return_inverse=True)
        scene.bodies = [_divided(part, number.numpy()) for part in scene.bodies]
    return deliver(scene, path, show, title, beside)


def _rows(argument: str, values: SignalLike, vertices: int) -> Tensor:
    rows: Tensor = as_signal(argument, values).detach().cpu()
    if not rows.dim() or rows.shape[0] != vertices:
        raise ValueError(f"mesh has {vertices} vertices but {argument} has shape {list(rows.shape)}")
    return rows


def _scale(values: Tensor, limits: tuple[float, float] | None) -> tuple[Tensor, ColorBar]:
    if values.dim() != 1:
        raise ValueError(f"scalar must have shape [{len(values)}], not {list(values.shape)}")
    values = values.double()
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        raise ValueError(f"scalar: {int((~finite).sum())} entries are NaN or infinite")
    low, high = limits or (float(values.min()), float(values.max()))
    if not (math.isfinite(low) and math.isfinite(high) and low <= high) or (limits and low == high):
        raise ValueError(f"limits must be finite and ascending, not {limits}")
    if low == high:  # a constant lies in the middle of its scale
        margin = max(abs(low), 1.0) / 2
        low, high = low - margin, high + margin
    below, above = bool((values < low).any()), bool((values > high).any())
    extend = "both" if below and above else "min" if below else "max" if above else "neither"
    return ramp(_SEQUENTIAL, (values - low) / (high - low)), ColorBar(_SEQUENTIAL, high, "", low, extend)


def _legend(label: Tensor) -> tuple[Tensor, Legend | None]:
    if label.dim() != 1 or label.is_floating_point() or label.is_complex():
        raise ValueError(f"label must be [{len(label)}] integers, not {list(label.shape)} {label.dtype}")
    names = torch.unique(label.long())
    if len(names) > _MOST_NAMES:
        return label_colors(label.long()), None
    colors = [(r, g, b) for r, g, b in label_colors(names).tolist()]
    return label_colors(label.long()), Legend(colors, [str(name) for name in names.tolist()])


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
