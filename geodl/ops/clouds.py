"""Packed point clouds: what all operators on them check of values, where these are at hand. On a GPU they would wait for them."""

from __future__ import annotations

import torch
from torch import Tensor


def one_cloud(x: Tensor) -> Tensor:
    """The pointer of a single cloud of all points; of what is no signal at points nobody has checked yet, of none."""
    return torch.arange(2, device=x.device) * (x.shape[0] if x.dim() else 0)


def check_pointer(ptr: Tensor, points: int) -> None:
    """Raises ValueError unless ``ptr`` ascends from 0 to the number of points."""
    first, last = int(ptr[0]), int(ptr[-1])
    if first != 0 or last != points:
        raise ValueError(f"ptr must ascend from 0 to the {points} points, not from {first} to {last}")
    if bool((descends := ptr.diff() < 0).any()):
        raise ValueError(f"ptr must not descend, but cloud {first_of(descends)} ends before it starts")


def check_finite(name: str, x: Tensor) -> None:
    """Raises ValueError for a point with a coordinate that is not finite."""
    if not bool((finite := x.isfinite()).all()):
        row = first_of(~finite.all(1))
        raise ValueError(f"{name} must be finite, but row {row} is {x[row].tolist()}")


def first_of(condition: Tensor) -> int:
    """The first place at which it holds."""
    return int(condition.nonzero()[0])
