"""What is left of the old dispatch, until every operator is declared."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor

from geodl.ops.core.dispatch import backends, kernel, native, serves_indices, triton_interpreted, use_backend
from geodl.ops.core.dispatch import select as _select
from geodl.ops.core.memory import addresses, contiguous, in_huge_pages, new_empty

__all__ = [
    "addresses",
    "backends",
    "contiguous",
    "in_huge_pages",
    "kernel",
    "native",
    "new_empty",
    "select",
    "serves_indices",
    "triton_interpreted",
    "use_backend",
]


def select(x: Tensor) -> str:
    backend = _select(x)
    return "reference" if backend == "native" and x.dtype not in (torch.float32, torch.float64) else backend


def implementation(x: Tensor, operator: str, name: str) -> Callable[..., Any]:
    backend = select(x)
    found = getattr(_module(backend, operator), name if backend == "triton" else f"{backend}_{name}")
    return cast(Callable[..., Any], found)


@functools.cache
def _module(backend: str, operator: str) -> ModuleType:
    if backend == "triton":
        return importlib.import_module(f"geodl.ops.triton.{operator}")
    return sys.modules[f"geodl.ops.{operator}"]
