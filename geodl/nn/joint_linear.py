"""A linear layer of its own for every joint."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["JointLinear"]


class JointLinear(nn.Module):
    r"""Joints are no pixels: what a knee tells is not what a wrist does. :math:`y_{jt} = x_{jt} W_j + b_j`

    It stands before and after convolutions over skeleton x time, whose filters all joints share.

    Args:
        in_channels, out_channels: numbers a joint and frame.
        joints: ``J``.

    Shapes:
        x ``[B, in_channels, J, T]`` -> ``[B, out_channels, J, T]``.

    Raises:
        ValueError: another number of channels or joints.
    """

    def __init__(self, in_channels: int, out_channels: int, joints: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels)
        self.weight = nn.Parameter(torch.empty(joints, out_channels, in_channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(joints, out_channels, 1).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, J, T]`` -> ``[B, out_channels, J, T]``."""
        joints, _, channels = self.weight.shape
        if x.dim() != 4 or x.shape[1:3] != (channels, joints):
            raise ValueError(f"x must be [B, {channels}, {joints}, T], not {list(x.shape)}")
        return (self.weight @ x.transpose(1, 2) + self.bias).transpose(1, 2)
