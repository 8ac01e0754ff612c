"""Valid files of NumPy, VTK, laser scanners, and of the formats that other libraries read."""

from __future__ import annotations

import base64
import io
import json
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from tests.data.fuzz.writers import Random, Written, newline, shape, word


def npy(random: Random) -> Written:
    pos = random.normal(size=(int(random.integers(1, 40)), 3)).astype(np.float32).astype(np.float64)
    color = random.integers(2, 256, pos.shape) if random.random() < 0.4 else None
    rows = pos if color is None else np.concatenate([pos, color], axis=1)
    rows = rows.astype(str(random.choice(["<f4", "<f8", ">f4", ">f8"])))
    if color is None and len(pos) > 16 and random.random() < 0.3:
        rows = rows.T
    out = io.BytesIO()
    version = [(1, 0), (2, 0), None][int(random.integers(3))]
    np.lib.format.write_array(out, np.asfortranarray(rows) if random.random() < 0.3 else rows, version)
    return Written(out.getvalue(), ".npy", pos, [], 0.0, color, notes={"rows": rows})


def vtk(random: Random) -> Written:
    surface, binary = random.random() < 0.5, random.random() < 0.5
    strips = random.random() < 0.15
    pos, polygons, area = shape(random, triangles=strips)
    version = str(random.choice(["2.0", "3.0", "4.2", "5.1"]))
    end = "\n" if binary else newline(random)
    out = [
        f"# vtk DataFile Version {version}{end}made by hand{end}{'BINARY' if binary else 'ASCII'}{end}".encode()
    ]

    sections: list[tuple[int, int]] = []  # where numbers stand, without the last one

    def put(code: str, values: np.ndarray, width: int) -> None:
        values, begin = np.asarray(values), sum(map(len, out))
        if binary:
            out.append(values.astype(">" + code).tobytes() + b"\n")
            sections.append((begin, begin + len(out[-1]) - 2))
            return
        flat = [word(random, v) if code[0] == "f" else str(int(v)) for v in values.reshape(-1)]
        rows = [" ".join(flat[k : k + width]) for k in range(0, len(flat), width)]
        out.append((end.join(rows) + end).encode())
        sections.append((begin, begin + len(" ".join(flat).rpartition(" ")[0])))

    def line(text: str) -> None:
        out.append((text + end).encode())

    def cells(title: str, lists: list[list[int]]) -> None:
        if version == "5.1":
            starts = np.cumsum([0, *map(len, lists)])
            line(f"{title} {len(starts)} {starts[-1]}")
            for name, values in (("OFFSETS", starts), ("CONNECTIVITY", np.concatenate(lists))):
                kind, code = [("vtktypeint64", "i8"), ("int", "i4")][int(random.integers(2))]
                line(f"{name} {kind}")
                put(code, values, 9)
            return
        line(f"{title} {len(lists)} {sum(len(row) + 1 for row in lists)}")
        put("i4", np.concatenate([[len(row), *row] for row in lists]), int(random.integers(1, 12)))

    kind, code = [("float", "f4"), ("double", "f8")][int(random.integers(2))]
    line(f"DATASET {'POLYDATA' if surface else 'UNSTRUCTURED_GRID'}")
    line(f"POINTS {len(pos)} {kind}")
    put(code, pos, int(random.choice([3, 9, 4])))
    others = [[0, 1], [1, 2, 0]] if random.random() < 0.3 and not strips else []
    if surface:
        if others:
            cells("LINES", others)
        cells("TRIANGLE_STRIPS" if strips else "POLYGONS", polygons)
    else:
        kinds = {3: 6 if strips else 5, 4: 9}
        cells("CELLS", [*others, *polygons])
        line(f"CELL_TYPES {len(others) + len(polygons)}")
        put("i4", np.array([4] * len(others) + [kinds.get(len(polygon), 7) for polygon in polygons]), 1)
    color = random.integers(0, 256, (len(pos), 3)) if random.random() < 0.4 and binary else None
    normal = random.normal(size=pos.shape).astype(np.float32) if random.random() < 0.4 else None
    label = random.integers(0, 9, len(pos)) if random.random() < 0.4 else None
    group = random.integers(0, 9, len(polygons)).tolist() if random.random() < 0.4 else None
    if group is not None:
        line(f"CELL_DATA {len(others) + len(polygons)}")
        line("SCALARS group int 1")
        line("LOOKUP_TABLE default")
        put("i4", np.array([0] * len(others) + group), 5)
    if color is not None or normal is not None or label is not None:
        line(f"POINT_DATA {len(pos)}")
    if normal is not None:
        line("NORMALS normals float")
        put("f4", normal, 3)
    if color is not None:
        line("COLOR_SCALARS rgb 3")
        put("u1", color, 3)
    if label is not None:
        line(f"FIELD FieldData 1{end}y 1 {len(pos)} short")
        put("i2", label, 7)
    return Written(
        b"".join(out), ".vtk", pos, polygons, area, color, normal, label, group, notes={"sections": sections}
    )


