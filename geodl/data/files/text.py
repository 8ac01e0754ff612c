"""Numbers in text files, by the extension or, where it is not built, slowly by Python; both give the same."""

from __future__ import annotations

import re
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Statements", "Table", "merged", "obj_statements", "stl_corners", "table"]

native: ModuleType | None
try:
    native = import_module("geodl.data._native")
except ImportError:
    native = None


class Table(NamedTuple):
    """Every number of a text and where its lines begin.

    Attributes:
        values: ``[T]`` float64.
        starts: ``[L + 1]`` int64: line l, blank ones left out, holds ``values[starts[l] : starts[l + 1]]``.
    """

    values: NDArray[np.float64]
    starts: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many numbers every line has, ``[L]``."""
        return np.diff(self.starts)


def table(data: bytes, begin: int = 0, separators: bytes = b"", comments: bytes = b"") -> Table:
    """Reads a text of numbers.

    Args:
        data: the file.
        begin: the byte to begin at.
        separators: bytes that part numbers, beside blanks.
        comments: bytes from which on the rest of a line says nothing.

    Raises:
        ValueError: a word that is no number.
    """
    values, starts, bad = (native.table if native else _table)(data, begin, separators, comments)
    if bad >= 0:
        # The extension counts from where it began.
        bad += begin
        line = data.count(b"\n", 0, bad) + 1
        word = re.split(rb"\s", data[bad : bad + 40], maxsplit=1)[0].decode("ascii", "replace")
        raise ValueError(f"line {line}: {word!r} is no number")
    return Table(values, starts)


class Statements(NamedTuple):
    """The statements of an obj file: vertices with all their numbers, faces counted from 0, groups."""

    values: NDArray[np.float64]
    vertex_starts: NDArray[np.int64]
    corners: NDArray[np.int64]
    face_starts: NDArray[np.int64]
    groups: list[tuple[int, bytes]]
    objects: list[tuple[int, bytes]]
    skipped: int


def obj_statements(data: bytes) -> Statements:
    """Reads an obj file; elements that are no faces are counted as skipped.

    Raises:
        ValueError: a coordinate that is no number, or a corner that names no vertex.
    """
    *found, error = native.obj(data, 0) if native else _obj(data)
    if error:
        raise ValueError(error)
    return Statements(*found)


def stl_corners(data: bytes) -> NDArray[np.float64]:
    """The corners ``[3 F, 3]`` of a text stl file.

    Raises:
        ValueError: a word that has no place there, a facet that has not three vertices, or an end that is missing.
    """
    values, error = native.stl(data, 0) if native else _stl(data)
    if error:
        raise ValueError(error)
    return np.asarray(values).reshape(-1, 3)


def merged(rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Equal rows ``[N, 3]`` become one: the row that was first at each place ``[M]``, and the place of every row ``[N]``."""
    if native and rows.dtype == np.float32:
        first, which = native.merge(np.ascontiguousarray(rows + np.float32(0)).view(np.uint32))  # -0 is 0
        return first, which
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.reshape(-1)]


_SPECIAL = re.compile(rb"[+-]?1\.#(qnan|ind|snan)\d*|[+-]?nan.*", re.IGNORECASE)
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)


_LINE_END = re.compile(rb"[\r\n]|\Z")


def _number(word: bytes) -> float | None:
    if _NUMBER.fullmatch(word):
        return float(word)
    if _SPECIAL.fullmatch(word):
        return float("nan")
    if re.fullmatch(rb"[+-]?1\.#inf\d*", word, re.IGNORECASE):
        return float("-inf") if word.startswith(b"-") else float("inf")
    return None


