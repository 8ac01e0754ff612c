"""The compiled half of geometry: exact geodesics have no Python fallback, so its absence is an error that says what to do."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import torch  # first, so that the extension shares torch's OpenMP threads

_native: ModuleType | None = None
_reason = ""
try:
    _native = import_module("geodl.geometry._native")
except ImportError as error:
    _reason = str(error)

__all__ = ["native", "num_threads"]


def native() -> ModuleType:
    """The extension ``geodl.geometry._native``.

    Raises:
        RuntimeError: it was not built, or does not load.
    """
    if _native is None:
        raise RuntimeError(
            f"geodesics need the compiled extension geodl.geometry._native, which cannot be loaded ({_reason}). "
            "Build it with `pip install .` in the checkout (a C++20 compiler with OpenMP is needed)"
        )
    return _native


def num_threads() -> int:
    """How many threads the extension may use: as many as torch."""
    return torch.get_num_threads()
