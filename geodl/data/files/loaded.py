"""What every reader gives: a shape as its file has it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodl.geometry.triangulation import Polygons

__all__ = [
    "Attributes",
    "Loaded",
    "dtype_note",
    "grouped",
    "held_by_float32",
    "noted_dtypes",
    "typed_color",
    "without_mark",
]

Attributes = dict[str, NDArray[Any]]


@dataclass
class Loaded:
    """A shape as a file has it.

    Attributes:
        pos: ``[V, 3]``, float64 where the file is text, else as stored.
        polygons: its faces; None where the format or this file knows none.
        vertex: attributes of vertices, ``[V]`` or ``[V, k]``.
        polygon: attributes of polygons, ``[P]`` or ``[P, k]``.
        whole: attributes of the whole, such as the names of groups.
        notes: what was left out, in words.
        exact: whether ``pos`` was stored in double precision, which is then kept.
    """

    pos: NDArray[Any]
    polygons: Polygons | None = None
    vertex: Attributes = field(default_factory=dict)
    polygon: Attributes = field(default_factory=dict)
    whole: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    exact: bool = False


# Columns of one vector, as files call them, and the names that PyG gives the whole.
_VECTORS = {
    "normal": (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z")),
    "color": (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b")),
}


def grouped(columns: Attributes) -> Attributes:
    """Scalar columns ``[V]``, with those that make up a vector as ``[V, k]``."""
    columns = dict(columns)
    # The label tensor of PyG is called y, which in a file is a coordinate.
    if "label" in columns:
        columns["y"] = columns.pop("label")
    for whole, spellings in _VECTORS.items():
        for parts in spellings:
            if all(part in columns for part in parts) and whole not in columns:
                columns[whole] = np.stack([columns.pop(part) for part in parts], axis=1)
    for first in [name for name in columns if name.endswith("_0") and len(name) > 2]:
        stem, vector = first[:-2], [columns.pop(first)]
        while f"{stem}_{len(vector)}" in columns:
            vector.append(columns.pop(f"{stem}_{len(vector)}"))
        columns[stem] = np.stack(vector, axis=1)
    return {
        name: value.astype(np.int64) if value.dtype.kind in "iu" and name not in ("color", "alpha") else value
        for name, value in columns.items()
    }


def typed_color(values: NDArray[np.float64]) -> NDArray[Any]:
    """Colours as uint8 where they are whole numbers beyond 1, which some programs write, else as float32."""
    whole = values.size > 0 and bool((values == np.rint(values)).all())
    is_bytes = whole and 1 < values.max() <= 255 and values.min() >= 0
    return values.astype(np.uint8 if is_bytes else np.float32)


_NOTE = re.compile(rb"^# dtypes:((?: \S+ \w+)+)\r?$", re.MULTILINE)


def dtype_note(dtypes: dict[str, NDArray[Any]]) -> str:
    """A comment that says what the numbers of a text were; other programs pass over it."""
    return f"# dtypes: {' '.join(f'{name} {value.dtype.name}' for name, value in dtypes.items())}\n"


def noted_dtypes(data: bytes) -> dict[str, np.dtype[Any]]:
    """What :func:`dtype_note` has written near the beginning of a text; empty if nothing is there."""
    note = _NOTE.search(data, 0, 4096)
    words = note[1].decode("utf-8", "replace").split() if note else []
    known = {
        kind: np.dtype(kind)
        for kind in words[1::2]
        if re.fullmatch(r"bool|u?int(8|16|32|64)|float(16|32|64)", kind)
    }
    return {name: known[kind] for name, kind in zip(words[::2], words[1::2], strict=True) if kind in known}


def without_mark(data: bytes) -> bytes:
    """Text as bytes a letter each: without the byte order mark of an editor, and UTF-16 as UTF-8."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode("utf-16").encode("utf-8")
        except UnicodeDecodeError:
            return data
    return data.removeprefix(b"\xef\xbb\xbf")


def held_by_float32(pos: NDArray[Any], face: NDArray[np.int64] | None = None) -> bool:
    """Whether float32 keeps a shape: no coordinate moves by more than a millionth of its size, and no edge collapses.

    Map coordinates fail it: a tile of a metre, 5,000 kilometres from the origin.
    """
    if pos.dtype == np.float32 or len(pos) == 0:
        return True
    pos = pos.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = pos.astype(np.float32)
        moved = np.abs(narrow - pos)
    finite = np.isfinite(pos)
    moved = moved[finite] if not finite.all() else moved
    if moved.max(initial=0) == 0:
        return True
    rows = pos if finite.all() else pos[finite.all(axis=1)]
    if len(rows) and moved.max() > 1e-6 * np.ptp(rows, axis=0).max():
        return False
    if face is None:
        return True
    for k in range(3):
        one, two = face[:, k], face[:, k - 1]
        together = np.flatnonzero((narrow[one] == narrow[two]).all(axis=1))
        if (pos[one[together]] != pos[two[together]]).any():
            return False
    return True
