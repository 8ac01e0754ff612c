"""off files: the whole family of Geomview's grammar, and ModelNet's header without a space."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodl.data.files.loaded import Attributes, Loaded, dtype_note, noted_dtypes, typed_color, without_mark
from geodl.data.files.text import Table, table
from geodl.geometry.triangulation import Polygons

__all__ = ["off_bytes", "read_off"]

_HEADER = re.compile(rb"\s*(?:#[^\r\n]*[\r\n]\s*)*(ST)?(C)?(N)?(4)?(n)?(?:OFF|off)[ \t]*(BINARY)?")


def read_off(data: bytes) -> Loaded:
    """Reads an off file: a stream of numbers, whose lines count only where colours follow."""
    binary = _HEADER.match(data.removeprefix(b"\xef\xbb\xbf"))
    data = data.removeprefix(b"\xef\xbb\xbf") if binary and binary[6] else without_mark(data)
    header = _HEADER.match(data)
    if header is None:
        raise ValueError("it does not begin with OFF")
    texture, color, normal, four, many = (part is not None for part in header.groups()[:5])
    if header[6]:
        return _binary(data, header.end(), texture, color, normal, four, many)
    words = table(data, header.end(), comments=b"#")
    at, dimension = (1, int(_whole(words.values[:1], "dimension")[0])) if many else (0, 3)
    if len(words.values) < at + 2:
        raise ValueError("the line with the numbers of vertices and faces is missing")
    vertices, faces = _whole(words.values[at : at + 2], "number of vertices or faces").tolist()
    # The number of edges, which nobody reads, is left out by some.
    of_line = words.starts[int(np.searchsorted(words.starts, at, "right"))] - at
    at += 3 if of_line >= 3 or (of_line == 1 and len(words.values) >= at + 3) else 2
    if not 1 <= dimension <= 3:
        raise ValueError(f"its vertices live in {dimension} dimensions, not in 3")
    position = dimension + four
    head, tail = position + (dimension if normal else 0), 2 * texture
    first_vertex = at
    rows, at = _rows(words, at, vertices, faces, head + tail, color)
    noted = noted_dtypes(data)
    loaded = Loaded(_positions(rows[:, :position], four), exact=noted.get("pos") == np.float64)
    if normal and dimension == 3:
        loaded.vertex["normal"] = rows[:, position:head].astype(np.float32)
    if texture:
        loaded.vertex["texture"] = rows[:, -2:].astype(np.float32)
    loaded.vertex |= _color(rows[:, head : rows.shape[1] - tail], noted.get("color"))
    first_face = at
    loaded.polygons, face_colors, at, extra = _faces(words, at, faces)
    loaded.polygon |= _color(face_colors)
    line = int(np.searchsorted(words.starts, first_vertex))
    if vertices and words.lengths[line] == rows.shape[1] and not (words.starts == first_face).any():
        loaded.notes.append("its numbers of vertices and faces do not fit its lines")
    if extra:
        loaded.notes.append("numbers behind the corners of its faces, such as colours, were left out")
    if at < len(words.values):
        loaded.notes.append(
            f"{len(words.values) - at} numbers behind its {vertices} vertices and {faces} faces were left out"
        )
    return loaded


def _whole(values: NDArray[np.float64], what: str) -> NDArray[np.int64]:
    if len(values) == 0 or not (
        np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all()
    ):
        raise ValueError(f"its {what} is {', '.join(f'{value:g}' for value in values) or 'missing'}")
    if (values > 2**31).any():
        raise ValueError(f"its {what} is {values.max():g}, more than a file can hold")
    return values.astype(np.int64)


def _positions(values: NDArray[np.float64], four: bool) -> NDArray[np.float64]:
    if four:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = values[:, :-1] / values[:, -1:]
    return np.pad(values, ((0, 0), (0, 3 - values.shape[1])))


def _rows(
    words: Table, at: int, vertices: int, faces: int, width: int, color: bool
) -> tuple[NDArray[np.float64], int]:
    """The numbers of the vertices ``[V, width + colours]``, and the word at which the faces begin.

    Where every vertex has a line of its own, what the line holds beyond the header's promise are colours: so does MeshLab write
    them, under any header. Else colours have four numbers where the header promises any.
    """
    line = int(np.searchsorted(words.starts, at))
    if vertices and line + vertices < len(words.starts) and words.starts[line] == at:
        lengths = words.lengths[line : line + vertices]
        end = int(words.starts[line + vertices])
        extra = int(lengths[0]) - width
        if (lengths == lengths[0]).all() and extra in (0, 1, 3, 4) and len(words.values) - end >= 2 * faces:
            return words.values[at:end].reshape(vertices, width + extra), end
    width += 4 * color
    end = at + vertices * width
    if end > len(words.values):
        have = max((len(words.values) - at) // width, 0)
        raise ValueError(
            f"it announces {vertices} vertices and {faces} faces, but has numbers for {have} vertices"
        )
    return words.values[at:end].reshape(vertices, width), end


def _faces(words: Table, at: int, faces: int) -> tuple[Polygons, NDArray[np.float64], int, bool]:
    """Polygons, the colour that follows each of them on its line ``[P, 0, 3 or 4]`` if all have one, the word behind the last, and
    whether something else followed one of them."""
    values = words.values
    if faces == 0:
        return Polygons.none(), np.zeros((0, 0)), at, False
    line = int(np.searchsorted(words.starts, at))
    if line < len(words.starts) and words.starts[line] == at and line + faces < len(words.starts):
        starts = words.starts[line : line + faces]
        lengths = words.lengths[line : line + faces]
        sizes = values[starts]
        extra = lengths - 1 - sizes
        if (
            (sizes >= 0).all()
            and (sizes == np.rint(sizes)).all()
            and (extra >= 0).all()
            and (extra <= 4).all()
        ):
            more = int(extra[0]) if (extra == extra[0]).all() and extra[0] in (3, 4) else 0
            whole = sizes.astype(np.int64)
            rest = values[(starts + 1 + whole)[:, None] + np.arange(more)]
            return (
                _polygons(values, starts + 1, whole),
                rest,
                int(words.starts[line + faces]),
                not more and bool(extra.any()),
            )
    begin, counts, end = _walked(words, at, faces, False)
    colors = end != len(values)
    if colors:
        # What is left of a face's last line is its colour.
        begin, counts, end = _walked(words, at, faces, True)
    return _polygons(values, np.array(begin), np.array(counts)), np.zeros((faces, 0)), end, colors


def _walked(words: Table, at: int, faces: int, colors: bool) -> tuple[list[int], list[int], int]:
    """Where the corners of every face begin and how many they are, and where the last ends, in a stream without lines."""
    values = words.values
    begin: list[int] = []
    sizes: list[int] = []
    for k in range(faces):
        if at >= len(values):
            if not colors:
                return begin, sizes, -1
            raise ValueError(f"it announces {faces} faces, but has {k}")
        size = values[at]
        if not (size >= 0 and size == int(size)) or at + 1 + size > len(values):
            if not colors:
                return begin, sizes, -1
            if size >= 0 and size == int(size):
                raise ValueError(f"face {k} lists {len(values) - at - 1} of its {int(size)} vertices")
            raise ValueError(f"face {k} has {size:g} vertices")
        begin.append(at + 1)
        sizes.append(int(size))
        at += 1 + int(size)
        if colors:
            at = int(words.starts[np.searchsorted(words.starts, at)])
    return begin, sizes, at


def _polygons(values: NDArray[np.float64], begin: NDArray[np.int64], sizes: NDArray[np.int64]) -> Polygons:
    starts = np.concatenate([[0], np.cumsum(sizes)])
    corners = values[np.repeat(begin - starts[:-1], sizes) + np.arange(starts[-1])]
    if not (np.isfinite(corners).all() and (corners == np.rint(corners)).all()):
        raise ValueError("a face lists a vertex that is no whole number")
    return Polygons(corners.astype(np.int64), starts)


def _color(values: NDArray[np.float64], kind: np.dtype[Any] | None = None) -> Attributes:
    """``color`` and ``alpha``: whole numbers beyond 1 are bytes. A single number is the place in a colour map that nobody has."""
    if values.shape[1] < 3:
        return {}
    typed = typed_color(values) if kind is None else values.astype(kind)
    return {"color": typed[:, :3]} | ({"alpha": typed[:, 3]} if values.shape[1] == 4 else {})


def _binary(data: bytes, at: int, texture: bool, color: bool, normal: bool, four: bool, many: bool) -> Loaded:
    """Big-endian int32 and float32, as Geomview writes them after ``OFF BINARY``."""
    at = data.index(b"\n", at) + 1 if b"\n" in data[at:] else len(data)

    def take(kind: str, count: int, what: str) -> NDArray[Any]:
        nonlocal at
        if count < 0 or at + 4 * count > len(data):
            raise ValueError(f"it ends before its {what}")
        at += 4 * count
        return np.frombuffer(data, kind, count, at - 4 * count)

    dimension = int(take(">i4", 1, "dimension")[0]) if many else 3
    if not 1 <= dimension <= 3:
        raise ValueError(f"its vertices live in {dimension} dimensions, not in 3")
    vertices, faces, _ = take(">i4", 3, "numbers of vertices and faces").tolist()
    position = dimension + four
    width = position + dimension * normal + 4 * color + 2 * texture
    if vertices < 0 or faces < 0:
        raise ValueError(f"it announces {vertices} vertices and {faces} faces")
    rows = take(">f4", vertices * width, f"{vertices} vertices").reshape(vertices, width).astype(np.float32)
    loaded = Loaded(_positions(rows[:, :position].astype(np.float64), four))
    if normal and dimension == 3:
        loaded.vertex["normal"] = rows[:, position : position + 3]
    if color:
        first = position + dimension * normal
        loaded.vertex |= _color(rows[:, first : first + 4].astype(np.float64))
    if texture:
        loaded.vertex["texture"] = rows[:, -2:]
    corners, sizes = [], []
    for _ in range(faces):
        sizes.append(int(take(">i4", 1, f"{faces} faces")[0]))
        corners.append(take(">i4", sizes[-1], f"{faces} faces"))
        take(">f4", int(take(">i4", 1, f"{faces} faces")[0]), "colours of faces")
    flat = np.concatenate([*corners, np.zeros(0, dtype=np.int32)]).astype(np.int64)
    loaded.polygons = Polygons(flat, np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64))
    if data[at:].strip():
        loaded.notes.append(f"{len(data) - at} bytes behind its last face were left out")
    return loaded


def off_bytes(pos: NDArray[Any], face: NDArray[np.int64], vertex: Attributes, digits: int) -> bytes:
    """Text with enough digits to give back the same numbers; a ``color`` of bytes or floats is kept (COFF)."""
    number = f"%.{digits}g"
    color = vertex.get("color")
    kept = color is not None and color.ndim == 2 and color.shape[1] == 3 and color.dtype.kind in "uf"
    rows = [pos]
    form = [number] * 3
    if kept and color is not None:
        alpha = np.full((len(pos), 1), 255 if color.dtype == np.uint8 else 1)
        rows += [color, alpha]
        form += ["%d" if color.dtype.kind == "u" else "%.17g" if color.dtype == np.float64 else "%.9g"] * 4
    dtypes = {"pos": pos} | ({"color": color} if kept and color is not None else {})
    note = dtype_note(dtypes) if any(value.dtype == np.float64 for value in dtypes.values()) else ""
    lines = [f"{'COFF' if kept else 'OFF'}", f"{note}{len(pos)} {len(face)} 0"]
    line = " ".join(form)
    lines += [line % tuple(row) for row in np.concatenate(rows, axis=1).tolist()]
    lines += [f"3 {a} {b} {c}" for a, b, c in face.tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")
