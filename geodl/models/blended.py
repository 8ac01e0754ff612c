"""Networks whose weights are blended anew for every input: what locomotion networks share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["BlendedLinear", "BlendedNetwork"]


class BlendedLinear(nn.Module):
    r"""A linear layer of K weights, of which every input has its own mean, :math:`y = \sum_k a_k (W_k x + b_k)`.

    Shapes:
        x ``[B, in_channels]``, a ``[B, K]`` -> ``[B, out_channels]``.
    """

    def __init__(self, in_channels: int, out_channels: int, experts: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels)
        self.weight = nn.Parameter(torch.empty(experts, in_channels, out_channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(experts, out_channels))

    def forward(self, x: Tensor, blend: Tensor) -> Tensor:
        """``x [B, in_channels]`` by the weights that ``blend [B, K]`` mixes, ``[B, out_channels]``."""
        # (a_k x) W_k in one product: the weights themselves are never blended, which would take [B, in, out].
        scaled = (blend[:, :, None] * x[:, None]).flatten(1)
        return scaled @ self.weight.flatten(0, 1) + blend @ self.bias


class BlendedNetwork(nn.Module):
    """Three blended layers with ELU and dropout between."""

    def __init__(self, in_channels: int, out_channels: int, width: int, experts: int, dropout: float) -> None:
        super().__init__()
        self.first = BlendedLinear(in_channels, width, experts)
        self.second = BlendedLinear(width, width, experts)
        self.third = BlendedLinear(width, out_channels, experts)
        self.dropout = nn.Dropout(dropout)

    def blended(self, x: Tensor, blend: Tensor) -> Tensor:
        x = self.dropout(F.elu(self.first(self.dropout(x), blend)))
        x = self.dropout(F.elu(self.second(x, blend)))
        y: Tensor = self.third(x, blend)
        return y
