"""Rays against every face of a mesh, one by one."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.geometry.reference.intrinsic_mesh import Indices, Reals

__all__ = ["cast_rays", "occlusion"]

# Pairs of a ray and a face that are held at a time.
_PAIRS = 1 << 21


def cast_rays(
    pos: Reals, face: Indices, origins: Reals, directions: Reals, threads: int
) -> tuple[Indices, Reals, Reals]:
    """The face that every ray meets first ``[N]``, how far away ``[N]``, and the weights of the face's corners ``[N, 3]``, flat."""
    found = _first_met(*map(torch.from_numpy, (pos, face, origins, directions)))
    met, distance, weights = (part.numpy() for part in found)
    return met, distance, weights.reshape(-1)


def occlusion(
    pos: Reals,
    face: Indices,
    origins: Reals,
    frames: Reals,
    directions: Reals,
    fine: Reals,
    near: Indices,
    threads: int,
) -> Reals:
    """The share of directions, given in the frame of every origin, along which a face is met ``[N]``.

    With ``fine [F, 3]`` the share is theirs: one whose neighbours ``near [F, K]`` among the others all answer alike answers as
    they do, and only the rest are cast; all are where more than a quarter of those with the rarer answer are never among such.
    """
    scene = torch.from_numpy(pos), torch.from_numpy(face)
    start, turn = torch.from_numpy(origins), torch.from_numpy(frames)

    def meets(points: Tensor, along: Tensor) -> Tensor:
        towards = torch.einsum("pk,pkd->pd", along, turn[points])
        return _first_met(*scene, start[points], towards)[0] >= 0

    count, rays = len(start), torch.from_numpy(directions)
    every = torch.arange(count).repeat_interleave(len(rays))
    met = meets(every, rays.repeat(count, 1)).view(count, -1)
    if len(fine):
        index = torch.from_numpy(near)
        beside = met[:, index]
        alike = (beside == beside[:, :, :1]).all(dim=2)
        sure = torch.zeros_like(met)
        point, ray = alike.nonzero().unbind(1)
        sure[point[:, None], index[ray]] = True
        rare = met == (2 * met.sum(dim=1, keepdim=True) < len(rays))
        scattered = 4 * (rare & ~sure).sum(dim=1) > rare.sum(dim=1)
        met = beside[:, :, 0].clone()
        point, ray = (~alike | scattered[:, None]).nonzero().unbind(1)
        met[point, ray] = meets(point, torch.from_numpy(fine)[ray])
    share: Reals = met.double().mean(dim=1).numpy()
    return share


def _first_met(
    pos: Tensor, face: Tensor, origins: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    corners = pos[face]  # [F, 3, 3]
    step = max(1, _PAIRS // len(corners))
    parts = [
        _woop(corners, origins[k : k + step], directions[k : k + step]) for k in range(0, len(origins), step)
    ]
    if not parts:
        return torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.float64), origins.new_empty(0, 3)
    met, distance, weights = (torch.cat(column) for column in zip(*parts, strict=True))
    return met, distance, weights


def _woop(corners: Tensor, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Woop's watertight test (2013) of every ray with every face."""
    # The axis along which a ray goes farthest becomes z, and a shear takes the ray onto it.
    kz = directions.abs().argmax(dim=1)
    kx, ky = (kz + 1) % 3, (kz + 2) % 3
    back = directions.gather(1, kz[:, None])[:, 0] < 0
    kx, ky = torch.where(back, ky, kx), torch.where(back, kx, ky)
    order = torch.stack([kx, ky, kz], dim=1)  # [N, 3]
    dx, dy, dz = directions.gather(1, order).unbind(1)
    moved = corners[None] - origins[:, None, None]  # [N, F, 3, 3]
    x, y, z = moved.gather(3, order[:, None, None].expand_as(moved)).unbind(3)
    x = x - (dx / dz)[:, None, None] * z
    y = y - (dy / dz)[:, None, None] * z
    edge = x.roll(-2, 2) * y.roll(-1, 2) - y.roll(-2, 2) * x.roll(-1, 2)  # u, v, w [N, F, 3]
    det = edge.sum(dim=2)
    inside = ~((edge < 0).any(dim=2) & (edge > 0).any(dim=2)) & (det != 0)
    weights = edge / torch.where(inside, det, 1.0)[..., None]
    distance = (weights * z).sum(dim=2) / dz[:, None]
    distance = torch.where(inside & (distance > 0), distance, torch.inf)
    nearest, face = distance.min(dim=1)
    met = nearest < torch.inf
    chosen = weights[torch.arange(len(face)), face]
    return torch.where(met, face, -1), nearest, torch.where(met[:, None], chosen, 0.0)
