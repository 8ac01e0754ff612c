"""Point clouds: pcd, columns of text, and NumPy's files."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodl.data.files.loaded import Attributes, Loaded, dtype_note, grouped, noted_dtypes, without_mark
from geodl.data.files.text import table

__all__ = ["npy_bytes", "npz_bytes", "pcd_bytes", "read_npy", "read_npz", "read_pcd", "read_xyz", "xyz_bytes"]


def read_xyz(data: bytes) -> Loaded:
    """Rows of numbers: x y z, x y z and a normal or colour, x y z intensity r g b (pts), or more, named by a first line of words.

    Blanks, commas and semicolons part columns; where semicolons do, commas may be decimal points. A first line that holds nothing
    but the number of points is left out. Without names, three columns behind the position are a colour where they are whole numbers
    from 0 to 255, else a normal; six are a normal and a colour, or a colour and a normal.
    """
    data = without_mark(data)
    names, begin = _heading(data)
    if b";" in data and (row := _BOTH.search(data, begin)) and _DECIMAL_COMMAS.fullmatch(row[0].strip()):
        data = data[:begin] + data[begin:].replace(b",", b".")
    words = table(data, begin, separators=b",;", comments=b"#%")
    lengths = words.lengths
    values = words.values
    notes: list[str] = []
    if len(lengths) > 1 and lengths[0] == 1 and lengths[1] > 1:
        count, points = values[0], len(lengths) - 1
        if not (count >= 0 and count == np.rint(count)):
            raise ValueError(f"its first line is {count:g}, which is no number of points")
        if count > points:
            raise ValueError(f"it announces {int(count)} points, it has {points}")
        if count < points:
            notes.append(f"it announces {int(count)} points, it has {points}, which were all read")
        values, lengths = values[1:], lengths[1:]
    if len(lengths) == 0:
        return Loaded(np.zeros((0, 3)), notes=notes)
    if (lengths != lengths[0]).any():
        odd = int((lengths != lengths[0]).argmax())
        raise ValueError(f"row {odd} has {int(lengths[odd])} numbers, those before it have {int(lengths[0])}")
    if lengths[0] < 3:
        raise ValueError(f"its rows have {int(lengths[0])} numbers, which are no points in space")
    rows = values.reshape(-1, lengths[0])
    known = all(axis in names for axis in "xyz")
    if known and len(names) != rows.shape[1]:
        raise ValueError(
            f"its first line names {len(names)} columns, but its rows have {rows.shape[1]} numbers (commas part columns, an empty "
            "cell is none)"
        )
    if known:
        noted = noted_dtypes(data)
        names = list(noted) if [name.lower() for name in noted] == names else names
        columns = {name: _typed(rows[:, k], noted.get(name)) for k, name in enumerate(names)}
        return Loaded(
            np.stack([rows[:, names.index(axis)] for axis in "xyz"], axis=1),
            vertex=_others(columns, noted),
            exact=noted.get("x") == np.float64,
            notes=notes,
        )
    return Loaded(np.ascontiguousarray(rows[:, :3]), vertex=_unnamed(rows[:, 3:]), notes=notes)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf")


# A row with both marks, and one whose commas all stand in numbers, at most one in each.
_BOTH = re.compile(rb"^[^\r\n#%,;]*(?:;[^\r\n#%,]*,|,[^\r\n#%;]*;)[^\r\n#%]*", re.MULTILINE)
_CELL = rb"[ \t]*[+-]?\d*(?:[.,]\d+)?(?:[eE][+-]?\d+)?[ \t]*"
_DECIMAL_COMMAS = re.compile(_CELL + rb"(?:;" + _CELL + rb"){2,}")


def _heading(data: bytes) -> tuple[list[str], int]:
    """Names of columns in a first line, a comment or not, and where the numbers begin."""
    line = re.match(rb"\s*(?:[#%/]+[ \t]*)?(\x22?[A-Za-z_][^\r\n]*)(\r\n|\n|\r|\Z)", data)
    if line is None or re.match(rb"(nan|inf)", line[1], re.IGNORECASE):
        return [], 0
    names = [
        name.strip().strip('"').lower()
        for name in re.split(r"[\s,;]+", line[1].decode("latin-1").strip().strip(",;"))
    ]
    # A row whose first word is damaged is no heading.
    if line[0].lstrip().startswith(line[1]) and any(_NUMBER.fullmatch(name) for name in names[1:]):
        return [], 0
    return names, line.end()


def _unnamed(rest: NDArray[np.float64]) -> Attributes:
    def bytes_(columns: NDArray[np.float64]) -> bool:
        return bool((columns == np.rint(columns)).all() and columns.min() >= 0 and 1 < columns.max() <= 255)

    def three(columns: NDArray[np.float64]) -> Attributes:
        return (
            {"color": columns.astype(np.uint8)} if bytes_(columns) else {"normal": columns.astype(np.float32)}
        )

    width = rest.shape[1]
    if width == 0 or len(rest) == 0:
        return {}
    if width == 1:
        return {"x": rest.astype(np.float32)}
    if width == 3:
        return three(rest)
    if width == 4:
        return (
            {"intensity": rest[:, 0].astype(np.float32)} | three(rest[:, 1:])
            if bytes_(rest[:, 1:])
            else {"x": rest.astype(np.float32)}
        )
    if width == 6 and bytes_(rest[:, :3]) != bytes_(rest[:, 3:]):
        return three(rest[:, :3]) | three(rest[:, 3:])
    return {"x": rest.astype(np.float32)}


def _typed(column: NDArray[np.float64], kind: np.dtype[Any] | None = None) -> NDArray[Any]:
    if kind is not None and (
        kind.kind == "f" or (np.isfinite(column).all() and (column == np.rint(column)).all())
    ):
        return column.astype(kind)
    if (column == np.rint(column)).all() and np.abs(column).max(initial=0) < 2**53:
        return column.astype(np.int64)
    return column.astype(np.float32)


def _others(columns: Attributes, noted: dict[str, np.dtype[Any]]) -> Attributes:
    found = grouped({name: value for name, value in columns.items() if name not in ("x", "y", "z", "")})
    if noted:
        return found
    color = found.get("color")
    if color is not None and color.dtype.kind in "iu":
        found["color"] = (
            color.astype(np.uint8)
            if color.size == 0 or (1 < color.max() <= 255 and color.min() >= 0)
            else color.astype(np.float32)
        )
    if "normal" in found:
        found["normal"] = found["normal"].astype(np.float32)
    return found


_PCD = {
    "F4": "f4",
    "F8": "f8",
    "I1": "i1",
    "I2": "i2",
    "I4": "i4",
    "I8": "i8",
    "U1": "u1",
    "U2": "u2",
    "U4": "u4",
    "U8": "u8",
}


def read_pcd(data: bytes) -> Loaded:
    """The Point Cloud Library's files: ascii, binary, binary_compressed (LZF)."""
    header: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in header:
        end = data.find(b"\n", at)
        if end < 0:
            raise ValueError("its header has no DATA")
        line = data[at:end].decode("latin-1").split("#")[0].split()
        if line:
            header[line[0].upper()] = line[1:]
        at = end + 1
    try:
        names = header.get("FIELDS") or header["COLUMNS"]
        sizes, kinds = [int(word) for word in header["SIZE"]], header["TYPE"]
        counts = [int(word) for word in header.get("COUNT", ["1"] * len(names))]
        points = (
            int(header["POINTS"][0])
            if "POINTS" in header
            else int(header["WIDTH"][0]) * int(header["HEIGHT"][0])
        )
        fields = [
            (name, _PCD[f"{kind.upper()}{size}"], count)
            for name, kind, size, count in zip(names, kinds, sizes, counts, strict=True)
        ]
        form = header["DATA"][0].lower()
    except (KeyError, IndexError) as error:
        raise ValueError(
            f"its header has no {error}" if isinstance(error, KeyError) else "its header is incomplete"
        ) from error
    if points < 0 or any(count < 0 for count in counts):
        raise ValueError("its header announces a negative number")
    columns, notes = _pcd_columns(data, at, form, fields, points)
    loaded = _cloud_of(columns)
    loaded.exact = any(name == "x" and kind == "f8" for name, kind, _ in fields)  # ascii is read as float64
    loaded.notes += notes
    return loaded


