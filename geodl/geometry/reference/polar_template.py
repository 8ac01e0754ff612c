"""Where the points of a polar template lie in the triangles of every chart."""

from __future__ import annotations

import numpy as np

from geodl.geometry.reference.intrinsic_mesh import Indices, IntrinsicMesh, Reals, after, before

__all__ = ["polar_template"]

# Polar coordinates tear the surface along the cut locus: a face across the tear is drawn with edges far too long, or upside down.
_STRETCH = 2
# Corners beyond the same bend share their theta, so a face can be drawn flat; one flatter than this holds nothing but rounding.
_FLAT = 1e-7
# Barycentric weights down to -_INSIDE count as inside, so that no point falls between two faces.
_INSIDE = 1e-9


def polar_template(
    pos: Reals, face: Indices, rowptr: Indices, col: Indices, coords: Reals, radius: Reals,
    rings: int, rays: int, threads: int,
) -> tuple[Indices, Reals, Indices]:  # fmt: skip
    """Three (vertex, weight) entries for each template point of every chart, flat; and how many points lie in a triangle."""
    mesh = IntrinsicMesh(pos, face, False)
    polar = np.asarray(coords).reshape(-1, 2)
    drawn = (polar[:, :1] / mesh.unit) * np.stack([np.cos(polar[:, 1]), np.sin(polar[:, 1])], 1)
    turn = 2 * np.pi * np.arange(rays) / rays
    rim = np.stack([np.cos(turn), np.sin(turn)], 1)
    count = len(rowptr) - 1
    vertex = np.empty((count, rings * rays, 3), dtype=np.int64)
    weight = np.zeros((count, rings * rays, 3))
    inside = np.zeros(count, dtype=np.int64)
    for i in range(count):
        row = slice(rowptr[i], rowptr[i + 1])
        ring = np.arange(1, rings + 1) / rings * radius[i] / mesh.unit
        points = (ring[:, None, None] * rim).reshape(-1, 2)
        here = dict(zip(col[row].tolist(), drawn[row], strict=True))
        faces = _faces(mesh, here)
        _locate(mesh, here, faces, points, i, vertex[i], weight[i], inside[i : i + 1])
    return vertex.reshape(-1), weight.clip(0, 1).reshape(-1), inside


def _faces(mesh: IntrinsicMesh, here: dict[int, Reals]) -> list[int]:
    """The faces that the chart draws, each as the halfedge at its lowest corner."""
    found = []
    for v in here:
        for h in mesh.fans[v]:
            n, p = after(h), before(h)
            a, b = mesh.corner[n], mesh.corner[p]
            if v > a or v > b or a not in here or b not in here:
                continue
            ends = here[v], here[a], here[b]
            sides = [float(np.linalg.norm(ends[k] - ends[k - 2])) for k in range(3)]
            lengths = mesh.length[h], mesh.length[n], mesh.length[p]
            if not _cross(*ends) > _FLAT * max(sides) ** 2:
                continue
            if all(side <= _STRETCH * length for side, length in zip(sides, lengths, strict=True)):
                found.append(h)
    return found


def _locate(
    mesh: IntrinsicMesh, here: dict[int, Reals], faces: list[int], points: Reals, centre: int,
    vertex: Indices, weight: Reals, inside: Indices,
) -> None:  # fmt: skip
    """In the triangle whose farthest corner is nearest; outside of all, at the nearest point of what is drawn."""
    rank = np.full(len(points), np.inf)
    vertex[:], weight[:] = centre, (1, 0, 0)
    for h in faces:
        corners = [mesh.corner[h], mesh.corner[after(h)], mesh.corner[before(h)]]
        p, q, s = (here[v] for v in corners)
        farthest = max(float(np.linalg.norm(x)) for x in (p, q, s))
        area = _cross(p, q, s)
        u = _cross(points, q, s) / area
        w = _cross(p, points, s) / area
        shares = np.stack([u, w, 1 - u - w], 1)
        better = (shares >= -_INSIDE).all(axis=1) & (farthest < rank)
        better &= np.linalg.norm(points, axis=1) <= farthest * (1 + _INSIDE)
        rank[better], vertex[better], weight[better] = farthest, corners, shares[better]
    outside = np.flatnonzero(np.isinf(rank))
    inside[:] = len(points) - len(outside)
    if not len(outside):
        return
    lost = points[outside]
    for v, x in here.items():
        far = ((x - lost) ** 2).sum(axis=1)
        better = outside[far < rank[outside]]
        rank[better], vertex[better], weight[better] = far[far < rank[outside]], v, (1, 0, 0)
    covered = {h // 3 for h in faces}
    for first in faces:
        for h in (first, after(first), before(first)):
            if mesh.twin[h] >= 0 and mesh.twin[h] // 3 in covered:
                continue  # not on the rim
            a, b = mesh.corner[h], mesh.corner[after(h)]
            edge = here[b] - here[a]
            along = (lost - here[a]) @ edge / (edge @ edge)
            far = ((here[a] + along[:, None] * edge - lost) ** 2).sum(axis=1)
            nearer = (along > 0) & (along < 1) & (far < rank[outside])
            better = outside[nearer]
            rank[better], vertex[better] = far[nearer], (a, b, b)
            weight[better] = np.stack([1 - along[nearer], along[nearer], 0 * along[nearer]], 1)


def _cross(o: Reals, a: Reals, b: Reals) -> Reals:
    a, b = a - o, b - o
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
