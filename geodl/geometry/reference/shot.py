"""SHOT descriptors: histograms of normals over a spherical grid in a local reference frame."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np

from geodl.geometry.reference.intrinsic_mesh import Indices, Reals

__all__ = ["shot"]

_AZIMUTHS, _ELEVATIONS, _SHELLS, _BINS = 8, 2, 2, 11
# Neighbours closer to a coordinate plane than this share of the radius do not vote for a side: rounding would decide for them.
_UNDECIDED = 1e-5


def shot(
    pos: Reals, normal: Reals, rowptr: Indices, col: Indices, radius: float, threads: int
) -> tuple[Reals, Reals]:
    """Descriptors ``[V, 352]`` of unit length and frames ``[V, 3, 3]``, flat; zeros for points with fewer than five neighbours."""
    out = np.zeros((len(pos), _AZIMUTHS, _ELEVATIONS, _SHELLS, _BINS))
    frames = np.zeros((len(pos), 3, 3))
    for i, (begin, end) in enumerate(pairwise(rowptr.tolist())):
        offset = pos[col[begin:end]] - pos[i]
        distance = np.linalg.norm(offset, axis=1)
        elsewhere = distance > 0
        if elsewhere.sum() < 5:
            continue
        offset, distance, normals = offset[elsewhere], distance[elsewhere], normal[col[begin:end]][elsewhere]
        frames[i] = _frame(offset, distance, normal[i], radius)
        known = (normals != 0).any(axis=1)
        local, cosine = offset @ frames[i].T, normals @ frames[i, 2]
        _fill(out[i], local[known], distance[known], cosine[known], radius)
        out[i] /= np.linalg.norm(out[i]) or 1
    return out.reshape(-1), frames.reshape(-1)


def _frame(offset: Reals, distance: Reals, normal: Reals, radius: float) -> Reals:
    """Rows x, y, z: the principal axes, x and z turned to where more neighbours lie."""
    weight = (radius - distance) / radius**3
    _, axes = np.linalg.eigh((offset * weight[:, None]).T @ offset)
    x, z = axes[:, 2], axes[:, 0]
    along, above, limit = offset @ x, offset @ z, _UNDECIDED * radius
    votes = int((along > limit).sum()) - int((along < -limit).sum())
    if votes < 0 or (votes == 0 and (radius - distance) @ along < 0):
        x = -x
    votes = int((above > limit).sum()) - int((above < -limit).sum())
    if votes < 0 or (votes == 0 and z @ normal < 0):
        z = -z
    return np.stack([x, np.cross(z, x), z])


def _fill(out: Reals, offset: Reals, distance: Reals, cosine: Reals, radius: float) -> None:
    """Every neighbour counts in the 16 cells between whose centres it lies."""
    elevation = np.arccos((offset[:, 2] / distance).clip(-1, 1)) / math.pi
    azimuth = (np.arctan2(offset[:, 1], offset[:, 0]) + math.pi) / (2 * math.pi)
    between = [
        _between(azimuth * _AZIMUTHS - 0.5, _AZIMUTHS, True),
        _between(elevation * _ELEVATIONS - 0.5, _ELEVATIONS, False),
        _between(distance / radius * _SHELLS - 0.5, _SHELLS, False),
        _between((cosine.clip(-1, 1) + 1) / 2 * (_BINS - 1), _BINS, False),
    ]
    for corner in product((0, 1), repeat=4):
        places, shares = zip(*(pair[side] for pair, side in zip(between, corner, strict=True)), strict=True)
        np.add.at(out, places, np.prod(shares, axis=0))


def _between(at: Reals, count: int, around: bool) -> list[tuple[Indices, Reals]]:
    """The two bins between whose centres values lie, and their shares; `at` counts from the first centre."""
    low = np.floor(at)
    share = at - low
    bins = [low.astype(np.int64), low.astype(np.int64) + 1]
    bins = [b % count if around else b.clip(0, count - 1) for b in bins]
    return [(bins[0], 1 - share), (bins[1], share)]