def _pcd_columns(
    data: bytes, at: int, form: str, fields: list[tuple[str, str, int]], points: int
) -> tuple[Attributes, list[str]]:
    row = sum(np.dtype(kind).itemsize * count for _, kind, count in fields)
    short = f"its header announces {points} points"
    columns: Attributes = {}
    if form == "ascii":
        width = sum(count for *_, count in fields)
        values = table(data, at).values
        rest = f"{len(values) - points * width} numbers" if len(values) > points * width else ""
        if len(values) < points * width:
            raise ValueError(f"{short}, it has {len(values) // max(width, 1)}")
        rows = values[: points * width].reshape(points, width)
        first = 0
        for name, kind, count in fields:
            block = rows[:, first : first + count]
            first += count
            with np.errstate(invalid="ignore", over="ignore"):
                typed = block if name in ("x", "y", "z") else block.astype(kind)
            columns.setdefault(name, typed[:, 0] if count == 1 else typed)
    elif form in ("binary", "binary_compressed"):
        body = data[at:]
        if form == "binary_compressed":
            if len(body) < 8:
                raise ValueError("it ends before its points")
            packed, whole = int.from_bytes(body[:4], "little"), int.from_bytes(body[4:8], "little")
            if len(body) < 8 + packed or whole < points * row:
                raise ValueError(f"{short}, but its data are cut short")
            body = _lzf(body[8 : 8 + packed], whole)
        rest = f"{len(body) - points * row} bytes" if body[points * row :].strip(b"\r\n\0") else ""
        if len(body) < points * row:
            raise ValueError(f"{short}, it has {len(body) // max(row, 1)}")
        offset = 0
        for name, kind, count in fields:
            size = np.dtype(kind).itemsize * count
            if form == "binary":
                raw = np.frombuffer(body, np.uint8, points * row).reshape(points, row)[
                    :, offset : offset + size
                ]
            else:  # one field after the other
                raw = np.frombuffer(body, np.uint8, points * size, offset * points).reshape(points, size)
            offset += size
            values = (
                np.ascontiguousarray(raw).reshape(-1).view("<" + kind).reshape(points, count)
                if count
                else np.zeros((points, 0))
            )
            columns.setdefault(name, values[:, 0] if count == 1 else values)
    else:
        raise ValueError(f"its DATA is {form!r}, not ascii, binary or binary_compressed")
    notes = [f"{rest} behind its {points} points were left out"] if rest else []
    return columns, notes


