"""Geodesic polar charts, distances of pairs, and angles of edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from geodl.geometry.reference.intrinsic_mesh import Indices, IntrinsicMesh, Reals, after, before
from geodl.geometry.reference.propagation import Propagation

__all__ = ["edge_angles", "geodesic_charts", "geodesic_distance", "oriented"]


def _wrap_positive(angle: float) -> float:
    wrapped = angle - 2 * math.pi * math.floor(angle / (2 * math.pi))
    return wrapped if wrapped < 2 * math.pi else 0.0


def _wrap_signed(angle: float) -> float:
    return angle - 2 * math.pi * math.ceil(angle / (2 * math.pi) - 0.5)


def _unbent(mesh: IntrinsicMesh, paths: Propagation, source: int) -> Any:
    """Follows the bends of the shortest path to v back to the source: theta of the first leg, and the transport over all."""
    known = {source: (0.0, 0.0)}

    def polar(v: int) -> tuple[float, float]:
        trail = []
        at = v
        while at not in known:
            trail.append(at)
            at = paths.visits[at].root
        for at in reversed(trail):
            visit = paths.visits[at]
            theta, transport = known[visit.root]
            out, back = mesh.tangent(visit.root, visit.departure), mesh.tangent(at, visit.arrival)
            first = _wrap_positive(out) if visit.root == source else theta
            known[at] = first, transport + out - back - math.pi
        return known[v]

    return polar


def geodesic_charts(
    pos: Reals, face: Indices, frames: Reals, sources: Indices, radius: Reals, size: int, threads: int
) -> tuple[Any, ...]:
    """Geodesic polar coordinates around `sources`, each within its `radius`; or if `size` is positive, of as many vertices."""
    mesh = IntrinsicMesh(pos, face, False)
    mesh.refer_to(pos, frames)
    paths = Propagation(mesh)
    counts, stopped = [0], [0] * 4
    col: list[int] = []
    coords: list[tuple[float, float]] = []
    transport: list[float] = []
    arrival: list[float] = []
    radii = np.array(radius, dtype=np.float64)
    for r, source in enumerate(sources.tolist()):
        if size > 0:
            paths.run(source, math.inf, nearest=size)
            bound = paths.reach(size)
            radii[r] = bound * mesh.unit
        else:
            bound = float(radius[r]) / mesh.unit
            paths.run(source, bound)
        within = bound * (1 + 1e-9)
        polar = _unbent(mesh, paths, source)
        row = sorted(v for v, visit in paths.visits.items() if visit.distance <= within)
        met = sum((paths.stopped_at[k] <= within) << k for k in range(1, 4))
        for v in row:
            visit, (theta, carried) = paths.visits[v], polar(v)
            coords.append((visit.distance * mesh.unit, theta))
            transport.append(_wrap_signed(carried))
            arrival.append(0.0 if v == source else _wrap_positive(mesh.tangent(v, visit.arrival)))
            met |= mesh.borders[v]
        col += row
        counts.append(len(row))
        stopped = [count + (met >> k & 1) for k, count in enumerate(stopped)]
    report = mesh.described() | {
        "charts_at_boundary": stopped[1],
        "charts_at_non_manifold_edge": stopped[2],
        "charts_at_seam": stopped[3],
        "windows": paths.windows,
    }
    return (
        np.cumsum(counts, dtype=np.int64), np.array(col, dtype=np.int64), np.array(coords, dtype=np.float64).reshape(-1),
        np.array(transport), np.array(arrival), radii, report,
    )  # fmt: skip


def geodesic_distance(
    pos: Reals, face: Indices, sources: Indices, ptr: Indices, targets: Indices, bound: float, threads: int
) -> Reals:
    """Distances of pairs, grouped: pairs ptr[g]..ptr[g + 1] all start at sources[g]."""
    mesh = IntrinsicMesh(pos, face, True)
    paths = Propagation(mesh)
    out: list[float] = []
    for source, begin, end in zip(sources.tolist(), ptr[:-1], ptr[1:], strict=True):
        wanted = targets[begin:end].tolist()
        paths.run(source, bound / mesh.unit, wanted)
        out += [paths.distance(v) for v in wanted]
    lengths = np.array(out)
    return np.where(lengths <= bound / mesh.unit * (1 + 1e-9), lengths * mesh.unit, math.inf)


def edge_angles(pos: Reals, face: Indices, frames: Reals) -> tuple[Reals, Reals]:
    """Of every halfedge, the angles at which it leaves and arrives ``[3F, 2]``, and half the cotangent across ``[3F]``."""
    mesh = IntrinsicMesh(pos, face, False)
    mesh.refer_to(pos, frames)
    angles, half_cotangent = np.zeros((face.size, 2)), np.zeros(face.size)
    for h in np.flatnonzero(mesh.used).tolist():
        n = after(h)
        angles[h, 0] = mesh.tangent(mesh.corner[h], mesh.fan[h])
        angles[h, 1] = mesh.tangent(mesh.corner[n], mesh.fan[n] + mesh.angle[n]) + math.pi
        half_cotangent[h] = 0.5 / math.tan(mesh.angle[before(h)])
    return angles.reshape(-1), half_cotangent


def oriented(pos: Reals, face: Indices) -> Indices:
    """The corners, ``[3F]``, with the faces turned that are not wound as their component's first."""
    return np.array(IntrinsicMesh(pos, face, False).corner, dtype=np.int64)
