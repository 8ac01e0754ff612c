"""Point clouds: what geometry asks of them, and the normals that their neighbourhoods have."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from torch import Tensor

from geodl.geometry.measures import vertex_normals
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.ops import knn

__all__ = ["check_cloud", "normals_of", "oriented_normals", "point_normals"]

# Points that make up a point's neighbourhood, as in Sharp & Crane 2020.
POINT_NEIGHBORS = 30


def check_cloud(shape: Any) -> Tensor:
    """``pos [V, 3]`` of a shape whose numbers can be computed with, faces or not.

    Raises:
        ValueError: no positions, wrong shape or dtype, no points, or a position that is not finite.
    """
    pos = getattr(shape, "pos", None)
    if not isinstance(pos, Tensor):
        raise ValueError(f"the shape needs a tensor .pos, but it is {type(pos).__name__}")
    if pos.dim() != 2 or pos.shape[1] != 3:
        raise ValueError(f"pos must have shape [V, 3], not {list(pos.shape)}")
    if not pos.is_floating_point():
        raise ValueError(f"pos must be floating point, not {pos.dtype}")
    if pos.shape[0] == 0:
        raise ValueError("the shape is empty: it has no points")
    if not bool(torch.isfinite(pos).all()):
        bad = (~torch.isfinite(pos).all(dim=1)).nonzero().flatten()
        more = f" ({bad.numel()} such points)" if bad.numel() > 1 else ""
        raise ValueError(f"point {int(bad[0])} is not finite: {pos[bad[0]].tolist()}{more}")
    return pos


def point_normals(shape: ShapeLike, neighbors: int = POINT_NEIGHBORS) -> Tensor:
    """Unit normals of a point cloud, ``[V, 3]``: the direction in which a point's nearest neighbours are spread least.

    They point away from the centre of the cloud, which orients a star-shaped one and is a convention elsewhere. A point whose
    neighbours lie on one line, or all in one place, has the zero vector; a warning counts such points.

    Args:
        shape: ``pos [V, 3]``, in any unit.
        neighbors: how many neighbours count; all, where there are fewer.

    Raises:
        ValueError: a bad cloud, or fewer than 2 neighbours asked for.

    Hoppe et al., "Surface reconstruction from unorganized points", SIGGRAPH 1992.
    """
    shape = as_shape(shape)
    pos = check_cloud(shape)
    if neighbors < 2:
        raise ValueError(f"neighbors must be at least 2, got {neighbors}")
    points = pos.detach().double()
    if len(points) < 3:
        _warn(len(points), len(points))
        return torch.zeros_like(pos)
    near = knn(points, min(neighbors + 1, len(points)))
    offsets = points[near.col.view(len(points), -1)] - points[:, None]
    size = offsets.abs().amax(dim=(1, 2), keepdim=True)
    offsets = offsets / torch.where(size > 0, size, 1.0)
    offsets = offsets - offsets.mean(dim=1, keepdim=True)
    variance, axes = torch.linalg.eigh(offsets.transpose(1, 2) @ offsets)
    normal = axes[:, :, 0]
    outward = (normal * (points - points.mean(dim=0))).sum(dim=1, keepdim=True)
    normal = torch.where(outward < 0, -normal, normal)
    # On a line two directions are spread least.
    has_one = variance[:, 1] > 1e-10 * variance[:, 2]
    if not bool(has_one.all()):
        _warn(int((~has_one).sum()), len(points))
    return torch.where(has_one[:, None], normal, 0.0).to(pos.dtype)


def oriented_normals(cloud: ShapeLike, mass: Tensor) -> Tensor:
    r""":func:`point_normals` ``[V, 3]`` of which neighbours agree, and that look outward as a whole.

    Signs are carried along the spanning tree of the 10 nearest neighbours' graph that bends least (Hoppe et al. 1992); each
    component's is the one for which its flux :math:`\sum_i m_i \, n_i \cdot (p_i - c)`, three times the volume of a closed
    surface, is positive.

    Args:
        cloud: with ``pos [V, 3]``.
        mass: ``[V]``, a point's share of the area.
    """
    pos = check_cloud(as_shape(cloud)).detach().cpu().double()
    normal = point_normals(SimpleNamespace(pos=pos))
    near = knn(pos, min(10, len(pos) - 1), loop=False) if len(pos) > 1 else None
    if near is None:
        return normal
    row, col = near.row.numpy(), near.col.numpy()
    agreement = (normal[near.row] * normal[near.col]).sum(1).numpy()
    size = (len(pos), len(pos))
    # Weights of zero would be no edges.
    bend = csr_array((1.001 - np.abs(agreement), (row, col)), shape=size)
    tree = minimum_spanning_tree(bend.maximum(bend.T))
    parts, label = connected_components(tree, directed=False)
    sign = np.ones(len(pos))
    values = normal.numpy()
    both = (tree + tree.T).tocsr()
    for part in range(parts):
        order, parent = breadth_first_order(both, int(np.flatnonzero(label == part)[0]), directed=False)
        for point in order[1:]:
            before = parent[point]
            sign[point] = sign[before] * (1.0 if values[point] @ values[before] >= 0 else -1.0)
    normal = normal * torch.from_numpy(sign)[:, None]
    component = torch.from_numpy(label.astype(np.int64))
    weight = mass.detach().cpu().double()
    total = torch.zeros(parts, dtype=torch.float64).index_add(0, component, weight).clamp(min=1e-300)
    middle = (
        torch.zeros(parts, 3, dtype=torch.float64).index_add(0, component, weight[:, None] * pos)
        / total[:, None]
    )
    flux = torch.zeros(parts, dtype=torch.float64).index_add(
        0, component, weight * (normal * (pos - middle[component])).sum(1)
    )
    return torch.where((flux < 0)[component][:, None], -normal, normal)


def normals_of(shape: ShapeLike) -> Tensor:
    """Unit normals ``[V, 3]`` of a mesh (:func:`vertex_normals`) or a cloud: its ``normal``, or :func:`point_normals`.

    Raises:
        ValueError: a bad shape, or a ``normal`` of another shape than ``pos`` or not finite.
    """
    shape = as_shape(shape)
    if getattr(shape, "face", None) is not None:
        return vertex_normals(shape)
    pos = check_cloud(shape)
    normal = getattr(shape, "normal", None)
    if normal is None:
        return point_normals(shape)
    if not isinstance(normal, Tensor) or normal.shape != pos.shape or not bool(torch.isfinite(normal).all()):
        raise ValueError(f"normal must be a finite tensor of the shape of pos, {list(pos.shape)}")
    return torch.nn.functional.normalize(normal.to(pos), dim=1)


def _warn(count: int, points: int) -> None:
    warnings.warn(
        f"{count} of {points} points have their neighbours on a line or in one place: their normals are zero",
        RuntimeWarning,
        stacklevel=3,
    )