def _cloud_of(columns: Attributes) -> Loaded:
    missing = [axis for axis in "xyz" if axis not in columns or columns[axis].ndim != 1]
    if missing:
        raise ValueError(f"its points have no {', '.join(missing)}")
    columns = {name: value for name, value in columns.items() if name != "_" and value.size}
    pos = np.stack([columns.pop(axis) for axis in "xyz"], axis=1) if "x" in columns else np.zeros((0, 3))
    for name in ("rgb", "rgba"):
        if name in columns and columns[name].ndim == 1:
            packed = columns.pop(name)
            bits = (
                packed.astype(np.float32).view(np.uint32)
                if packed.dtype.kind == "f"
                else packed.astype(np.uint32)
            )
            columns["color"] = np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(
                np.uint8
            )
    return Loaded(pos, vertex=grouped(columns))


def _lzf(packed: bytes, whole: int) -> bytes:
    """LZF: runs of bytes as they are, and references back."""
    out = bytearray()
    at = 0
    try:
        while at < len(packed) and len(out) < whole:
            control = packed[at]
            at += 1
            if control < 32:
                out += packed[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += packed[at]
                at += 1
            back = len(out) - ((control & 31) << 8) - packed[at] - 1
            at += 1
            if back < 0:
                raise ValueError("its compressed data are damaged")
            for k in range(length + 2):
                out.append(out[back + k])
    except IndexError as error:
        raise ValueError("its compressed data are cut short") from error
    if len(out) != whole:
        raise ValueError("its compressed data are cut short")
    return bytes(out)


# Columns beyond which three rows are x, y, z of many points rather than three points.
_WIDEST = 16


def read_npy(data: bytes) -> Loaded:
    """An array ``[N, 3]`` or ``[N, 3 + k]``, whose further columns are read as those of text are."""
    stream = io.BytesIO(data)
    rows = np.load(stream, allow_pickle=False)
    rest = len(data) - stream.tell()
    notes = [f"{rest} bytes behind its array were left out"] if rest else []
    if isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.shape[0] == 3 and rows.shape[1] > _WIDEST:
        notes.append(f"its array {list(rows.shape)} was read as {rows.shape[1]} points, a column each")
        rows = rows.T
    rows = _array(rows)
    return Loaded(
        np.ascontiguousarray(rows[:, :3]),
        vertex=_unnamed(rows[:, 3:].astype(np.float64)),
        exact=rows.dtype == np.float64,
        notes=notes,
    )


def read_npz(data: bytes) -> Loaded:
    """Arrays by name: positions under pos, points, xyz, vertices or v; faces under face, faces or f; others are attributes."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        # Python passes over a directory that has lost an entry.
        end = data.rfind(b"PK\5\6")
        if end >= 0 and (count := int.from_bytes(data[end + 10 : end + 12], "little")) not in (
            65535,
            len(arrays),
        ):
            raise ValueError(f"it announces {count} arrays, it has {len(arrays)}")
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    key = next(
        (name for name in ("pos", "points", "xyz", "vertices", "verts", "v", "V") if name in arrays), None
    )
    if key is None:
        raise ValueError(
            f"none of its arrays is called pos, points, xyz, vertices or v: {', '.join(arrays) or 'there are none'}"
        )
    rows = _array(arrays.pop(key))
    loaded = Loaded(
        np.ascontiguousarray(rows[:, :3]),
        vertex=_unnamed(rows[:, 3:].astype(np.float64)),
        exact=rows.dtype == np.float64,
    )
    face = next(
        (arrays.pop(name) for name in ("face", "faces", "triangles", "f", "F") if name in arrays), None
    )
    if face is not None:
        loaded.polygons = _faces(face)
    polygons = -1 if loaded.polygons is None else len(loaded.polygons)
    for name, value in arrays.items():
        if name.startswith("face_") and value.ndim and len(value) == polygons and value.dtype.kind in "fiub":
            loaded.polygon[name.removeprefix("face_")] = value
        elif value.ndim and len(value) == len(rows) and value.dtype.kind in "fiub":
            loaded.vertex[name] = value
        else:
            loaded.notes.append(
                f"its array {name!r} {list(value.shape)} belongs to no point and was left out"
            )
    return loaded


def _faces(face: NDArray[Any]) -> Any:
    from geodl.geometry.triangulation import Polygons

    if face.ndim != 2 or face.dtype.kind not in "iu" or 3 not in face.shape:
        raise ValueError(f"its faces are {face.dtype} {list(face.shape)}, not integers [F, 3] or [3, F]")
    return Polygons.of(face if face.shape[1] == 3 else face.T)


def _array(rows: Any) -> NDArray[Any]:
    if (
        not isinstance(rows, np.ndarray)
        or rows.ndim != 2
        or rows.shape[1] < 3
        or rows.dtype.kind not in "fiu"
    ):
        what = f"{rows.dtype} {list(rows.shape)}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise ValueError(f"it holds {what}, not numbers [N, 3]")
    return rows if rows.dtype.kind == "f" and rows.dtype.itemsize <= 8 else rows.astype(np.float64)


def xyz_bytes(pos: NDArray[Any], vertex: Attributes, digits: int) -> bytes:
    """Rows of text with a first line that names the columns where there are others than x y z."""
    names, columns = _flat(vertex)
    form = " ".join(
        [f"%.{digits}g"] * 3
        + ["%d" if c.dtype.kind in "iub" else "%.17g" if c.dtype == np.float64 else "%.9g" for c in columns]
    )
    known = dict(zip(("x", "y", "z", *names), (*pos.T, *columns), strict=True))
    head = f"# {' '.join(known)}\n{dtype_note(known)}" if names or pos.dtype == np.float64 else ""
    rows = zip(*(column.tolist() for column in (*pos.T, *columns)), strict=True)
    return (head + "".join(form % row + "\n" for row in rows)).encode("ascii")


def pcd_bytes(pos: NDArray[Any], vertex: Attributes) -> bytes:
    """Binary, with every attribute as fields; ``color`` as three of bytes."""
    names, columns = _flat(vertex)
    columns = [*pos.T, *(c.astype(np.uint8) if c.dtype == bool else c for c in columns)]
    names = ["x", "y", "z", *names]
    names = [{"nx": "normal_x", "ny": "normal_y", "nz": "normal_z"}.get(name, name) for name in names]
    rows = np.empty(
        len(pos), dtype=[(name, c.dtype.newbyteorder("<")) for name, c in zip(names, columns, strict=True)]
    )
    for name, column in zip(names, columns, strict=True):
        rows[name] = column
    letters = {"f": "F", "i": "I", "u": "U"}
    lines = [
        "# .PCD v0.7 - Point Cloud Data file format", "VERSION 0.7", f"FIELDS {' '.join(names)}",
        f"SIZE {' '.join(str(c.dtype.itemsize) for c in columns)}", f"TYPE {' '.join(letters[c.dtype.kind] for c in columns)}",
        f"COUNT {' '.join('1' for _ in columns)}", f"WIDTH {len(pos)}", "HEIGHT 1", "VIEWPOINT 0 0 0 1 0 0 0", f"POINTS {len(pos)}",
        "DATA binary",
    ]  # fmt: skip
    return ("\n".join(lines) + "\n").encode("ascii") + rows.tobytes()


def _flat(vertex: Attributes) -> tuple[list[str], list[NDArray[Any]]]:
    split = {"normal": ("nx", "ny", "nz"), "color": ("red", "green", "blue")}
    names: list[str] = []
    columns: list[NDArray[Any]] = []
    for name, value in vertex.items():
        if value.dtype.kind not in "fiub" or value.ndim > 2:
            raise ValueError(
                f"attribute {name!r} is {value.dtype} {list(value.shape)}, which a cloud's file cannot keep"
            )
        if value.ndim == 1:
            names.append("label" if name == "y" else name)
            columns.append(value)
        else:
            parts = split.get(name, ()) if value.shape[1] == 3 else ()
            names += [parts[k] if parts else f"{name}_{k}" for k in range(value.shape[1])]
            columns += list(value.T)
    if len({"x", "y", "z", *names}) < 3 + len(names):
        raise ValueError(f"two columns of the file would share a name: {', '.join(['x', 'y', 'z', *names])}")
    return names, columns


def npy_bytes(pos: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, pos)
    return out.getvalue()


def npz_bytes(
    pos: NDArray[Any], face: NDArray[np.int64] | None, vertex: Attributes, faces: Attributes
) -> bytes:
    out = io.BytesIO()
    arrays: dict[str, Any] = {"pos": pos, **({} if face is None else {"face": face}), **vertex, **faces}
    with zipfile.ZipFile(out, "w") as archive:  # np.savez cannot save an array called file
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)
    return out.getvalue()
