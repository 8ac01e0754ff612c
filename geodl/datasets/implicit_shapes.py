"""Shapes as the zero sets of smooth unions: creatures of limbs, furniture of boards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.transform import Rotation

from geodl.datasets.surface_net import surface_net

Points = NDArray[np.float64]


class Part(NamedTuple):
    """A signed distance, about, with its gradient: of points ``[n, 3]`` gives ``[n]`` and ``[n, 3]``; and the box that holds it."""

    distance: Callable[[Points], tuple[Points, Points]]
    low: Points
    high: Points


def creature(random: Generator) -> tuple[list[Part], float]:
    """A trunk of a few balls in a row, from which limbs of two bones, a neck and a tail grow, and how far their unions blend."""
    joints = np.cumsum(random.normal(0, 0.12, (4, 3)) + np.array([0.42, 0, 0]), axis=0)
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


def furniture(random: Generator) -> tuple[list[Part], float]:
    """A chair, a table, a shelf or a heap of boxes, turned any way, and how far their unions blend."""
    made = [_chair, _table, _shelf, _heap][int(random.integers(4))](random)
    rotation = Rotation.random(random_state=random).as_matrix()
    return [_board(low, high, rotation) for low, high in made], random.uniform(0.01, 0.03)


def implicit_mesh(
    parts: Sequence[Part], blend: float, num_vertices: int, random: Generator
) -> tuple[Points, NDArray[np.int64]]:
    """Vertices and faces of the zero set of :math:`-b \\log \\sum_k e^{-d_k / b}`, about as many vertices as asked for."""
    margin = 0.05 + 4 * blend
    low = np.min([part.low for part in parts], axis=0) - margin
    high = np.max([part.high for part in parts], axis=0) + margin
    rotation = Rotation.random(random_state=random).as_matrix()

    def union(points: Points) -> tuple[Points, Points]:
        found = [part.distance(points) for part in parts]
        scaled = np.stack([distance for distance, _ in found]) / -blend
        most = scaled.max(axis=0)
        share = np.exp(scaled - most)
        total = share.sum(axis=0)
        slope = sum(w[:, None] * gradient for w, (_, gradient) in zip(share / total, found, strict=True))
        # Where gradients cancel there is no direction: the surface is not there.
        return -blend * (most + np.log(total)), slope + 1e-9

    cell = float((high - low).max()) / 16
    coarse, _ = surface_net(union, low, high, cell, rotation, relax=0)
    return _largest(*surface_net(union, low, high, cell * np.sqrt(len(coarse) / num_vertices), rotation))


def _largest(vertices: Points, faces: NDArray[np.int64]) -> tuple[Points, NDArray[np.int64]]:
    """The component of the most vertices: others are bubbles between the parts."""
    size = len(vertices)
    joined = coo_array(
        (np.ones(faces.size), (faces.ravel(), np.roll(faces, -1, axis=1).ravel())), (size, size)
    )
    label = connected_components(joined, directed=False)[1]
    kept = label == np.bincount(label).argmax()
    return vertices[kept], (np.cumsum(kept) - 1)[faces[kept[faces[:, 0]]]]


def _limb(start: Points, end: Points, radius: float, after: float) -> Part:
    """A cone with round ends."""
    along = end - start
    length = along @ along

    def distance(points: Points) -> tuple[Points, Points]:
        share = np.clip((points - start) @ along / length, 0, 1)
        offset = points - start - share[:, None] * along
        apart = np.linalg.norm(offset, axis=1)
        return apart - (radius + share * (after - radius)), offset / np.maximum(apart, 1e-9)[:, None]

    reach = np.array([radius, after])[:, None]
    ends = np.stack([start, end])
    return Part(distance, (ends - reach).min(axis=0), (ends + reach).max(axis=0))


def _board(low: Points, high: Points, rotation: Points) -> Part:
    """A box with rounded edges, turned."""
    middle, half = (low + high) / 2, (high - low) / 2
    rounding = 0.3 * half.min()

    def distance(points: Points) -> tuple[Points, Points]:
        local = points @ rotation.T - middle
        q = np.abs(local) - half + rounding
        over = np.maximum(q, 0)
        outside = np.linalg.norm(over, axis=1)
        slope = np.where(
            (outside > 0)[:, None],
            over / np.maximum(outside, 1e-12)[:, None],
            q == q.max(axis=1, keepdims=True),
        )
        found = outside + np.minimum(q.max(axis=1), 0) - rounding
        return found, (np.sign(local) * slope) @ rotation

    corners = np.array(list(product(*zip(low, high, strict=True)))) @ rotation
    return Part(distance, corners.min(axis=0), corners.max(axis=0))


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
