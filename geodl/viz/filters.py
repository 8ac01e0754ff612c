"""The filters of a convolution, as pictures."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from geodl.nn import GeodesicConv
from geodl.viz.colors import ramp
from geodl.viz.images import images

__all__ = ["filters"]

_SIGNED = ["#2166ac", "#92c5de", "#f7f7f7", "#f4a582", "#b2182b"]  # negative, zero, positive
_DISC = 65  # pixels of the side of a polar filter
_MOST = 1024


def filters(layer: nn.Module | Tensor, path: str | os.PathLike[str], *, title: str = "") -> Path:
    r"""A picture of every filter of a convolution.

    A filter of three channels has their colours, with grey for zero; every other channel has a picture of its own, blue where
    weights are negative and red where they are positive. Each filter, with all its channels, is divided by its largest weight:

    .. math:: \text{colour}_{c'} = \tfrac{1}{2} + W_{c'} / (2 \max |W_{c'}|)

    Pictures run through the input channels of the first output channel, then through those of the second. With more than one
    channel (and not three) each output channel has a row. Filters of a :class:`~geodl.nn.GeodesicConv` are discs: ring 0 lies
    inside, ray 0 on the right, and rays go counter-clockwise.

    Args:
        layer: with a ``weight [C', C, H, W]``, such as :class:`~geodl.nn.GridConv` or :class:`torch.nn.Conv2d`; a GeodesicConv; or
            a weight itself, floating point.
        path: of the PNG to write (atomically).
        title: written above the picture.

    Returns:
        The path written.

    Raises:
        ValueError: a layer without such a weight, weights that are not finite, more than 1024 pictures, or a path that does not
            end in .png.
        ImportError: matplotlib is not installed.
    """
    weight = _weight(layer).detach().cpu().double()
    if not bool(weight.isfinite().all()):
        raise ValueError(f"the filters: {int((~weight.isfinite()).sum())} weights are NaN or infinite")
    out_channels, channels, high, wide = weight.shape
    colored = channels == 3
    count = out_channels if colored else out_channels * channels
    if not 1 <= count <= _MOST or not weight.numel():
        raise ValueError(
            f"filters {list(weight.shape)} make {count} pictures, but there can be 1 to {_MOST}: give some of them, "
            "such as layer.weight[:8, :8]"
        )
    largest = weight.abs().amax((1, 2, 3), keepdim=True)
    place = 0.5 + weight / torch.where(largest > 0, 2 * largest, 1)
    if not colored:
        flat = ramp(_SIGNED, place.flatten()).view(count, high, wide, 3)
        place = flat.permute(0, 3, 1, 2)
    if isinstance(layer, GeodesicConv):
        place = _discs(place)
    columns = None if colored or channels == 1 else channels
    return images(place, path, columns=columns, title=title)


def _weight(layer: nn.Module | Tensor) -> Tensor:
    """``[C', C, H, W]``; of a geodesic convolution H counts rings and W rays."""
    if isinstance(layer, GeodesicConv):
        return layer.filters.permute(3, 2, 0, 1)
    weight = layer if isinstance(layer, Tensor) else getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 4 or not weight.is_floating_point():
        what = f"a tensor {list(weight.shape)} {weight.dtype}" if isinstance(weight, Tensor) else "no weight"
        raise ValueError(
            f"filters need a floating point weight [C', C, H, W], but {type(layer).__name__} has {what}"
        )
    return weight


def _discs(colors: Tensor) -> Tensor:
    """``[N, 3, rings, rays]`` as pictures ``[N, 3, S, S]`` of discs on white."""
    rings, rays = colors.shape[2:]
    across = (torch.arange(_DISC, dtype=torch.float64) + 0.5) / _DISC * 2 - 1
    y, x = torch.meshgrid(-across, across, indexing="ij")
    rho = torch.hypot(x, y)
    ring = (rho * rings).long().clamp(max=rings - 1)
    ray = (torch.atan2(y, x) * rays / (2 * torch.pi)).round().long() % rays
    return torch.where(rho < 1, colors[:, :, ring, ray], 1.0)
