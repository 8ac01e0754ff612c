"""obj files: vertices, colours, polygons and groups; trimesh's reader splits and reorders vertices at seams and groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodl.data.files.loaded import Attributes, Loaded, dtype_note, noted_dtypes, typed_color, without_mark
from geodl.data.files.text import obj_statements
from geodl.geometry.triangulation import Polygons

__all__ = ["obj_bytes", "read_obj"]


def read_obj(data: bytes) -> Loaded:
    """Reads an obj file, every vertex in its place."""
    data = without_mark(data)
    said, noted = obj_statements(data), noted_dtypes(data)
    widths = np.diff(said.vertex_starts)
    if (short := widths < 3).any():
        raise ValueError(f"vertex {int(short.argmax())} has {int(widths[short.argmax()])} coordinates")
    rows = said.vertex_starts[:-1]
    alike = len(widths) > 0 and bool((widths == widths[0]).all())
    pos = said.values.reshape(-1, widths[0])[:, :3] if alike else said.values[rows[:, None] + np.arange(3)]
    loaded = Loaded(
        np.ascontiguousarray(pos),
        Polygons(said.corners, said.face_starts),
        exact=noted.get("pos") == np.float64,
    )
    # Behind x y z stand red, green, blue and perhaps alpha.
    if alike and widths[0] in (6, 7):
        color, kind = said.values.reshape(-1, widths[0])[:, 3:6], noted.get("color")
        loaded.vertex["color"] = (
            typed_color(color)
            if kind is None
            else (color * 255).round().astype(kind)
            if kind == np.uint8
            else color.astype(kind)
        )
    elif not alike and (widths > 4).any():
        loaded.notes.append("colours that only some vertices have were left out")
    groups = said.groups or said.objects
    begins = np.array([face for face, _ in groups], dtype=np.int64)
    names = np.array(["", *(name.decode("utf-8", "replace") for _, name in groups)])
    of_face = names[np.searchsorted(begins, np.arange(len(said.face_starts) - 1), "right")]
    distinct, number = np.unique(of_face, return_inverse=True)
    if len(distinct) > 1:
        loaded.polygon["group"] = number.reshape(-1)
        loaded.whole["group_names"] = distinct.tolist()
    if said.skipped:
        loaded.notes.append(
            f"{said.skipped} elements that are no faces (points, lines, curves) were left out"
        )
    return loaded


def obj_bytes(pos: NDArray[Any], face: NDArray[np.int64], vertex: Attributes, digits: int) -> bytes:
    """Text with enough digits to give back the same numbers, and the vertices' ``color`` behind them, as MeshLab has it."""
    rows, form = [pos], f"v %.{digits}g %.{digits}g %.{digits}g"
    dtypes = {"pos": pos}
    color = vertex.get("color")
    if color is not None and color.ndim == 2 and color.shape[1] == 3 and color.dtype.kind in "uf":
        rows.append(color / 255 if color.dtype == np.uint8 else color)
        form += " %.17g" * 3 if color.dtype == np.float64 else " %.9g" * 3
        dtypes["color"] = color
    plain = all(value.dtype == np.float32 for value in dtypes.values())
    lines = [] if plain else [dtype_note(dtypes).strip()]
    lines += [form % tuple(row) for row in np.concatenate(rows, axis=1).tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (face + 1).tolist()]
    return ("\n".join(lines) + "\n").encode("ascii")
