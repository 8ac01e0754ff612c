"""Charts of a point cloud: its tangent planes stand for the surface that nobody knows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geodl.geometry.frames import precise_frames
from geodl.geometry.gradient import laid
from geodl.geometry.repeatable import angle
from geodl.ops import Neighbors, knn, radius

__all__ = ["tangent_charts"]

_Charts = tuple[Neighbors, Tensor, Tensor, Tensor, Tensor, Tensor]


def tangent_charts(
    cloud: object, pos: Tensor, around: Tensor, reach: Tensor | None, size: int | None
) -> _Charts:
    r"""Neighbourhoods, ``(rho, theta) [E, 2]``, transport, arrival ``[E]``, radii ``[N]`` and frames ``[V, 3, 3]``, in float64.

    :math:`\rho_{ij}` is the straight distance and :math:`\theta_{ij}` the angle of j's projection to the tangent plane of i: the
    geodesic ones up to second order in the distance. Frames are carried along the smallest rotation of one normal into the other.
    """
    frames = precise_frames(cloud).detach()
    points = pos.detach().double()
    centers = points[around]
    if size is not None:
        found = knn(points, min(size, len(points)), queries=centers)
        row, col = found.row, found.col
    else:
        assert reach is not None
        largest = float(reach.max().clamp(max=torch.finfo(torch.float64).max)) if len(reach) else 1.0
        found = radius(points, largest, queries=centers)
        near = torch.linalg.vector_norm(points[found.col] - centers[found.row], dim=1) <= reach[found.row]
        row, col = found.row[near], found.col[near]
    order = torch.argsort(row * len(points) + col)
    row, col = row[order], col[order]
    counts = torch.bincount(row, minlength=len(around))
    neighbors = Neighbors(torch.cat([counts.new_zeros(1), counts.cumsum(0)]), col, len(points))
    source = around[row]
    edge = points[col] - points[source]
    rho = torch.linalg.vector_norm(edge, dim=1)
    itself = rho == 0
    theta = _angle(laid(edge, frames[source])).masked_fill(itself, 0)
    arrival = _angle(laid(-edge, frames[col])).masked_fill(itself, 0)
    transport = _carried(frames[col], frames[source]).masked_fill(itself, 0)
    if reach is None:
        reach = rho.new_zeros(len(around)).scatter_reduce(0, row, rho, "amax")
    return neighbors, torch.stack([rho, theta], dim=1), transport, arrival, reach, frames


def _angle(flat: Tensor) -> Tensor:
    return torch.remainder(angle(flat[:, 1], flat[:, 0]), 2 * math.pi)


def _carried(one: Tensor, other: Tensor) -> Tensor:
    """The angle ``[E]``, in (-pi, pi], in the frames ``other`` of the first directions of ``one``, carried there."""
    along = torch.linalg.cross(one[:, 2], other[:, 2])
    cosine = (one[:, 2] * other[:, 2]).sum(1, keepdim=True)
    x = one[:, 0]
    once = torch.linalg.cross(along, x)
    turned = x + once + torch.linalg.cross(along, once) / (1 + cosine).clamp(min=1e-12)
    return angle((turned * other[:, 1]).sum(1), (turned * other[:, 0]).sum(1))
