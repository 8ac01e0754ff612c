"""What a map carries from shape 1 to shape 2: labels, functions, texture coordinates, positions, tangent vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from geodl.geometry.cloud import normals_of
from geodl.matching.barycentric_map import BarycentricMap, nearest_on_faces, nearest_on_ring, precise_map

if TYPE_CHECKING:
    from geodl.matching.match import Match, SpectralShape

__all__ = ["KINDS", "Kind"]

Kind = Literal["nearest", "precise", "functional"]
KINDS: tuple[Kind, ...] = ("nearest", "precise", "functional")
# A corner keeps the texture coordinates of its own point as far as they are within so many sizes of its face from the face's own.
_SEAM = 2.0
# Of more pairs of a face and a point, only the faces about the point's nearest vertex are looked at.
_PAIRS = 1 << 30


def transfer(found: Match, values: Any, kind: str) -> Tensor:
    """See :meth:`~geodl.matching.Match.transfer`."""
    values = torch.as_tensor(values)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if not values.is_cpu:
        return transfer(found, values.cpu(), kind).to(values.device)
    if values.dim() == 3:
        return _corners(found, values)
    vertices = found.p2p_12.shape[0]
    if values.shape[:1] != (vertices,) or values.dim() > 2:
        raise ValueError(
            f"values must have shape [{vertices}] or [{vertices}, C], a row for each vertex of shape 1, not {list(values.shape)}"
        )
    if values.is_complex():
        raise ValueError("values must be real numbers or integers: carry real and imaginary parts each")
    if values.is_floating_point():
        return _functions(found, values, kind)
    if kind == "functional":
        raise ValueError(
            f"labels ({values.dtype}) cannot be mixed: use kind='nearest' or 'precise', or floating point for numbers"
        )
    if kind == "nearest":
        carried = values[found.p2p_21.clamp(min=0)]
    else:
        rows = values.view(vertices, -1).unbind(1)
        carried = torch.stack([found.precise.vote(row.long()) for row in rows], 1)
        carried = carried.view(-1, *values.shape[1:]).to(values.dtype)
    unmatched = (found.p2p_21 < 0).view(-1, *[1] * (values.dim() - 1))
    if not values.is_signed() and values.dtype != torch.bool:
        carried = carried.long()
    filled: Tensor = carried.masked_fill(unmatched, 0 if values.dtype == torch.bool else -1)
    return filled


def _functions(found: Match, values: Tensor, kind: str) -> Tensor:
    unmatched = (found.p2p_21 < 0).view(-1, *[1] * (values.dim() - 1))
    if kind == "nearest":
        return values[found.p2p_21.clamp(min=0)].masked_fill(unmatched, torch.nan)
    if kind == "precise":
        return found.precise.apply(values)
    one, two = spectra(found)
    c = found.c_12.to(values.dtype)
    phi_1 = one.spectrum.evecs[:, : c.shape[1]].to(values.dtype)
    phi_2 = two.spectrum.evecs[:, : c.shape[0]].to(values.dtype)
    flat = values.view(values.shape[0], -1)
    # Vertices without mass have no part in the integral, whatever they hold.
    counted = torch.where(one.used[:, None], flat, 0) * one.spectrum.mass[:, None].to(values.dtype)
    carried: Tensor = phi_2 @ (c @ (phi_1.mT @ counted))
    return carried.view(-1, *values.shape[1:]).masked_fill(unmatched, torch.nan)


def spectra(found: Match) -> tuple[SpectralShape, SpectralShape]:
    """The shapes that a match was made of.

    Raises:
        ValueError: it was saved without them.
    """
    if found.shapes is None:
        raise ValueError(
            "this match has no shapes (it was saved without them), so that only kind='nearest' works; "
            "give it them by dataclasses.replace(found, shapes=(SpectralShape.of(a), SpectralShape.of(b)))"
        )
    return found.shapes


def faces(shape: SpectralShape, what: str) -> Tensor:
    face: Tensor | None = getattr(shape.mesh, "face", None)
    if face is None:
        raise ValueError(f"{what} needs faces, but the shape is a point cloud")
    return face


# --- texture coordinates of corners ---------------------------------------------


def _corners(found: Match, values: Tensor) -> Tensor:
    """Texture coordinates of corners, ``[F1, 3, C]`` -> ``[F2, 3, C]``.

    Every face of shape 2 takes the chart in which its middle lies. A corner whose own point lies beyond a seam is continued from
    there, by the affine coordinates of the middle's face.
    """
    one, two = spectra(found)
    face_1, face_2 = faces(one, "carrying corners"), faces(two, "carrying corners")
    if values.shape[:2] != (face_1.shape[1], 3):
        raise ValueError(
            f"values of corners must have shape [{face_1.shape[1]}, 3, C], three rows for each face of shape 1, "
            f"not {list(values.shape)}"
        )
    if not values.is_floating_point():
        raise ValueError(f"values of corners must be floating point, they are {values.dtype}")
    # Faces that were turned have their corners in the other order.
    uv = values.flip(1) if one.inverted else values
    c = found.c_12
    source = one.spectrum.evecs[:, : c.shape[1]].to(c.dtype)
    embedded = two.spectrum.evecs[:, : c.shape[0]].to(c.dtype) @ c
    middle = embedded[face_2].mean(0)
    home, _ = _nearest_point(source, face_1, middle, found.p2p_21[face_2[0]])
    a, b, d = source[face_1[:, home]]
    continued = []
    for corner in embedded[face_2]:
        weights = _affine(a, b, d, corner).to(uv.dtype)
        continued.append((uv[home] * weights[:, :, None]).sum(1))
    there = torch.stack(continued, 1)
    precise = found.precise
    own = (uv[precise.face] * precise.weights.to(uv.dtype)[:, :, None]).sum(1)[face_2.mT]
    size = torch.linalg.vector_norm(there - there.roll(1, 1), dim=2).amax(1)
    room = torch.linalg.vector_norm(uv - uv.roll(1, 1), dim=2).amax(1)[home]
    apart = torch.linalg.vector_norm(own - there, dim=2)
    same = apart <= _SEAM * torch.maximum(size, room)[:, None]
    carried = torch.where(same[:, :, None], own, there)
    carried = carried.masked_fill((found.p2p_21[face_2.mT] < 0)[:, :, None], torch.nan)
    return carried.flip(1) if two.inverted else carried


def _nearest_point(source: Tensor, face: Tensor, query: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    if _many(face, query):
        return nearest_on_ring(source, face, query, torch.where(start < 0, face[0, 0], start))
    return nearest_on_faces(source, face, query)


def _many(face: Tensor, points: Tensor) -> bool:
    return face.shape[1] * points.shape[0] > _PAIRS


def _affine(a: Tensor, b: Tensor, c: Tensor, point: Tensor) -> Tensor:
    """Affine coordinates ``[P, 3]`` of points' projections to the planes of triangles; outside some are negative."""
    u, v, w = b - a, c - a, point - a
    uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    uw, vw = (u * w).sum(1), (v * w).sum(1)
    area = (uu * vv - uv * uv).clamp(min=1e-4 * float((uu * vv).mean()) + torch.finfo(a.dtype).tiny)
    s, t = (vv * uw - uv * vw) / area, (uu * vw - uv * uw) / area
    return torch.stack([1 - s - t, s, t], 1)


