"""Meshes with a known geometry, and the tangent frames of vertices found without the library."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import trimesh
from numpy.typing import NDArray
from scipy.spatial import Delaunay
from torch import Tensor


@dataclass
class Shape:
    pos: Tensor
    face: Tensor

    @property
    def size(self) -> int:
        return self.pos.shape[0]

    def with_pos(self, pos: Tensor) -> Shape:
        return replace(self, pos=pos)


def shape(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> Shape:
    return Shape(
        torch.from_numpy(np.asarray(vertices, dtype=np.float64)),
        torch.from_numpy(np.asarray(faces).T.astype(np.int64)),
    )


def flat_grid(n: int = 9) -> Shape:
    """[0, 1]^2 in the plane z = 0, n x n vertices, every square cut along the same diagonal."""
    x, y = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="ij")
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).reshape(-1)
    lower = np.stack([corner, corner + n, corner + n + 1], axis=1)
    upper = np.stack([corner, corner + n + 1, corner + 1], axis=1)
    return shape(
        np.stack([x.reshape(-1), y.reshape(-1), np.zeros(n * n)], axis=1), np.concatenate([lower, upper])
    )


def flat_random(n: int = 120, stretch: float = 1, seed: int = 0) -> Shape:
    """[0, stretch] x [0, 1], Delaunay triangles of random points before stretching: obtuse ones where stretch is not 1."""
    rng = np.random.default_rng(seed)
    side = np.linspace(0, 1, 6)
    border = np.concatenate([np.stack([side, 0 * side + s], axis=1) for s in (0, 1)])
    border = np.unique(np.concatenate([border, border[:, ::-1]]), axis=0)
    points = np.concatenate([border, rng.uniform(0.02, 0.98, (n, 2))])
    points = points[rng.permutation(len(points))]
    faces = Delaunay(points).simplices.astype(np.int64)
    a, b, c = (points[faces[:, k]] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    faces = faces[np.abs(area) > 1e-12]
    area = area[np.abs(area) > 1e-12]
    faces[area < 0] = faces[area < 0][:, ::-1]
    return shape(np.column_stack([points[:, 0] * stretch, points[:, 1], np.zeros(len(points))]), faces)


def flat_corner(n: int = 5) -> Shape:
    """The L of three unit squares around the reflex corner (0, 0): [-1, 1]^2 without x > 0, y < 0."""
    grid = flat_grid(2 * n + 1)
    pos = grid.pos * 2 - torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    centre = pos[grid.face].mean(dim=0)
    face = grid.face[:, ~((centre[:, 0] > 0) & (centre[:, 1] < 0))]
    used, face = torch.unique(face, return_inverse=True)
    return Shape(pos[used], face)


def prism(sides: int = 12, rings: int = 7) -> Shape:
    """The lateral surface of a prism over a regular polygon of side 1, axis z, height rings - 1: flat, but closed around."""
    angle = 2 * np.pi * np.arange(sides) / sides
    radius = 0.5 / np.sin(np.pi / sides)
    z, a = np.meshgrid(np.arange(rings, dtype=float), angle, indexing="ij")
    vertices = np.stack(
        [radius * np.cos(a).reshape(-1), radius * np.sin(a).reshape(-1), z.reshape(-1)], axis=1
    )
    ring, side = (
        grid.reshape(-1) for grid in np.meshgrid(np.arange(rings - 1), np.arange(sides), indexing="ij")
    )
    here, there = ring * sides + side, ring * sides + (side + 1) % sides
    faces = np.concatenate(
        [
            np.stack([here, there, there + sides], axis=1),
            np.stack([here, there + sides, here + sides], axis=1),
        ]
    )
    return shape(vertices, faces)


def icosphere(subdivisions: int = 3) -> Shape:
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    return shape(np.array(ball.vertices), np.array(ball.faces))


def bumpy(subdivisions: int = 3, seed: int = 0) -> Shape:
    """A closed surface with hills and saddles, its vertices in random order."""
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    x, y, z = np.array(ball.vertices).T
    radius = 1 + 0.25 * np.sin(3 * x + 1) * np.cos(4 * y + 0.7) + 0.15 * np.sin(5 * z + 2 * x)
    order = np.random.default_rng(seed).permutation(len(x))
    place = np.argsort(order)
    return shape(
        (np.stack([1.4 * x, y, 0.8 * z], axis=1) * radius[:, None])[order], place[np.array(ball.faces)]
    )


def moebius(n: int = 24) -> Shape:
    """A band of n quads, one wide, closed with a half turn."""
    t = 2 * np.pi * np.arange(n) / n
    rim = [
        np.stack(
            [(1 + s * np.cos(t / 2)) * np.cos(t), (1 + s * np.cos(t / 2)) * np.sin(t), s * np.sin(t / 2)],
            axis=1,
        )
        for s in (-0.3, 0.3)
    ]
    vertices = np.concatenate(rim)
    faces = []
    for k in range(n):
        a, b = k, k + n
        c, d = (k + 1, k + 1 + n) if k + 1 < n else (n, 0)
        faces += [[a, c, b], [b, c, d]]
    return shape(vertices, np.array(faces))


def book(pages: int = 3, n: int = 4) -> Shape:
    """Flat unit squares that share one edge, the z axis: with three pages or more it is not a manifold."""
    parts, faces = [], []
    for page in range(pages):
        grid = flat_grid(n)
        turn = 2 * math.pi * page / pages
        x, z = grid.pos[:, 0].numpy(), grid.pos[:, 1].numpy()
        parts.append(np.stack([x * math.cos(turn), x * math.sin(turn), z], axis=1))
        faces.append(grid.face.T.numpy() + page * n * n)
    vertices, inverse = np.unique(np.concatenate(parts).round(12), axis=0, return_inverse=True)
    return shape(vertices, inverse.reshape(-1)[np.concatenate(faces)])


def join(*parts: Shape) -> Shape:
    """The parts side by side, as components."""
    start = np.cumsum([0, *(part.size for part in parts)])
    return Shape(
        torch.cat([part.pos for part in parts]),
        torch.cat([part.face + int(s) for part, s in zip(parts, start, strict=False)], dim=1),
    )


def lowest_neighbour(mesh: Shape) -> Tensor:
    """For every vertex its lowest-numbered neighbour, to which theta = 0 points."""
    a, b, c = mesh.face
    start, end = torch.cat([a, b, c, b, c, a]), torch.cat([b, c, a, a, b, c])
    return torch.full((mesh.size,), mesh.size).scatter_reduce(0, start, end, "amin")


def wrap(angle: Tensor) -> Tensor:
    """To [-pi, pi)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def fan_angle(mesh: Shape, v: int, direction: NDArray[np.float64]) -> float:
    """Angle in [0, 2 pi) of a direction tangent to one of the faces around the interior vertex v, by walking from its reference."""
    pos, faces = mesh.pos.numpy(), mesh.face.T.numpy()
    after = {}
    for corner in faces[(faces == v).any(axis=1)]:
        k = int(np.flatnonzero(corner == v)[0])
        after[int(corner[(k + 1) % 3])] = int(corner[(k + 2) % 3])
    start = min(after)
    total, found, at = 0.0, None, start
    best = math.inf
    while True:
        u, w = pos[at] - pos[v], pos[after[at]] - pos[v]
        corner_angle = math.acos(np.clip(u @ w / np.linalg.norm(u) / np.linalg.norm(w), -1, 1))
        weights, *_ = np.linalg.lstsq(np.stack([u, w], axis=1), direction, rcond=None)
        off = np.linalg.norm(weights @ np.stack([u, w]) - direction) / np.linalg.norm(direction)
        off += max(0.0, -weights.min() * np.linalg.norm(u) / np.linalg.norm(direction))
        if off < best:
            best = off
            found = total + math.acos(
                np.clip(u @ direction / np.linalg.norm(u) / np.linalg.norm(direction), -1, 1)
            )
        total += corner_angle
        at = after[at]
        if at == start:
            break
    assert found is not None and best < 1e-6
    return found * 2 * math.pi / total % (2 * math.pi)
