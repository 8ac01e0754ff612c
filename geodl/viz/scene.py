"""Shapes side by side before a camera: what the renderers draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.data.shapes import as_shape
from geodl.geometry import surface_area, vertex_normals
from geodl.geometry.shapes import IndexLike, as_index

__all__ = [
    "Body",
    "Buffers",
    "Direction",
    "Scene",
    "View",
    "checked",
    "checked_map",
    "in_rows",
    "side_by_side",
]

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

Direction: TypeAlias = str | Sequence[float] | Floats
# The side that is seen where none is named, for every axis that may point up.
_FRONTS = {"x": "+y", "y": "+z", "z": "-y"}


@dataclass(frozen=True)
class View:
    """Where the camera stands: rows of ``axes`` are its right, its up and the way towards it; ``upward`` is the world's up."""

    axes: Floats
    upward: Floats

    @staticmethod
    def of(up: Direction = "y", front: Direction | None = None) -> View:
        """From the side ``front``, with ``up`` upward in the picture: an axis such as "y" or "-z", or any direction ``[3]``.

        If ``front`` is None, y is seen from +z, z from -y and x from +y, so that all pictures of a shape agree.
        """
        upward = _direction("up", up)
        if front is None:
            if upward.max() < 1:
                raise ValueError(f"front is needed where up is not an axis but {up}")
            front = _FRONTS["xyz"[int(upward.argmax())]]
        toward = _direction("front", front)
        right = np.cross(upward, toward)
        length = float(np.linalg.norm(right))
        if length < 1e-6:
            raise ValueError(f"front must not be parallel to up, but they are {front} and {up}")
        right /= length
        return View(np.stack([right, np.cross(toward, right), toward]), upward)

    def behind(self) -> View:
        """From the opposite side."""
        axes = self.axes * np.array([[-1.0], [1.0], [-1.0]])
        return View(axes, self.upward)


def _direction(argument: str, direction: Direction) -> Floats:
    if isinstance(direction, str):
        sign, axis = ("-", direction[1:]) if direction.startswith("-") else ("+", direction.removeprefix("+"))
        if axis not in ("x", "y", "z"):
            raise ValueError(
                f"{argument} must be x, y, z, one of them behind + or -, or three numbers, not {direction!r}"
            )
        unit: Floats = np.eye(3)["xyz".index(axis)] * (-1.0 if sign == "-" else 1.0)
        return unit
    vector = np.asarray(direction, dtype=np.float64)
    length = float(np.linalg.norm(vector)) if vector.shape == (3,) else math.nan
    if not 0 < length < math.inf:
        raise ValueError(f"{argument} must be a direction of three finite numbers, not {direction}")
    return vector / length


@dataclass(frozen=True)
class Body:
    """A mesh in camera coordinates (x right, y up, z towards the camera), in units of sqrt(area)."""

    label: str
    pos: Floats  # [V, 3]
    face: NDArray[np.int64]  # [F, 3]
    normal: Floats  # [V, 3]
    color: Floats  # [V, 3], sRGB in 0..1


@dataclass
class Scene:
    """Bodies side by side, and straight lines drawn between points of them."""

    bodies: list[Body]
    line_ends: Floats = field(default_factory=lambda: np.zeros((0, 2, 3)))  # [L, 2, 3]
    line_front: NDArray[np.bool_] = field(
        default_factory=lambda: np.zeros((0, 2), dtype=bool)
    )  # ends that face the camera
    line_color: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    frame: tuple[Floats, Floats] | None = (
        None  # what the picture shows, where it is not as large as the bodies
    )

    def box(self) -> tuple[Floats, Floats]:
        """Lowest and highest coordinates of the bodies, or of the frame."""
        if self.frame is not None:
            return self.frame
        corners = np.stack([corner for body in self.bodies for corner in (body.pos.min(0), body.pos.max(0))])
        return corners.min(0), corners.max(0)

    def stacked(self) -> tuple[Floats, NDArray[np.int64], Floats, Floats]:
        """All bodies as one mesh: pos, face, normal, color."""
        starts = np.cumsum([0, *(len(body.pos) for body in self.bodies)])
        return (
            np.concatenate([body.pos for body in self.bodies]),
            np.concatenate([body.face + start for body, start in zip(self.bodies, starts[:-1], strict=True)]),
            np.concatenate([body.normal for body in self.bodies]),
            np.concatenate([body.color for body in self.bodies]),
        )


@dataclass(frozen=True)
class Buffers:
    """What a renderer returns: unlit colours, and normals as (n + 1) / 2, black where there is nothing."""

    color: Pixels  # [H, W, 3]
    normal: Pixels  # [H, W, 3]


Part = tuple[str, str, Any, Tensor, View]


