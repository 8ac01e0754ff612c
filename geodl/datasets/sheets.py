"""Surfaces made of sheets: grids of points ``[n, m, 3]``, whose cells are cut into triangles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Sheet = NDArray[np.float64]


def mesh_of(sheets: Sequence[Sheet]) -> tuple[Points, NDArray[np.int64]]:
    """Vertices ``[V, 3]`` and faces ``[F, 3]`` of all sheets, which share no vertex."""
    vertices, faces, first = [], [], 0
    for sheet in sheets:
        n, m, _ = sheet.shape
        number = first + np.arange(n * m).reshape(n, m)
        a, b, c, d = (
            corner.ravel() for corner in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:])
        )
        faces += [np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]
        vertices.append(sheet.reshape(-1, 3))
        first += n * m
    return np.concatenate(vertices), np.concatenate(faces)


def superquadric(
    exponents: Sequence[float] | Points, axes: Sequence[float] | Points, resolution: int = 32
) -> Sheet:
    """Superellipsoid: powers of cosines and sines that keep their sign (Barr 1981)."""
    u, v = np.meshgrid(
        np.linspace(-np.pi / 2, np.pi / 2, resolution),
        np.linspace(-np.pi, np.pi, 2 * resolution),
        indexing="ij",
    )

    def power(t: Points, e: float) -> Points:
        return np.sign(t) * np.abs(t) ** e

    e, f = exponents
    across = power(np.cos(u), e)
    ball = [across * power(np.cos(v), f), across * power(np.sin(v), f), power(np.sin(u), e)]
    sheet: Sheet = np.stack(ball, axis=-1) * np.asarray(axes)
    return sheet


def lathe(profile: Points, resolution: int = 40) -> Sheet:
    """A curve ``[n, 2]`` of radius and height, turned about z."""
    angle = np.linspace(0, 2 * np.pi, resolution + 1)
    radius, height = profile[:, 0, None], profile[:, 1, None]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height + 0 * angle], axis=-1)


def tube(curve: Points, radius: float, resolution: int = 12) -> Sheet:
    """A round tube about a curve ``[n, 3]``, in a frame that is carried along it with as little turning as may be."""
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent[0], np.eye(3)[np.abs(tangent[0]).argmin()])
    sides = []
    for t in tangent:
        side = side - (side @ t) * t
        side = side / np.linalg.norm(side)
        sides.append(side)
    first = np.stack(sides)
    second = np.cross(tangent, first)
    angle = np.linspace(0, 2 * np.pi, resolution + 1)[:, None]
    around = np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None]
    sheet: Sheet = curve[:, None] + radius * around
    return sheet


def wall(outline: Points, low: float, high: float, resolution: int = 12) -> Sheet:
    """An outline ``[n, 2]`` in the plane, drawn upwards."""
    height = np.linspace(low, high, resolution)[:, None]
    flat = np.broadcast_to(outline, (resolution, *outline.shape))
    return np.concatenate([flat, np.broadcast_to(height[..., None], (*flat.shape[:2], 1))], axis=-1)


def cap(outer: Points, inner: Points, height: float, resolution: int = 6) -> Sheet:
    """What lies between two outlines ``[n, 2]`` of as many points, flat."""
    share = np.linspace(0, 1, resolution)[:, None, None]
    flat = (1 - share) * outer + share * inner
    return np.concatenate([flat, np.full((*flat.shape[:2], 1), height)], axis=-1)


def box(low: Sequence[float], high: Sequence[float], resolution: int = 7) -> list[Sheet]:
    """The six sides of a box."""
    steps = [np.linspace(a, b, resolution) for a, b in zip(low, high, strict=True)]
    sides = []
    for axis in range(3):
        i, j = (k for k in range(3) if k != axis)
        u, v = np.meshgrid(steps[i], steps[j], indexing="ij")
        for end in (low[axis], high[axis]):
            side = np.empty((resolution, resolution, 3))
            side[..., i], side[..., j], side[..., axis] = u, v, end
            sides.append(side)
    return sides
