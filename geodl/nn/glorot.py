"""Glorot's uniform distribution, for filters of one matrix or of several."""

from __future__ import annotations

import math

import torch
from torch import nn


def glorot(*shape: int) -> nn.Parameter:
    """A parameter ``[..., C, C']``, every matrix drawn as Glorot and Bengio (2010) do."""
    bound = math.sqrt(6 / max(shape[-2] + shape[-1], 1))
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
