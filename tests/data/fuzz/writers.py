"""Valid files of every format, with all liberties that its grammar leaves, and what is in them."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Random = np.random.Generator


@dataclass
class Written:
    """A file and what must be read from it."""

    data: bytes
    suffix: str
    pos: np.ndarray
    polygons: list[list[int]]
    area: float
    color: np.ndarray | None = None
    normal: np.ndarray | None = None
    label: np.ndarray | None = None
    group: list[int] | None = None
    merged: bool = False  # whether corners at one place became one vertex
    unordered: bool = False  # whether parts, each with its vertices, may come in any order
    notes: dict[str, Any] = field(default_factory=dict)


def shape(random: Random, triangles: bool = False) -> tuple[np.ndarray, list[list[int]], float]:
    """Star-shaped polygons, each in a plane of its own, and the sum of their areas by the shoelace formula."""
    rows, polygons, area, count = [], [], 0.0, 0
    for _ in range(int(random.integers(1, 6))):
        n = 3 if triangles else int(random.integers(3, 9))
        angle = 2 * np.pi * (np.arange(n) + 0.6 * random.random(n)) / n
        radius = 0.3 + random.random(n) * 3
        flat = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        axes = np.linalg.qr(random.normal(size=(3, 3)))[0][:2]
        rows.append(flat @ axes + 5 * random.normal(size=3))
        x, y = flat.T
        area += float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)
        polygons.append(list(range(count, count + n)))
        count += n
    if random.random() < 0.3:  # vertices of no face
        rows.append(random.normal(size=(int(random.integers(1, 4)), 3)))
    return np.concatenate(rows).astype(np.float32).astype(np.float64), polygons, area


def newline(random: Random) -> str:
    return str(random.choice(["\n", "\r\n"]))


def word(random: Random, value: float) -> str:
    """A float32's number in one of the ways in which programs write it."""
    form = random.choice(["%.9g", "%.9e", "%+.9g", "%.12f", "%.17g", "%.9E"])
    return str(form) % value


def ply(random: Random) -> Written:
    strips = random.random() < 0.15
    pos, polygons, area = shape(random, triangles=strips)
    order = str(random.choice(["ascii", "<", ">"]))
    end = newline(random) if order == "ascii" else str(random.choice(["\n", "\r\n"]))
    name = {"ascii": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}[order]
    body: list[bytes] = []
    lines = ["ply", f"format {name} 1.0"]
    if random.random() < 0.5:
        lines.append("comment für Prüfung: element vertex 7")
    if random.random() < 0.3:
        lines.append("obj_info whatever 3")
    kinds = {"f4": ["float", "float32"], "f8": ["double", "float64"], "u1": ["uchar", "uint8"], "i1": ["char", "int8"],
             "u2": ["ushort", "uint16"], "i2": ["short", "int16"], "i4": ["int", "int32"], "u4": ["uint", "uint32"]}  # fmt: skip

    def kind(code: str) -> str:
        return str(random.choice(kinds[code]))

    def put(code: str, value: float) -> None:
        if order == "ascii":
            row.append(word(random, value) if code[0] == "f" else str(int(value)))
        else:
            body.append(np.array(value, dtype=order + code).tobytes())

    def close() -> None:
        if order == "ascii":
            body.append((" ".join(row) + end).encode())
        row.clear()

    row: list[str] = []
    color = random.integers(0, 256, (len(pos), 3)) if random.random() < 0.5 else None
    normal = random.normal(size=pos.shape).astype(np.float32) if random.random() < 0.4 else None
    label = random.integers(0, 9, len(pos)) if random.random() < 0.3 else None
    columns: list[tuple[str, str, np.ndarray]] = [(axis, "f4", pos[:, k]) for k, axis in enumerate("xyz")]
    if random.random() < 0.3:
        columns = [(axis, "f8", values) for axis, _, values in columns]
    if color is not None:
        columns += [(c, "u1", color[:, k]) for k, c in enumerate(("red", "green", "blue"))]
    if normal is not None:
        columns += [(c, "f4", normal[:, k]) for k, c in enumerate(("nx", "ny", "nz"))]
    if label is not None:
        columns.append(("label", str(random.choice(["u1", "i2", "i4", "u4"])), label))
    columns.append(("quality", "f4", np.arange(len(pos)) / 2))
    columns = [columns[k] for k in random.permutation(len(columns))]
    with_list = random.random() < 0.2

    def write_vertices() -> None:
        lines.append(f"element vertex {len(pos)}")
        lines.extend(f"property {kind(code)} {title}" for title, code, _ in columns)
        if with_list:
            lines.append("property list uchar float weights")
        for k in range(len(pos)):
            for _, code, values in columns:
                put(code, values[k])
            if with_list:
                put("u1", k % 3)
                for _ in range(k % 3):
                    put("f4", 0.5)
            close()

    def write_faces() -> None:
        if strips:
            lines.append("element tristrips 1")
            lines.append("property list int int vertex_indices")
            flat = [corner for polygon in polygons for corner in [*polygon, -1]][:-1]
            put("i4", len(flat))
            for corner in flat:
                put("i4", corner)
            close()
            return
        count, index = (
            str(random.choice(["u1", "i1", "u2", "i4", "u4"])),
            str(random.choice(["i4", "u4", "u1", "i2"])),
        )
        before, after = random.random() < 0.3, random.random() < 0.3
        texture = random.random() < 0.3
        lines.append(f"element face {len(polygons)}")
        if before:
            lines.append(f"property {kind('u1')} flags")
        lines.append(
            f"property list {kind(count)} {kind(index)} {random.choice(['vertex_indices', 'vertex_index'])}"
        )
        if texture:
            lines.append("property list uchar float texcoord")
        if after:
            lines.append(f"property {kind('i4')} segment")
        for number, polygon in enumerate(polygons):
            if before:
                put("u1", number)
            put(count, len(polygon))
            for corner in polygon:
                put(index, corner)
            if texture:
                put("u1", 2 * len(polygon))
                for _ in range(2 * len(polygon)):
                    put("f4", 0.25)
            if after:
                put("i4", -number)
            close()

    def write_other() -> None:
        lines.extend(["element camera 1", "property float view", "property list uchar short numbers"])
        put("f4", 1.5)
        put("u1", 2)
        put("i2", -7)
        put("i2", 7)
        close()

    parts = [write_vertices, write_faces] + ([write_other] if random.random() < 0.3 else [])
    for k in random.permutation(len(parts)):
        parts[k]()
    data = (end.join(lines) + end + "end_header" + end).encode("latin-1") + b"".join(body)
    if order == "ascii" and random.random() < 0.2:
        data = b"\xef\xbb\xbf" + data
    return Written(data, ".ply", pos, polygons, area, color, normal, label)


