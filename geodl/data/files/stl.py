"""stl files, binary and text, as programs really write them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodl.data.files.loaded import Loaded, held_by_float32, without_mark
from geodl.data.files.text import merged, stl_corners
from geodl.geometry.triangulation import Polygons

__all__ = ["read_stl", "stl_bytes"]

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("color", "<u2")])


def read_stl(data: bytes) -> Loaded:
    """Reads an stl file. Corners at the same place become one vertex, in the order of first occurrence.

    A binary file is known by its length, as many a one begins with ``solid``; bytes behind the last facet are left out.
    """
    count = int.from_bytes(data[80:84], "little") if len(data) >= 84 else 0
    notes: list[str] = []
    if count in (0, 2**32 - 1) and len(data) > 84 and (len(data) - 84) % _FACET.itemsize == 0:
        # Who writes facets as they come may never come back to the count.
        notes.append(f"its header announces {count} facets, it has {(len(data) - 84) // _FACET.itemsize}")
        count = (len(data) - 84) // _FACET.itemsize
    whole = 84 + _FACET.itemsize * count
    text = re.match(rb"\s*solid\b", without_mark(data[:512]), re.IGNORECASE) is not None
    if len(data) >= 84 and (len(data) == whole or (not _is_text(data, text) and len(data) > whole)):
        corners = np.frombuffer(data, _FACET, count, 84)["corners"].reshape(-1, 3)
        return _merged(
            corners,
            notes
            if len(data) == whole
            else [f"{len(data) - whole} bytes behind the last facet were left out"],
        )
    if not text:
        announced = f"announces {count} facets" if len(data) >= 84 else "is cut short"
        raise ValueError(
            f"its header {announced}, which its {len(data)} bytes do not hold, and it is no text that begins with solid"
        )
    return _merged(stl_corners(without_mark(data)), [])


def _is_text(data: bytes, solid: bool) -> bool:
    return (
        solid
        and b"\0" not in data[:512]
        and re.search(rb"\b(facet|endsolid)\b", data[:4096], re.IGNORECASE) is not None
    )


def _merged(corners: NDArray[Any], notes: list[str]) -> Loaded:
    if held_by_float32(corners, np.arange(len(corners)).reshape(-1, 3)):
        with np.errstate(over="ignore"):
            corners = corners.astype(np.float32)
    first, which = merged(corners)
    return Loaded(
        corners[first], Polygons.of(which.reshape(-1, 3)), notes=notes, exact=corners.dtype == np.float64
    )


def stl_bytes(pos: NDArray[Any], face: NDArray[np.int64]) -> bytes:
    """Binary: float32, without shared vertices."""
    facets = np.zeros(len(face), dtype=_FACET)
    corners = pos[face].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    facets["normal"] = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
    facets["corners"] = corners
    return b"geodl".ljust(80, b"\0") + len(face).to_bytes(4, "little") + facets.tobytes()
