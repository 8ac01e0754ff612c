"""Shapes as the zero sets of smooth unions: creatures of limbs, furniture of boards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from geodl.datasets.surface_net import surface_net

Points = NDArray[np.float64]
Distance = Callable[[Points], Points]


def creature(random: Generator) -> tuple[list[Distance], float]:
    """A trunk of a few balls in a row, from which limbs of two bones, a neck and a tail grow, and how far their unions blend."""
    joints = np.cumsum(random.normal(0, 0.12, (4, 3)) + [0.42, 0, 0], axis=0)
    thick = random.uniform(0.18, 0.45, 4)
    parts = [_limb(joints[k], joints[k + 1], thick[k], thick[k + 1]) for k in range(3)]
    for _ in range(random.integers(5, 13)):
        at = int(random.integers(4))
        turn = random.normal(size=3)
        turn /= np.linalg.norm(turn)
        start = joints[at] + 0.6 * thick[at] * turn
        radius = thick[at] * random.uniform(0.25, 0.6)
        for _ in range(random.integers(2, 5)):
            end = start + random.uniform(0.3, 0.8) * turn
            after = radius * random.uniform(0.6, 1.1)
            parts.append(_limb(start, end, radius, after))
            start, radius = end, after
            turn = turn + random.normal(0, 0.9, 3)
            turn /= np.linalg.norm(turn)
    return parts, random.uniform(0.02, 0.06)


def furniture(random: Generator) -> tuple[list[Distance], float]:
    """A chair, a table, a shelf or a heap of boxes, turned any way, and how far their unions blend."""
    made = [_chair, _table, _shelf, _heap][int(random.integers(4))](random)
    rotation = Rotation.random(random_state=random).as_matrix()
    return [_board(low, high, rotation) for low, high in made], random.uniform(0.01, 0.03)


def implicit_mesh(
    parts: Sequence[Distance], blend: float, num_vertices: int, random: Generator
) -> tuple[Points, NDArray[np.int64]]:
    """Vertices and faces of the zero set of :math:`-b \\log \\sum_k e^{-d_k / b}`, about as many vertices as asked for."""
    low, high = _extent(parts, blend)
    rotation = Rotation.random(random_state=random).as_matrix()
    cell = float((high - low).max()) / 16
    coarse, _ = surface_net(lambda points: _union(parts, blend, points), low, high, cell, rotation, relax=0)
    cell *= np.sqrt(len(coarse) / num_vertices)
    return surface_net(lambda points: _union(parts, blend, points), low, high, cell, rotation)


def _union(parts: Sequence[Distance], blend: float, points: Points) -> tuple[Points, Points]:
    step = 1e-4

    def value(at: Points) -> Points:
        scaled = np.stack([part(at) for part in parts]) / -blend
        most = scaled.max(axis=0)
        found: Points = -blend * (most + np.log(np.exp(scaled - most).sum(axis=0)))
        return found

    offsets = step * np.eye(3)
    slope = np.stack([(value(points + e) - value(points - e)) / (2 * step) for e in offsets], axis=1)
    # Where distances cancel there is no direction: the surface is not there.
    return value(points), slope + 1e-9


def _extent(parts: Sequence[Distance], blend: float) -> tuple[Points, Points]:
    ticks = np.linspace(-4, 4, 49)
    grid = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = grid[np.stack([part(grid) for part in parts]).min(axis=0) < 0.2]
    margin = 0.2 + 4 * blend
    return inside.min(axis=0) - margin, inside.max(axis=0) + margin


def _limb(start: Points, end: Points, radius: float, after: float) -> Distance:
    def distance(points: Points) -> Points:
        along = end - start
        share = np.clip((points - start) @ along / (along @ along), 0, 1)
        apart = np.linalg.norm(points - start - share[:, None] * along, axis=1)
        found: Points = apart - (radius + share * (after - radius))
        return found

    return distance


def _board(low: Points, high: Points, rotation: Points) -> Distance:
    middle, half = (low + high) / 2, (high - low) / 2
    rounding = 0.3 * half.min()

    def distance(points: Points) -> Points:
        q = np.abs(points @ rotation.T - middle) - half + rounding
        outside = np.linalg.norm(np.maximum(q, 0), axis=1)
        found: Points = outside + np.minimum(q.max(axis=1), 0) - rounding
        return found

    return distance


Boards = list[tuple[Points, Points]]


def _boxes(*corners: tuple[Sequence[float], Sequence[float]]) -> Boards:
    return [(np.asarray(low, float), np.asarray(high, float)) for low, high in corners]


def _legs(width: float, depth: float, height: float, thick: float) -> Boards:
    places = [(x, y) for x in (0.0, width - thick) for y in (0.0, depth - thick)]
    return _boxes(*(((x, y, 0), (x + thick, y + thick, height)) for x, y in places))


def _chair(random: Generator) -> Boards:
    width, depth, seat = random.uniform(0.8, 1.2), random.uniform(0.8, 1.2), random.uniform(0.6, 1.0)
    thick, back = random.uniform(0.14, 0.2), random.uniform(0.7, 1.2)
    boards = _legs(width, depth, seat + 0.05, thick)
    boards += _boxes(((0, 0, seat), (width, depth, seat + thick)))
    boards += _boxes(((0, 0, seat), (thick, depth, seat + back)))
    if random.random() < 0.5:
        arm = seat + random.uniform(0.35, 0.5)
        for y in (0.0, depth - thick):
            boards += _boxes(((0, y, arm), (width, y + thick, arm + thick)))
            boards += _boxes(((width - thick, y, seat), (width, y + thick, arm + thick)))
    return boards


def _table(random: Generator) -> Boards:
    width, depth, height = random.uniform(1.2, 2), random.uniform(0.8, 1.4), random.uniform(0.6, 1.1)
    thick = random.uniform(0.14, 0.22)
    boards = [
        *_legs(width, depth, height + 0.05, thick),
        *_boxes(((0, 0, height), (width, depth, height + thick))),
    ]
    if random.random() < 0.5:
        lower = height * random.uniform(0.2, 0.5)
        boards += _boxes(((0, 0, lower), (width, depth, lower + thick)))
    return boards


def _shelf(random: Generator) -> Boards:
    width, depth, height = random.uniform(0.8, 1.6), random.uniform(0.3, 0.7), random.uniform(1, 2)
    thick = random.uniform(0.1, 0.16)
    boards = _boxes(((0, 0, 0), (thick, depth, height)), ((width - thick, 0, 0), (width, depth, height)))
    for z in np.linspace(0, height - thick, int(random.integers(2, 6))):
        boards += _boxes(((0, 0, z), (width, depth, z + thick)))
    if random.random() < 0.6:
        boards += _boxes(((0, 0, 0), (width, thick, height)))
    return boards


def _heap(random: Generator) -> Boards:
    boards = _boxes(((-0.9, -0.9, -0.2), (0.9, 0.9, 0.0)))
    for _ in range(random.integers(3, 8)):
        size, at = random.uniform(0.2, 0.7, 3), random.uniform(-0.8, 0.5, 2)
        boards += _boxes(((at[0], at[1], -0.1), (at[0] + size[0], at[1] + size[1], 1.5 * size[2])))
    return boards
