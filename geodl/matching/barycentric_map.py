"""Maps from vertices to points of a surface: a face and where in it, not only the nearest vertex."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["BarycentricMap", "precise_map"]

# Entries of a block of distances that are held at once, and of the embedded candidates.
_BLOCK, _GATHERED = 1 << 22, 1 << 24


@dataclass(frozen=True, eq=False)
class BarycentricMap:
    """For each vertex of shape 2 a point on the surface of shape 1.

    Args:
        corners: ``[V2, 3]`` int64, vertices of shape 1; -1 in all three where there is no point.
        weights: ``[V2, 3]``, not negative, of sum 1; 0 where there is no point.
        face: ``[V2]`` int64, the face of shape 1 that the corners are of; -1 where there is no point.
        num_src: V1.
    """

    corners: Tensor
    weights: Tensor
    face: Tensor
    num_src: int

    @property
    def matched(self) -> Tensor:
        """``[V2]`` bool: whether there is a point."""
        return self.face >= 0

    def apply(self, values: Tensor) -> Tensor:
        """Values ``[V1, ...]`` at the vertices of shape 1, interpolated: ``[V2, ...]``, NaN where there is no point.

        Differentiable in ``values``.

        Raises:
            ValueError: values that are not floating point or do not fit.
        """
        if values.shape[:1] != (self.num_src,):
            raise ValueError(
                f"values have shape {list(values.shape)}, but shape 1 has {self.num_src} vertices"
            )
        if not values.is_floating_point():
            raise ValueError(f"only floating point can be interpolated, values are {values.dtype}")
        weights = self.weights.to(values.dtype).view(-1, 3, *[1] * (values.dim() - 1))
        mixed = (values[self.corners.clamp(min=0)] * weights).sum(1)
        return mixed.masked_fill(~self.matched.view(-1, *[1] * (values.dim() - 1)), torch.nan)

    def vote(self, labels: Tensor) -> Tensor:
        """Labels ``[V1]`` of any integer type: that with the largest weight of the three corners, -1 where there is no point.

        Unsigned labels come out as int64.
        """
        labels = labels if labels.dtype.is_signed else labels.long()
        found = labels[self.corners.clamp(min=0)]
        alike = (found[:, :, None] == found[:, None, :]).to(self.weights)
        best = (alike * self.weights[:, None, :]).sum(2).argmax(1, keepdim=True)
        return found.gather(1, best)[:, 0].masked_fill(~self.matched, -1)

    def to_matrix(self) -> Tensor:
        """The map as a sparse matrix ``[V2, V1]`` (COO) whose product with values is :meth:`apply`; empty rows without one."""
        rows = self.matched.nonzero().flatten()
        index = torch.stack([rows.repeat_interleave(3), self.corners[rows].flatten()])
        size = (self.face.shape[0], self.num_src)
        return torch.sparse_coo_tensor(
            index, self.weights[rows].flatten(), size, check_invariants=True
        ).coalesce()

    def to_p2p(self) -> Tensor:
        """``[V2]`` int64: the corner of largest weight."""
        return self.corners.gather(1, self.weights.argmax(1, keepdim=True))[:, 0]


def precise_map(c_12: Tensor, evecs_1: Tensor, evecs_2: Tensor, face_1: Tensor) -> BarycentricMap:
    r"""The vertex-to-point map that a functional map stands for.

    .. math:: T_{21}(j) = \arg\min_{p \in S_1} \| \Phi_1(p) - C_{12}^\top \Phi_2(j) \|

    where :math:`\Phi_1` is linear on the faces of shape 1. The nearest of all faces is found: those whose bounding ball in the
    embedding is farther than a point that is known are left out.

    Args:
        c_12: ``[K2, K1]`` float32 or float64.
        evecs_1: ``[V1, K1]`` or more columns, which are left out.
        evecs_2: ``[V2, K2]`` or more columns.
        face_1: ``[3, F1]`` int64.

    Returns:
        BarycentricMap from shape 2 to shape 1, in the dtype of ``c_12``.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, or no faces.
        IndexError: a face refers to a vertex that shape 1 does not have.

    Ezuz & Ben-Chen, "Deblurring and denoising of maps between shapes", SGP 2017 (``mesh_FM_to_p2p_precise`` of pyFM).
    """
    two, one = c_12.shape
    if evecs_1.shape[1] < one or evecs_2.shape[1] < two:
        raise ValueError(
            f"c_12 [{two}, {one}] needs that many eigenvectors of shape 2 and 1, "
            f"evecs_2 and evecs_1 have {evecs_2.shape[1]} and {evecs_1.shape[1]}"
        )
    vertices = evecs_1.shape[0]
    if face_1.dim() != 2 or face_1.shape[0] != 3 or not face_1.numel():
        raise ValueError(f"face_1 must have shape [3, F] with at least one face, not {list(face_1.shape)}")
    if not 0 <= int(face_1.min()) <= int(face_1.max()) < vertices:
        raise IndexError(
            f"face_1 holds {int(face_1.min())}..{int(face_1.max())}, but shape 1 has {vertices} vertices"
        )
    source, query = evecs_1[:, :one].to(c_12.dtype), evecs_2[:, :two].to(c_12.dtype) @ c_12
    for name, x in (("evecs_1", source), ("c_12 or evecs_2", query)):
        if not bool(torch.isfinite(x).all()):
            raise ValueError(f"{name} holds values that are not finite")
    face, weights = nearest_on_faces(source, face_1, query)
    return BarycentricMap(face_1.mT[face], weights, face, vertices)


def nearest_on_faces(source: Tensor, face: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """For every query ``[Q, D]`` the nearest point of triangles between points ``[V, D]``: face ``[Q]`` and weights ``[Q, 3]``."""
    corners = source[face]
    centre = corners.mean(0)
    radius = torch.linalg.vector_norm(corners - centre, dim=2).amax(0)
    # Centred, so that the expanded squares keep their digits; what they lose yet is allowed for.
    middle = centre.mean(0)
    near, points = centre - middle, query - middle
    square = near.square().sum(1)
    if not points.numel():
        return face.new_zeros(query.shape[0]), source.new_zeros(query.shape[0], 3)
    slack = 16 * torch.finfo(source.dtype).eps * float(square.amax() + points.square().sum(1).amax())
    rows = max(1, _BLOCK // face.shape[1])
    found = [
        _nearest_of_block(corners, near, square, radius, slack, part, given)
        for part, given in zip(points.split(rows), query.split(rows), strict=True)
    ]
    return torch.cat([f for f, _ in found]), torch.cat([w for _, w in found])


def nearest_on_ring(source: Tensor, face: Tensor, query: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`nearest_on_faces`, of the faces about a vertex ``start [Q]`` alone, which must have one."""
    order = face.flatten().argsort(stable=True)
    around = order % face.shape[1]
    count = torch.bincount(face.flatten(), minlength=source.shape[0])
    begin = torch.cumsum(count, 0) - count
    parts = []
    step = max(1, _GATHERED // (32 * query.shape[1]))
    for part, at in zip(query.split(step), start.split(step), strict=True):
        row = torch.repeat_interleave(torch.arange(len(at)), count[at])
        rank = torch.arange(len(row)) - (torch.cumsum(count[at], 0) - count[at])[row]
        tried = around[begin[at][row] + rank]
        distance, weights = closest_on_triangles(source[face[:, tried]], part[row])
        by_distance = distance.argsort(stable=True)
        first = by_distance[row[by_distance].argsort(stable=True)][torch.cumsum(count[at], 0) - count[at]]
        parts.append((tried[first], weights[first]))
    return torch.cat([f for f, _ in parts]), torch.cat([w for _, w in parts])


def _nearest_of_block(
    corners: Tensor, near: Tensor, square: Tensor, radius: Tensor, slack: float, part: Tensor, query: Tensor
) -> tuple[Tensor, Tensor]:
    size = part.square().sum(1, keepdim=True)
    distance = (torch.addmm(square, part, near.mT, alpha=-2) + size).clamp(min=0)
    # Some corner of the face of nearest centre is at most so far away: no ball beyond that has anything nearer.
    first = distance.argmin(1)
    least = torch.linalg.vector_norm(corners[:, first] - query, dim=2).amin(0)
    reach = (least[:, None] + radius).square() + slack
    row, candidate = (distance <= reach).nonzero(as_tuple=True)
    step = max(1, _GATHERED // (3 * query.shape[1]))
    parts = [
        closest_on_triangles(corners[:, c], query[r])
        for r, c in zip(row.split(step), candidate.split(step), strict=True)
    ]
    distances, weights = torch.cat([d for d, _ in parts]), torch.cat([w for _, w in parts])
    best = torch.full_like(least, torch.inf).scatter_reduce(0, row, distances, "amin")
    # Of faces that are as near, as around a vertex, the first.
    place = torch.arange(row.shape[0], device=row.device).masked_fill(distances > best[row], row.shape[0])
    chosen = torch.full_like(first, row.shape[0]).scatter_reduce(0, row, place, "amin")
    return candidate[chosen], weights[chosen]


def closest_on_triangles(corners: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances ``[P]`` and barycentric weights ``[P, 3]`` of the points of triangles ``[3, P, D]`` nearest to queries.

    Inside, if the projection to the plane lies there; else on the nearest of the three edges.
    """
    a, b, c = corners
    u, v, w = b - a, c - a, query - a
    uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    uw, vw, ww = (u * w).sum(1), (v * w).sum(1), (w * w).sum(1)
    tiny = torch.finfo(query.dtype).tiny
    area = uu * vv - uv * uv
    s, t = (vv * uw - uv * vw) / area.clamp(min=tiny), (uu * vw - uv * uw) / area.clamp(min=tiny)
    inside = (area > 4 * torch.finfo(query.dtype).eps * uu * vv) & (s >= 0) & (t >= 0) & (s + t <= 1)
    on_u, on_v = (uw / uu.clamp(min=tiny)).clamp(0, 1), (vw / vv.clamp(min=tiny)).clamp(0, 1)
    across = uu - 2 * uv + vv
    on_across = ((vw - uw + uu - uv) / across.clamp(min=tiny)).clamp(0, 1)
    zero = torch.zeros_like(s)
    tried = torch.stack(
        [
            torch.stack([on_u, zero], 1),
            torch.stack([zero, on_v], 1),
            torch.stack([1 - on_across, on_across], 1),
            torch.stack([s, t], 1),
        ]
    )
    x, y = tried.unbind(2)
    distance = ww - 2 * (x * uw + y * vw) + x * x * uu + 2 * x * y * uv + y * y * vv
    distance[3] = distance[3].masked_fill(~inside, torch.inf)
    least, which = distance.min(0)
    best = tried.gather(0, which[None, :, None].expand(1, -1, 2))[0]
    return least.clamp(min=0), torch.cat([1 - best.sum(1, keepdim=True), best], 1).clamp(0, 1)
