"""Pictures as bytes: what grids of images and films are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodl.viz.scene import Pixels

__all__ = ["INSTALL_MATPLOTLIB", "rgb", "unit_interval"]

INSTALL_MATPLOTLIB = "pip install matplotlib"
# How far a float may leave 0..1 by rounding.
_ROUNDING = 1e-3


def rgb(argument: str, image: Any) -> Pixels:
    """An image ``[3, H, W]``, ``[1, H, W]`` or ``[H, W]``, floats in 0..1 or uint8, as bytes ``[H, W, 3]``."""
    pixels = torch.as_tensor(image).detach().cpu()
    if pixels.dim() == 2:
        pixels = pixels[None]
    if pixels.dim() != 3 or pixels.shape[0] not in (1, 3) or not pixels.numel():
        raise ValueError(
            f"{argument} must have shape [3, H, W], [1, H, W] or [H, W], not {list(torch.as_tensor(image).shape)}"
        )
    unit = unit_interval(argument, pixels).expand(3, -1, -1).permute(1, 2, 0)
    return np.ascontiguousarray((unit * 255).round().to(torch.uint8).numpy())


def unit_interval(argument: str, values: Tensor) -> Tensor:
    """Floats in 0..1, or uint8, as float64 in 0..1; or a ValueError that says what they are."""
    if values.dtype == torch.uint8:
        return values.double() / 255
    if not values.is_floating_point():
        raise ValueError(f"{argument} must hold floats in 0..1 or uint8, not {values.dtype}")
    values = values.double()
    if not bool(torch.isfinite(values).all()):
        raise ValueError(f"{argument}: {int((~torch.isfinite(values)).sum())} entries are NaN or infinite")
    low, high = float(values.min()), float(values.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ValueError(f"{argument} must lie in 0..1, it holds {low:.4g}..{high:.4g}; rescale or clamp it")
    return values.clamp(0, 1)
