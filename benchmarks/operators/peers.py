"""Peers that may be missing: a benchmark leaves out what is not installed, and says so."""

from __future__ import annotations

import functools
import importlib
from typing import Any


@functools.cache
def optional(name: str) -> Any:
    """The module, or None, with a note, where it cannot be imported."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: built for another version of torch
        print(f"left out: {name}: {error}")
        return None
