"""Palette: the colours of a picture as uncorrelated numbers of deviation 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Palette"]

# Directions in which colours differ less than this are none: half a step of 8 bits.
_LEAST = 0.002


@dataclass(frozen=True)
class Palette:
    """The mean and the principal directions of the colours of a picture: a grey picture has one, and stays grey.

    Args:
        mean: ``[C]``.
        basis: ``[r, C]``, a row for every direction in which colours differ, its length the deviation.
    """

    mean: Tensor
    basis: Tensor

    @classmethod
    def of(cls, image: Tensor, name: str) -> Palette:
        """Of an image ``[C, H, W]``.

        Raises:
            ValueError: all pixels have one colour.
        """
        colors = image.flatten(1).double()
        mean = colors.mean(1)
        values, vectors = torch.linalg.eigh(
            (colors - mean[:, None]) @ (colors - mean[:, None]).T / colors.shape[1]
        )
        deviation = values.clamp(min=0).sqrt()
        kept = deviation > _LEAST
        if not bool(kept.any()):
            raise ValueError(f"{name} is constant: it has no texture")
        basis = (vectors * deviation)[:, kept].T.flip(0)
        # The sign of an eigenvector is no property of the picture.
        basis = basis * basis.sum(1, keepdim=True).sign().where(
            basis.sum(1, keepdim=True) != 0, torch.ones(()).double()
        )
        return cls(mean.to(image), basis.to(image))

    def to(self, device: torch.device) -> Palette:
        return Palette(self.mean.to(device), self.basis.to(device))

    @property
    def channels(self) -> int:
        return self.basis.shape[0]

    @property
    def inverse(self) -> Tensor:
        """``[r, C]``: the numbers of a colour are its products with the rows, less those of the mean."""
        return self.basis / self.basis.square().sum(1, keepdim=True)

    def encode(self, x: Tensor) -> Tensor:
        """Colours to the numbers, ``[B, C, ...]`` -> ``[B, r, ...]`` (``B`` may be the vertices)."""
        return ((x.movedim(1, -1) - self.mean) @ self.inverse.T).movedim(-1, 1)

    def decode(self, z: Tensor) -> Tensor:
        """The numbers to colours, ``[B, r, ...]`` -> ``[B, C, ...]``."""
        return (z.movedim(1, -1) @ self.basis + self.mean).movedim(-1, 1)
