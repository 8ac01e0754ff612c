"""What networks on skeleton x time share: the levels of the motions that they are given."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from geodl.nn import Level, motion_levels
from geodl.nn.motion_level import Pooling
from geodl.ops.remembered import Shelf, remembered

__all__ = ["level_of", "parents_of"]

_LEVELS = Shelf(64)


def parents_of(skeleton: Any) -> tuple[int, ...]:
    """The parents ``[J]`` of a skeleton as numbers, which no ``to(device)`` of a network moves."""
    return tuple(torch.as_tensor(skeleton.parents, device="cpu").tolist())


def level_of(parents: tuple[int, ...], x: Tensor, pooling: Sequence[Pooling], kernel_size: int) -> Level:
    """The levels of motions ``x [B, C, J, T]`` of this skeleton (remembered for each T).

    Raises:
        ValueError: another number of joints.
    """
    if x.dim() != 4 or x.shape[2] != len(parents):
        raise ValueError(f"x must be [B, C, {len(parents)}, T], one column a joint, not {list(x.shape)}")
    frames, poolings = x.shape[3], tuple(pooling)

    def make() -> Level:
        skeleton = SimpleNamespace(parents=torch.tensor(parents))
        return motion_levels(skeleton, frames, poolings, kernel_size).to(x.device)

    return remembered(_LEVELS, (parents, frames, poolings, kernel_size, x.device), make)