def off(random: Random) -> Written:
    pos, polygons, area = shape(random)
    normals, colors = random.random() < 0.3, random.random() < 0.4
    four, texture, many = random.random() < 0.2, random.random() < 0.2, random.random() < 0.15
    binary = random.random() < 0.2
    head = "ST" * texture + "C" * colors + "N" * normals + "4" * four + "n" * many + "OFF"
    color = random.integers(2, 256, (len(pos), 4)) if colors else None
    normal = random.normal(size=pos.shape).astype(np.float32) if normals else None
    rows = []
    for k in range(len(pos)):
        row = [*pos[k]]
        if four:
            row = [*(2 * pos[k]), 2.0]
        row += [*normal[k]] if normal is not None else []
        row += [*color[k]] if color is not None else []
        row += [0.25, 0.75] if texture else []
        rows.append(row)
    if binary:
        out = (head + " BINARY\n").encode() + (struct.pack(">i", 3) if many else b"")
        out += struct.pack(">3i", len(pos), len(polygons), 0)
        for row in rows:
            out += np.array(row, dtype=">f4").tobytes()
        for polygon in polygons:
            out += np.array([len(polygon), *polygon, 0], dtype=">i4").tobytes()
        return Written(out, ".off", pos, polygons, area, None if color is None else color[:, :3], normal)
    end = newline(random)
    style = str(random.choice(["lines", "stream", "face colors"]))
    first, last = 3 + four + 3 * normals, 2 * texture  # between them stand colours, whole numbers

    def words(row: list[float]) -> list[str]:
        ends = len(row) - last
        return [str(int(v)) if first <= k < ends else word(random, v) for k, v in enumerate(row)]

    whole = [words(row) for row in rows]
    faces = [[str(len(polygon)), *map(str, polygon)] for polygon in polygons]
    if style == "face colors":
        faces = [[*face, "0.5", "0.25", "1.0"] for face in faces]
    numbers = [str(len(pos)), str(len(polygons)), "0"]
    glue = str(random.choice(["\n", " ", "\n# a comment with 3 numbers\n", "\n\n"]))
    start = head + glue + ("3" + str(random.choice(["\n", " "])) if many else "") + " ".join(numbers) + "\n"
    if style == "stream":
        # What is left of the line on which a face ends is its colour.
        text = _broken(random, [w for row in whole for w in row]) + "".join(_broken(random, f) for f in faces)
    else:
        text = (
            "".join("  ".join(row) + "\n" for row in whole)
            + "\n"
            + "".join(" ".join(face) + " # n\n" for face in faces)
        )
    data = (start + text).replace("\n", end).encode()
    if random.random() < 0.2:
        data = b"\xef\xbb\xbf" + data
    return Written(data, ".off", pos, polygons, area, None if color is None else color[:, :3], normal)


