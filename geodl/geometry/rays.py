"""Rays against a mesh: where each meets the surface first."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from geodl.geometry.native import native, num_threads
from geodl.geometry.surface import Surface, check_surface

__all__ = ["RayHits", "Scaled", "all_directions_met", "cast_rays"]

# Pairs of a ray and a face that the reference holds at a time.
_PAIRS = 1 << 21


@dataclass(frozen=True, eq=False)
class RayHits:
    """Where rays meet a mesh first.

    Args:
        face: ``[N]`` int64, the face; -1 where a ray meets none.
        distance: ``[N]``, in the unit of ``pos``; infinity where a ray meets none.
        weights: ``[N, 3]``, of the face's corners: the point is their weighted mean. Zero where a ray meets none.
    """

    face: Tensor
    distance: Tensor
    weights: Tensor

    @property
    def hit(self) -> Tensor:
        """``[N]`` bool, whether a ray meets the mesh."""
        return self.face >= 0


def cast_rays(mesh: Surface, origins: Tensor, directions: Tensor) -> RayHits:
    """The first face that each ray meets, from either side, at a distance greater than zero.

    The test is watertight: no ray slips through between two faces that share an edge or a corner. Computed in float64 in the
    mesh's own box, so neither its unit nor its place matters. Faces without area are met by no ray.

    Args:
        mesh: ``pos [V, 3]``, ``face [3, F]``; faces may intersect, be of any winding, in parts, with boundary.
        origins: ``[N, 3]``.
        directions: ``[N, 3]``, of any length but zero; or ``[3]`` for all rays.

    Returns:
        RayHits in the dtype and on the device of ``origins``.

    Raises:
        ValueError, IndexError: a bad mesh; origins or directions of another shape, not finite, or a direction of length zero.

    Woop, Benthin, Wald, "Watertight ray/triangle intersection", JCGT 2013.
    """
    scaled = Scaled(mesh)
    start = scaled.points(rows_of("origins", origins))
    if directions.dim() == 1:
        directions = directions.expand(len(origins), -1)
    towards = unit_rows("directions", directions)
    if len(towards) != len(start):
        raise ValueError(f"there are {len(start)} origins but {len(towards)} directions")
    if (module := extension()) is not None:
        found = module.cast_rays(
            scaled.pos.numpy(), scaled.face.numpy(), start.numpy(), towards.numpy(), num_threads()
        )
        face, distance, weights = (torch.from_numpy(array) for array in found)
    else:
        face, distance, weights = _first_met(scaled, start, towards)
    return RayHits(
        face.to(origins.device),
        (distance * scaled.size).to(origins),
        weights.view(-1, 3).to(origins),
    )


class Scaled:
    """A mesh in its own box, as rays are traced in it: on the CPU, in float64, around the origin, of size one."""

    def __init__(self, mesh: Surface) -> None:
        pos, face = check_surface(mesh)
        points = pos.detach().to("cpu", torch.float64)
        low, high = points.amin(dim=0), points.amax(dim=0)
        self.middle = low + (high - low) / 2
        self.size = float((high - low).amax()) or 1.0
        self.pos = self.points(pos)
        self.face = face.detach().cpu().t().contiguous()
        # What positions in their own dtype are rounded by.
        self.rounding = float(points.abs().amax()) * torch.finfo(pos.dtype).eps / self.size

    def points(self, pos: Tensor) -> Tensor:
        return ((pos.detach().to("cpu", torch.float64) - self.middle) / self.size).contiguous()


def all_directions_met(scaled: Scaled, origins: Tensor, frames: Tensor, directions: Tensor) -> Tensor:
    """The share of ``directions [R, 3]`` along which a face is met, ``[N]`` float64; in frames ``[N, 3, 3]``, axes in rows."""
    if (module := extension()) is not None:
        share = module.occlusion(
            scaled.pos.numpy(),
            scaled.face.numpy(),
            origins.contiguous().numpy(),
            frames.contiguous().numpy(),
            directions.contiguous().numpy(),
            num_threads(),
        )
        return torch.from_numpy(share)
    rays = len(directions)
    towards = torch.einsum("rk,nkd->nrd", directions, frames).reshape(-1, 3)
    face = _first_met(scaled, origins.repeat_interleave(rays, 0), towards)[0]
    return (face >= 0).view(-1, rays).double().mean(dim=1)


def extension() -> Any:
    """The compiled extension, or None with one warning where it is missing."""
    try:
        return native()
    except RuntimeError:
        _warn_once()
        return None


@lru_cache(maxsize=1)
def _warn_once() -> None:
    warnings.warn(
        "the extension geodl.geometry._native is missing: rays are tried on every face by PyTorch, which is slow",
        RuntimeWarning,
        stacklevel=4,
    )


def rows_of(name: str, values: Tensor) -> Tensor:
    """``values``, if they are finite ``[N, 3]``."""
    if values.dim() != 2 or values.shape[1] != 3 or not values.is_floating_point():
        raise ValueError(f"{name} must be floating point [N, 3], not {list(values.shape)} {values.dtype}")
    bad = (~torch.isfinite(values).all(dim=1)).nonzero().flatten()
    if bad.numel():
        raise ValueError(f"row {int(bad[0])} of {name} is not finite: {values[bad[0]].tolist()}")
    return values


def unit_rows(name: str, values: Tensor) -> Tensor:
    """Rows at length one, on the CPU in float64."""
    rows = rows_of(name, values).detach().to("cpu", torch.float64)
    largest = rows.abs().amax(dim=1, keepdim=True)
    zero = (largest == 0).flatten().nonzero().flatten()
    if zero.numel():
        raise ValueError(f"row {int(zero[0])} of {name} has length zero")
    rows = rows / largest
    return (rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)).contiguous()


def _first_met(scaled: Scaled, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The definition: Woop's test of every ray with every face."""
    corners = scaled.pos[scaled.face]  # [F, 3, 3]
    step = max(1, _PAIRS // len(corners))
    parts = [
        _woop(corners, origins[k : k + step], directions[k : k + step]) for k in range(0, len(origins), step)
    ]
    if not parts:
        return torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.float64), origins.new_empty(0, 3)
    face, distance, weights = (torch.cat(column) for column in zip(*parts, strict=True))
    return face, distance, weights


def _woop(corners: Tensor, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
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
