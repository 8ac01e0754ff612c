"""The dtype that a network computes in."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn


def dtype_of(module: nn.Module) -> torch.dtype:
    """That of its first floating parameter, or buffer; torch's default where there is none, as of quantised layers alone.

    Replicas of ``nn.DataParallel`` have no parameters, but tensors of the same names.
    """
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return parameter.dtype
    values = (value for part in module.modules() for value in part.__dict__.values())
    for tensor in chain(module.buffers(), values):
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()
