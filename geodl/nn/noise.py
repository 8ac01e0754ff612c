"""NoiseInjection: white noise that a generator makes its small accidents of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.per_shape import at_points

__all__ = ["NoiseInjection"]


class NoiseInjection(nn.Module):
    r"""Adds white noise, :math:`y_{ic} = x_{ic} + \sigma_c \, n_i` with :math:`n_i \sim N(0, 1)` and a learned :math:`\sigma_c`,
    at first 0.

    Args:
        channels: of the signal.

    Shapes:
        ``[B, C, *size]``, ``[B, C, V]`` or ``[V, C]``, unchanged: one n a point, for all channels. ``random`` draws it, on its
        own device; torch's global generator if not given.

    Karras, Laine, Aila, "A style-based generator architecture for generative adversarial networks", 2019.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1, channels))

    def forward(self, x: Tensor, random: torch.Generator | None = None) -> Tensor:
        """x and noise, of the shape of x."""
        device = x.device if random is None else random.device
        shape = (x.shape[0], 1, *x.shape[2:])
        noise = torch.randn(shape, dtype=x.dtype, device=device, generator=random).to(x.device)
        return x + at_points(self.strength, x) * noise
