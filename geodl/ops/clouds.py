"""What operators check of values, most of all of packed clouds, where these are at hand. On a GPU they would wait for them."""

from __future__ import annotations

import torch
from torch import Tensor


def one_cloud(x: Tensor) -> Tensor:
    """The pointer of a single cloud of all points; of what is no signal at points nobody has checked yet, of none."""
    return torch.arange(2, device=x.device) * (x.shape[0] if x.dim() else 0)


def check_pointer(ptr: Tensor, count: int, of: str = "points", name: str = "ptr", row: str = "cloud") -> None:
    """Raises ValueError unless ``ptr`` ascends from 0 to the number of points, or of what else it points to."""
    first, last = int(ptr[0]), int(ptr[-1])
    if first != 0 or last != count:
        raise ValueError(f"{name} must ascend from 0 to the {count} {of}, not from {first} to {last}")
    if bool((descends := ptr.diff() < 0).any()):
        raise ValueError(f"{name} must not descend, but {row} {first_of(descends)} ends before it starts")


def check_range(name: str, values: Tensor, count: int, of: str) -> None:
    """Raises IndexError for a number outside ``[0, count)``."""
    if values.numel():
        low, high = (int(bound) for bound in values.aminmax())
        if low < 0 or high >= count:
            raise IndexError(f"{name} holds {low}..{high}, but there are {count} {of}")


def check_finite(name: str, x: Tensor) -> None:
    """Raises ValueError for a point with a coordinate that is not finite."""
    if not bool((finite := x.isfinite()).all()):
        row = first_of(~finite.all(1))
        raise ValueError(f"{name} must be finite, but row {row} is {x[row].tolist()}")


def first_of(condition: Tensor) -> int:
    """The first place at which it holds."""
    return int(condition.nonzero()[0])
