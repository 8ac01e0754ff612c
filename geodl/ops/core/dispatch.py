"""Which implementation of an operator runs: "reference" (PyTorch), "native" (C++, CPU) or "triton" (GPU)."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch  # before the extension, so that both share one OpenMP runtime
from torch import Tensor

BACKENDS = ("reference", "native", "triton")

# The choice of a thread; what an operator was forced to forward, it is forced to in its backward pass, whose thread may be another.
forced: ContextVar[str | None] = ContextVar("forced", default=None)
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
    """Force every operator that this thread calls inside the ``with`` block, and its backward pass, to one implementation.

    Args:
        name: "reference", "native" or "triton".

    Raises:
        ValueError: no such backend, or it cannot run on this machine.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {name!r}")
    if reason := _why_not(name):
        raise ValueError(f"backend {name!r} cannot run here: {reason}")
    token = forced.set(name)
    try:
        yield
    finally:
        forced.reset(token)


def select(x: Tensor) -> str:
    """The backend that serves tensors like ``x``: the forced one, else the fastest for its device.

    Raises:
        ValueError: the forced backend does not serve the device of ``x``.
    """
    chosen = forced.get()
    if chosen is None:
        if x.is_cpu:
            return "native" if native is not None else _fallback()
        return "triton" if x.is_cuda and _triton_installed() else "reference"
    if chosen == "native" and not x.is_cpu:
        raise ValueError(f"backend 'native' serves tensors on the CPU, not on {x.device}")
    if chosen == "triton" and not (x.is_cuda or (x.is_cpu and triton_interpreted())):
        raise ValueError(
            f"backend 'triton' serves CUDA tensors (or the CPU under TRITON_INTERPRET=1), not {x.device}"
        )
    return chosen


@functools.cache
def kernel(name: str, dtype: torch.dtype) -> Any:
    """The C++ function that does ``name`` for tensors of this dtype."""
    return getattr(native, f"{name}_{'f32' if dtype == torch.float32 else 'f64'}")


def _fallback() -> str:
    warn_of_reference(_native_missing, stacklevel=6)
    return "reference"


def warn_of_reference(reason: str, stacklevel: int = 3) -> None:
    """Says once in a process, whichever room notices it first, that what is compiled elsewhere runs in Python here."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"geodl runs its slow reference operators: {reason}", RuntimeWarning, stacklevel=stacklevel
        )
