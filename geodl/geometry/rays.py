"""Rays against a mesh: where each meets the surface first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geodl.geometry.native import native, num_threads
from geodl.geometry.shapes import ShapeLike, SignalLike, as_shape, as_signal
from geodl.geometry.surface import Surface, check_surface

__all__ = ["RayHits", "Scaled", "all_directions_met", "cast_rays"]


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


def cast_rays(mesh: ShapeLike, origins: SignalLike, directions: SignalLike) -> RayHits:
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
    scaled = Scaled(as_shape(mesh))
    origins, directions = as_signal("origins", origins), as_signal("directions", directions)
    start = scaled.points(rows_of("origins", origins))
    if directions.dim() == 1:
        directions = directions.expand(len(origins), -1)
    towards = unit_rows("directions", directions)
    if len(towards) != len(start):
        raise ValueError(f"there are {len(start)} origins but {len(towards)} directions")
    found = native().cast_rays(
        scaled.pos.numpy(), scaled.face.numpy(), start.numpy(), towards.numpy(), num_threads()
    )
    face, distance, weights = (torch.from_numpy(array) for array in found)
    return RayHits(
        face.to(origins.device),
        (distance * scaled.size).to(origins),
        weights.view(-1, 3).to(origins),
    )


class Scaled:
    """A mesh in its own box, as rays are traced in it: on the CPU, in float64, around the origin, of size one."""

    def __init__(self, mesh: Surface) -> None:
        pos, face = check_surface(mesh)
        points = pos.detach().to("cpu", torch.float64)[
            face.detach().cpu().unique()
        ]  # a vertex of no face is no part of it
        low, high = points.amin(dim=0), points.amax(dim=0)
        self.middle = low + (high - low) / 2
        self.size = float((high - low).amax()) or 1.0
        self.pos = self.points(pos)
        self.face = face.detach().cpu().t().contiguous()
        # What positions in their own dtype are rounded by.
        self.rounding = float(points.abs().amax()) * torch.finfo(pos.dtype).eps / self.size

    def points(self, pos: Tensor) -> Tensor:
        return ((pos.detach().to("cpu", torch.float64) - self.middle) / self.size).contiguous()


def all_directions_met(
    scaled: Scaled,
    origins: Tensor,
    frames: Tensor,
    directions: Tensor,
    fine: Tensor | None = None,
    near: Tensor | None = None,
) -> Tensor:
    """The share of ``directions [R, 3]`` along which a face is met, ``[N]`` float64; in frames ``[N, 3, 3]``, axes in rows.

    With ``fine [F, 3]`` the share is theirs: one whose neighbours ``near [F, K]`` among the directions all answer alike answers as
    they do, and only the rest are cast; all are where more than a quarter of those with the rarer answer are never among such.
    """
    if fine is None or near is None:
        fine, near = directions[:0], torch.empty(0, 1, dtype=torch.int64)
    share = native().occlusion(
        scaled.pos.numpy(),
        scaled.face.numpy(),
        origins.contiguous().numpy(),
        frames.contiguous().numpy(),
        directions.contiguous().numpy(),
        fine.contiguous().numpy(),
        near.contiguous().numpy(),
        num_threads(),
    )
    return torch.from_numpy(share)


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
    unit: Tensor = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return unit.contiguous()
