"""What a texture is made on: a grid, or the levels of a surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.geometry import surface_area
from geodl.nn import Level, mesh_levels
from geodl.synthesis.filter_bank import smallest_grid, whole_windows
from geodl.synthesis.stencil import smooth

__all__ = ["Domain", "surface_levels"]

# Below this share of the surface that whole windows see, statistics say little.
_SEEN = 0.25


def surface_levels(
    mesh: Any, octaves: int | None = None, kernel_size: int = 5, direction: Tensor | None = None
) -> Level:
    """The levels of a surface on which textures are made, each of a quarter of the points of the one before.

    Args:
        mesh: ``pos [V, 3]`` and ``face [3, F]``.
        octaves: how many levels; as many as the mesh has vertices for, at most 4, if not given.
        kernel_size: taps along an axis of the filters.
        direction: as of :func:`~geodl.nn.mesh_levels`: what is up in the exemplar lies along it; +y if not given.

    Raises:
        ValueError, IndexError: a bad mesh; one without area; fewer vertices than the octaves need; one so uneven that few of its
            points see a whole window.
    """
    area = float(surface_area(mesh))
    if not area > 0:
        raise ValueError(f"the mesh has area {area:g}: there is no surface to put a texture on")
    vertices = mesh.pos.shape[0]
    fits = fitting_octaves(int(vertices**0.5), kernel_size)
    if octaves is None:
        octaves = min(4, fits)
    needed = smallest_grid(kernel_size, max(octaves, 1)) ** 2
    if not 1 <= octaves <= fits:
        raise ValueError(
            f"the mesh has {vertices} vertices, but {max(octaves, 1)} octaves of {kernel_size} x {kernel_size} taps need "
            f"{needed}: subdivide it, or take fewer octaves"
        )
    # Rows of an image run down.
    along = torch.tensor([0.0, -1.0, 0.0]) if direction is None else -direction
    sizes = [vertices // 4**octave for octave in range(1, octaves)]
    level: Level = mesh_levels(mesh, sizes, max(kernel_size, 5), along)
    seen = float(whole_windows(level, kernel_size).sum() / level.area.sum())
    if seen < _SEEN:
        raise ValueError(
            f"only {100 * seen:.1f} % of the surface see a whole window of {kernel_size} x {kernel_size} taps: "
            "its vertices are too uneven, or its pieces too small; remesh it"
        )
    return level


def fitting_octaves(side: int, kernel_size: int) -> int:
    """How many octaves a grid of so many points along an axis holds."""
    octaves = 0
    while side >= smallest_grid(kernel_size, octaves + 1):
        octaves += 1
    return octaves


@dataclass(frozen=True)
class Domain:
    """A grid, which may be circular, or a level; and its coarser octaves.

    Signals are ``[1, C, H, W]`` or ``[V, C]``.
    """

    size: tuple[int, int] | None = None
    level: Level | None = None
    circular: bool = False

    def coarser(self) -> Domain:
        if self.level is not None:
            return Domain(level=self.level.after())
        assert self.size is not None
        height, width = self.size
        return Domain((-(-height // 2), -(-width // 2)), None, self.circular)

    @property
    def channels_at(self) -> int:
        return 1

    def shape(self, channels: int) -> tuple[int, ...]:
        if self.level is not None:
            return self.level.num_nodes, channels
        assert self.size is not None
        return 1, channels, *self.size

    def spread(self, x: Tensor) -> Tensor:
        """A signal of the coarser octave, here."""
        if self.level is not None:
            return smooth(self.level.cells().prolong(x), self.level)
        if not self.circular:
            # Sample k of the coarser octave lies at sample 2 k of this one.
            height, width = self.size
            rows, cols = (torch.arange(n, device=x.device) / 2 for n in (height, width))
            h, w = x.shape[2:]
            place = torch.stack(torch.meshgrid(2 * cols / max(w - 1, 1) - 1, 2 * rows / max(h - 1, 1) - 1, indexing="xy"), -1)
            return F.grid_sample(x, place[None].to(x), mode="bicubic", padding_mode="border", align_corners=True)
        raise NotImplementedError
