"""Edges, areas and normals of a mesh; areas and normals are differentiable in the positions."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.geometry.laplacian import laplacian
from geodl.geometry.repeatable import total
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.surface import Surface, check_single, check_surface

__all__ = [
    "edges",
    "face_areas",
    "face_normals",
    "mean_edge_length",
    "surface_area",
    "vertex_areas",
    "vertex_normals",
]


def edges(mesh: ShapeLike) -> Tensor:
    """Every edge of every face once, ``[2, E]`` int64, the lower vertex first, in ascending order.

    Raises:
        ValueError, IndexError: a mesh without vertices or faces, with positions that are not finite, or with
            faces that refer to vertices that do not exist. So do all functions of this module.
    """
    mesh = as_shape(mesh)
    pos, face = check_surface(mesh)
    start, end = face.flatten(), face.roll(-1, dims=0).flatten()
    low, high = torch.minimum(start, end), torch.maximum(start, end)
    key: Tensor = torch.unique((low * pos.shape[0] + high)[low != high])
    return torch.stack([key.div(pos.shape[0], rounding_mode="floor"), key.remainder(pos.shape[0])])


def mean_edge_length(mesh: ShapeLike) -> Tensor:
    """Mean length of `edges`, a scalar in the unit of ``pos``."""
    mesh = as_shape(mesh)
    start, end = edges(mesh)
    lengths: Tensor = torch.linalg.vector_norm(mesh.pos[start] - mesh.pos[end], dim=1)
    return total(lengths) / lengths.numel()


def face_areas(mesh: ShapeLike) -> Tensor:
    r"""Area of every face, ``[F]``: :math:`\frac12 \|(x_2 - x_1) \times (x_3 - x_1)\|`."""
    mesh = as_shape(mesh)
    doubled: Tensor = torch.linalg.vector_norm(_area_vectors(mesh), dim=1)
    return 0.5 * doubled


def surface_area(mesh: ShapeLike) -> Tensor:
    """Sum of the face areas, or of a cloud's `vertex_areas`: a scalar in the squared unit of ``pos``."""
    mesh = as_shape(mesh)
    if getattr(mesh, "face", None) is None:
        return total(vertex_areas(mesh))
    return total(face_areas(mesh))


def vertex_areas(mesh: ShapeLike) -> Tensor:
    """Barycentric area of every vertex, ``[V]``: a third of the areas of its faces. They sum to `surface_area`.

    Of a point cloud the mass of its :func:`laplacian`, in which nothing is differentiable.
    """
    mesh = as_shape(mesh)
    if getattr(mesh, "face", None) is None:
        check_single(mesh)
        return laplacian(mesh, "points").mass.to(mesh.pos)
    third = face_areas(mesh) / 3
    return third.new_zeros(mesh.pos.shape[0]).index_add(0, mesh.face.flatten().long(), third.repeat(3))


def face_normals(mesh: ShapeLike) -> Tensor:
    """Unit normal of every face, ``[F, 3]``, towards the side that sees the corners counter-clockwise; 0 for
    a face without area."""
    mesh = as_shape(mesh)
    return _normalize(_area_vectors(mesh))


def vertex_normals(mesh: ShapeLike) -> Tensor:
    """Unit normal of every vertex, ``[V, 3]``: the area-weighted mean of its faces' normals; 0 where they
    cancel or there are none."""
    mesh = as_shape(mesh)
    vectors = _area_vectors(mesh)
    zeros = vectors.new_zeros(mesh.pos.shape[0], 3)
    return _normalize(zeros.index_add(0, mesh.face.flatten().long(), vectors.repeat(3, 1)))


def _area_vectors(mesh: Surface) -> Tensor:
    pos, face = check_surface(mesh)
    a, b, c = pos[face[0]], pos[face[1]], pos[face[2]]
    vectors: Tensor = torch.linalg.cross(b - a, c - a, dim=1)
    return vectors


def _normalize(vectors: Tensor) -> Tensor:
    # Scaled by its largest component first, so that the squares of a tiny mesh do not vanish.
    largest = vectors.detach().abs().amax(dim=1, keepdim=True)
    vectors = vectors / torch.where(largest > 0, largest, torch.ones_like(largest))
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(length > 0, length, torch.ones_like(length))
