"""Polygons become triangles that cover the same ground, convex or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Polygons", "triangulate"]

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class Polygons:
    """Polygons of any size: those of polygon p are ``corners[starts[p] : starts[p + 1]]``.

    Attributes:
        corners: ``[C]`` int64, vertices.
        starts: ``[P + 1]`` int64.
    """

    corners: NDArray[np.int64]
    starts: NDArray[np.int64]

    @staticmethod
    def of(rows: NDArray[Any]) -> Polygons:
        """Polygons of one size, ``[P, n]``."""
        count, size = rows.shape
        return Polygons(
            np.ascontiguousarray(rows, dtype=np.int64).reshape(-1),
            np.arange(count + 1, dtype=np.int64) * size,
        )

    @staticmethod
    def none() -> Polygons:
        return Polygons(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1


def triangulate(pos: NDArray[Any], polygons: Polygons) -> tuple[Ints, Ints]:
    """Triangles ``[F, 3]`` and the polygon ``[F]`` that each is of, in the order of the polygons.

    A convex polygon becomes the fan of its first corner. Of one that is not, the fan of the first corner that sees all others;
    where there is none, ears are cut off one by one, in the plane of its area vector (Meisters 1975, "Polygons have ears"). A
    polygon of fewer than three corners has no triangles.
    """
    sizes = np.diff(polygons.starts)
    if len(sizes) and (sizes == 3).all():
        return polygons.corners.reshape(-1, 3), np.arange(len(sizes))
    faces: list[Ints] = []
    owners: list[Ints] = []
    known = polygons.corners.size == 0 or (polygons.corners.min() >= 0 and polygons.corners.max() < len(pos))
    for size in np.unique(sizes[sizes >= 3]).tolist():
        which = np.flatnonzero(sizes == size)
        rows = polygons.corners[polygons.starts[which][:, None] + np.arange(size)]
        if size > 3 and known:
            rows = _turned(pos, rows)
        fans = np.stack([rows[:, :1].repeat(size - 2, 1), rows[:, 1:-1], rows[:, 2:]], axis=2)
        if size > 4 and known:
            for k in np.flatnonzero(~_convex_from_first(pos, rows)):
                fans[k] = _ears(pos, rows[k])
        faces.append(fans.reshape(-1, 3))
        owners.append(which.repeat(size - 2))
    if not faces:
        return np.zeros((0, 3), dtype=np.int64), np.zeros(0, dtype=np.int64)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(faces)[order], owner[order]


def _convex_from_first(pos: NDArray[Any], rows: Ints) -> NDArray[np.bool_]:
    """Whether no triangle of a polygon's fan is upside down, ``[P]``."""
    corners = pos[rows].astype(np.float64)
    corners = corners - corners[:, :1]
    doubled = np.cross(corners[:, 1:-1], corners[:, 2:])  # [P, n - 2, 3]
    normal = doubled.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):
        along = (doubled * normal).sum(axis=2)
        slack = 1e-9 * (normal**2).sum(axis=2)
        return np.asarray(~(along < -slack).any(axis=1))  # NaN is convex: nothing can be said


def _turned(pos: NDArray[Any], rows: Ints) -> Ints:
    """Polygons begun at a corner whose fan covers them, where the first one's does not and another's does."""
    good = _convex_from_first(pos, rows)
    if good.all():
        return rows
    rows = rows.copy()
    for shift in range(1, min(rows.shape[1], 16)):
        bad = np.flatnonzero(~good)
        if not len(bad):
            break
        other = np.roll(rows[bad], -shift, axis=1)
        works = _convex_from_first(pos, other)
        rows[bad[works]] = other[works]
        good[bad[works]] = True
    return rows


def _ears(pos: NDArray[Any], row: Ints) -> Ints:
    corners = pos[row].astype(np.float64)
    corners = corners - corners.mean(axis=0)
    normal = np.cross(corners, np.roll(corners, -1, axis=0)).sum(axis=0)
    axis = int(np.abs(normal).argmax())
    flat = corners[:, [(axis + 1) % 3, (axis + 2) % 3]]
    if _area(flat) < 0:
        flat = flat[:, ::-1]  # counter-clockwise
    left = list(range(len(row)))
    found: list[tuple[int, int, int]] = []
    while len(left) > 3:
        at = _ear(flat[left])
        before, after = left[at - 1], left[(at + 1) % len(left)]
        found.append((before, left[at], after))
        del left[at]
    found.append((left[0], left[1], left[2]))
    triangles: NDArray[np.int64] = row[np.array(found)]
    return triangles


def _area(flat: Reals) -> float:
    x, y = flat.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def _ear(flat: Reals) -> int:
    """The corner to cut off: convex, with no other corner in its triangle; the most convex one where none is."""
    before, after = np.roll(flat, 1, axis=0), np.roll(flat, -1, axis=0)
    turn = _turn(before, flat, after)
    convex = np.flatnonzero(turn > 0)
    reflex = np.flatnonzero(turn <= 0)
    inside = flat[reflex]
    for at in convex[np.argsort(-turn[convex], kind="stable")]:
        a, b, c = before[at], flat[at], after[at]
        held = (_turn(a, b, inside) >= 0) & (_turn(b, c, inside) >= 0) & (_turn(c, a, inside) >= 0)
        # Corners at the same place as one of its own are no obstacle: polygons with a cut have them.
        held &= ~((inside == a).all(1) | (inside == b).all(1) | (inside == c).all(1))
        if not held.any():
            return int(at)
    return int(turn.argmax()) if len(convex) else int(np.abs(turn).argmin())


def _turn(a: Reals, b: Reals, c: Reals) -> Reals:
    """Twice the area of the triangle a, b, c, positive where it turns left."""
    one, two = b - a, c - a
    return np.asarray(one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0])
