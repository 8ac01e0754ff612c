"""Local triangulations of an oriented point cloud, that keep the two sides of a thin part apart."""

from __future__ import annotations

import numpy as np
import robust_laplacian
import torch
from torch import Tensor
from torch.nn.functional import normalize

from geodl.geometry.laplacian import Laplacian, LaplacianReport, pack
from geodl.ops import knn

__all__ = ["local_normals", "local_triangles", "oriented_laplacian"]

# Nearest points, of which those that face the same side are triangulated.
_NEIGHBORS = 20
# Points at a time: neighbours cubed numbers each.
_CHUNK = 500


def local_triangles(pos: Tensor, normal: Tensor) -> Tensor:
    r"""Triangles ``[T, 3]`` of each point i, first, with pairs of its neighbours: those of the Delaunay triangulation of their
    projections to the tangent plane.

    Neighbours are those of the 20 nearest that face the same side, :math:`n_i \cdot n_j > 0`: across a thin part none is taken.
    Counted from i, inversion :math:`u / |u|^2` makes lines of circles through i: no other point lies in the circle of i, j and k
    where none lies beyond the line of j and k. Of points on one circle a shift of :math:`10^{-7}` decides.

    Args:
        pos: ``[V, 3]`` float64, points at different places.
        normal: ``[V, 3]`` unit normals of which neighbours agree.
    """
    points = len(pos)
    near = knn(pos, min(_NEIGHBORS + 1, points)).col.view(points, -1)[:, 1:]
    beside = (normal[near] * normal[:, None]).sum(2) > 0
    x = normalize(torch.linalg.cross(normal, torch.eye(3).to(pos)[normal.abs().argmin(1)]), dim=1)
    y = torch.linalg.cross(normal, x)
    flat = (pos[near] - pos[:, None]) @ torch.stack([x, y], 2)
    square = (flat**2).sum(2, keepdim=True)
    beside = beside & (square[..., 0] > 0)
    shift = 1 + 1e-7 * torch.from_numpy(np.random.default_rng(0).random(points)).to(pos)
    inverse = torch.where(beside[..., None], flat / (square * shift[near][..., None]), 0.0)
    width = near.shape[1]
    itself = torch.eye(width, dtype=torch.bool)
    ends = itself[:, None, :] | itself[None, :, :]
    found = []
    for start in range(0, points, _CHUNK):
        u, there = inverse[start : start + _CHUNK], beside[start : start + _CHUNK]
        turn = u[:, :, None, 0] * u[:, None, :, 1] - u[:, :, None, 1] * u[:, None, :, 0]
        within = turn[:, :, :, None] + turn[:, None, :, :] - turn[:, :, None, :] > 0
        empty = (within | ends | ~there[:, None, None, :]).all(3)
        i, j, k = (empty & (turn > 0) & there[:, :, None] & there[:, None, :]).nonzero(as_tuple=True)
        found.append(torch.stack([i + start, near[i + start, j], near[i + start, k]], 1))
    return torch.cat(found)


def local_normals(pos: Tensor, normal: Tensor) -> Tensor:
    """Unit normals ``[V, 3]``: the area-weighted mean over a point's own :func:`local_triangles`; as given where there are none."""
    i, j, k = local_triangles(pos, normal).unbind(1)
    vectors = torch.zeros_like(pos).index_add(0, i, torch.linalg.cross(pos[j] - pos[i], pos[k] - pos[i]))
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return torch.where(length > 0, vectors / length, normal)


def oriented_laplacian(pos: Tensor, normal: Tensor, plain: Laplacian) -> Laplacian:
    """The tufted Laplacian of the :func:`local_triangles`, each of which counts a third, as every triangle is found by its three
    corners.

    Args:
        pos, normal: as there, but points may lie where others do.
        plain: :func:`laplacian` of the points without normals; what it left out is left out here. It is the answer where some
            point has no triangles: such a cloud's normals say nothing.

    Sharp & Crane, "A Laplacian for nonmanifold triangle meshes", SGP 2020.
    """
    used = (plain.mass > 0).nonzero().flatten()
    points = pos[used]
    size = float((points.amax(0) - points.amin(0)).max())
    unit = (points - points[0]) / size
    triangles = local_triangles(unit, normal[used]).numpy()
    if len(np.unique(triangles)) < len(used):
        return plain
    weak, mass = robust_laplacian.mesh_laplacian(unit.numpy(), triangles)
    if not (mass.diagonal() > 0).all():
        return plain
    entries = (weak / 3).tocoo()
    number = used.numpy()
    whole = type(entries)(
        (entries.data, (number[entries.row], number[entries.col])), shape=(len(pos), len(pos))
    )
    spread = np.zeros(len(pos))
    spread[number] = mass.diagonal() * size**2 / 3
    report = LaplacianReport(
        "points", len(pos), plain.report.without_mass, duplicate_points=plain.report.duplicate_points
    )
    return pack(whole, spread, report)
