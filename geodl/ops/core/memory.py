"""Memory of tensors: what kernels may read, and new memory for what they write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from geodl.ops.core.dispatch import native
from geodl.ops.core.watch import watched, wrapped

Given = TypeVar("Given", bound=Tensor | None)

HUGE = 2**22  # bytes of a tensor from which on large pages, of half of that, pay


def resolve(tensor: Tensor, name: str) -> Tensor:
    """The tensor in contiguous memory of its own numbers, which a kernel may read from its address on.

    Raises:
        ValueError: its memory was freed or cut off.
    """
    if tensor.numel() == 0:  # a slice of nothing may begin anywhere
        return tensor.contiguous()
    if tensor._is_zerotensor():  # a tangent of zeros in forward mode: a slice of it has an address near 0
        return torch.zeros(tensor.shape, dtype=tensor.dtype, device=tensor.device) + tensor
    if tensor.data_ptr() == 0:
        raise ValueError(f"{name} of shape {list(tensor.shape)} has no memory: its storage was freed")
    # Before anything is copied: PyTorch reads beyond the storage.
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    held = tensor.untyped_storage().nbytes()
    if held < (tensor.storage_offset() + last + 1) * tensor.itemsize:
        raise ValueError(f"{name} of shape {list(tensor.shape)} is larger than its storage of {held} bytes")
    if tensor.is_neg():  # a view that stands for the negative of what lies in memory
        tensor = tensor.resolve_neg()
    return tensor.contiguous()


def require_memory(**tensors: Tensor | None) -> None:
    """Before PyTorch's own functions read them, which look at no storage and would read memory that was freed.

    Raises:
        ValueError: a tensor's memory was freed or cut off.
    """
    if torch.compiler.is_compiling() or watched():
        return
    for name, tensor in tensors.items():
        if tensor is not None and not wrapped(tensor) and tensor.untyped_storage().nbytes() < tensor.nbytes:
            resolve(tensor, name)


def in_huge_pages(tensor: Given) -> Given:
    """The tensor, if there is one, which nobody has written to yet, in large pages if it is large."""
    if tensor is not None and tensor.nbytes >= HUGE and tensor.is_cpu and native is not None:
        native.use_huge_pages(tensor.data_ptr(), tensor.nbytes)
    return tensor


def new_empty(like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of this shape for a kernel to write, on the device and by default of the dtype of another."""
    # Numbers cost PyTorch less than a shape.
    made = like.new_empty(*shape) if dtype is None else like.new_empty(*shape, dtype=dtype)
    return in_huge_pages(made) if made.nbytes >= HUGE else made


def _addresses(*tensors: Tensor | None) -> Sequence[int]:
    """Where the numbers of contiguous tensors lie; 0 for None.

    Raises:
        ValueError: a tensor's memory was freed: to a kernel it would be none.
    """
    found = [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
    if 0 in found and any(t is not None and not a and t.numel() for t, a in zip(tensors, found, strict=True)):
        raise ValueError("a tensor has no memory: its storage was freed")
    return found


addresses: Callable[..., Sequence[int]] = _addresses if native is None else native.addresses
