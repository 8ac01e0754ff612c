"""BLAS on one thread: sums whose order depends on the number of threads differ in their last bits."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy.linalg._umath_linalg
import scipy.linalg.cython_blas

__all__ = ["single_threaded_blas"]

Switch = tuple[Callable[[], int], Callable[[int], None]]

_lock = threading.Lock()
_inside = 0
_before: list[int] = []


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """NumPy's and SciPy's products run on one thread, in every thread of the process, until the last block ends.

    The BLAS is found where its library says how many threads it has (OpenBLAS, as in the wheels, and MKL); others are left alone.
    """
    global _inside
    with _lock:
        _inside += 1
        if _inside == 1:
            _before[:] = [count() for count, _ in _switches()]
            for _, choose in _switches():
                choose(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                for (_, choose), threads in zip(_switches(), _before, strict=True):
                    choose(threads)


@cache
def _switches() -> list[Switch]:
    """How many threads the BLAS of NumPy and that of SciPy have, and how to choose another number."""
    openblas = [
        f"{prefix}openblas_{{}}_num_threads{suffix}" for prefix in ("scipy_", "") for suffix in ("64_", "")
    ]
    found = []
    for extension in (numpy.linalg._umath_linalg, scipy.linalg.cython_blas):
        # Symbols are looked for in the libraries that an extension was linked with, too.
        library = ctypes.CDLL(extension.__file__)
        for names in ((name.format("get"), name.format("set")) for name in openblas):
            if all(hasattr(library, name) for name in names):
                found.append(tuple(getattr(library, name) for name in names))
                break
        else:
            if hasattr(library, "MKL_Set_Num_Threads"):
                found.append((library.MKL_Get_Max_Threads, library.MKL_Set_Num_Threads))
    return found