def las(random: Random) -> Written:
    """Uncompressed and compressed, all point formats, with offsets of map coordinates."""
    import laspy

    version = str(random.choice(["1.2", "1.3", "1.4"]))
    kind = int(random.choice([0, 1, 2, 3] if version != "1.4" else [0, 1, 2, 3, 6, 7, 8]))
    header = laspy.LasHeader(point_format=kind, version=version)
    header.scales = 10.0 ** random.integers(-4, 0, 3)
    header.offsets = random.choice([0.0, 4_512_000.0, -75.5], 3)
    file, count = laspy.LasData(header), int(random.integers(1, 30))
    raw = random.integers(-(2**20), 2**20, (count, 3)).astype(np.int32)
    file.X, file.Y, file.Z = raw.T
    label = random.integers(0, 32, count)
    file.return_number = np.ones(count, dtype=np.uint8)
    file.classification = label.astype(np.uint8)
    color = None
    if kind in (2, 3, 7, 8):
        color = random.integers(2, 256, (count, 3))
        file.red, file.green, file.blue = color.T.astype(np.uint16)
    out, packed = io.BytesIO(), random.random() < 0.3
    file.write(out, do_compress=packed)
    data = out.getvalue()
    # The header keeps scale and offset as doubles: these are what the points are.
    pos = raw * np.asarray(header.scales) + np.asarray(header.offsets)
    return Written(
        data, ".laz" if packed else ".las", pos, [], 0.0, color, None, label, notes={"version": version}
    )


def _placed(random: Random) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """A part, its place in the scene, and its triangles."""
    pos, polygons, _ = shape(random, triangles=True)
    matrix = np.eye(4)
    if random.random() < 0.5:
        turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
        matrix[:3, :3] = turn * np.sign(np.linalg.det(turn)) * 2.0 ** random.integers(-2, 3)
        matrix[:3, 3] = random.normal(size=3)
    return pos, matrix, polygons


def _together(
    parts: list[tuple[np.ndarray, np.ndarray, list[list[int]]]],
) -> tuple[np.ndarray, list[list[int]], float]:
    rows, polygons, area, count = [], [], 0.0, 0
    for pos, matrix, faces in parts:
        placed = pos @ matrix[:3, :3].T + matrix[:3, 3]
        sides = placed[np.array(faces)]
        area += (
            np.linalg.norm(np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0]), axis=1).sum() / 2
        )
        rows.append(placed)
        polygons += [[count + corner for corner in face] for face in faces]
        count += len(pos)
    return np.concatenate(rows), polygons, float(area)


def gltf(random: Random) -> Written:
    """One to three meshes, each in its place, in one file of bytes (glb) or of text (gltf)."""
    parts = [_placed(random) for _ in range(int(random.integers(1, 4)))]
    body, views, accessors, meshes, nodes = b"", [], [], [], []

    def accessor(values: np.ndarray, code: int, kind: str) -> int:
        nonlocal body
        body += b"\0" * (-len(body) % 4)
        raw = values.tobytes()
        views.append({"buffer": 0, "byteOffset": len(body), "byteLength": len(raw)})
        body += raw
        number = {"bufferView": len(views) - 1, "componentType": code, "count": len(values), "type": kind}
        if kind == "VEC3":
            number |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        accessors.append(number)
        return len(accessors) - 1

    for number, (pos, matrix, faces) in enumerate(parts):
        code, dtype = [(5121, "<u1"), (5123, "<u2"), (5125, "<u4")][int(random.integers(3))]
        primitive = {
            "attributes": {"POSITION": accessor(pos.astype("<f4"), 5126, "VEC3")},
            "indices": accessor(np.array(faces).reshape(-1).astype(dtype), code, "SCALAR"),
        }
        meshes.append({"primitives": [primitive], "name": f"part {number}"})
        nodes.append({"mesh": number, "matrix": matrix.T.reshape(-1).tolist(), "name": f"node {number}"})
    tree = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": list(range(len(nodes)))}], "nodes": nodes,
        "meshes": meshes, "accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": len(body)}],
    }  # fmt: skip
    group = np.repeat(np.arange(len(parts)), [len(faces) for *_, faces in parts]).tolist()
    if random.random() < 0.5:
        tree["buffers"] = [{
            "byteLength": len(body),
            "uri": "data:application/octet-stream;base64," + base64.b64encode(body).decode(),
        }]  # fmt: skip
        data = json.dumps(tree, indent=int(random.integers(1, 3))).encode()
        return Written(data, ".gltf", *_together(parts), group=group, unordered=True, notes={"tree": tree})
    return Written(
        glb_bytes(tree, body),
        ".glb",
        *_together(parts),
        group=group,
        unordered=True,
        notes={"tree": tree, "body": body},
    )