def _broken(random: Random, words: list[str]) -> str:
    """Words with line breaks anywhere."""
    out, at = "", 0
    while at < len(words):
        step = int(random.integers(1, 12))
        out += " ".join(words[at : at + step]) + "\n"
        at += step
    return out


def obj(random: Random) -> Written:
    pos, polygons, area = shape(random)
    color = random.integers(0, 5, (len(pos), 3)) / 4 if random.random() < 0.4 else None
    end = newline(random)
    lines = ["# geschrieben für Prüfung", "mtllib none.mtl"]
    late = random.random() < 0.3  # every polygon right behind its vertices
    texture, normals = random.random() < 0.4, random.random() < 0.4
    group: list[int] | None = [] if random.random() < 0.4 else None

    def vertex(k: int) -> str:
        row = [word(random, v) for v in pos[k]] + ([] if color is None else [f"{c:.9g}" for c in color[k]])
        return "v " + " ".join(row)

    def face(polygon: list[int], known: int) -> str:
        corners = []
        for corner in polygon:
            number = str(corner + 1) if random.random() < 0.5 else str(corner - known)
            corners.append(number + ("/1" if texture else "/" if normals else "") + ("/1" if normals else ""))
        joint = f" \\{'  ' * bool(random.random() < 0.3)}\n  " if random.random() < 0.3 else " "
        half = len(corners) // 2
        return "f " + " ".join(corners[:half]) + joint + " ".join(corners[half:])

    lines += ["vt 0 0", "vn 0 0 1"]
    if late:
        done = 0
        for number, polygon in enumerate(polygons):
            lines += [vertex(k) for k in range(done, max(polygon) + 1)]
            done = max(polygon) + 1
            if group is not None:
                lines.append(f"g part {number % 3}")
                group.append(number % 3)
            lines.append(face(polygon, done))
        lines += [vertex(k) for k in range(done, len(pos))]
    else:
        lines += [vertex(k) for k in range(len(pos))]
        for number, polygon in enumerate(polygons):
            if group is not None:
                lines.append(f"g part {number % 3}")
                group.append(number % 3)
            lines += ["s 1", "usemtl red"] if random.random() < 0.3 else []
            lines.append(face(polygon, len(pos)) + (" # last" if random.random() < 0.2 else ""))
    if random.random() < 0.3:
        lines += ["l 1 2", "p 1"]
    data = ("\n".join(lines) + "\n").replace("\n", end).encode("latin-1")
    if random.random() < 0.2:
        data = b"\xef\xbb\xbf" + data
    return Written(data, ".obj", pos, polygons, area, color, group=group)


def stl(random: Random) -> Written:
    pos, polygons, area = shape(random, triangles=True)
    corners = pos[np.array(polygons)]
    if random.random() < 0.5:
        head = bytes(random.choice([b"solid exported by a program", b"binary", b""])).ljust(80, b" ")
        out = head + struct.pack("<I", len(polygons))
        for triangle in corners:
            out += (
                np.zeros(3, dtype="<f4").tobytes()
                + triangle.astype("<f4").tobytes()
                + struct.pack("<H", int(random.integers(0, 9)))
            )
        return Written(out, ".stl", corners.reshape(-1, 3), polygons, area, merged=True)
    end, upper, parts = newline(random), random.random() < 0.2, int(random.integers(1, 3))
    text = ""
    for part in range(parts):
        text += f"solid part {part} facet of vertex\n"
        for triangle in corners[part::parts]:
            text += " facet normal 0 0 1\n  outer loop\n"
            for corner in triangle:
                text += "   vertex " + " ".join(word(random, v) for v in corner) + "\n"
            text += "  endloop\n endfacet\n"
        text += f"endsolid part {part}\n" if random.random() < 0.7 else "endsolid\n"
    data = (text.upper() if upper else text).replace("\n", end).encode()
    ordered = np.concatenate([corners[part::parts] for part in range(parts)])
    return Written(data, ".stl", ordered.reshape(-1, 3), polygons, area, merged=True)


