"""Which implementation of an operator runs: "reference" (PyTorch), "native" (C++, CPU) or "triton" (GPU)."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

import torch  # before the extension, so that both share one OpenMP runtime
from torch import Tensor

BACKENDS = ("reference", "native", "triton")

# Autograd runs backward passes in threads of its own, which a context variable would not reach: one choice a
# process.
_forced: list[str] = []
_warned = False


def _load_native() -> tuple[Any, str]:
    try:
        return importlib.import_module("geodl.ops._native"), ""
    except ImportError as error:
        return None, f"the C++ extension is not built ({error}); `pip install .` builds it"


native, _native_missing = _load_native()


def triton_interpreted() -> bool:
    """Whether Triton runs its kernels in the interpreter on the CPU (TRITON_INTERPRET=1)."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


@functools.cache
def _triton_installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def _why_not(name: str) -> str:
    """Why a backend cannot run on this machine; empty if it can."""
    if name == "native":
        return _native_missing
    if name == "triton":
        if not _triton_installed():
            return "Triton is not installed; `pip install triton`"
        if not torch.cuda.is_available() and not triton_interpreted():
            return "there is no CUDA device (TRITON_INTERPRET=1 runs the kernels on the CPU, slowly)"
    return ""


def backends() -> dict[str, str]:
    """Every implementation and whether it can run here.

    Returns:
        name -> "available", or the reason why it is not.
    """
    return {name: _why_not(name) or "available" for name in BACKENDS}


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Force every operator inside the ``with`` block, in every thread, to one implementation.

    Args:
        name: "reference", "native" or "triton".

    Raises:
        ValueError: no such backend, or it cannot run on this machine.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {name!r}")
    if reason := _why_not(name):
        raise ValueError(f"backend {name!r} cannot run here: {reason}")
    _forced.append(name)
    try:
        yield
    finally:
        _forced.pop()


def select(x: Tensor) -> str:
    """The backend that serves tensors like ``x``: the forced one, else the fastest for its device and dtype.

    Raises:
        ValueError: the forced backend does not serve the device or dtype of ``x``.
    """
    forced = _forced[-1] if _forced else None
    if forced is None:
        if x.is_cuda:
            return "triton" if _triton_installed() else "reference"
        if not _served_by_native(x):
            return "reference"
        if native is None:
            _warn_once()
            return "reference"
        return "native"
    if forced == "native" and not _served_by_native(x):
        raise ValueError(
            f"backend 'native' serves float32 and float64 on the CPU, not {x.dtype} on {x.device}"
        )
    if forced == "triton" and not (x.is_cuda or (x.device.type == "cpu" and triton_interpreted())):
        raise ValueError(
            f"backend 'triton' serves CUDA tensors (or the CPU under TRITON_INTERPRET=1), not {x.device}"
        )
    return forced


def implementation(x: Tensor, operator: str, name: str) -> Callable[..., Any]:
    """The function that does the primitive ``name`` of an operator for tensors like ``x``.

    It is ``<backend>_<name>`` in ``geodl.ops.<operator>``, or ``name`` in ``geodl.ops.triton.<operator>``.
    """
    backend = select(x)
    found = getattr(_module(backend, operator), name if backend == "triton" else f"{backend}_{name}")
    return cast(Callable[..., Any], found)


@functools.cache
def _module(backend: str, operator: str) -> ModuleType:
    if backend == "triton":
        return importlib.import_module(f"geodl.ops.triton.{operator}")
    return sys.modules[f"geodl.ops.{operator}"]


def serves_indices(index: Tensor) -> bool:
    """Whether C++ serves an operator on indices alone (for Triton, PyTorch's own sort does)."""
    return native is not None and index.device.type == "cpu" and _forced[-1:] != ["reference"]


@functools.cache
def kernel(name: str, dtype: torch.dtype) -> Any:
    """The C++ function that does ``name`` for tensors of this dtype."""
    return getattr(native, f"{name}_{'f32' if dtype == torch.float32 else 'f64'}")


def contiguous(tensor: Tensor | None) -> Tensor | None:
    """The tensor, contiguous; None for None."""
    return None if tensor is None else tensor.contiguous()


HUGE = 2**22  # bytes of a tensor from which on large pages, of half of that, pay


def in_huge_pages(tensor: Tensor) -> Tensor:
    """The tensor, which nobody has written to yet, in large pages if it is large."""
    if tensor.nbytes >= HUGE and tensor.is_cpu and native is not None:
        native.use_huge_pages(tensor.data_ptr(), tensor.nbytes)
    return tensor


def new_empty(like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of this shape for a kernel to write, on the device and by default of the dtype of another."""
    return in_huge_pages(like.new_empty(shape, dtype=dtype))


def addresses(*tensors: Tensor | None) -> list[int]:
    """Where the numbers of contiguous tensors lie; 0 for None."""
    return [0 if tensor is None else tensor.data_ptr() for tensor in tensors]


def _served_by_native(x: Tensor) -> bool:
    return x.is_cpu and x.dtype in (torch.float32, torch.float64)


def _warn_once() -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"geodl runs its slow reference operators: {_native_missing}", RuntimeWarning, stacklevel=4
        )