def glb_bytes(tree: dict[str, object], body: bytes) -> bytes:
    head = json.dumps(tree).encode()
    head += b" " * (-len(head) % 4)
    body += b"\0" * (-len(body) % 4)
    chunks = struct.pack("<I4s", len(head), b"JSON") + head + struct.pack("<I4s", len(body), b"BIN\0") + body
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


_CORE = 'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"'


def threemf(random: Random) -> Written:
    parts = [_placed(random) for _ in range(int(random.integers(1, 4)))]
    objects, items = "", ""
    for number, (pos, matrix, faces) in enumerate(parts, 1):
        vertices = "".join(
            '<vertex x="{}" y="{}" z="{}"/>\n'.format(*(word(random, v) for v in row)) for row in pos
        )
        triangles = "".join('<triangle v1="{}" v2="{}" v3="{}"/>\n'.format(*face) for face in faces)
        objects += f'<object id="{number}" type="model"><mesh><vertices>{vertices}</vertices>\n'
        objects += f"<triangles>{triangles}</triangles></mesh></object>\n"
        place = " ".join(f"{v:.17g}" for v in matrix[:3].T.reshape(-1))
        items += f'<item objectid="{number}" transform="{place}"/>\n'
    model = f'<?xml version="1.0" encoding="UTF-8"?>\n<model unit="millimeter" {_CORE}>'
    model += f"<resources>{objects}</resources><build>{items}</build></model>"
    group = np.repeat(np.arange(len(parts)), [len(faces) for *_, faces in parts]).tolist()
    return Written(
        threemf_bytes(model), ".3mf", *_together(parts), group=group, unordered=True, notes={"model": model}
    )


def threemf_bytes(model: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(
            "_rels/.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            '<Relationship Target="/3D/3dmodel.model" '
            'Id="rel0" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>',
        )
        file.writestr("3D/3dmodel.model", model)
    return out.getvalue()


def _by_meshio(random: Random, suffix: str, **options: object) -> Written:
    import meshio

    pos, polygons, area = shape(random)
    kinds = {3: "triangle", 4: "quad"}
    cells: list[tuple[str, list[list[int]]]] = []
    if suffix == ".msh":  # it knows triangles and quads alone
        polygons = [face for polygon in polygons for face in _fan(polygon)]
        if options["file_format"] == "gmsh":  # a kind of cells an entity
            polygons = [face[:3] for face in polygons]
        pos, polygons, area = _flat(pos, polygons)
    for polygon in polygons:
        kind = kinds.get(len(polygon), "polygon")
        if cells and cells[-1][0] == kind and len(cells[-1][1][0]) == len(polygon):
            cells[-1][1].append(polygon)
        else:
            cells.append((kind, [polygon]))
    if suffix == ".msh":
        cells = [(kind, [p for p in polygons if kinds[len(p)] == kind]) for kind in ("triangle", "quad")]
        cells = [(kind, rows) for kind, rows in cells if rows]
        polygons = [polygon for _, rows in cells for polygon in rows]
    mesh = meshio.Mesh(pos, [(kind, np.array(rows)) for kind, rows in cells])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        mesh.write(path, **options)
        return Written(path.read_bytes(), suffix, pos, polygons, area)


def _fan(polygon: list[int]) -> list[list[int]]:
    """Quads, and a triangle where one corner is left."""
    return [[polygon[0], *polygon[k : k + 3]] for k in range(1, len(polygon) - 1, 2)]


def _flat(pos: np.ndarray, polygons: list[list[int]]) -> tuple[np.ndarray, list[list[int]], float]:
    """Triangles and quads of their own vertices: convex ones, whose area is known."""
    rows: list[np.ndarray] = []
    faces, area = [], 0.0
    for polygon in polygons:
        one, two = pos[polygon[1]] - pos[polygon[0]], pos[polygon[2]] - pos[polygon[0]]
        corners = [pos[polygon[0]], pos[polygon[0]] + one, pos[polygon[0]] + two]
        if len(polygon) == 4:
            corners = [corners[0], corners[1], corners[1] + two, corners[2]]
        size = float(np.linalg.norm(np.cross(one, two)))
        area += size if len(polygon) == 4 else size / 2
        faces.append([len(rows) + k for k in range(len(corners))])
        rows += corners
    placed = np.stack(rows).astype(np.float32).astype(np.float64)
    return placed, faces, area


def vtu(random: Random) -> Written:
    options = [{"binary": False}, {"binary": True}, {"binary": True, "compression": None}][
        int(random.integers(3))
    ]
    return _by_meshio(random, ".vtu", **options)


def msh(random: Random) -> Written:
    kind = str(random.choice(["gmsh22", "gmsh"]))
    return _by_meshio(random, ".msh", file_format=kind, binary=bool(random.random() < 0.5))


FOREIGN = {"npy": npy, "vtk": vtk, "las": las, "gltf": gltf, "3mf": threemf, "vtu": vtu, "msh": msh}
