"""The tangent frame of every vertex: the one that charts, gradients, curvature and fields speak of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import scipy.sparse
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from geodl.geometry.cloud import check_cloud, normals_of
from geodl.geometry.measures import vertex_normals
from geodl.geometry.native import native
from geodl.geometry.repeatable import angle
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.surface import Surface, check_surface, clouds_of, surface_arrays

__all__ = ["frame_angle", "oriented", "precise_frames", "tangent_frames"]

# What is shorter than this, in units of the shape's extent, is no direction but rounding.
_NOWHERE = 1e-5
# Of two coordinate axes that are as far from the normal the first is taken, whatever rounding says.
_TIE = 1e-6


def tangent_frames(shape: ShapeLike) -> Tensor:
    r"""An orthonormal frame at every vertex, ``[V, 3, 3]``: two tangent directions and the unit normal, right-handed.

    The first direction leads away from the middle of the shape: with the vertex at :math:`p`, its normal :math:`n` and the
    centroid :math:`c` of the surface of its component (of the points of a cloud), it is :math:`p - c - (n \cdot (p - c))\, n`
    brought to length 1. So frames turn and move with the shape, and neither the numbering of vertices, nor the unit of length,
    nor another shape beside it changes them. Where the normal points straight away from the middle (:math:`p - c` leans less than
    1e-5 of the component's extent; on a perfect sphere, or in the middle of a disc) the shape itself tells no direction: there it
    is the projection of the coordinate axis that is farthest from the normal, which does not turn with the shape. No field of
    directions is smooth on all of a sphere: see :func:`direction_field` for one that is as smooth as can be.

    Normals are those of the mesh's vertices, after faces are read in the winding of their component's first face, as
    :func:`geodesic_charts` does; of a point cloud its ``normal``, or :func:`point_normals` where it has none. A vertex without a
    normal has the coordinate axes. In the dtype of ``pos``.

    Raises:
        ValueError, IndexError: a bad shape.
        RuntimeError: faces are wound inconsistently and the native extension, which turns them, is not built.
    """
    shape = as_shape(shape)
    return precise_frames(shape).to(shape.pos.dtype)


def precise_frames(shape: Any) -> Tensor:
    """:func:`tangent_frames` in float64."""
    if getattr(shape, "face", None) is None:
        if len(clouds := clouds_of(shape)) > 1:
            return torch.cat([precise_frames(cloud) for cloud in clouds])
        pos = check_cloud(shape).double()
        normal = normals_of(shape).double()
        away = pos - pos.mean(dim=0)
        extent = torch.linalg.vector_norm(away, dim=1).amax()
    else:
        pos, _ = check_surface(shape)
        pos = pos.double()
        size = (pos - pos[0]).detach().abs().amax()
        pos = (pos - pos[0]) / torch.where(size > 0, size, 1.0)
        face = oriented(shape)
        normal = vertex_normals(SimpleNamespace(pos=pos, face=face))
        away, extent = _from_the_middle(pos, face)
    has_none = (normal == 0).all(dim=1, keepdim=True)
    normal = torch.where(has_none, normal.new_tensor([0.0, 0.0, 1.0]), normal)
    leaning = away - (away * normal).sum(1, keepdim=True) * normal
    far = torch.linalg.vector_norm(leaning, dim=1) > _NOWHERE * extent
    tilt = normal.abs() + normal.new_tensor([0.0, _TIE, 2 * _TIE])
    axis = torch.nn.functional.one_hot(tilt.argmin(dim=1), 3).to(normal)
    axis = axis - (axis * normal).sum(1, keepdim=True) * normal
    x = torch.where((far & ~has_none[:, 0])[:, None], leaning, axis)
    x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return torch.stack([x, torch.linalg.cross(normal, x), normal], dim=1)


def oriented(mesh: Surface) -> Tensor:
    """``face [3, F]`` with the faces turned that are not wound as their component's first face; as charts read them."""
    pos, face = check_surface(mesh)
    start, end = face.flatten(), face.roll(-1, dims=0).flatten()
    joined = start != end
    start, end = start[joined], end[joined]
    low, high = torch.minimum(start, end), torch.maximum(start, end)
    _, edge, count = torch.unique(low * len(pos) + high, return_inverse=True, return_counts=True)
    # Two faces that agree run along their edge in opposite directions.
    along = torch.zeros_like(count).index_add_(0, edge, torch.where(start == low, 1, -1))
    if not bool(((count == 2) & (along != 0)).any()):
        return face
    turned = torch.from_numpy(native().oriented(*surface_arrays(mesh))).view(-1, 3)
    return turned.t().to(face.device)


def frame_angle(frames: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The angle of a direction's projection in every frame ``[V]``, and where there is one.

    Args:
        frames: ``[V, 3, 3]``.
        direction: ``[3]``, ``[V, 3]``, or ``[V, 2]`` in the frames.

    Raises:
        ValueError: another shape or dtype, or a direction that is not finite.
    """
    count = frames.shape[0]
    if direction.shape not in ((3,), (count, 3), (count, 2)):
        raise ValueError(
            f"direction must have shape [3], [{count}, 3], or [{count}, 2] in frames, not {list(direction.shape)}"
        )
    if not direction.is_floating_point():
        raise ValueError(f"direction must be floating point, not {direction.dtype}")
    if not bool(torch.isfinite(direction).all()):
        bad = ~torch.isfinite(direction).reshape(-1, direction.shape[-1]).all(dim=1)
        at = f" at vertex {int(bad.nonzero()[0])}" if direction.dim() > 1 else ""
        more = f" ({int(bad.sum())} such vertices)" if int(bad.sum()) > 1 else ""
        raise ValueError(f"direction is not finite{at}{more}")
    direction = direction.to(frames)
    whole = torch.linalg.vector_norm(direction, dim=-1).expand(count)
    if direction.shape[-1] == 3:
        direction = (frames[:, :2] @ direction.expand(count, 3)[:, :, None]).squeeze(2)
    there = torch.linalg.vector_norm(direction, dim=1) > _NOWHERE * whole
    x, y = direction.unbind(1)
    return torch.where(there, angle(y, x), 0.0), there


def _from_the_middle(pos: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
    """``p - c`` of every vertex ``[V, 3]``, and the extent of its component ``[V]``."""
    count, corners = len(pos), face.detach().cpu().numpy()
    links = np.ones(2 * face.shape[1], dtype=np.int8), (corners[:2].ravel(), corners[1:].ravel())
    graph = scipy.sparse.coo_array(links, shape=(count, count))
    parts, label = cast(tuple[int, Any], connected_components(graph, directed=False))
    part = torch.from_numpy(label.astype(np.int64)).to(pos.device)
    a, b, c = pos[face]
    area = torch.linalg.vector_norm(torch.linalg.cross(b - a, c - a), dim=1)
    of_face = part[face[0]]
    # Of a component without area, the mean of its vertices.
    total = pos.new_zeros(parts).index_add(0, of_face, area)
    moment = pos.new_zeros(parts, 3).index_add(0, of_face, area[:, None] * (a + b + c) / 3)
    flat = (total == 0)[:, None]
    number = pos.new_zeros(parts).index_add(0, part, pos.new_ones(count))
    mean = pos.new_zeros(parts, 3).index_add(0, part, pos) / number[:, None]
    middle = torch.where(flat, mean, moment / torch.where(flat, 1.0, total[:, None]))
    away = pos - middle[part]
    extent = pos.new_zeros(parts).scatter_reduce(
        0, part, torch.linalg.vector_norm(away.detach(), dim=1), "amax"
    )
    return away, extent[part]
