"""Legacy vtk files of surfaces, versions 1 to 5.1; what they hold beside cells, meshio does not read (POLYDATA, 5.1 of others)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodl.data.files.foreign import read_meshio
from geodl.data.files.loaded import Attributes, Loaded
from geodl.geometry.triangulation import Polygons

__all__ = ["read_vtk"]

_TYPES = {
    "bit": "u1", "char": "i1", "signed_char": "i1", "unsigned_char": "u1", "short": "i2", "unsigned_short": "u2", "int": "i4",
    "unsigned_int": "u4", "long": "i8", "unsigned_long": "u8", "float": "f4", "double": "f8", "vtkidtype": "i8",
    "vtktypeint64": "i8", "vtktypeuint64": "u8", "vtktypeint32": "i4",
}  # fmt: skip
_CELLS = ("VERTICES", "LINES", "POLYGONS", "TRIANGLE_STRIPS", "CELLS")
# Attributes that shapes do not have, and how many numbers a row of them is.
_LEFT_OUT = {"GLOBAL_IDS": 1, "PEDIGREE_IDS": 1, "EDGE_FLAGS": 1, "TENSORS6": 6}
# Of cells: a triangle strip, and what is a face with its corners in order.
_STRIP, _FACES = 6, (5, 7, 9)


def read_vtk(path: Path) -> Loaded:
    """Surfaces by :class:`_File`, other kinds of data set (grids in rows and columns) by meshio."""
    data = path.read_bytes()
    head = data[:1000].upper()
    if b"DATASET POLYDATA" in head or b"DATASET UNSTRUCTURED_GRID" in head:
        return _File(data).loaded()
    return read_meshio(path)


@dataclass
class _Cells:
    corners: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass
class _File:
    """A file that is read from its beginning to its end, section by section."""

    data: bytes
    at: int = 0
    binary: bool = False
    pos: NDArray[Any] | None = None
    cells: dict[str, _Cells] = field(default_factory=dict)
    types: NDArray[Any] | None = None
    points: Attributes = field(default_factory=dict)
    of_cells: Attributes = field(default_factory=dict)
    exact: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.line().lower().startswith("# vtk datafile"):
            raise ValueError("it does not begin with # vtk DataFile")
        end = self.data.find(b"\n", self.at)  # a title, which may be empty
        self.at = end + 1 if end >= 0 else len(self.data)
        form = self.line().upper()
        if form not in ("ASCII", "BINARY"):
            raise ValueError(f"its data are {form!r}, not ASCII or BINARY")
        self.binary = form == "BINARY"
        into, rows = self.points, 0
        while words := self.line().split():
            key, rest = words[0].upper(), words[1:]
            if key == "DATASET":
                continue
            if key == "METADATA":
                self.skip_metadata()
            elif key == "POINTS":
                self.pos = self.numbers(rest[1], 3 * int(rest[0])).reshape(-1, 3)
                self.exact = rest[1].lower() == "double"
            elif key in _CELLS:
                self.cells[key] = self.read_cells(*map(int, rest[:2]))
            elif key == "CELL_TYPES":
                self.types = self.numbers("int", int(rest[0]))
            elif key in ("POINT_DATA", "CELL_DATA"):
                into, rows = (self.points if key == "POINT_DATA" else self.of_cells), int(rest[0])
            else:
                self.attribute(key, rest, into, rows)

    def line(self) -> str:
        """The next line with something on it; empty at the end."""
        while self.at < len(self.data):
            end = self.data.find(b"\n", self.at)
            end = len(self.data) if end < 0 else end
            said = self.data[self.at : end].decode("latin-1").strip()
            self.at = end + 1
            if said:
                return said
        return ""

    def skip_metadata(self) -> None:
        while self.at < len(self.data):
            end = self.data.find(b"\n", self.at)
            end = len(self.data) if end < 0 else end
            blank = not self.data[self.at : end].strip()
            self.at = end + 1
            if blank:
                return

    def numbers(self, kind: str, count: int) -> NDArray[Any]:
        code = _TYPES.get(kind.lower())
        if code is None or count < 0:
            raise ValueError(f"it announces {count} numbers of type {kind!r}")
        dtype = np.dtype(code)
        if self.binary:
            size = -(-count // 8) if kind.lower() == "bit" else count * dtype.itemsize
            if self.at + size > len(self.data):
                raise ValueError(f"it ends before {count} numbers that it announces")
            raw = self.data[self.at : self.at + size]
            self.at += size
            if kind.lower() == "bit":
                return np.unpackbits(np.frombuffer(raw, np.uint8))[:count]
            return np.frombuffer(raw, dtype.newbyteorder(">")).astype(dtype)
        words = self.data[self.at :].split(None, count)
        if len(words) < count:
            raise ValueError(f"it ends before {count} numbers that it announces")
        self.at = len(self.data) - (len(words[count]) if len(words) > count else 0)
        values = (
            np.array(words[:count], dtype=np.float64)
            if dtype.kind == "f"
            else np.array(words[:count]).astype(np.int64)
        )
        return values if dtype.kind == "f" else values.astype(dtype)

    def skip_strings(self, count: int) -> None:
        """Texts: a line each, or in binary files each behind its length, whose first two bits say in how many bytes it is."""
        for _ in range(count):
            if self.at >= len(self.data):
                raise ValueError(f"it ends before {count} texts that it announces")
            if self.binary:
                size = (8, 4, 2, 1)[self.data[self.at] >> 6]
                length = int.from_bytes(self.data[self.at : self.at + size], "big") & (
                    (1 << 8 * size - 2) - 1
                )
                self.at += size + length
            else:
                end = self.data.find(b"\n", self.at)
                self.at = len(self.data) if end < 0 else end + 1

    def read_cells(self, count: int, size: int) -> _Cells:
        """Lists with their lengths before them; from version 5.1 on, where each begins, and all corners."""
        before = self.at
        words = self.line().split()
        if words and words[0].upper() == "OFFSETS":
            starts = self.numbers(words[1], count).astype(np.int64)
            words = self.line().split()
            if not words or words[0].upper() != "CONNECTIVITY":
                raise ValueError("CONNECTIVITY is missing behind OFFSETS")
            corners = self.numbers(words[1], size).astype(np.int64)
            if len(starts) and (starts[0] != 0 or starts[-1] != size or (np.diff(starts) < 0).any()):
                raise ValueError("its OFFSETS do not fit its CONNECTIVITY")
            return _Cells(corners, starts if len(starts) else np.zeros(1, dtype=np.int64))
        self.at = before
        flat = self.numbers("int", size).astype(np.int64)
        places, at = [], 0
        for k in range(count):
            if at >= size or flat[at] < 0 or at + 1 + flat[at] > size:
                raise ValueError(f"cell {k} does not fit into the {size} numbers that are announced")
            places.append(at)
            at += 1 + int(flat[at])
        if at != size:
            raise ValueError(f"{count} cells take {at} of the {size} numbers that are announced")
        lengths = flat[places]
        return _Cells(np.delete(flat, places), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def attribute(self, key: str, rest: list[str], into: Attributes, rows: int) -> None:
        name = rest[0].replace("%20", "_") if rest else key.lower()
        if key == "SCALARS":
            width = int(rest[2]) if len(rest) > 2 else 1
            before = self.at
            if not self.line().upper().startswith("LOOKUP_TABLE"):
                self.at = before
            into[name] = self.numbers(rest[1], rows * width).reshape(rows, width)
        elif key == "COLOR_SCALARS":
            width = int(rest[1])
            values = self.numbers("unsigned_char" if self.binary else "float", rows * width)
            into["color" if width >= 3 else name] = values.reshape(rows, width)
        elif key == "LOOKUP_TABLE":
            self.numbers("unsigned_char" if self.binary else "float", 4 * int(rest[1]))
        elif key in ("VECTORS", "NORMALS", "TENSORS", "TEXTURE_COORDINATES"):
            width = 9 if key == "TENSORS" else int(rest[1]) if key == "TEXTURE_COORDINATES" else 3
            values = self.numbers(rest[-1], rows * width).reshape(rows, width)
            into["normal" if key == "NORMALS" else name] = values
        elif key in _LEFT_OUT:
            if rest[-1].lower() == "string":
                self.skip_strings(rows)
            else:
                self.numbers(rest[-1], rows * _LEFT_OUT[key])
            self.notes.append(f"{key} were left out")
        elif key == "FIELD":
            for _ in range(int(rest[1])):
                title, *sizes, kind = self.line().split()
                width, length = map(int, sizes)
                if kind.lower() == "string":
                    self.skip_strings(width * length)
                    self.notes.append(f"the texts {title} were left out")
                    self.pass_metadata()
                    continue
                values = self.numbers(kind, width * length)
                if length == rows:
                    into[title.replace("%20", "_")] = values.reshape(rows, width)
                else:
                    self.notes.append(f"{title}, {length} rows for {rows}, was left out")
                self.pass_metadata()
        else:
            raise ValueError(f"it has a section {key[:40]!r}, which vtk files do not have")

    def pass_metadata(self) -> None:
        before = self.at
        if self.line().upper() != "METADATA":
            self.at = before
        else:
            self.skip_metadata()

    def loaded(self) -> Loaded:
        if self.pos is None:
            raise ValueError("it has no POINTS")
        if "CELLS" in self.cells and (self.types is None or len(self.types) != len(self.cells["CELLS"])):
            raise ValueError("its CELL_TYPES are missing or not as many as its CELLS")
        loaded = Loaded(self.pos, notes=self.notes, exact=self.exact)
        all_cells = sum(map(len, self.cells.values()))
        for attributes, count, what in (
            (self.points, len(self.pos), "points"),
            (self.of_cells, all_cells, "cells"),
        ):
            lengths = {len(value) for value in attributes.values()}
            if lengths - {count}:
                self.notes.append(
                    f"attributes of {max(lengths - {count})} rows were left out, as there are {count} {what}"
                )
        flat = {name: value[:, 0] if value.shape[1] == 1 else value for name, value in self.points.items()}
        for name in ("RGB", "rgb", "Colors", "colors"):
            if name in flat and flat[name].ndim == 2 and "color" not in flat:
                flat["color"] = flat.pop(name)
        if "color" in flat and flat["color"].ndim == 2 and flat["color"].shape[1] == 4:
            flat["alpha"], flat["color"] = flat["color"][:, 3], flat["color"][:, :3]
        if "Normals" in flat and "normal" not in flat:
            flat["normal"] = flat.pop("Normals")
        loaded.vertex = {
            name.replace(" ", "_"): value.astype(np.float32) if value.dtype == np.float64 else value
            for name, value in flat.items()
            if len(value) == len(self.pos)
        }
        kept: list[int] = []
        parts: list[NDArray[np.int64]] = []
        others = row = 0
        for key, cells in self.cells.items():
            for k in range(len(cells)):
                kind = {"POLYGONS": 7, "TRIANGLE_STRIPS": _STRIP}.get(key, 0)
                if key == "CELLS":
                    kind = int(self.types[k]) if self.types is not None else 0
                corners = cells.corners[cells.starts[k] : cells.starts[k + 1]]
                if kind in _FACES:
                    parts.append(corners)
                    kept.append(row)
                elif kind == _STRIP:
                    turned = [
                        corners[[j, j + 1, j + 2] if j % 2 == 0 else [j + 1, j, j + 2]]
                        for j in range(len(corners) - 2)
                    ]
                    parts += turned
                    kept += [row] * len(turned)
                else:
                    others += 1
                row += 1
        if parts:
            starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
            loaded.polygons = Polygons(np.concatenate(parts), starts)
            loaded.polygon = {
                name.replace(" ", "_"): (value[:, 0] if value.shape[1] == 1 else value)[kept]
                for name, value in self.of_cells.items()
                if len(value) == row
            }
        if others:
            loaded.notes.append(f"{others} cells that are no faces were left out")
        return loaded
