"""Surface nets: a triangle mesh of the zero set of a function, with one vertex in every cell that it crosses."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

Points = NDArray[np.float64]
Field = Callable[[Points], tuple[Points, Points]]


def surface_net(
    field: Field, low: Points, high: Points, cell: float, rotation: Points, relax: int = 10
) -> tuple[Points, NDArray[np.int64]]:
    r"""Mesh of the surface :math:`\{x : f(x) = 0\}`, f negative inside.

    One vertex lies in every cell of a grid that the surface crosses (Gibson 1998, "Constrained elastic
    surface nets"), and a quadrilateral is spanned across every grid edge that it cuts. Vertices are then
    relaxed towards the mean of their neighbours and drawn back to the surface by Newton steps, and the
    quadrilaterals are cut along their shorter diagonals.

    Args:
        field: gives f ``[n]`` and its gradient ``[n, 3]`` at points ``[n, 3]``, smooth near the surface.
        low: ``[3]`` and
        high: ``[3]``: corners of a box that holds the surface.
        cell: edge length of a grid cell, about that of the triangles.
        rotation: ``[3, 3]``: axes of the grid in its rows.
        relax: number of relaxation steps.

    Returns:
        Vertices ``[V, 3]`` and faces ``[F, 3]``, counter-clockwise seen from outside.
    """
    corners = np.array(list(product(*zip(low, high, strict=True)))) @ rotation.T
    start = corners.min(axis=0) - 1.5 * cell
    shape = np.ceil((corners.max(axis=0) + 1.5 * cell - start) / cell).astype(int) + 1
    ticks = [start[k] + cell * np.arange(shape[k]) for k in range(3)]
    grid = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid @ rotation
    boxed = ((grid >= low) & (grid <= high)).all(axis=1)
    values = np.ones(len(grid))
    values[boxed] = field(grid[boxed])[0]
    values = _well_composed(values.reshape(shape), 0.01 * cell)
    inside = values < 0

    number, vertices = _cell_vertices(values, inside, start, cell)
    quads = _quads(inside, number)
    vertices = vertices @ rotation

    edges = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
    neighbors = _adjacency(np.concatenate([edges, edges[:, ::-1]]), len(vertices))
    degree = neighbors.sum(axis=1)[:, None]
    for step in range(relax + 5):
        value, normal = field(vertices)
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        normal = normal / length
        # Newton's step along the normal, none longer than half a cell.
        vertices = vertices - np.clip(value[:, None] / length, -cell / 2, cell / 2) * normal
        if 2 <= step < relax + 2:
            move = neighbors @ vertices / degree - vertices
            vertices = vertices + 0.6 * (move - (move * normal).sum(axis=1, keepdims=True) * normal)
    first = np.linalg.norm(vertices[quads[:, 0]] - vertices[quads[:, 2]], axis=1)
    second = np.linalg.norm(vertices[quads[:, 1]] - vertices[quads[:, 3]], axis=1)
    turned = np.where((first <= second)[:, None], quads, np.roll(quads, -1, axis=1))
    return vertices, np.concatenate([turned[:, [0, 1, 2]], turned[:, [0, 2, 3]]])


def is_sphere(faces: NDArray[np.int64], num_vertices: int) -> bool:
    """Whether the faces form one closed, consistently oriented surface of genus 0."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    keys, back = edges @ (num_vertices, 1), edges @ (1, num_vertices)
    if len(np.unique(keys)) < len(keys) or not np.isin(back, keys).all():
        return False
    components, _ = connected_components(_adjacency(edges, num_vertices), directed=False)
    return bool(components == 1 and num_vertices - len(edges) // 2 + len(faces) == 2)


def _adjacency(edges: NDArray[np.int64], num_vertices: int) -> csr_array:
    ones = np.ones(len(edges))
    matrix = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(num_vertices, num_vertices)).tocsr()
    matrix.data[:] = 1.0
    return matrix


def _well_composed(values: Points, fill: float) -> Points:
    """Fills corners of the grid until insides nowhere touch in a mere edge or corner.

    One vertex a cell is a manifold if and only if the inside is well-composed (Latecki 1997, "3D well-composed
    pictures"): no square has just its diagonal inside, and no cube just two opposite corners in or out.
    """
    values = values.copy()
    while True:
        critical = []
        for axis in range(3):
            u, v = np.eye(3, dtype=int)[(axis + 1) % 3], np.eye(3, dtype=int)[(axis + 2) % 3]
            square = np.stack([np.zeros(3, dtype=int), u, u + v, v])
            inside = np.stack([_shifted(values, corner, u + v) < 0 for corner in square])
            diagonal = (inside[0] == inside[2]) & (inside[1] == inside[3]) & (inside[0] != inside[1])
            critical.append(np.argwhere(diagonal)[:, None] + square)
        cube = np.array(list(product((0, 1), repeat=3)))
        inside = np.stack([_shifted(values, corner, np.ones(3, dtype=int)) < 0 for corner in cube])
        opposite = np.zeros(inside.shape[1:], dtype=bool)
        for k in range(4):
            pair = (inside[k] == inside[7 - k]) & ((inside != inside[k]).sum(axis=0) == 6)
            opposite |= pair
        critical.append(np.argwhere(opposite)[:, None] + cube)
        if not any(len(corners) for corners in critical):
            return values
        for corners in critical:
            at = values[tuple(np.moveaxis(corners, -1, 0))]
            # The outside corner nearest to the surface.
            chosen = np.where(at < 0, np.inf, at).argmin(axis=1)
            values[tuple(corners[np.arange(len(corners)), chosen].T)] = -fill


def _shifted(values: Points, corner: NDArray[np.int64], reach: NDArray[np.int64]) -> Points:
    return values[tuple(slice(c, n - r + c) for c, r, n in zip(corner, reach, values.shape, strict=True))]


def _cell_vertices(
    values: Points, inside: NDArray[np.bool_], start: Points, cell: float
) -> tuple[NDArray[np.int64], Points]:
    """Number of every crossed cell (-1 elsewhere), and the mean of the points where its edges are cut."""
    around = np.stack([inside[_part(corner, inside.shape)] for corner in product((0, 1), repeat=3)])
    crossed = around.any(axis=0) & ~around.all(axis=0)
    cells = np.argwhere(crossed)
    number = np.full(crossed.shape, -1)
    number[crossed] = np.arange(len(cells))
    total, cuts = np.zeros((len(cells), 3)), np.zeros(len(cells))
    for axis in range(3):
        for corner in product((0, 1), repeat=3):
            if corner[axis]:
                continue
            a = cells + corner
            b = a + np.eye(3, dtype=int)[axis]
            at, to = values[tuple(a.T)], values[tuple(b.T)]
            cut = (at < 0) != (to < 0)
            point = a.astype(float)
            point[:, axis] += np.where(cut, at / np.where(cut, at - to, 1.0), 0.0)
            total += np.where(cut[:, None], point, 0.0)
            cuts += cut
    return number, start + cell * total / cuts[:, None]


def _part(corner: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(c, n - 1 + c) for c, n in zip(corner, shape, strict=True))


def _quads(inside: NDArray[np.bool_], number: NDArray[np.int64]) -> NDArray[np.int64]:
    """The four cells around every grid edge that the surface cuts, in the order that faces outwards."""
    quads = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        ahead = np.roll(inside, -1, axis=axis)
        edges = np.argwhere(inside != ahead)
        edges = edges[edges[:, axis] < inside.shape[axis] - 1]
        around = []
        for du, dv in ((-1, -1), (0, -1), (0, 0), (-1, 0)):
            at = edges.copy()
            at[:, u] += du
            at[:, v] += dv
            around.append(number[tuple(at.T)])
        ring = np.stack(around, axis=1)
        outwards = inside[tuple(edges.T)]
        quads.append(np.where(outwards[:, None], ring, ring[:, ::-1]))
    return np.concatenate(quads)