# --- tangent vectors ------------------------------------------------------------


def push_forward(found: Match, vectors: Any) -> Tensor:
    """See :meth:`~geodl.matching.Match.push_forward`."""
    vectors = torch.as_tensor(vectors)
    if not vectors.is_cpu:
        return push_forward(found, vectors.cpu()).to(vectors.device)
    vertices = found.p2p_12.shape[0]
    if vectors.shape != (vertices, 3) or not vectors.is_floating_point():
        raise ValueError(
            f"vectors must be floating point of shape [{vertices}, 3], not {vectors.dtype} {list(vectors.shape)}"
        )
    one, two = spectra(found)
    normal_1 = torch.nn.functional.normalize(found.precise.apply(normals_of(one.mesh).double()), dim=1)
    # How the vertex and its point move along the two directions of shape 2's frames: both by the same edges, so that what the
    # edges' chords lack of the surface cancels.
    moved_1 = _tangent(two.gradient(found.precise.apply(one.mesh.pos.double()).nan_to_num()), normal_1)
    moved_2 = _tangent(two.gradient(two.mesh.pos.double()), normals_of(two.mesh).double())
    there = _tangent(found.precise.apply(vectors.double())[:, :, None], normal_1)
    pushed = (moved_2 @ torch.linalg.pinv(moved_1.nan_to_num(), rtol=0.1) @ there)[:, :, 0]
    filled: Tensor = pushed.masked_fill((found.p2p_21 < 0)[:, None], torch.nan).to(vectors.dtype)
    return filled


def _tangent(vectors: Tensor, normal: Tensor) -> Tensor:
    """Columns ``[V, 3, C]`` without what they have along unit normals ``[V, 3]``."""
    return vectors - normal[:, :, None] * (normal[:, None] @ vectors)


def precise(found: Match) -> BarycentricMap:
    """See :attr:`~geodl.matching.Match.precise`."""
    one, two = spectra(found)
    rows = two.used.nonzero().flatten()
    face, c = faces(one, "a vertex-to-point map"), found.c_12
    if _many(face, rows):
        source = one.spectrum.evecs[:, : c.shape[1]]
        query = two.spectrum.evecs[rows, : c.shape[0]] @ c
        home, weights = nearest_on_ring(source, face, query, found.p2p_21[rows])
        made = BarycentricMap(face.mT[home], weights, home, source.shape[0])
    else:
        made = precise_map(c, one.spectrum.evecs, two.spectrum.evecs[rows], face)
    size = two.used.shape[0]
    return BarycentricMap(
        torch.full((size, 3), -1).index_copy(0, rows, made.corners),
        made.weights.new_zeros(size, 3).index_copy(0, rows, made.weights),
        torch.full((size,), -1).index_copy(0, rows, made.face),
        made.num_src,
    )
