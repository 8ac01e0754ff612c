"""What a linear map reads of a whole cloud: histograms that neither the order of the points nor a turn changes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

BINS = 32
REACH = 2.0  # clouds lie in the unit ball


def statistics_of(clouds: Tensor, up: Literal["x", "y", "z"] | None = None) -> Tensor:
    """``[N, 32]`` of clouds ``[N, P, 3]`` in the unit ball: distances between points (D2 of Osada et al., "Shape distributions",
    2002); with an axis that points up also heights along it and distances from it, ``[N, 96]``."""
    found = []
    for points in clouds:
        parts = [histogram(torch.pdist(points) / REACH)]
        if up is not None:
            axis = "xyz".index(up)
            height, others = points[:, axis], points[:, [k for k in range(3) if k != axis]]
            parts += [histogram(height / REACH + 0.5), histogram(others.norm(dim=1))]
        found.append(torch.cat(parts))
    return torch.stack(found)


def histogram(values: Tensor) -> Tensor:
    """Shares of values from 0 to 1 in equal bins; what lies beyond counts with the last."""
    bins = (values * BINS).long().clamp(0, BINS - 1)
    return bins.bincount(minlength=BINS).float() / len(values)
