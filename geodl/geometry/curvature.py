"""Curvature of a mesh: principal curvatures and directions, and the angle deficit of every vertex."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.geometry.frames import oriented, precise_frames
from geodl.geometry.measures import face_normals
from geodl.geometry.repeatable import angle
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.surface import check_surface

__all__ = ["Curvature", "angle_deficit", "curvature"]


@dataclass(frozen=True, eq=False)
class Curvature:
    r"""Principal curvatures :math:`\kappa_1 \ge \kappa_2` of every vertex, positive where the surface bends away from its normal.

    Args:
        principal: ``[V, 2]`` in 1 / unit of length; a sphere of radius r with normals to the outside has 1 / r twice.
        directions: ``[V, 2, 2]``: row k is the unit direction of :math:`\kappa_k` in the vertex's tangent frame, up to its sign.
        defined: ``[V]`` bool, whether a vertex has a face with an area and a normal. Elsewhere curvatures are zero.
    """

    principal: Tensor
    directions: Tensor
    defined: Tensor

    @property
    def mean(self) -> Tensor:
        r"""``[V]``, :math:`(\kappa_1 + \kappa_2) / 2`."""
        return self.principal.mean(dim=1)

    @property
    def gaussian(self) -> Tensor:
        r"""``[V]``, :math:`\kappa_1 \kappa_2`."""
        return self.principal.prod(dim=1)


def curvature(mesh: ShapeLike) -> Curvature:
    r"""Curvatures from how the vertex normals turn along the edges of every face.

    On a face, the second fundamental form II is the symmetric 2 x 2 matrix with :math:`II\, e = \Delta n` for its three edges e and
    the differences of the normals at their ends, in the sense of least squares. A vertex has the mean of its faces' forms, turned
    into its tangent plane, each weighted by the part of the face that is nearest to the vertex.

    Faces without area are left out, faces of inconsistent winding read as their component's first face is wound; at edges of three
    and more faces the answer is that of the averaged normal. ``defined`` tells where there is one.

    Args:
        mesh: ``pos [V, 3]``, ``face [3, F]``.

    Returns:
        Curvature in the dtype and on the device of ``pos``, computed in float64; directions in :func:`tangent_frames`.

    Raises:
        ValueError, IndexError: a bad mesh, or one none of whose faces has an area.

    Rusinkiewicz, "Estimating curvatures and their derivatives on triangle meshes", 3DPVT 2004.
    """
    mesh = as_shape(mesh)
    pos, _ = check_surface(mesh)
    face = oriented(mesh)
    points = pos.detach().double()
    size = (points.amax(dim=0) - points.amin(dim=0)).amax()
    size = torch.where(size > 0, size, 1.0)
    points = (points - points[0]) / size
    frames = precise_frames(mesh).detach()
    area, voronoi = _corner_areas(points[face])
    sound = area > 1e-12 * _longest_side(points[face])
    if not bool(sound.any()):
        raise ValueError(f"none of the {face.shape[1]} faces has an area: the mesh has no curvature")
    face, voronoi = face[:, sound], voronoi[:, sound]

    corners = points[face]
    normals = _sphere_normals(corners, face, len(points))
    up = face_normals(_Unit(points, face))
    first = torch.nn.functional.normalize(corners[2] - corners[1], dim=1)
    plane = torch.stack([first, torch.linalg.cross(up, first)], dim=1)  # [F, 2, 3]
    along = corners.roll(1, 0) - corners.roll(-1, 0)  # edge k is opposite to corner k
    turn = normals[face].roll(1, 0) - normals[face].roll(-1, 0)
    longest = torch.linalg.vector_norm(along, dim=2).amax(dim=0)
    e = torch.einsum("kfd,fid->fki", along, plane) / longest[:, None, None]
    dn = torch.einsum("kfd,fid->fki", turn, plane) / longest[:, None, None]
    # Unknowns (a, b, c) of [[a, b], [b, c]]: two equations an edge.
    zero = torch.zeros_like(e[..., 0])
    rows = torch.cat(
        [torch.stack([e[..., 0], e[..., 1], zero], -1), torch.stack([zero, e[..., 0], e[..., 1]], -1)], 1
    )
    right = torch.cat([dn[..., 0], dn[..., 1]], dim=1)[..., None]
    a, b, c = torch.linalg.solve(rows.mT @ rows, rows.mT @ right).squeeze(2).unbind(1)
    form = torch.stack([torch.stack([a, b], 1), torch.stack([b, c], 1)], 1)

    total = points.new_zeros(len(points), 2, 2)
    weight = points.new_zeros(len(points))
    for k in range(3):
        vertex = face[k]
        # The vertex's frame, laid into the plane of the face by the smallest rotation.
        laid = _rotate(frames[vertex, :2], frames[vertex, 2], up)
        coordinates = torch.einsum("vid,vjd->vij", laid, plane)
        total.index_add_(0, vertex, voronoi[k, :, None, None] * (coordinates @ form @ coordinates.mT))
        weight.index_add_(0, vertex, voronoi[k])
    defined = (weight > 0) & (normals != 0).any(dim=1)
    mean = torch.where(defined[:, None, None], total / weight.where(defined, 1.0)[:, None, None], 0.0)
    value, vector = torch.linalg.eigh(mean)
    principal = value.flip(1) / size
    return Curvature(principal.to(pos.dtype), vector.mT.flip(1).to(pos.dtype), defined)


def angle_deficit(mesh: ShapeLike) -> Tensor:
    r"""Integral of the Gaussian curvature at every vertex, ``[V]`` in radians, in the dtype of ``pos``.

    .. math:: K_i = 2 \pi - \sum_f \theta_i^f \quad\text{inside}, \qquad \pi - \sum_f \theta_i^f \quad\text{at the boundary}

    On a manifold mesh the sum is :math:`2 \pi \chi`, with the Euler characteristic (Gauss and Bonnet). A vertex of no face has
    zero. Faces that name a vertex twice do not count; a face without area counts with the angles that it has, 0, 0 and pi, where
    its corners are apart. At vertices of edges with more than two faces the number has no such meaning.

    Raises:
        ValueError, IndexError: a bad mesh.
    """
    mesh = as_shape(mesh)
    pos, face = check_surface(mesh)
    points = pos.detach().double()
    face = face[:, (face[0] != face[1]) & (face[1] != face[2]) & (face[2] != face[0])]
    points = points / points.abs().amax().clamp(min=1e-300)
    corners = points[face]
    one, two = corners.roll(-1, 0) - corners, corners.roll(1, 0) - corners
    corner = angle(torch.linalg.vector_norm(torch.linalg.cross(one, two), dim=2), (one * two).sum(dim=2))
    sums = points.new_zeros(len(points)).index_add_(0, face.flatten(), corner.flatten())
    used = torch.zeros(len(points), dtype=torch.bool, device=pos.device)
    used[face.flatten()] = True
    start, end = face.flatten(), face.roll(-1, dims=0).flatten()
    key = torch.minimum(start, end) * len(points) + torch.maximum(start, end)
    edge, count = torch.unique(key, return_counts=True)
    border = edge[count == 1]
    at_border = torch.zeros_like(used)
    at_border[torch.cat([border.div(len(points), rounding_mode="floor"), border % len(points)])] = True
    whole = torch.full_like(sums, 2 * math.pi)
    whole[at_border] = math.pi
    return torch.where(used, whole - sums, 0.0).to(pos.dtype)


@dataclass(frozen=True)
class _Unit:
    """The mesh in units of its size."""

    pos: Tensor
    face: Tensor


def _sphere_normals(corners: Tensor, face: Tensor, size: int) -> Tensor:
    """Vertex normals ``[V, 3]`` that are exact on a sphere: every corner weighted by its sine over its two sides' lengths.

    Max, "Weights for computing vertex normals from facet normals", 1999.
    """
    one, two = corners.roll(-1, 0) - corners, corners.roll(1, 0) - corners
    weight = 1 / (one.square().sum(dim=2) * two.square().sum(dim=2))
    # In units of the largest weight at the vertex: short sides weigh far more than long ones elsewhere.
    largest = weight.new_zeros(size).scatter_reduce(0, face.flatten(), weight.flatten(), "amax")
    vectors = torch.linalg.cross(one, two) * (weight / largest[face])[..., None]
    total = corners.new_zeros(size, 3).index_add_(0, face.flatten(), vectors.flatten(0, 1))
    return torch.nn.functional.normalize(total, dim=1, eps=1e-300)


def _longest_side(corners: Tensor) -> Tensor:
    sides = corners - corners.roll(1, 0)
    return sides.square().sum(dim=2).amax(dim=0)


def _corner_areas(corners: Tensor) -> tuple[Tensor, Tensor]:
    """Areas ``[F]``, and of each corner ``[3, F]`` the part that is nearest to it; of obtuse faces a half and two quarters."""
    one, two = corners.roll(-1, 0) - corners, corners.roll(1, 0) - corners
    doubled = torch.linalg.vector_norm(torch.linalg.cross(one[0], two[0]), dim=1)
    inner = (one * two).sum(dim=2)
    cotangent = inner / doubled.clamp(min=1e-300)
    # Corner k: an eighth of each of its sides squared times the cotangent across from it.
    nearest = (one.square().sum(2) * cotangent.roll(1, 0) + two.square().sum(2) * cotangent.roll(-1, 0)) / 8
    area = doubled / 2
    obtuse = (inner < 0).any(dim=0)
    split = torch.where(inner < 0, area / 2, area / 4)
    return area, torch.where(obtuse, split, nearest)


def _rotate(vectors: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """``vectors [n, m, 3]`` under the smallest rotation that takes the unit vectors ``source [n, 3]`` to ``target [n, 3]``."""
    cosine = (source * target).sum(dim=1)
    axis = torch.linalg.cross(source, target)
    turned = cosine[:, None, None] * vectors + torch.linalg.cross(axis[:, None].expand_as(vectors), vectors)
    share = (vectors @ axis[:, :, None]) * axis[:, None] / (1 + cosine).clamp(min=1e-12)[:, None, None]
    # Normals that point the opposite way: turned by half a turn about any axis of the plane, here the first vector.
    opposite = (cosine < -1 + 1e-9)[:, None, None]
    flipped = torch.cat([vectors[:, :1], -vectors[:, 1:]], dim=1)
    return torch.where(opposite, flipped, turned + share)
