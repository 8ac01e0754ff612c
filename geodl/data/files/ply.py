"""ply files: whatever their grammar allows (Turk, "The PLY polygon file format", 1994)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodl.data.files.loaded import Attributes, Loaded, grouped
from geodl.data.files.text import Table, table
from geodl.geometry.triangulation import Polygons

__all__ = ["ply_bytes", "read_ply"]

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
    "int64": "i8", "uint64": "u8", "long": "i8", "ulong": "u8", "half": "f2", "float16": "f2",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class _Property:
    name: str
    type: str
    count: str | None = None  # the type of the length, of a list


@dataclass
class _Element:
    name: str
    length: int
    properties: list[_Property] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        return all(p.count is None for p in self.properties)


@dataclass
class _Read:
    """Rows of an element: columns of its scalars, and of its lists all entries and where each begins."""

    scalars: dict[str, NDArray[Any]]
    lists: dict[str, tuple[NDArray[Any], NDArray[np.int64]]]
    notes: list[str] = field(default_factory=list)


def read_ply(data: bytes) -> Loaded:
    """Reads a ply file, ascii or binary, with faces as polygons or triangle strips, or none."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    form, elements, begin = _header(data)
    found: dict[str, _Read] = {}
    if form == "ascii":
        words, at, line = table(data, begin), 0, 0
        for element in elements:
            found[element.name], at, line = _text_element(words, at, line, element)
        rest = f"{len(words.values) - at} numbers" if at < len(words.values) else ""
    else:
        for element in elements:
            found[element.name], begin = _binary_element(data, begin, element, _ORDERS[form])
        rest = f"{len(data) - begin} bytes" if data[begin:].strip(b"\r\n") else ""
    loaded = _shape(form, elements, found)
    loaded.notes += [note for read in found.values() for note in read.notes]
    if rest:
        loaded.notes.append(f"{rest} behind what its header announces were left out")
    return loaded


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    start = re.match(rb"\s*ply[ \t]*(\r\n|\n|\r)", data)
    if start is None:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ValueError("it is text in UTF-16, which ply is not: save it as UTF-8")
        raise ValueError("it does not begin with ply")
    newline = start[1]
    end = re.search(rb"(?:\r|\n)[ \t]*end_header[ \t]*(?:" + newline + rb"|\Z)", data)
    if end is None:
        end = re.search(rb"(?:\r|\n)[ \t]*end_header[ \t]*(\r\n|\n|\r|\Z)", data)
    if end is None:
        raise ValueError("its header has no end_header")
    form = ""
    elements: list[_Element] = []
    for line in re.split(r"[\r\n]+", data[start.end() : end.start()].decode("latin-1")):
        key, *words = line.split() or [""]
        if key == "format":
            form = words[0] if words else ""
            if form != "ascii" and form not in _ORDERS:
                raise ValueError(f"its format is {form!r}, not ascii, {' or '.join(_ORDERS)}")
        elif key == "element":
            if len(words) < 2 or not words[-1].isdigit():
                raise ValueError(f"its header says {line.strip()!r}, which is no element with a number")
            elements.append(_Element(" ".join(words[:-1]), int(words[-1])))
        elif key == "property":
            if not elements:
                raise ValueError(f"its header says {line.strip()!r} before any element")
            elements[-1].properties.append(_property(words, line))
        elif key not in ("", "comment", "obj_info", "ply"):
            raise ValueError(f"its header says {line.strip()[:40]!r}")
    if not form:
        raise ValueError("its header names no format")
    names = [element.name for element in elements]
    if len(set(names)) < len(names):
        raise ValueError(f"its header names an element twice: {', '.join(names)}")
    return form, elements, end.end()


