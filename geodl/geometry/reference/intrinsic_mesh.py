"""A triangle mesh as a polyhedral metric: edge lengths, corner angles and who is glued to whom."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BOUNDARY", "NON_MANIFOLD", "SEAM", "IntrinsicMesh", "after", "before"]

# What lies on the other side of a halfedge when no face does.
BOUNDARY, NON_MANIFOLD, SEAM = -1, -2, -3
# A face that misses the strict triangle inequality by this much of the mean edge is degenerate: then every length grows by what is
# missing (Sharp & Crane 2020, section 4.5).
_SLACK = 1e-10

Reals = NDArray[np.float64]
Indices = NDArray[np.int64]


def after(h: int) -> int:
    """The next halfedge of its face."""
    return h - 2 if h % 3 == 2 else h + 1


def before(h: int) -> int:
    """The halfedge before it in its face."""
    return h + 2 if h % 3 == 0 else h - 1


class IntrinsicMesh:
    """Halfedge h = 3 f + k runs from corner k to corner k + 1 of face f.

    Its frame has the origin at its start, x along it and y into the face, whose third corner lies at (px, py). Lengths are in the
    unit of the mean edge. Everything that windows read is a list: Python's own numbers are faster than NumPy's, one at a time.

    Args:
        pos: ``[V, 3]``.
        face: ``[F, 3]``.
        cross_seams: whether paths cross the edges where a surface that cannot be oriented is torn.
    """

    def __init__(self, pos: Reals, face: Indices, cross_seams: bool) -> None:
        self.num_vertices = len(pos)
        corner = face.reshape(-1).copy()
        first = corner.reshape(-1, 3)
        skipped = (first == np.roll(first, -1, axis=1)).any(axis=1)
        self.used = np.repeat(~skipped, 3)
        self.topology: dict[str, int] = {"skipped_faces": int(skipped.sum())}
        self._count_components(corner)
        self._glue(corner, cross_seams)
        self._measure(pos, corner)
        self._order_fans(corner)

    def _count_components(self, corner: Indices) -> None:
        import scipy.sparse

        start, end = corner[self.used], np.roll(corner.reshape(-1, 3), -1, axis=1).ravel()[self.used]
        size = self.num_vertices
        joined = scipy.sparse.coo_array((np.ones(len(start)), (start, end)), shape=(size, size))
        components = scipy.sparse.csgraph.connected_components(joined, directed=False, return_labels=False)
        isolated = size - len(np.unique(start))
        self.topology |= {"isolated_vertices": isolated, "components": int(components) - isolated}

    def _glue(self, corner: Indices, cross_seams: bool) -> None:
        """Pairs the halfedges of every edge, turning faces where that makes the orientation consistent."""
        size = len(corner)
        end = np.roll(corner.reshape(-1, 3), -1, axis=1).ravel()
        halfedge = np.flatnonzero(self.used)
        key = np.minimum(corner, end)[halfedge] * self.num_vertices + np.maximum(corner, end)[halfedge]
        order = np.argsort(key, kind="stable")
        _, begin, count = np.unique(key[order], return_index=True, return_counts=True)
        twin = np.full(size, BOUNDARY)
        two = begin[count == 2]
        one, other = halfedge[order[two]], halfedge[order[two + 1]]
        twin[one], twin[other] = other, one
        crowded = np.repeat(count > 2, count)
        twin[halfedge[order[crowded]]] = NON_MANIFOLD
        self.topology |= {
            "boundary_edges": int((count == 1).sum()),
            "non_manifold_edges": int((count > 2).sum()),
        }

        same_way = corner == corner[np.maximum(twin, 0)]
        # Breadth first from the lowest face of every component, so its winding decides; what then disagrees is a seam.
        turned = [-1] * (size // 3)
        beyond, same = twin.tolist(), same_way.tolist()
        for seed in (halfedge[::3] // 3).tolist():
            if turned[seed] >= 0:
                continue
            turned[seed] = 0
            queue = [seed]
            for f in queue:
                for h in range(3 * f, 3 * f + 3):
                    g = beyond[h] // 3
                    if beyond[h] >= 0 and turned[g] < 0:
                        turned[g] = turned[f] ^ same[h]
                        queue.append(g)
        turn = np.repeat(np.array(turned, dtype=np.int64).reshape(-1), 3) == 1
        seam = (twin >= 0) & (same_way != (turn != turn[np.maximum(twin, 0)]))
        self.topology["seam_edges"] = int(seam.sum()) // 2
        flip = seam & cross_seams
        if not cross_seams:
            twin[seam] = SEAM
        # Turning (a, b, c) to (a, c, b) renames the halfedges: ab, bc, ca become ca, bc, ab read backwards.
        name = np.arange(size)
        renamed = np.where(turn, name - name % 3 + 2 - name % 3, name)
        self.twin, self.flip = np.empty_like(twin), np.empty_like(flip)
        self.twin[renamed] = np.where(twin < 0, twin, renamed[np.maximum(twin, 0)])
        self.flip[renamed] = flip
        faces = corner.reshape(-1, 3)
        faces[turn[::3]] = faces[turn[::3]][:, [0, 2, 1]]
        self.topology["turned_faces"] = int(turn[::3].sum())

    def _measure(self, pos: Reals, corner: Indices) -> None:
        """Lengths in units of their mean, angles, and the third corner of every halfedge's face."""
        end = np.roll(corner.reshape(-1, 3), -1, axis=1).ravel()
        length = np.linalg.norm(pos[corner] - pos[end], axis=1) * self.used
        count = int(self.used.sum())
        self.unit = float(length.sum()) / count if count and length.sum() > 0 else 1.0
        length /= self.unit
        sides = length.reshape(-1, 3)
        longest = sides.max(axis=1, initial=0)
        slack = sides.sum(axis=1) - 2 * longest
        flat = self.used[::3] & ~(slack >= _SLACK * longest)
        self.topology["degenerate_faces"] = int(flat.sum())
        if flat.any():
            missing = float((_SLACK * np.maximum(longest, 1) - slack)[flat].max())
            length += max(missing, 0) * self.used
        b, a, c = length, np.roll(sides, -1, axis=1).ravel(), np.roll(sides, 1, axis=1).ravel()
        s = (a + b + c) / 2
        # Between sides b and c, opposite a; stable for needles (Kahan).
        across = np.sqrt(np.maximum((s - b) * (s - c), 0))
        angle = 2 * np.arctan2(across, np.sqrt(np.maximum(s * (s - a), 0))) * self.used
        self.longest = float(length.max(initial=0))
        self.corner, self.length, self.angle = corner.tolist(), length.tolist(), angle.tolist()
        self.px, self.py = (c * np.cos(angle)).tolist(), (c * np.sin(angle)).tolist()

    def _order_fans(self, corner: Indices) -> None:
        """Walks around every vertex: the order of its corners and their angles."""
        size = self.num_vertices
        twin, flip = self.twin.tolist(), self.flip.tolist()
        self.twin, self.flip = twin, flip
        leaving: list[list[int]] = [[] for _ in range(size)]
        for h in np.flatnonzero(self.used).tolist():
            leaving[self.corner[h]].append(h)
        self.borders = [0] * size
        for h in np.flatnonzero(self.used).tolist():
            if twin[h] < 0:
                self.borders[self.corner[h]] |= 1 << -twin[h]
                self.borders[self.corner[after(h)]] |= 1 << -twin[h]
        self.fan = [0.0] * len(corner)
        self.fans: list[list[int]] = [[] for _ in range(size)]
        self.total, self.scale, self.reference = [0.0] * size, [1.0] * size, [0.0] * size
        self.open, self.bends, self.unordered = [False] * size, [False] * size, [False] * size
        seen = [False] * len(corner)

        def clockwise(h: int) -> int:
            return -1 if twin[h] < 0 or flip[h] else after(twin[h])

        def counter_clockwise(h: int) -> int:
            return -1 if twin[before(h)] < 0 or flip[before(h)] else twin[before(h)]

        for v in range(size):
            fans, total = 0, 0.0
            for begin in leaving[v]:
                if seen[begin]:
                    continue
                fans += 1
                first, h = begin, clockwise(begin)
                while h >= 0:
                    first = h
                    h = -1 if h == begin else clockwise(h)
                h, closed = first, False
                while h >= 0 and not closed:
                    seen[h] = True
                    self.fans[v].append(h)
                    self.fan[h] = total
                    total += self.angle[h]
                    self.unordered[v] |= flip[h] or flip[before(h)]
                    h = counter_clockwise(h)
                    closed = h >= 0 and seen[h]
                self.open[v] |= not closed
            self.open[v] |= fans > 1
            self.unordered[v] |= fans > 1
            self.total[v] = total
            if total > 0 and (not self.open[v] or total > 2 * math.pi):
                self.scale[v] = 2 * math.pi / total
            self.bends[v] = self.open[v] or total > 2 * math.pi * (1 + 1e-13)
            self.topology["non_manifold_vertices"] = self.topology.get("non_manifold_vertices", 0) + (
                fans > 1
            )

    def refer_to(self, pos: Reals, frames: Reals) -> None:
        """Tangent angles count from the first axis of ``frames [V, 3, 3]``: the turn that is best on average over the edges."""
        h = np.flatnonzero(self.used)
        corner, fan, angle = np.array(self.corner), np.array(self.fan), np.array(self.angle)
        scale = np.array(self.scale)
        turn = np.zeros((self.num_vertices, 2))
        start, n = corner[h], h - h % 3 + (h + 1) % 3
        for end, fan_angle in ((corner[n], fan[h]), (corner[h - h % 3 + (h + 2) % 3], fan[h] + angle[h])):
            edge = pos[end] - pos[start]
            length = np.linalg.norm(edge, axis=1)
            edge = edge / np.where(length > 0, length, 1)[:, None]
            along, across = np.einsum("hk,hak->ah", edge, frames[start][:, :2])
            turned = scale[start] * fan_angle
            c, s = np.cos(turned), np.sin(turned)
            np.add.at(
                turn, start, angle[h][:, None] * np.stack([c * along + s * across, s * along - c * across], 1)
            )
        self.reference = (np.arctan2(turn[:, 1], turn[:, 0]) / scale).tolist()

    def tangent(self, v: int, fan_angle: float) -> float:
        """Angle in the rescaled tangent plane of v of a direction given by its fan angle."""
        return (fan_angle - self.reference[v]) * self.scale[v]

    def described(self) -> dict[str, Any]:
        return {"non_manifold_vertices": 0} | self.topology
