"""What a texture is made on: a grid, or the levels of a surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.geometry import direction_field, surface_area, tangent_frames, vertex_areas
from geodl.nn import Level, mesh_levels
from geodl.synthesis.filter_bank import smallest_grid, whole_windows
from geodl.synthesis.stencil import smooth

__all__ = ["Domain", "surface_levels"]

# Below this share of the surface that whole windows see, statistics say little.
_SEEN = 0.25

# A margin is no wider than this part of a grid: statistics are matched with it, not within it alone.
_WITHIN = 16

SIDE = 5  # taps of the filters along an axis


def surface_levels(
    mesh: Any, octaves: int | None = None, kernel_size: int = SIDE, direction: Tensor | None = None
) -> Level:
    """The levels of a surface on which textures are made, each of a quarter of the points of the one before.

    Args:
        mesh: ``pos [V, 3]`` and ``face [3, F]``.
        octaves: how many levels; as many as the mesh has vertices for, at most 4, if not given.
        kernel_size: taps along an axis of the filters.
        direction: ``[3]``, ``[V, 3]``, or ``[V, 2]`` in the tangent frames: what is up in the exemplar lies along it. If not given,
            a smooth :func:`~geodl.geometry.direction_field` that follows limbs, and points rather to +y than to -y.

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
    up = _upward(mesh) if direction is None else direction
    sizes = [vertices // 4**octave for octave in range(1, octaves)]
    level: Level = mesh_levels(
        mesh, sizes, kernel_size if octaves == 1 else max(kernel_size, 5), -up
    )  # rows run down
    seen = float(whole_windows(level, kernel_size).sum() / level.area.sum())
    if seen < _SEEN:
        raise ValueError(
            f"only {100 * seen:.1f} % of the surface see a whole window of {kernel_size} x {kernel_size} taps: "
            "its vertices are too uneven, or its pieces too small; remesh it"
        )
    return level


def _upward(mesh: Any) -> Tensor:
    field = direction_field(mesh, curvature=1.0)
    height = (field[:, :, None] * tangent_frames(mesh)[:, :2]).sum(1)[:, 1]
    return field if float((height * vertex_areas(mesh).to(height)).sum()) >= 0 else -field


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

    Args:
        margin: as many points around a grid are no part of the picture: few windows see what lies at an edge, and there the
            statistics are matched worse, which shows as a frame (measured).
    """

    size: tuple[int, int] | None = None
    level: Level | None = None
    circular: bool = False
    margin: int = 0

    @classmethod
    def of(
        cls,
        given: Any,
        octaves: int,
        fewer: bool = False,
        circular: bool = False,
        direction: Tensor | None = None,
    ) -> Domain:
        """Of ``(H, W)``, a mesh or a level.

        Args:
            octaves: how many are wanted.
            fewer: whether fewer will do, where there is not room for all.

        Raises:
            ValueError: no room for them.
        """
        if isinstance(given, Level):
            return cls(level=given)
        if getattr(given, "face", None) is not None:
            if fewer:
                octaves = max(1, min(octaves, fitting_octaves(int(given.pos.shape[0] ** 0.5), SIDE)))
            return cls(level=surface_levels(given, octaves, direction=direction))
        try:
            height, width = (int(length) for length in given)
        except (TypeError, ValueError) as error:
            raise ValueError(f"a domain is (H, W), a mesh or a Level, not {type(given).__name__}") from error
        fits = fitting_octaves(min(height, width), SIDE)
        if fewer:
            octaves = max(1, min(octaves, fits))
        if octaves > fits:
            needed = smallest_grid(SIDE, octaves)
            raise ValueError(
                f"a grid of {height} x {width} is too small for {octaves} octaves: it needs {needed} x {needed}"
            )
        if circular and (height % 2 ** (octaves - 1) or width % 2 ** (octaves - 1)):
            raise ValueError(
                f"a tileable grid of {octaves} octaves needs sides that {2 ** (octaves - 1)} divides, not {height} x {width}"
            )
        return cls((height, width), None, circular)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu") if self.level is None else self.level.area.device

    def widened(self, octaves: int) -> Domain:
        """A grid with a margin for windows of so many octaves; what has no edges stays as it is."""
        if self.size is None or self.circular:
            return self
        margin = min(SIDE // 2 * 2 ** (octaves - 1), min(self.size) // _WITHIN)
        height, width = (length + 2 * margin for length in self.size)
        return Domain((height, width), margin=margin)

    def room(self) -> int:
        """How many octaves it has room for."""
        if self.level is not None:
            return len(self.level.pyramid())
        assert self.size is not None
        return fitting_octaves(min(self.size), SIDE)

    def octaves(self, count: int) -> list[Domain]:
        """Itself and the coarser ones."""
        found = [self]
        while len(found) < count:
            found.append(found[-1]._coarser())
        return found

    def shape(self, channels: int) -> tuple[int, ...]:
        if self.level is not None:
            return self.level.num_nodes, channels
        assert self.size is not None
        return 1, channels, *self.size

    def spread(self, x: Tensor) -> Tensor:
        """A signal of the next coarser octave, here: smooth between its points."""
        if self.level is not None:
            return self.level.cells().prolong(x, smooth=True)
        assert self.size is not None
        # Point k of the coarser octave is point 2 k of this one.
        high, wide = x.shape[2:]
        x = F.pad(x, (2, 2, 2, 2), mode="circular" if self.circular else "reflect")
        row, column = (torch.arange(length, device=x.device) / 2 + 2 for length in self.size)
        at = torch.stack(
            torch.meshgrid(2 * column / (wide + 3) - 1, 2 * row / (high + 3) - 1, indexing="xy"), -1
        )
        return F.grid_sample(x, at[None].to(x), mode="bicubic", padding_mode="border", align_corners=True)

    def smoothed(self, x: Tensor) -> Tensor:
        """On a surface smoothed by one tap: windows see means, and specks would stay that they can't see."""
        return x if self.level is None else smooth(x, self.level)

    def _coarser(self) -> Domain:
        if self.level is not None:
            return Domain(level=self.level.after())
        assert self.size is not None
        height, width = self.size
        return Domain((-(-height // 2), -(-width // 2)), None, self.circular)