def _property(words: list[str], line: str) -> _Property:
    if words[:1] == ["list"] and len(words) >= 4:
        count, kind, name = words[1], words[2], " ".join(words[3:])
        if count in _TYPES and kind in _TYPES and "f" not in _TYPES[count]:
            return _Property(name, _TYPES[kind], _TYPES[count])
    elif len(words) >= 2 and words[0] in _TYPES:
        return _Property(" ".join(words[1:]), _TYPES[words[0]])
    raise ValueError(
        f"its header says {line.strip()!r}, whose types no ply file has (lists are counted by integers)"
    )


def _too_short(element: _Element, rows: int) -> ValueError:
    return ValueError(f"its header announces {element.length} rows of {element.name}, it has {rows}")


def _binary_element(data: bytes, begin: int, element: _Element, order: str) -> tuple[_Read, int]:
    if not element.properties:
        return _Read({}, {}), begin
    if element.is_plain:
        row = np.dtype([(f"f{k}", order + p.type) for k, p in enumerate(element.properties)])
        if begin + element.length * row.itemsize > len(data):
            raise _too_short(element, max(0, len(data) - begin) // row.itemsize)
        rows = np.frombuffer(data, row, element.length, begin)
        scalars = {p.name: _native(rows[f"f{k}"]) for k, p in reversed([*enumerate(element.properties)])}
        return _Read(dict(reversed(scalars.items())), {}), begin + element.length * row.itemsize
    return _binary_alike(data, begin, element, order) or _binary_lists(data, begin, element, order)


def _binary_alike(data: bytes, begin: int, element: _Element, order: str) -> tuple[_Read, int] | None:
    """Rows whose lists are all as long as those of the first row, as those of a mesh of triangles; None if they are not."""
    if element.length == 0:
        return None
    fields: list[tuple[Any, ...]] = []
    at = begin
    sizes: dict[int, int] = {}
    for k, p in enumerate(element.properties):
        if p.count is not None:
            width = np.dtype(p.count).itemsize
            if at + width > len(data):
                return None
            sizes[k] = int(np.frombuffer(data, order + p.count, 1, at)[0])
            if sizes[k] < 0 or sizes[k] > len(data):
                return None
            fields.append((f"n{k}", order + p.count))
            fields.append((f"f{k}", order + p.type, (sizes[k],)))
            at += width + sizes[k] * np.dtype(p.type).itemsize
        else:
            fields.append((f"f{k}", order + p.type))
            at += np.dtype(p.type).itemsize
    if begin + (at - begin) * element.length > len(data):
        return None
    row = np.dtype(fields)
    rows = np.frombuffer(data, row, element.length, begin)
    if any((rows[f"n{k}"] != size).any() for k, size in sizes.items()):
        return None
    read = _Read({}, {})
    for k, p in enumerate(element.properties):
        if p.count is None:
            read.scalars.setdefault(p.name, _native(rows[f"f{k}"]))
        else:
            starts = np.arange(element.length + 1, dtype=np.int64) * sizes[k]
            read.lists.setdefault(p.name, (_native(rows[f"f{k}"].reshape(-1)), starts))
    return read, begin + row.itemsize * element.length


def _binary_lists(data: bytes, begin: int, element: _Element, order: str) -> tuple[_Read, int]:
    """Rows of lists of any length: where each begins is known only when the one before it has been read."""
    places: list[list[int]] = [[] for _ in element.properties]
    counts: list[list[int]] = [[] for _ in element.properties]
    steps = [
        (k, np.dtype(p.type).itemsize, p.count and np.dtype(p.count).itemsize, "i" in (p.count or ""))
        for k, p in enumerate(element.properties)
    ]
    byte_order: Any = "little" if order == "<" else "big"
    at, end = begin, len(data)
    for row in range(element.length):
        for k, width, count, signed in steps:
            if count:
                if count == 1 and at < end:
                    size = data[at]
                    if signed and size > 127:
                        raise ValueError(f"{element.name} {row} has a list of {size - 256} entries")
                else:
                    size = int.from_bytes(data[at : at + count], byte_order, signed=signed)
                    if size < 0:
                        raise ValueError(f"{element.name} {row} has a list of {size} entries")
                at += count
                counts[k].append(size)
                places[k].append(at)
                at += size * width
            else:
                places[k].append(at)
                at += width
        if at > end:
            raise _too_short(element, row)
    raw = np.frombuffer(data, np.uint8)
    read = _Read({}, {})
    for k, p in enumerate(element.properties):
        width = np.dtype(p.type).itemsize
        start = np.array(places[k], dtype=np.int64)
        if p.count is None:
            which = start
        else:
            sizes = np.array(counts[k], dtype=np.int64)
            starts = np.concatenate([[0], np.cumsum(sizes)])
            which = np.repeat(start - starts[:-1] * width, sizes) + np.arange(starts[-1]) * width
        values = _native(raw[which[:, None] + np.arange(width)].reshape(-1).view(order + p.type))
        if p.count is None:
            read.scalars.setdefault(p.name, values)
        else:
            read.lists.setdefault(p.name, (values, starts))
    return read, at


def _text_element(words: Table, at: int, line: int, element: _Element) -> tuple[_Read, int, int]:
    """Rows of an ascii file from the word ``at``, which begins line ``line`` where that is known (not negative)."""
    values, width = words.values, len(element.properties)
    lengths = words.lengths[line : line + element.length] if line >= 0 else np.zeros(0, dtype=np.int64)
    apart = len(lengths) == element.length > 0  # rows that may have lines of their own
    if element.is_plain:
        # Who writes more numbers a line than the header names means the first ones.
        wide = (
            int(lengths[0]) if apart and (lengths == lengths[0]).all() and lengths[0] > width > 0 else width
        )
        end = at + element.length * wide
        if end > len(values):
            raise _too_short(element, (len(values) - at) // max(wide, 1))
        block = values[at:end].reshape(element.length, wide)
        read = _Read({}, {}, [] if wide == width else [_beyond(element)])
        for k, p in enumerate(element.properties):
            read.scalars.setdefault(p.name, _typed(block[:, k], p, element))
        return read, end, _line_at(words, end, line + element.length)
    offsets: list[NDArray[np.int64]] = []  # of every property, where its value or its list's length stands
    single = len(element.properties) == 1 and apart
    starts = words.starts[line : line + element.length] if single else np.zeros(0, dtype=np.int64)
    read = _Read({}, {})
    if single and (values[starts] <= lengths - 1).all():
        offsets = [starts]
        end = int(words.starts[line + element.length])
        read.notes += [_beyond(element)] if (values[starts] < lengths - 1).any() else []
    else:
        offsets, end = _walked(values, at, element)
    for p, where in zip(element.properties, offsets, strict=True):
        if p.count is None:
            read.scalars.setdefault(p.name, _typed(values[where], p, element))
            continue
        sizes = values[where].astype(np.int64)
        ends = np.concatenate([[0], np.cumsum(sizes)])
        which = np.repeat(where + 1 - ends[:-1], sizes) + np.arange(ends[-1])
        read.lists.setdefault(p.name, (_typed(values[which], p, element), ends))
    return read, end, _line_at(words, end, line + element.length)


def _beyond(element: _Element) -> str:
    return f"numbers behind the properties of {element.name} that its header names were left out"


def _walked(values: NDArray[np.float64], at: int, element: _Element) -> tuple[list[NDArray[np.int64]], int]:
    places: list[list[int]] = [[] for _ in element.properties]
    total = len(values)
    for row in range(element.length):
        for k, p in enumerate(element.properties):
            if at >= total:
                raise _too_short(element, row)
            places[k].append(at)
            size = values[at] if p.count is not None else 0.0
            if not (size >= 0 and size == int(size)):
                raise ValueError(f"{element.name} {row} has a list of {size:g} entries")
            at += 1 + int(size)
        if at > total:
            raise ValueError(f"{_too_short(element, row)}: its last row ends early")
    return [np.array(where, dtype=np.int64) for where in places], at


def _line_at(words: Table, at: int, line: int) -> int:
    """The line that begins with word ``at``, if it is the one that is expected; else -1."""
    return line if 0 <= line < len(words.starts) and words.starts[line] == at else -1


def _typed(values: NDArray[np.float64], p: _Property, element: _Element) -> NDArray[Any]:
    kind = np.dtype(p.type)
    if kind.kind == "f":
        # Text may hold more than the type that its header names.
        return values.astype(kind) if p.name.lower() not in ("x", "y", "z") else values
    bounds = np.iinfo(kind)
    if values.size and not (
        np.isfinite(values).all()
        and (values == np.rint(values)).all()
        and bounds.min <= values.min() <= values.max() <= bounds.max
    ):
        raise ValueError(f"a {p.name} of its {element.name} is no {kind.name}")
    return values.astype(kind)


def _native(values: NDArray[Any]) -> NDArray[Any]:
    return values.astype(values.dtype.newbyteorder("="))


def _shape(form: str, elements: list[_Element], found: dict[str, _Read]) -> Loaded:
    name = next((e.name for e in elements if e.name in ("vertex", "vertices", "point")), None)
    if name is None:
        raise ValueError("its header has no element vertex")
    vertex = found[name]
    # Some name them in capitals.
    for axis in "xyz":
        if axis not in vertex.scalars and axis.upper() in vertex.scalars:
            vertex.scalars[axis] = vertex.scalars.pop(axis.upper())
    missing = [axis for axis in "xyz" if axis not in vertex.scalars]
    if missing:
        raise ValueError(f"its vertices have no {', '.join(missing)}")
    stored = next(e for e in elements if e.name == name).properties
    exact = any(
        p.name.lower() in ("x", "y", "z") and p.type in ("f8", "i4", "u4", "i8", "u8") for p in stored
    )
    pos = np.stack([vertex.scalars[axis] for axis in "xyz"], axis=1)
    if pos.dtype.kind != "f" or exact or form == "ascii":
        pos = pos.astype(np.float64)
    loaded = Loaded(pos, exact=any(p.name.lower() == "x" and p.type == "f8" for p in stored))
    loaded.vertex = grouped(
        {key: value for key, value in vertex.scalars.items() if key not in ("x", "y", "z")}
    )
    if vertex.lists:
        loaded.notes.append(f"lists of its vertices were left out: {', '.join(vertex.lists)}")
    face = next((e.name for e in elements if e.name in ("face", "faces")), None)
    if face is not None and len(elements) and next(e for e in elements if e.name == face).length:
        loaded.polygons = _polygons(found[face])
        loaded.polygon = grouped(dict(found[face].scalars))
    elif face is not None:
        loaded.polygons = Polygons.none()
    strips = found.get("tristrips")
    if strips is not None and strips.lists:
        triangles = _unrolled(*next(iter(strips.lists.values())))
        if loaded.polygons is None or not len(loaded.polygons):
            loaded.polygons = Polygons.of(triangles)
        else:
            loaded.notes.append("its tristrips were left out beside its faces")
    others = [e.name for e in elements if e.name not in (name, face, "tristrips") and e.length]
    if others:
        loaded.notes.append(f"elements that are no faces were left out: {', '.join(others)}")
    return loaded


def _polygons(face: _Read) -> Polygons:
    for key in ("vertex_indices", "vertex_index", *face.lists):
        if key in face.lists:
            corners, starts = face.lists[key]
            if corners.dtype.kind == "f" and not (corners == np.rint(corners)).all():
                raise ValueError(f"the {key} of its faces are no numbers of vertices")
            return Polygons(corners.astype(np.int64), starts)
    raise ValueError("its faces list no vertices")


def _unrolled(corners: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Triangles ``[F, 3]`` of strips: every two corners and the next, every other turned; -1 ends a strip, and so does a list."""
    flat = np.insert(corners.astype(np.int64), starts[1:-1], -1)
    end = np.flatnonzero(flat < 0)
    begin = np.zeros(len(flat), dtype=np.int64)
    begin[end[end + 1 < len(flat)] + 1] = end[end + 1 < len(flat)] + 1
    begin = np.maximum.accumulate(begin)
    triangles = np.stack([flat[:-2], flat[1:-1], flat[2:]], axis=1)
    odd = (np.arange(len(triangles)) - begin[: len(triangles)]) % 2 == 1
    triangles[odd] = triangles[odd][:, [1, 0, 2]]
    a, b, c = triangles.T
    whole = (triangles >= 0).all(axis=1)
    # Strips repeat a corner to turn round.
    kept: NDArray[np.int64] = triangles[whole & (a != b) & (b != c) & (c != a)]
    return kept


_NAMES = {"f4": "float", "f8": "double", "i4": "int", "u1": "uchar"}
_SPLIT = {"normal": ("nx", "ny", "nz"), "color": ("red", "green", "blue")}


def ply_bytes(
    pos: NDArray[Any], face: NDArray[np.int64] | None, vertex: Attributes, faces: Attributes
) -> bytes:
    """A binary file of positions ``[V, 3]``, triangles ``[F, 3]`` or none, and attributes of both.

    Raises:
        ValueError: an attribute that ply cannot hold.
    """
    rows, header = _packed("vertex", len(pos), [("xyz"[k], pos[:, k]) for k in range(3)], vertex)
    lines = ["ply", "format binary_little_endian 1.0", *header]
    body = rows.tobytes()
    if face is not None:
        own, header = _packed("face", len(face), [], faces)
        names = own.dtype.names or ()
        fields: list[Any] = [
            (" count", "u1"),  # no attribute has such a name
            (" corners", "<i4", (3,)),
            *((name, own.dtype[name]) for name in names),
        ]
        polygons = np.empty(len(face), dtype=fields)
        polygons[" count"], polygons[" corners"] = 3, face
        for name in names:
            polygons[name] = own[name]
        lines += [header[0], "property list uchar int vertex_indices", *header[1:]]
        body += polygons.tobytes()
    return "\n".join([*lines, "end_header\n"]).encode("ascii") + body


def _packed(
    element: str, length: int, columns: list[tuple[str, NDArray[Any]]], attributes: Attributes
) -> tuple[NDArray[Any], list[str]]:
    columns = list(columns)
    for name, value in attributes.items():
        if value.dtype.kind in "iu" and value.dtype.itemsize > 1:
            if value.size and not -(2**31) <= value.min() <= value.max() < 2**31:
                raise ValueError(f"attribute {name!r} holds integers beyond 32 bits, which ply cannot keep")
            value = value.astype(np.int32)
        elif value.dtype == bool:
            value = value.astype(np.uint8)
        if value.dtype.str[1:] not in _NAMES:
            raise ValueError(f"attribute {name!r} has dtype {value.dtype}, which ply cannot keep")
        if value.ndim == 1:
            columns.append(("label" if name == "y" else name, value))
        elif value.ndim == 2:
            parts = _SPLIT.get(name, ()) if value.shape[1] == 3 else ()
            columns += [(parts[k] if parts else f"{name}_{k}", value[:, k]) for k in range(value.shape[1])]
        else:
            raise ValueError(f"attribute {name!r} has shape {list(value.shape)}; ply keeps [V] and [V, k]")
    names = [name for name, _ in columns]
    if len(set(names)) < len(names):
        raise ValueError(
            f"two {element} attributes would share a ply property; the properties are {', '.join(names)}"
        )
    rows = np.empty(length, dtype=[(name, column.dtype.newbyteorder("<")) for name, column in columns])
    for name, column in columns:
        rows[name] = column
    properties = [f"property {_NAMES[column.dtype.str[1:]]} {name}" for name, column in columns]
    return rows, [f"element {element} {length}", *properties]
