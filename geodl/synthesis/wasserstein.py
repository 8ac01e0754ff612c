"""Sliced Wasserstein distance: how far the patches of one picture are from those of another."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.nn import Level
from geodl.ops import patch_gather
from geodl.synthesis.filter_bank import whole_windows
from geodl.synthesis.stencil import halve
from geodl.synthesis.windows import surface_windows

__all__ = ["sliced_wasserstein"]

_QUANTILES = 256


def sliced_wasserstein(
    one: Tensor,
    two: Tensor,
    level_one: Level | None = None,
    level_two: Level | None = None,
    kernel_size: int = 5,
    octaves: int = 3,
    projections: int = 256,
    seed: int = 0,
) -> list[float]:
    draw = torch.Generator().manual_seed(seed)
    found = []
    for octave in range(octaves):
        if octave:
            one, two = _next(one, level_one), _next(two, level_two)
            level_one = None if level_one is None else level_one.after()
            level_two = None if level_two is None else level_two.after()
        ps = [_patches(x, level, kernel_size) for x, level in ((one, level_one), (two, level_two))]
        direction = torch.randn(ps[0][0].shape[1], projections, generator=draw)
        direction = direction / direction.norm(dim=0)
        q = [_quantiles(p @ direction, mass) for p, mass in ps]
        found.append(float((q[0] - q[1]).abs().mean()) / ps[0][0].shape[1] ** 0.5)
    return found


def _next(x, level):
    return halve(x[None])[0] if level is None else halve(x, level)


def _patches(x, level, k):
    if level is None:
        p = F.unfold(x[None], k)[0].T
        return p, torch.ones(len(p))
    w = surface_windows(level, k)
    return patch_gather(x, w.neighbors, w.weight.to(x.dtype), w.index, w.taps).transpose(1, 2).flatten(1), whole_windows(level, k)


def _quantiles(values: Tensor, mass: Tensor) -> Tensor:
    ordered, place = values.sort(0)
    share = mass[place].cumsum(0) / mass.sum() - 0.5*mass[place]/mass.sum()
    at = ((torch.arange(_QUANTILES) + 0.5) / _QUANTILES).to(share).expand(values.shape[1], -1).contiguous()
    index = torch.searchsorted(share.T.contiguous(), at).clamp(max=len(values) - 1)
    return ordered.T.gather(1, index)