def _table(data: bytes, begin: int, separators: bytes, comments: bytes) -> tuple[Any, Any, int]:
    values: list[float] = []
    starts = [0]
    at = begin
    comment = b"(?<!\\.)[" + re.escape(comments) + b"].*" if comments else None
    for line in re.split(rb"(?<=[\r\n])", data[begin:]):
        said = re.sub(comment, b"", line, count=1) if comment else line
        for match in re.finditer(rb"[^\s\0" + re.escape(separators) + rb"]+", said):
            value = _number(match[0])
            if value is None:
                return np.array(values), np.array(starts), at + match.start() - begin
            values.append(value)
        if len(values) > starts[-1]:
            starts.append(len(values))
        at += len(line)
    return np.array(values, dtype=np.float64), np.array(starts, dtype=np.int64), -1


def _obj(data: bytes) -> tuple[Any, ...]:
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    values: list[float] = []
    corners: list[int] = []
    vertex_starts, face_starts = [0], [0]
    groups: list[tuple[int, bytes]] = []
    objects: list[tuple[int, bytes]] = []
    skipped, error = 0, ""
    for line in re.sub(rb"\\[ \t\r\v\f\0]*\n", b" ", data).split(b"\n"):
        key, *words = re.sub(rb"(?<!\.)#.*", b"", line).replace(b"\0", b" ").split() or [b""]
        if key == b"v":
            for word in words:
                value = _number(word)
                if value is None:
                    error = f"{word[:40].decode('ascii', 'replace')!r} is no number"
                    break
                values.append(value)
            vertex_starts.append(len(values))
        elif key in (b"f", b"fo"):
            for word in words:
                first = word.split(b"/", maxsplit=1)[0]
                if not re.fullmatch(rb"[+-]?\d{1,18}", first):
                    error = f"{word[:40].decode('ascii', 'replace')!r} names no vertex"
                    break
                corner = int(first)
                if corner == 0:
                    error = f"face {len(face_starts) - 1} names vertex 0, but obj counts from 1"
                    break
                corners.append(corner - 1 if corner > 0 else len(vertex_starts) - 1 + corner)
            face_starts.append(len(corners))
        elif key in (b"g", b"o"):
            (groups if key == b"g" else objects).append((len(face_starts) - 1, line.split(key, 1)[1].strip()))
        elif key in (b"l", b"p", b"curv", b"curv2", b"surf"):
            skipped += 1
        if error:
            break
    whole = [np.array(part, dtype=np.int64) for part in (vertex_starts, corners, face_starts)]
    return np.array(values, dtype=np.float64), *whole, groups, objects, skipped, error


def _stl(data: bytes) -> tuple[Any, str]:
    places = [(match.start(), match[0].lower()) for match in re.finditer(rb"[^\s\0]+", data)]
    words = [word for _, word in places]
    values: list[float] = []
    corners, facet, open_, at = 0, False, False, 0
    while at < len(words):
        key = words[at]
        at += 1
        if key == b"vertex":
            corners += 1
            found = [_number(word) for word in words[at : at + 3]]
            if corners > 3 or len(found) < 3 or None in found:
                return None, f"facet {len(values) // 9} has more than three vertices or no coordinates"
            values += [number for number in found if number is not None]
            at += 3
        elif key in (b"facet", b"endfacet"):
            if facet == (key == b"facet") or (key == b"endfacet" and corners != 3):
                return None, f"facet {len(values) // 9} does not end or has {corners} vertices"
            facet, corners = key == b"facet", 0
        elif key in (b"solid", b"endsolid", b"end"):
            open_ = key == b"solid"
            if key != b"end" or words[at : at + 1] == [b"solid"]:
                rest = _LINE_END.search(data, places[at - 1][0])
                while rest and at < len(words) and places[at][0] < rest.start():
                    at += 1
        elif key == b"normal":
            at += 3
        elif key not in (b"outer", b"loop", b"endloop", b"color"):
            return None, f"{key[:40].decode('ascii', 'replace')!r} is no word of an stl file"
    if facet or corners:
        return None, f"facet {len(values) // 9} does not end"
    return np.array(values, dtype=np.float64), "it does not end with endsolid" if open_ else ""
