"""Mesh files: ply, off, obj and stl, read through trimesh with every vertex kept in its place."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodl.data.whole_file import whole_file

FORMATS = (".ply", ".off", ".obj", ".stl")

Attributes = dict[str, NDArray[Any]]


def read_mesh(path: Path) -> tuple[NDArray[Any], NDArray[np.int64], Attributes]:
    """Positions ``[V, 3]``, triangles ``[F, 3]`` and vertex attributes (ply only) of a file.

    Vertices keep the order and number of the file; polygons become fans of triangles. An stl file has no
    shared vertices: there, corners at the same position become one vertex, in the order of first
    occurrence.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown format, truncated or damaged file, no vertices or faces, an index out of range,
            a position that is not finite.
    """
    readers = {".ply": _read_ply, ".off": _read_off, ".obj": _read_obj, ".stl": _read_stl}
    if path.suffix.lower() not in readers:
        raise ValueError(f"{path}: unknown mesh format {path.suffix!r}; geodl reads {', '.join(FORMATS)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such mesh file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # numpy's, about how trimesh parses numbers
            pos, polygons, attributes = readers[path.suffix.lower()](path.read_bytes())
        face = _triangles(polygons)
    # Parsers raise whatever they stumble over, an IndexError as well as a ValueError: the file is damaged.
    except Exception as error:
        raise ValueError(f"{path}: truncated or damaged {path.suffix[1:].lower()} file ({error})") from error
    if len(pos) == 0:
        raise ValueError(f"{path}: the mesh is empty (no vertices)")
    if len(face) == 0:
        raise ValueError(f"{path}: the mesh has {len(pos)} vertices but no faces")
    bad = ~np.isfinite(pos).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{path}: {bad.sum()} vertices have NaN or infinite coordinates, first vertex {bad.argmax()}"
        )
    if face.min() < 0 or face.max() >= len(pos):
        worst = face.min() if face.min() < 0 else face.max()
        raise ValueError(
            f"{path}: a face names vertex {worst}, but there are {len(pos)} vertices (0 to {len(pos) - 1})"
        )
    return pos, face, attributes


def write_mesh(path: Path, pos: NDArray[Any], face: NDArray[np.int64], attributes: Attributes) -> None:
    """Write positions ``[V, 3]`` and triangles ``[F, 3]``; a reader sees the old file or the whole new one.

    ply is binary and keeps the dtype of ``pos`` and the attributes; off and obj are text with enough digits
    to give back the same numbers (and no attributes); stl is binary, float32, without shared vertices.

    Raises:
        ValueError: unknown format, or an attribute that ply cannot hold.
    """
    writers = {".ply": _ply_bytes, ".off": _off_bytes, ".obj": _obj_bytes, ".stl": _stl_bytes}
    if path.suffix.lower() not in writers:
        raise ValueError(f"{path}: unknown mesh format {path.suffix!r}; geodl writes {', '.join(FORMATS)}")
    data = writers[path.suffix.lower()](pos, face, attributes)
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def _triangles(polygons: Any) -> NDArray[np.int64]:
    import trimesh

    if len(polygons) == 0:
        return np.zeros((0, 3), dtype=np.int64)
    if not (isinstance(polygons, np.ndarray) and polygons.ndim == 2):
        if min(len(polygon) for polygon in polygons) < 3:
            raise ValueError("a face has fewer than three vertices")
    elif polygons.shape[1] < 3:
        raise ValueError(f"faces have {polygons.shape[1]} vertices")
    return np.asarray(trimesh.geometry.triangulate_quads(polygons), dtype=np.int64).reshape(-1, 3)


def _read_ply(data: bytes) -> tuple[NDArray[Any], Any, Attributes]:
    from trimesh.exchange.ply import load_ply

    try:
        loaded = load_ply(io.BytesIO(data), fix_texture=False, skip_materials=True)
    except ValueError as error:
        if "unexpected length" in str(error):
            raise ValueError(
                "its length does not fit its header: it is cut short, or it is a binary file that mixes "
                "polygons of different sizes, which only ascii ply may do here"
            ) from error
        raise
    elements = loaded["metadata"]["_ply_raw"]
    header, body = re.split(rb"end_header\r?\n", data, maxsplit=1)
    if b"format ascii" in header:
        _check_ascii_ply(body, elements)
    announced = re.search(rb"element\s+face\s+(\d+)", header)
    if announced and int(announced[1]) and loaded.get("faces") is None:
        raise ValueError(f"its header announces {int(announced[1])} faces, but there are none")
    if "vertices" not in loaded:
        return np.zeros((0, 3)), [], {}
    vertex = elements["vertex"]
    pos = np.asarray(loaded["vertices"])
    pos = pos.astype(np.float64 if np.dtype(vertex["properties"]["x"]).itemsize == 8 else np.float32)
    faces = loaded.get("faces")
    return pos, [] if faces is None else faces, _grouped(vertex)


def _check_ascii_ply(body: bytes, elements: dict[str, Any]) -> None:
    """trimesh takes the rows that are there for all of them, and a list cut short for a short list."""
    rows = [line.split() for line in body.decode("utf-8").splitlines() if line.strip()]
    expected = sum(element["length"] for element in elements.values())
    if len(rows) < expected:
        raise ValueError(f"its header announces {expected} rows, it has {len(rows)}")
    last = rows[expected - 1] if expected else []
    properties = list(next(reversed(elements.values()))["properties"].values())
    if last and (len(last) < len(properties) or ("LIST" in properties[0] and len(last) < 1 + int(last[0]))):
        raise ValueError(f"its last row ends early: {' '.join(last)}")


# Columns of one vector, as ply files call them, and the names that PyG gives the whole.
_PLY_VECTORS = {"normal": ("nx", "ny", "nz"), "color": ("red", "green", "blue")}


def _grouped(vertex: dict[str, Any]) -> Attributes:
    """Scalar properties as ``[V]``, and those that make up a vector as ``[V, k]``."""
    columns: Attributes = {}
    for name, kind in vertex["properties"].items():
        if name not in ("x", "y", "z") and "(" not in kind:
            column = np.asarray(vertex["data"][name]).reshape(vertex["length"])
            columns[name] = column.astype(column.dtype.newbyteorder("="))
    # The label tensor of PyG is called y, which in ply is a coordinate.
    if "label" in columns:
        columns["y"] = columns.pop("label")
    for whole, parts in _PLY_VECTORS.items():
        if all(part in columns for part in parts):
            columns[whole] = np.stack([columns.pop(part) for part in parts], axis=1)
    for first in [name for name in columns if name.endswith("_0")]:
        stem, vector = first[:-2], [columns.pop(first)]
        while f"{stem}_{len(vector)}" in columns:
            vector.append(columns.pop(f"{stem}_{len(vector)}"))
        columns[stem] = np.stack(vector, axis=1)
    return {
        name: c.astype(np.int64) if c.dtype.kind in "iu" and name != "color" else c
        for name, c in columns.items()
    }


def _ply_bytes(pos: NDArray[Any], face: NDArray[np.int64], attributes: Attributes) -> bytes:
    ply_names = {"f4": "float", "f8": "double", "i4": "int", "u1": "uchar"}
    columns: list[tuple[str, NDArray[Any]]] = [("xyz"[k], pos[:, k]) for k in range(3)]
    for name, value in attributes.items():
        if value.dtype.kind in "iu" and value.dtype.itemsize > 1:
            if value.size and not -(2**31) <= value.min() <= value.max() < 2**31:
                raise ValueError(f"attribute {name!r} holds integers beyond 32 bits, which ply cannot keep")
            value = value.astype(np.int32)
        elif value.dtype == bool:
            value = value.astype(np.uint8)
        if value.dtype.str[1:] not in ply_names:
            raise ValueError(f"attribute {name!r} has dtype {value.dtype}, which ply cannot keep")
        if value.ndim == 1:
            columns.append(("label" if name == "y" else name, value))
        elif value.ndim == 2:
            parts = _PLY_VECTORS.get(name, ()) if value.shape[1] == 3 else ()
            columns += [(parts[k] if parts else f"{name}_{k}", value[:, k]) for k in range(value.shape[1])]
        else:
            raise ValueError(f"attribute {name!r} has shape {list(value.shape)}; ply keeps [V] and [V, k]")
    names = [name for name, _ in columns]
    if len(set(names)) < len(names):
        raise ValueError(
            f"two vertex attributes would share a ply property; the properties are {', '.join(names)}"
        )
    rows = np.empty(len(pos), dtype=[(name, column.dtype.newbyteorder("<")) for name, column in columns])
    for name, column in columns:
        rows[name] = column
    polygons = np.empty(len(face), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
    polygons["count"], polygons["corners"] = 3, face
    properties = [f"property {ply_names[column.dtype.str[1:]]} {name}" for name, column in columns]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(pos)}", *properties]
    header += [f"element face {len(face)}", "property list uchar int vertex_indices", "end_header\n"]
    return "\n".join(header).encode("ascii") + rows.tobytes() + polygons.tobytes()


def _read_off(data: bytes) -> tuple[NDArray[Any], Any, Attributes]:
    rows = [
        row for line in data.decode("utf-8").splitlines() if (row := line.split("#", maxsplit=1)[0].split())
    ]
    header = re.fullmatch(r"(\w*?OFF)(\d*)", rows[0][0]) if rows else None
    if header is None:
        raise ValueError("it does not begin with OFF")
    # The numbers may stand on the first line; in ModelNet, some follow it without a space: OFF490 518 0.
    rows = [row for row in (header[2].split() + rows[0][1:], *rows[1:]) if row]
    if not rows or len(rows[0]) < 2:
        raise ValueError("the line with the numbers of vertices and faces is missing")
    vertices, faces = int(rows[0][0]), int(rows[0][1])
    if len(rows) < 1 + vertices + faces:
        raise ValueError(f"it announces {vertices} vertices and {faces} faces, but has {len(rows) - 1} rows")
    polygons = []
    for k, row in enumerate(rows[1 + vertices : 1 + vertices + faces]):
        corners = int(row[0])
        if len(row) < 1 + corners:
            raise ValueError(f"face {k} lists {len(row) - 1} of its {corners} vertices")
        polygons.append([int(corner) for corner in row[1 : 1 + corners]])
    pos = np.array([row[:3] for row in rows[1 : 1 + vertices]], dtype=np.float64).reshape(vertices, 3)
    return pos.astype(np.float32), polygons, {}


def _read_obj(data: bytes) -> tuple[NDArray[Any], Any, Attributes]:
    # trimesh's reader splits and reorders vertices at texture seams, normals, materials and groups.
    vertices: list[list[str]] = []
    polygons: list[list[int]] = []
    for line in data.decode("utf-8", errors="replace").replace("\\\n", " ").splitlines():
        key, *values = line.split("#", maxsplit=1)[0].split() or [""]
        if key == "v":
            if len(values) < 3:
                raise ValueError(f"vertex {len(vertices)} has {len(values)} coordinates")
            vertices.append(values[:3])
        elif key == "f":
            corners = [int(value.split("/", maxsplit=1)[0]) for value in values]
            if 0 in corners:
                raise ValueError(f"face {len(polygons)} names vertex 0, but obj counts from 1")
            # Counted from 1, or backwards from the last vertex so far.
            polygons.append([corner - 1 if corner > 0 else len(vertices) + corner for corner in corners])
    pos = np.array(vertices, dtype=np.float64).reshape(-1, 3)
    return pos.astype(np.float32), polygons, {}


def _read_stl(data: bytes) -> tuple[NDArray[Any], Any, Attributes]:
    from trimesh.exchange.stl import load_stl

    binary = len(data) >= 84 and len(data) == 84 + 50 * int.from_bytes(data[80:84], "little")
    if not binary and b"endsolid" not in (data.lower().strip().splitlines() or [b""])[-1]:
        raise ValueError("its length does not fit its header, and it is no text that ends with endsolid")
    loaded = load_stl(io.BytesIO(data))
    solids = [loaded] if "vertices" in loaded else list(loaded["geometry"].values())
    if not solids:
        return np.zeros((0, 3)), [], {}
    corners = np.concatenate([solid["vertices"] for solid in solids]).astype(np.float32)
    _, first, inverse = np.unique(corners, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return corners[first[order]], rank[inverse.reshape(-1)].reshape(-1, 3), {}


def _digits(pos: NDArray[Any]) -> int:
    """Significant digits after which a decimal number gives back the same binary one."""
    return 17 if pos.dtype == np.float64 else 9


def _off_bytes(pos: NDArray[Any], face: NDArray[np.int64], attributes: Attributes) -> bytes:
    text = io.StringIO()
    text.write(f"OFF\n{len(pos)} {len(face)} 0\n")
    np.savetxt(text, pos, fmt=f"%.{_digits(pos)}g")
    np.savetxt(text, face, fmt="3 %d %d %d")
    return text.getvalue().encode("ascii")


def _obj_bytes(pos: NDArray[Any], face: NDArray[np.int64], attributes: Attributes) -> bytes:
    text = io.StringIO()
    number = f"%.{_digits(pos)}g"
    np.savetxt(text, pos, fmt=f"v {number} {number} {number}")
    np.savetxt(text, face + 1, fmt="f %d %d %d")
    return text.getvalue().encode("ascii")


def _stl_bytes(pos: NDArray[Any], face: NDArray[np.int64], attributes: Attributes) -> bytes:
    import trimesh

    data = trimesh.exchange.stl.export_stl(trimesh.Trimesh(pos, face, process=False))
    return bytes(data)
