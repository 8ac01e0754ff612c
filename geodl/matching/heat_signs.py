"""How heat stays at points and turns about them: signs of a place that a cut far away does not change."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.geometry import Gradient, Spectrum

__all__ = ["REACH", "TIMES", "heat_signs"]

# Times of diffusion, in units of the area, and how far heat is felt by then.
TIMES = torch.logspace(-2.5, -1.3, 8)
REACH = 0.7 * (4 * TIMES).sqrt()


def heat_signs(basis: Spectrum, gradient: Gradient) -> tuple[Tensor, Tensor]:
    """Logarithms of the heat that stays, over that in the plane, ``[V, 8]``; and roots of their brackets ``[V, 7]``.

    The brackets change sign when the shape is mirrored.
    """
    stays = basis.evecs.square() @ (-basis.evals[:, None] * TIMES).exp()
    heat = (stays * (4 * torch.pi * TIMES)).clamp(min=1e-3).log()
    x, y = gradient(heat).unbind(-1)
    bracket = (x[:, :-1] * y[:, 1:] - y[:, :-1] * x[:, 1:]) * (TIMES[:-1] * TIMES[1:]).sqrt()
    return heat, bracket.sign() * bracket.abs().sqrt()
