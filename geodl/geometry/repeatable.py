"""Sums and angles that are the same to the last bit for any number of threads, which torch's are not.

Torch shares out among threads what has 32,768 entries or more: a sum is then one of the shares' sums, and the last entries of a
share go through scalar functions, which round other than the vectors of the rest.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["angle", "total"]

# Entries that torch leaves to one thread: half of those from which on it shares out.
_ALONE = 1 << 14
# Entries that are summed first, one thread a row.
_ROW = 128


def total(x: Tensor) -> Tensor:
    """The sum of all entries, a scalar."""
    x = x.flatten()
    while x.numel() > _ALONE:
        x = F.pad(x, (0, -x.numel() % _ROW)).view(-1, _ROW).sum(1)
    return x.sum()


def angle(y: Tensor, x: Tensor) -> Tensor:
    """``atan2(y, x)`` of ``y`` and ``x`` of one shape."""
    if y.is_cuda or y.numel() <= _ALONE:
        return torch.atan2(y, x)
    parts = zip(y.flatten().split(_ALONE), x.flatten().split(_ALONE), strict=True)
    return torch.cat([torch.atan2(*part) for part in parts]).view(y.shape)
