"""Smooth prolongation: how the points of a shape read the coarse points about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["smooth_prolongation", "smoothed_aggregation"]

# The support of a coarse point, in mean distances to those whose cells touch its own: about seven supports hold a point. With less
# some points lie outside of the hull of their few coarse points, with more the signal is blurred.
_SUPPORT = 1.35
# It holds every point of its own cell, the farthest with so much room.
_ROOM = 1.25
# Directions with less than this part of the largest variance are those across the surface, along which nothing is interpolated.
_FLAT = 0.05
# Of the square of the multipliers: what keeps them finite for a point that no coarse points surround.
_RIDGE = 1e-3
_STEPS = 40
_TOLERANCE = 1e-6


def smooth_prolongation(
    pos: Tensor, centers: Tensor, cluster: NDArray[np.int64], links: Any
) -> scipy.sparse.csr_array:
    r"""Weights ``[V, C]`` of maximum entropy: not negative, smooth, and exact for linear functions.

    Around a point i the coarse points c whose support holds it have the offsets :math:`u_{ic}` in the plane of largest variance
    and the weights :math:`w_{ic} = (1 - r_{ic}^2 / R_c^2)^2`. Among all means over them

    .. math:: p_{ic} \propto w_{ic} \exp(\lambda_i \cdot u_{ic}), \qquad \sum_c p_{ic} u_{ic} = 0

    is the one nearest to w. A point outside of the hull of the coarse points, as at a border, has that of a point of the hull near
    it. Supports end within the second ring of cells, so nothing is read across a gap.

    Args:
        pos: ``[V, 3]`` float64.
        centers: ``[C]``, the points that are the coarse points.
        cluster: ``[V]``, the cell of every point.
        links: ``[C, C]``, which cells touch.

    Arroyo & Ortiz, "Local maximum-entropy approximation schemes", 2006.
    """
    count = len(centers)
    place = pos[centers]
    touching = links.tocoo()
    apart = torch.linalg.vector_norm(place[touching.row] - place[touching.col], dim=1).numpy()
    degree = np.maximum(np.bincount(touching.row, minlength=count), 1)
    support = _SUPPORT * np.bincount(touching.row, apart, count) / degree
    within = torch.linalg.vector_norm(pos - place[torch.from_numpy(cluster)], dim=1).numpy()
    np.maximum.at(support, cluster, _ROOM * within)
    support[support == 0] = 1
    near = scipy.sparse.csr_array((np.ones(len(touching.row)), (touching.row, touching.col)), links.shape)
    near = near + scipy.sparse.eye_array(count, format="csr")
    near = (near @ near).tocsr()[cluster]
    row, col = np.repeat(np.arange(len(pos)), np.diff(near.indptr)), near.indices
    offset = place[torch.from_numpy(col).long()] - pos[torch.from_numpy(row)]
    closeness = 1 - offset.square().sum(1).numpy() / support[col] ** 2
    kept = closeness > 0
    row, col, offset = row[kept], col[kept], offset[torch.from_numpy(kept)]
    weight = _of_maximum_entropy(torch.from_numpy(closeness[kept] ** 2), offset, row, len(pos))
    return scipy.sparse.csr_array((weight.numpy(), (row, col)), (len(pos), count))


def smoothed_aggregation(graph: Any, cluster: NDArray[np.int64], count: int) -> scipy.sparse.csr_array:
    r"""Weights ``[V, C]`` on a graph without positions: a step of diffusion, :math:`(I - \tfrac23 D^{-1} L) P`.

    Vanek, Mandel & Brezina, "Algebraic multigrid by smoothed aggregation for second and fourth order elliptic problems", 1996.
    """
    size = len(cluster)
    plain = scipy.sparse.csr_array((np.ones(size), (np.arange(size), cluster)), (size, count))
    degree = np.asarray(graph.sum(axis=1)).ravel()
    step = np.where(degree > 0, 2 / 3, 0)
    diffused = scipy.sparse.diags_array(step / np.where(degree > 0, degree, 1)) @ graph
    return (scipy.sparse.diags_array(1 - step) @ plain + diffused @ plain).tocsr()


def _of_maximum_entropy(weight: Tensor, offset: Tensor, row: NDArray[np.int64], rows: int) -> Tensor:
    """What w becomes in every row, ``[E]``, so that the mean offset is nearly zero."""
    # A table with as many columns as the longest row is faster than sums over rows.
    degree = np.bincount(row, minlength=rows)
    column = np.arange(len(row)) - np.repeat(np.cumsum(degree) - degree, degree)
    slot = torch.from_numpy(row), torch.from_numpy(column)
    w, u = weight.new_zeros(rows, degree.max()), offset.new_zeros(rows, degree.max(), 3)
    w[slot], u[slot] = weight, offset
    w = w / w.sum(1, keepdim=True)
    u = _in_the_plane(w, u)
    p = w.clone()
    multiplier = u.new_zeros(rows, u.shape[2])
    # Newton's method on the dual, log sum w exp(lambda u) + ridge lambda^2 / 2; a step that climbs is halved.
    moving = torch.arange(rows)
    value = u.new_zeros(rows)
    for _ in range(_STEPS):
        some, p_now, now = u[moving], p[moving], multiplier[moving]
        mean = (p_now[:, :, None] * some).sum(1)
        slope = mean + _RIDGE * now
        moving = moving[unsettled := torch.linalg.vector_norm(slope, dim=1) > _TOLERANCE]
        if not moving.numel():
            break
        some, p_now, mean, slope = some[unsettled], p_now[unsettled], mean[unsettled], slope[unsettled]
        bend = torch.einsum("nk,nka,nkb->nab", p_now, some, some) - mean[:, :, None] * mean[:, None]
        bend = bend + _RIDGE * torch.eye(u.shape[2], dtype=u.dtype)
        step = torch.linalg.solve(bend, slope)
        promised = (step * slope).sum(1)
        length = u.new_ones(len(moving))
        for _ in range(12):
            tried = multiplier[moving] - length[:, None] * step
            power = w[moving].log() + (some * tried[:, None]).sum(2)
            found = power.logsumexp(1) + 0.5 * _RIDGE * tried.square().sum(1)
            climbs = found > value[moving] - 1e-4 * length * promised
            if not bool(climbs.any()):
                break
            length = torch.where(climbs, length / 2, length)
        multiplier[moving], value[moving], p[moving] = tried, found, power.softmax(1)
    return p[slot]


def _in_the_plane(w: Tensor, u: Tensor) -> Tensor:
    """Offsets along the directions in which they vary, in units of their largest deviation; zero along others."""
    middle = u - (w[:, :, None] * u).sum(1, keepdim=True)
    variance, axis = torch.linalg.eigh(torch.einsum("nk,nka,nkb->nab", w, middle, middle))
    largest = variance[:, -1:]
    along = (variance > _FLAT * largest) & (largest > 0)
    scale = torch.where(along, torch.where(largest > 0, largest, 1).rsqrt(), 0)
    flat: Tensor = u @ (axis * scale[:, None])
    return flat
