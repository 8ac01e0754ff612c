"""Upsample: a signal at more points, on grids and on every other domain."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from geodl.geometry import Coarsening
from geodl.nn.level import Level

__all__ = ["Upsample"]

_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


class Upsample(nn.Module):
    r"""The way back from pooling: a signal from a coarse grid, or from the points of the next coarser level, to more points.

    ``"nearest"`` repeats what a coarse point has all over its cell. ``"bilinear"`` is linear between coarse points: on grids
    torch's linear, bilinear or trilinear interpolation, elsewhere the smooth prolongation of :class:`~geodl.geometry.Coarsening`.

    Args:
        scale_factor: how many times more points along every axis of a grid; a level has as many as it has.
        mode: "nearest" or "bilinear".

    Shapes:
        - x ``[B, C, *size]`` -> ``[B, C, *(scale_factor size)]``.
        - with a level of V points, whose coarser one has v, x ``[v, C]`` or ``[B, C, v]`` -> ``[V, C]`` or ``[B, C, V]``: the level
          is the one that this leads to. A coarsening serves too.

    Raises:
        ValueError: no such mode; a signal that does not fit; a level without a coarser one.
    """

    def __init__(self, scale_factor: int = 2, mode: Literal["nearest", "bilinear"] = "nearest") -> None:
        super().__init__()
        if mode not in ("nearest", "bilinear"):
            raise ValueError(f'mode must be "nearest" or "bilinear", not {mode!r}')
        self.scale_factor, self.mode = scale_factor, mode

    def forward(self, x: Tensor, domain: Level | Coarsening | None = None) -> Tensor:
        """x on a finer grid, or from the coarser level's points to those of the level: see the shapes above."""
        if domain is not None:
            coarsening = domain.cells() if isinstance(domain, Level) else domain
            return coarsening.prolong(x, smooth=self.mode != "nearest")
        if x.dim() not in _LINEAR:
            raise ValueError(f"x must have shape [B, C, *size] with 1 to 3 axes, not {list(x.shape)}")
        mode = self.mode if self.mode == "nearest" else _LINEAR[x.dim()]
        return F.interpolate(x, scale_factor=self.scale_factor, mode=mode)

    def extra_repr(self) -> str:
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}"
