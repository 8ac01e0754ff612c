"""Pictures as tensors: whatever holds pixels, checked once at the door."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["as_image"]

Image = Tensor | Any
_GREATEST = {torch.uint8: 255.0, torch.uint16: 65535.0, torch.int16: 32767.0, torch.int32: 65535.0}


def as_image(picture: Image, name: str = "the image") -> Tensor:
    """A picture as float32 ``[C, H, W]`` in 0..1, C = 1 (grey) or 3.

    Args:
        picture: a tensor ``[C, H, W]`` or ``[H, W]``, an array ``[H, W, C]`` or ``[H, W]``, a PIL image or a path. Floating point
            is in 0..1; integers of 8 or 16 bits are divided by the largest.
        name: what errors call it.

    Raises:
        ValueError: another shape or dtype; NaN or infinity; values outside 0..1; pixels that are transparent.
        FileNotFoundError: no such file.
    """
    if isinstance(picture, str | os.PathLike):
        try:
            import PIL.Image
        except ImportError as error:
            raise ImportError("pictures in files need Pillow: pip install pillow") from error
        with PIL.Image.open(picture) as opened:
            return as_image(opened.copy(), name)
    if not isinstance(picture, Tensor):
        if getattr(picture, "mode", None) in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "1"):  # of PIL
            picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
        pixels = np.asarray(picture)
        if pixels.ndim not in (2, 3):
            raise ValueError(f"{name} must have shape [H, W] or [H, W, C], not {list(pixels.shape)}")
        picture = torch.from_numpy(np.array(pixels))
        picture = picture if picture.dim() == 2 else picture.permute(2, 0, 1)
    picture = picture.detach()
    picture = picture[None] if picture.dim() == 2 else picture
    if picture.dim() != 3 or not 1 <= picture.shape[0] <= 4 or not picture.numel():
        raise ValueError(f"{name} must have shape [C, H, W] with 1 to 4 channels, not {list(picture.shape)}")
    if picture.dtype in _GREATEST:
        picture = picture.float() / _GREATEST[picture.dtype]
    elif not picture.is_floating_point():
        raise ValueError(f"{name} must be floating point or integers of 8 or 16 bits, not {picture.dtype}")
    picture = picture.float()
    if not bool(picture.isfinite().all()):
        raise ValueError(f"{name}: {int((~picture.isfinite()).sum())} values are NaN or infinite")
    low, high = picture.aminmax()
    if low < 0 or high > 1:
        raise ValueError(f"{name} must lie in 0..1, but goes from {float(low):g} to {float(high):g}")
    if picture.shape[0] in (2, 4):
        clear = float((picture[-1] < 1).float().mean())
        if clear:
            raise ValueError(
                f"{name} is transparent in {100 * clear:.3g} % of its pixels: crop it, or lay it on a colour"
            )
        picture = picture[:-1]
    return picture.contiguous()
