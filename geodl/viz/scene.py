"""Shapes side by side before a camera: what the renderers draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.data.shapes import as_shape
from geodl.geometry import surface_area, vertex_normals
from geodl.geometry.shapes import IndexLike, as_index

__all__ = ["Body", "Buffers", "Scene", "View", "checked", "checked_map", "side_by_side"]

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

# Horizontal directions from which a shape may be seen, for every axis that may point up.
_FRONTS = {"x": ("+y", "+z"), "y": ("+z", "+x"), "z": ("-y", "+x")}


@dataclass(frozen=True)
class View:
    """Where the camera stands: rows of ``axes`` are its right, its up and the direction towards it."""

    axes: Floats

    @staticmethod
    def of(mesh: Any, up: str, front: str | None) -> View:
        """From the side ``front`` of a mesh, or, if None, from where the mesh looks widest."""
        if up not in _FRONTS:
            raise ValueError(f"up must be one of x, y, z, not {up!r}")
        directions = [sign + axis for axis in "xyz" if axis != up for sign in "+-"]
        if front is None:
            pos = mesh.pos.detach().cpu().double()
            extent = dict(zip("xyz", (pos.amax(0) - pos.amin(0)).tolist(), strict=True))
            front = min(_FRONTS[up], key=lambda direction: extent[direction[1]])
        if front not in directions:
            raise ValueError(
                f"front must be one of {', '.join(directions)} when {up} points up, not {front!r}"
            )
        upward, toward = np.eye(3)["xyz".index(up)], np.eye(3)["xyz".index(front[1])]
        toward = toward if front[0] == "+" else -toward
        return View(np.stack([np.cross(upward, toward), upward, toward]))

    def behind(self) -> View:
        """From the opposite side."""
        return View(self.axes * np.array([[-1.0], [1.0], [-1.0]]))


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


def side_by_side(parts: Sequence[tuple[str, str, Any, Tensor, View]], gap: float = 0.12) -> Scene:
    """Place meshes from left to right on one floor, each scaled to unit area so that none dwarfs another.

    Args:
        parts: of every mesh its argument name (for errors), label, the mesh, colours ``[V, 3]`` and view.
        gap: between neighbours, in units of sqrt(area).

    Raises:
        ValueError: a mesh without area, with vertices that are not finite or faces that name no vertex.
    """
    bodies, left = [], 0.0
    for argument, label, mesh, color, view in parts:
        surface = checked(argument, mesh)
        area = float(surface_area(surface))
        if not area > 0:
            raise ValueError(f"{argument}: there is no surface to draw, the area is {area:g}")
        pos = surface.pos.numpy() @ view.axes.T / math.sqrt(area)
        low, high = pos.min(0), pos.max(0)
        pos = pos - np.array([low[0] - left, low[1], (low[2] + high[2]) / 2])
        left += high[0] - low[0] + gap
        normal = vertex_normals(surface).numpy() @ view.axes.T
        bodies.append(Body(label, pos, surface.face.T.contiguous().numpy(), normal, color.numpy()))
    return Scene(bodies)


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
