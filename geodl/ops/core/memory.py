"""Memory of tensors: what kernels may read, and new memory for what they write."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geodl.ops.core.dispatch import native

HUGE = 2**22  # bytes of a tensor from which on large pages, of half of that, pay


def resolve(tensor: Tensor, name: str) -> Tensor:
    """The tensor in contiguous memory of its own numbers, which a kernel may read from its address on.

    Raises:
        ValueError: its memory was freed or cut off.
    """
    if tensor.is_neg():  # a view that stands for the negative of what lies in memory
        tensor = tensor.resolve_neg()
    if tensor._is_zerotensor():  # a tangent of zeros in forward mode: a slice of it has an address near 0
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    tensor = tensor.contiguous()
    if tensor.numel() == 0:  # a slice of nothing may begin anywhere
        return tensor
    if tensor.data_ptr() == 0:
        raise ValueError(f"{name} of shape {list(tensor.shape)} has no memory: its storage was freed")
    if tensor.untyped_storage().nbytes() < tensor.nbytes + tensor.storage_offset() * tensor.itemsize:
        raise ValueError(
            f"{name} of shape {list(tensor.shape)} is larger than its storage of {tensor.untyped_storage().nbytes()} bytes"
        )
    return tensor


def in_huge_pages(tensor: Tensor) -> Tensor:
    """The tensor, which nobody has written to yet, in large pages if it is large."""
    if tensor.nbytes >= HUGE and tensor.is_cpu and native is not None:
        native.use_huge_pages(tensor.data_ptr(), tensor.nbytes)
    return tensor


def new_empty(like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of this shape for a kernel to write, on the device and by default of the dtype of another."""
    # The shape of another costs PyTorch less than numbers.
    made = (
        torch.empty_like(like, memory_format=torch.contiguous_format)
        if like.shape == shape and dtype is None
        else like.new_empty(shape, dtype=dtype)
    )
    return in_huge_pages(made) if made.nbytes >= HUGE else made


def addresses(*tensors: Tensor | None) -> list[int]:
    """Where the numbers of contiguous tensors lie; 0 for None."""
    return [0 if tensor is None else tensor.data_ptr() for tensor in tensors]


def contiguous(tensor: Any) -> Any:
    """The tensor, contiguous; None for None."""
    return None if tensor is None else tensor.contiguous()
