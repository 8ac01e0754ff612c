"""The dtype that a network computes in."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn


def dtype_of(module: nn.Module) -> torch.dtype:
    """That of its first floating parameter, or buffer; torch's default where there is none, as of quantised layers alone.

    Replicas of ``nn.DataParallel`` have no parameters, but tensors of the same names.
    """
    values = (value for part in module.modules() for value in part.__dict__.values())
    tensors = (value for value in values if isinstance(value, Tensor))
    for tensor in chain(module.parameters(), module.buffers(), tensors):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()
