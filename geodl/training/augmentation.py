"""Random turns: scans of people do not all face exactly the same way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def random_turns(count: int, degrees: Sequence[float], generator: torch.Generator) -> Tensor:
    r"""Rotations about random axes by normally distributed angles, ``[count, 3, 3]`` float32.

    .. math:: R = \exp([\omega]_\times), \qquad \omega \sim N(0, \operatorname{diag}(\sigma_x^2, \sigma_y^2, \sigma_z^2))

    Args:
        count: number of rotations.
        degrees: sigma, of the angles about x, y and z.
        generator: source of randomness, on the CPU.
    """
    x, y, z = torch.deg2rad(torch.tensor(degrees)[:, None] * torch.randn(3, count, generator=generator))
    zero = torch.zeros(count)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).T.reshape(count, 3, 3)
    turns: Tensor = torch.linalg.matrix_exp(cross)
    return turns


def turn_signal(x: Tensor, turns: Tensor, batch: Tensor, vectors: int) -> Tensor:
    """A signal whose first columns are vectors in space, ``[V, 3 vectors + n]``, turned shape by shape.

    Args:
        x: the signal.
        turns: ``[B, 3, 3]``, the rotation of every shape.
        batch: ``[V]`` int64, the shape of every vertex.
        vectors: how many vectors there are; the columns behind them are numbers that turning does not change.
    """
    in_space = x[:, : 3 * vectors].reshape(x.shape[0], vectors, 3)
    turned = in_space @ turns.to(x)[batch].transpose(1, 2)
    return torch.cat([turned.flatten(1), x[:, 3 * vectors :]], 1)
