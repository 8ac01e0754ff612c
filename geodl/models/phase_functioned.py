"""The phase-functioned neural network: weights on a closed curve that the phase of a gait runs along."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geodl.models.blended import BlendedNetwork

__all__ = ["PhaseFunctionedNetwork"]


class PhaseFunctionedNetwork(BlendedNetwork):
    r"""Three layers whose weights are a closed Catmull-Rom curve of the phase :math:`p`, through ``experts`` control points.

    .. math:: W(p) = W_1 + w \tfrac12 (W_2 - W_0) + w^2 (W_0 - \tfrac52 W_1 + 2 W_2 - \tfrac12 W_3)
              + w^3 (\tfrac32 W_1 - \tfrac32 W_2 + \tfrac12 W_3 - \tfrac12 W_0),

    where w says how far p is between the points 1 and 2, of which 0 and 3 are the neighbours.

    Args:
        in_channels: numbers that describe a frame and what is wanted.
        out_channels: numbers that describe the next frame.
        width: of both hidden layers.
        experts: control points, at least 3.
        dropout: of the inputs of every layer.

    Shapes:
        x ``[B, in_channels]``, phase ``[B]`` in radians, of any turn -> ``[B, out_channels]``.

    Raises:
        ValueError: fewer than 3 control points, or phases that are not ``[B]``.

    Holden, Komura, Saito, "Phase-functioned neural networks for character control", 2017.
    """

    def __init__(
        self, in_channels: int, out_channels: int, width: int = 512, experts: int = 4, dropout: float = 0.0
    ) -> None:
        if experts < 3:
            raise ValueError(f"a closed curve has at least 3 control points, not {experts}")
        super().__init__(in_channels, out_channels, width, experts, dropout)
        self.experts = experts

    def forward(self, x: Tensor, phase: Tensor) -> Tensor:
        """``x [B, in_channels]`` and phases ``[B]`` in radians -> ``[B, out_channels]``."""
        if phase.shape != x.shape[:1]:
            raise ValueError(f"phase must be [{len(x)}], one an input, not {list(phase.shape)}")
        return self.blended(x, self.blend(phase))

    def blend(self, phase: Tensor) -> Tensor:
        """How much of each control point the weights have at these phases, ``[B, experts]``; a row sums to 1."""
        along = phase.remainder(2 * math.pi) * (self.experts / (2 * math.pi))
        first = along.floor()
        w = along - first
        near = (first[:, None].long() + torch.arange(-1, 3, device=phase.device)) % self.experts
        w2, w3 = w * w, w * w * w
        share = torch.stack(
            [(2 * w2 - w3 - w) / 2, 1 - 2.5 * w2 + 1.5 * w3, w / 2 + 2 * w2 - 1.5 * w3, (w3 - w2) / 2], 1
        )
        return share.new_zeros(len(share), self.experts).scatter_add(1, near, share)
