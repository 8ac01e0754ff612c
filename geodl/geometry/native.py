"""The compiled half of geometry, or what stands in for it where it was not built."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import torch  # first, so that the extension shares torch's OpenMP threads

from geodl.ops.core.dispatch import warn_of_reference

_native: ModuleType | None = None
_reason = ""
try:
    _native = import_module("geodl.geometry._native")
except ImportError as error:
    _reason = str(error)

__all__ = ["native", "num_threads"]


def native() -> ModuleType:
    """The extension ``geodl.geometry._native``; where it cannot be loaded, :mod:`geodl.geometry.reference`, with one warning."""
    if _native is not None:
        return _native
    warn_of_reference(f"the C++ extension is not built ({_reason}); `pip install .` builds it", stacklevel=4)
    return import_module("geodl.geometry.reference")


def num_threads() -> int:
    """How many threads the extension may use: as many as torch."""
    return torch.get_num_threads()