def pcd(random: Random) -> Written:
    pos = random.normal(size=(int(random.integers(1, 20)), 3)).astype(np.float32).astype(np.float64)
    color = random.integers(0, 256, pos.shape) if random.random() < 0.5 else None
    normal = random.normal(size=pos.shape).astype(np.float32) if random.random() < 0.5 else None
    code = str(random.choice(["f4", "f8"]))
    fields: list[tuple[str, str, np.ndarray]] = [(axis, code, pos[:, k]) for k, axis in enumerate("xyz")]
    if color is not None:
        packed = (color[:, 0] << 16 | color[:, 1] << 8 | color[:, 2]).astype(np.uint32)
        fields.append(
            ("rgb", "u4", packed) if random.random() < 0.5 else ("rgb", "f4", packed.view(np.float32))
        )
    if normal is not None:
        fields += [(f"normal_{axis}", "f4", normal[:, k]) for k, axis in enumerate("xyz")]
    fields = [fields[k] for k in random.permutation(len(fields))]
    form = str(random.choice(["ascii", "binary", "binary_compressed"]))
    letters = {"f": "F", "u": "U", "i": "I"}
    head = (
        "# .PCD v.7\nVERSION .7\n" * (random.random() < 0.8) + f"FIELDS {' '.join(n for n, *_ in fields)}\n"
    )
    head += (
        f"SIZE {' '.join(c[1] for _, c, _ in fields)}\nTYPE {' '.join(letters[c[0]] for _, c, _ in fields)}\n"
    )
    head += f"COUNT {' '.join('1' for _ in fields)}\nWIDTH {len(pos)}\nHEIGHT 1\n"
    head += f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(pos)}\nDATA {form}\n"
    if form == "ascii":
        rows = zip(*(values.tolist() for _, _, values in fields), strict=True)
        body = "".join(
            " ".join(f"{v:.17g}" if isinstance(v, float) else str(v) for v in row) + "\n" for row in rows
        ).encode()
    elif form == "binary":
        body = b"".join(
            np.array(values[k], dtype="<" + c).tobytes() for k in range(len(pos)) for _, c, values in fields
        )
    else:
        raw = b"".join(values.astype("<" + c).tobytes() for _, c, values in fields)
        packed_data = b"".join(
            bytes([len(raw[k : k + 32]) - 1]) + raw[k : k + 32] for k in range(0, len(raw), 32)
        )
        body = struct.pack("<II", len(packed_data), len(raw)) + packed_data
    return Written(head.encode() + body, ".pcd", pos, [], 0.0, color, normal)


def xyz(random: Random) -> Written:
    pos = random.normal(size=(int(random.integers(2, 20)), 3)).astype(np.float32).astype(np.float64)
    gap = str(random.choice([" ", "  ", "\t", ",", ", ", ";"]))
    with_color, with_normal = random.random() < 0.4, random.random() < 0.4
    color = random.integers(2, 256, pos.shape) if with_color else None
    normal = random.normal(size=pos.shape).astype(np.float32) if with_normal else None
    rows = [[word(random, v) for v in place] for place in pos]
    for k, row in enumerate(rows):
        row += [] if normal is None else [f"{v:.9g}" for v in normal[k]]
        row += [] if color is None else [str(v) for v in color[k]]
    names = [
        "x",
        "y",
        "z",
        *(["nx", "ny", "nz"] if with_normal else []),
        *(["r", "g", "b"] if with_color else []),
    ]
    head = str(
        random.choice(
            [
                "",
                "#" + gap + gap.join(names) + "\n",
                "// " + " ".join(names).upper() + "\n",
                f"{len(pos)}\n",
                "# by hand\n",
            ]
        )
    )
    data = (head + "".join(gap.join(row) + "\n" for row in rows)).replace("\n", newline(random)).encode()
    return Written(data, str(random.choice([".xyz", ".txt", ".pts", ".csv"])), pos, [], 0.0, color, normal)


def npz(random: Random) -> Written:
    pos, polygons, area = shape(random, triangles=True)
    face, out = np.array(polygons), io.BytesIO()
    kind = str(random.choice(["i4", "i8", "u2", ">i4"]))
    names = [("pos", "face"), ("vertices", "faces"), ("v", "f")][int(random.integers(3))]
    rows = face if len(face) == 3 or random.random() < 0.5 else face.T
    np.savez(
        out, **{names[0]: pos.astype(str(random.choice(["f4", "f8", ">f4"]))), names[1]: rows.astype(kind)}
    )
    return Written(out.getvalue(), ".npz", pos, polygons, area)


OWN = {"ply": ply, "off": off, "obj": obj, "stl": stl, "pcd": pcd, "xyz": xyz, "npz": npz}
