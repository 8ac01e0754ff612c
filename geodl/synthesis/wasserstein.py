"""Sliced Wasserstein distance: how far the patches of one picture are from those of another."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.nn import Level
from geodl.ops import patch_gather
from geodl.synthesis.filter_bank import smallest_grid, whole_windows
from geodl.synthesis.stencil import halve
from geodl.synthesis.windows import surface_windows

__all__ = ["sliced_wasserstein"]

_QUANTILES = 256


def sliced_wasserstein(
    one: Tensor,
    two: Tensor,
    level_one: Level | None = None,
    level_two: Level | None = None,
    *,
    kernel_size: int = 5,
    octaves: int = 3,
    projections: int = 256,
    seed: int = 0,
) -> float:
    r"""How far the patches of two pictures are apart, wherever each of them lies: no synthesis here minimises it.

    .. math:: d = \frac{1}{O} \sum_o \mathrm{E}_{\theta} \int_0^1 | Q^o_\theta(t) - R^o_\theta(t) | \, dt

    where :math:`Q_\theta` and :math:`R_\theta` are the quantile functions of the k x k patches of either picture, projected on a
    random direction of length :math:`1 / k \sqrt C`, each point counted by its area; the mean over octaves. 0.01 means that, in
    order, patches differ by about one hundredth of the way from black to white.

    Args:
        one, two: ``[C, H, W]``, or ``[V, C]`` with a level.
        level_one, level_two: where they lie; None for a grid.
        kernel_size: ``k``.
        octaves: how many, each at half the resolution of the one before.
        projections: directions.
        seed: of the directions.

    Raises:
        ValueError: pictures with other channels, values that are not finite, a grid that is too small.

    Rabin, Peyre, Delon, Bernot, "Wasserstein barycenter and its application to texture mixing", 2011.
    """
    first, second = (
        _checked(one, level_one, kernel_size, octaves),
        _checked(two, level_two, kernel_size, octaves),
    )
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"one picture has {first.shape[1]} channels and the other {second.shape[1]}")
    draw = torch.Generator().manual_seed(seed)
    total = 0.0
    for octave in range(octaves):
        if octave:
            first, second = halve(first, level_one), halve(second, level_two)
            level_one = None if level_one is None else level_one.after()
            level_two = None if level_two is None else level_two.after()
        length = first.shape[1] * kernel_size**2
        direction = F.normalize(torch.randn(length, projections, generator=draw), dim=0) / length**0.5
        ours = _quantiles(*_patches(first, level_one, kernel_size), direction.to(first))
        theirs = _quantiles(*_patches(second, level_two, kernel_size), direction.to(second))
        total += float((ours.cpu() - theirs.cpu()).abs().mean())
    return total / octaves


def _checked(x: Tensor, level: Level | None, kernel_size: int, octaves: int) -> Tensor:
    """``[1, C, H, W]`` or ``[V, C]``, floating point."""
    wanted = "[C, H, W]" if level is None else f"[{level.num_nodes}, C]"
    if x.dim() != (3 if level is None else 2) or (level is not None and len(x) != level.num_nodes):
        raise ValueError(f"a picture must have shape {wanted}, not {list(x.shape)}")
    if not bool(x.isfinite().all()):
        raise ValueError(f"the picture: {int((~x.isfinite()).sum())} values are NaN or infinite")
    needed = smallest_grid(kernel_size, octaves)
    if level is None and min(x.shape[1:]) < needed:
        raise ValueError(
            f"a picture of {x.shape[1]} x {x.shape[2]} is too small for {octaves} octaves: it needs {needed} x {needed}"
        )
    return x.float()[None] if level is None else x.float()


def _patches(x: Tensor, level: Level | None, kernel_size: int) -> tuple[Tensor, Tensor]:
    """Every patch ``[N, C k k]``, and what it counts ``[N]``."""
    if level is None:
        found = F.unfold(x, kernel_size)[0].T
        return found, found.new_ones(len(found))
    windows = surface_windows(level, kernel_size)
    read = patch_gather(x, windows.neighbors, windows.weight.to(x.dtype), windows.index, windows.taps)
    return read.transpose(1, 2).flatten(1), whole_windows(level, kernel_size).to(x)


def _quantiles(patches: Tensor, mass: Tensor, direction: Tensor) -> Tensor:
    """``[projections, _QUANTILES]``."""
    ordered, place = (patches @ direction).T.sort(1)
    share = mass.double()[place]
    reached = (share.cumsum(1) - share / 2) / share.sum(1, keepdim=True)
    wanted = (
        ((torch.arange(_QUANTILES, device=patches.device) + 0.5) / _QUANTILES)
        .double()
        .expand(len(reached), -1)
    )
    index = torch.searchsorted(reached, wanted.contiguous()).clamp(max=reached.shape[1] - 1)
    return ordered.gather(1, index)
