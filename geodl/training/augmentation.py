"""Random turns: scans of people do not all face exactly the same way."""

from __future__ import annotations

import torch
from torch import Tensor


def random_turns(count: int, degrees: float, generator: torch.Generator) -> Tensor:
    r"""Rotations about random axes by normally distributed angles, ``[count, 3, 3]`` float32.

    .. math:: R = \exp([\omega]_\times), \qquad \omega \sim N(0, \sigma^2 I)

    Args:
        count: number of rotations.
        degrees: sigma, of the angle about each coordinate axis.
        generator: source of randomness, on the CPU.
    """
    x, y, z = torch.deg2rad(degrees * torch.randn(3, count, generator=generator))
    zero = torch.zeros(count)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).T.reshape(count, 3, 3)
    turns: Tensor = torch.linalg.matrix_exp(cross)
    return turns


def turn_signal(x: Tensor, turns: Tensor, batch: Tensor) -> Tensor:
    """A signal of vectors in space, ``[V, 3 n]``, turned shape by shape: ``turns [B, 3, 3]``, ``batch [V]``."""
    vectors = x.reshape(x.shape[0], -1, 3)
    turned: Tensor = vectors @ turns.to(x)[batch].transpose(1, 2)
    return turned.flatten(1)
