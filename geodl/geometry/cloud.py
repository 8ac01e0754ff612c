"""Point clouds: what geometry asks of them, and the normals that their neighbourhoods have."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from geodl.geometry.cloud_triangles import local_normals
from geodl.geometry.measures import vertex_normals
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.surface import clouds_of
from geodl.ops import farthest_points, knn

__all__ = ["check_cloud", "normals_of", "oriented_normals", "point_normals"]

# Points that make up a point's neighbourhood, as in Sharp & Crane 2020.
POINT_NEIGHBORS = 30
# Those whose plane is taken where sides must be told apart, and how many points tell them apart.
_AXIS_NEIGHBORS, _DIPOLES = 10, 4000

Array = NDArray[np.float64]


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
    if len(clouds := clouds_of(shape)) > 1:
        return torch.cat([point_normals(cloud, neighbors) for cloud in clouds])
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
    r"""Unit normals ``[V, 3]``, float64, that look out of the body whose surface the points are of.

    Lines are those of ``normal`` or else of :func:`point_normals` of 10 neighbours, which do not yet reach round a thin part. A
    point's side is where the winding number that the others' dipoles make, :math:`w(x) = \sum_j m_j \, n_j \cdot (p_j - x) /
    |p_j - x|^3`, falls from :math:`p_i - \epsilon_i n_i` to :math:`p_i + \epsilon_i n_i`, with :math:`\epsilon_i^2 = m_i`: the
    sides of a thin part tell each other apart. Points join in the order of how sure that is, and are turned once more where
    all the others say so. Each connected component's sign is the one for which its flux :math:`\sum_i m_i \, n_i \cdot (p_i -
    c)`, three times the volume of a closed surface, is positive. A given ``normal`` keeps its signs where the field of all of them
    agrees with nine tenths, as one that was measured does.

    Args:
        cloud: with ``pos [V, 3]``, maybe with ``normal``.
        mass: ``[V]``, a point's share of the area; 0 at points that lie where another does.

    Metzer et al., "Orienting point clouds with dipole propagation", SIGGRAPH 2021.
    """
    cloud = as_shape(cloud)
    pos = check_cloud(cloud).detach().cpu().double()
    given = getattr(cloud, "normal", None) is not None
    if len(pos) < 3:
        return normals_of(cloud).detach().cpu().double()
    normal = (
        normals_of(cloud).detach().cpu().double() if given else point_normals((pos, None), _AXIS_NEIGHBORS)
    )
    share = mass.detach().cpu().double()
    share = share / share.sum()
    unit = (pos - pos[0]) / float(mass.sum()) ** 0.5
    some = torch.arange(len(pos)) if len(pos) <= _DIPOLES else farthest_points(unit, _DIPOLES)[0]
    part = share[some] if len(some) == len(pos) else share.new_full((len(some),), 1 / len(some))
    dipoles = _Dipoles(unit[some].numpy(), normal[some].numpy(), part.numpy())
    sign = np.ones(len(some))
    if given and float((dipoles.field(sign) < 0).mean()) <= 0.1:
        return normal
    turned = dipoles.signs()
    field = dipoles.at(turned, unit.numpy(), normal.numpy())
    sign = np.where(field < 0, -1.0, 1.0)
    sign[some.numpy()] = turned
    normal = normal * torch.from_numpy(sign)[:, None]
    if not given:
        normal = local_normals(unit, normal)
    return normal * _outward(unit, normal, share)[:, None]


class _Dipoles:
    """Oriented patches and the fall of the winding number, times :math:`4 \\pi`, that they make across points."""

    def __init__(self, pos: Array, normal: Array, share: Array) -> None:
        self.pos, self.normal, self.share = pos, normal, share
        self.reach = np.sqrt(np.where(share > 0, share, share.mean()))
        step = self.reach[:, None] * normal
        self.sides = (pos - step).T.copy(), (pos + step).T.copy()

    def of(self, j: int) -> Array:
        """What dipole j makes across all others."""
        made = np.zeros(len(self.pos))
        for side, factor in zip(self.sides, (1.0, -1.0), strict=True):
            away = self.pos[j][:, None] - side
            square = (away * away).sum(0) + self.reach[j] ** 2
            made += factor * (self.normal[j] @ away) / (square * np.sqrt(square))
        made *= self.share[j]
        made[j] = 0
        return made

    def field(self, sign: Array) -> Array:
        """What all of them, with these signs, make across each."""
        found = np.zeros(len(self.pos))
        for j, s in enumerate(sign):
            found += s * self.of(j)
        return found

    def signs(self) -> Array:
        """Signs that agree: from the outermost point on, the surest comes next."""
        sign, field = np.zeros(len(self.pos)), np.zeros(len(self.pos))
        left = np.ones(len(self.pos), dtype=bool)
        j = int(np.argmax(((self.pos - self.pos.mean(0)) ** 2).sum(1)))
        while True:
            sign[j] = -1.0 if field[j] < 0 else 1.0
            left[j] = False
            field += sign[j] * self.of(j)
            if not left.any():
                break
            j = int(np.argmax(np.where(left, np.abs(field), -1.0)))
        for _ in range(len(self.pos)):
            j = int(np.argmin(sign * field))
            if sign[j] * field[j] >= 0:
                break
            sign[j] = -sign[j]
            field += 2 * sign[j] * self.of(j)
        return sign

    def at(self, sign: Array, pos: Array, normal: Array) -> Array:
        """What they make across points ``pos [P, 3]`` with normals, as far as their own reach lets it be known."""
        step = self.reach.mean() * normal
        found = np.empty(len(pos))
        vectors = (sign * self.share)[:, None] * self.normal
        for start in range(0, len(pos), 1000):
            rows = slice(start, start + 1000)
            found[rows] = 0
            for side, factor in ((pos[rows] - step[rows], 1.0), (pos[rows] + step[rows], -1.0)):
                square = ((self.pos[None] - side[:, None]) ** 2).sum(2) + self.reach**2
                along = (vectors * self.pos).sum(1) - side @ vectors.T
                found[rows] += factor * (along / (square * np.sqrt(square))).sum(1)
        return found


def _outward(pos: Tensor, normal: Tensor, share: Tensor) -> Tensor:
    """``[V]``: -1 in the components, of the graph of nearest neighbours, whose flux is negative, else 1."""
    near = knn(pos, min(_AXIS_NEIGHBORS, len(pos) - 1), loop=False)
    edges = csr_array((np.ones(near.num_edges), (near.row.numpy(), near.col.numpy())), shape=(len(pos),) * 2)
    parts, label = connected_components(edges, directed=False)
    component = torch.from_numpy(label.astype(np.int64))

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(parts, *values.shape[1:]).index_add(0, component, values)

    middle = total(share[:, None] * pos) / total(share).clamp(min=1e-300)[:, None]
    flux = total(share * (normal * (pos - middle[component])).sum(1))
    return 1.0 - 2.0 * (flux < 0)[component].double()


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