def side_by_side(parts: Sequence[Part], gap: float = 0.12) -> Scene:
    """Place meshes from left to right on one floor, each scaled to unit area so that none dwarfs another.

    Args:
        parts: of every mesh its argument name (for errors), label, the mesh, colours ``[V, 3]`` and view.
        gap: between neighbours, in units of sqrt(area).

    Raises:
        ValueError: a mesh without area, with vertices that are not finite or faces that name no vertex.
    """
    return in_rows([parts], gap)


def in_rows(rows: Sequence[Sequence[Part]], gap: float = 0.12, below: float = 0.3) -> Scene:
    """The same in rows, from the top down, with columns as wide as the widest of them and room for labels ``below`` each row."""
    placed = [[_at_origin(*part) for part in row] for row in rows]
    columns = [0.0] * max(map(len, placed))
    for row in placed:
        for column, body in enumerate(row):
            columns[column] = max(columns[column], float(np.ptp(body.pos[:, 0])))
    bodies: list[Body] = []
    floor = 0.0
    for number, row in enumerate(placed):
        floor -= (max(float(body.pos[:, 1].max()) for body in row) + below) if number else 0.0
        left = 0.0
        for width, body in zip(columns, row, strict=False):
            shift = np.array([left + width / 2, floor, 0.0])
            bodies.append(replace(body, pos=body.pos + shift))
            left += width + gap
    return Scene(bodies)


def _at_origin(argument: str, label: str, mesh: Any, color: Tensor, view: View) -> Body:
    """A mesh of unit area that stands on the origin."""
    surface = checked(argument, mesh)
    area = float(surface_area(surface))
    if not area > 0:
        raise ValueError(f"{argument}: there is no surface to draw, the area is {area:g}")
    pos = surface.pos.numpy() @ view.axes.T / math.sqrt(area)
    low, high = pos.min(0), pos.max(0)
    pos = pos - np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    normal = vertex_normals(surface).numpy() @ view.axes.T
    return Body(label, pos, surface.face.T.contiguous().numpy(), normal, color.numpy())


@dataclass(frozen=True)
class Surface:
    """A mesh in float64 on the CPU."""

    pos: Tensor
    face: Tensor


def checked(argument: str, mesh: Any) -> Surface:
    """``mesh``, in any form, as a Surface that can be drawn, or an error that names the argument."""
    if isinstance(mesh, Surface):
        return mesh
    try:
        mesh = as_shape(mesh)
    except TypeError as error:
        raise TypeError(f"{argument}: {error}") from error
    if getattr(mesh, "pos", None) is None or getattr(mesh, "face", None) is None:
        raise ValueError(f"{argument} must be a mesh with pos and face, it is a {type(mesh).__name__}")
    pos, face = mesh.pos.detach().cpu().double(), mesh.face.detach().cpu()
    if pos.dim() != 2 or pos.shape[1] != 3 or face.dim() != 2 or face.shape[0] != 3:
        shapes = f"pos {list(pos.shape)} and face {list(face.shape)}"
        raise ValueError(f"{argument} must have pos [V, 3] and face [3, F], it has {shapes}")
    if not face.numel():
        raise ValueError(f"{argument} has no faces: there is nothing to draw")
    bad = ~torch.isfinite(pos).all(1)
    if bool(bad.any()):
        raise ValueError(
            f"{argument}: {int(bad.sum())} vertices are NaN or infinite, the first is {int(bad.nonzero()[0])}"
        )
    if not 0 <= int(face.min()) <= int(face.max()) < pos.shape[0]:
        found = f"{int(face.min())}..{int(face.max())}"
        raise IndexError(f"{argument}: face holds {found}, but there are {pos.shape[0]} vertices")
    return Surface(pos, face)


def checked_map(argument: str, index: IndexLike, shape: Surface, reference: Surface) -> Tensor:
    """A point map from ``shape`` to ``reference``, -1 for no point, on the CPU, or a ValueError or IndexError that names it."""
    vertices = shape.pos.shape[0]
    index = as_index(argument, index)
    if list(index.shape) != [vertices]:
        raise ValueError(
            f"{argument} must have shape [{vertices}] (the vertices of shape), not {list(index.shape)}"
        )
    if not -1 <= int(index.min()) <= int(index.max()) < reference.pos.shape[0]:
        found = f"{int(index.min())}..{int(index.max())}"
        raise IndexError(f"{argument} holds {found}, but reference has {reference.pos.shape[0]} vertices")
    onto: Tensor = index.cpu()
    return onto


def unmatched(onto: Tensor) -> str:
    """How many vertices a point map leaves without a point, for the label of a picture; nothing if there are none."""
    count = int((onto < 0).sum())
    return f" ({count:,} unmatched)" if count else ""
