"""What the libraries that read do not look at: numbers that name nothing, and counts that say less than there is."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["check_gltf", "check_gmsh", "check_las", "look_before_making_room"]

# Of gltf: where a number stands, and what it counts.
_NAMED = (
    ("scenes", "nodes", "nodes"), ("nodes", "children", "nodes"), ("nodes", "mesh", "meshes"),
    ("accessors", "bufferView", "bufferViews"), ("bufferViews", "buffer", "buffers"),
)  # fmt: skip
# Primitives that become no triangles: loops and strips of lines, and fans, which trimesh passes over.
_PASSED_OVER = {2: "line loops", 3: "line strips", 6: "triangle fans"}


def check_gltf(path: Path) -> list[str]:
    """What trimesh leaves out of a glb or gltf file without a word.

    Raises:
        ValueError: a node, mesh or accessor that the file names and does not have.
    """
    data = path.read_bytes()
    if data[:4] == b"glTF":
        data = data[20 : 20 + int.from_bytes(data[12:16], "little")]
    tree: dict[str, Any] = json.loads(data)

    def check(what: str, number: Any, kind: str) -> None:
        if not isinstance(number, int) or not 0 <= number < len(tree.get(kind, [])):
            raise ValueError(f"{what} names number {number} of its {len(tree.get(kind, []))} {kind}")

    for place, field, kind in _NAMED:
        for k, part in enumerate(tree.get(place, [])):
            found = part.get(field, [])
            for number in found if isinstance(found, list) else [found]:
                check(f"{place}[{k}].{field}", number, kind)
    passed = set()
    for k, mesh in enumerate(tree.get("meshes", [])):
        for primitive in mesh["primitives"]:
            for name, number in primitive["attributes"].items():
                check(f"{name} of meshes[{k}]", number, "accessors")
            if "indices" in primitive:
                check(f"indices of meshes[{k}]", primitive["indices"], "accessors")
            passed.add(primitive.get("mode", 4))
    return [f"{_PASSED_OVER[mode]} were left out" for mode in sorted(passed & _PASSED_OVER.keys())]


# Numbers of nodes may have gaps, but what is looked up by them must fit in memory.
_GAPS = 10_000_000


@cache
def look_before_making_room() -> None:
    """Lets meshio look at where cells end (vtu) and how nodes are numbered (msh): for a wrong number it asks for any memory."""
    from meshio.gmsh import _gmsh22, _gmsh40, _gmsh41
    from meshio.vtu import _vtu

    unchecked = _vtu.vtk_cells_from_data

    def cells(connectivity: Any, offsets: Any, types: Any, data: Any) -> Any:
        ends = np.concatenate([np.zeros(1, np.int64), np.asarray(offsets).astype(np.int64)])
        if (np.diff(ends) < 0).any() or ends[-1] > len(connectivity):
            raise ValueError(f"its offsets of cells do not ascend to its {len(connectivity)} corners")
        return unchecked(connectivity, offsets, types, data)

    def numbered(read: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(read)
        def nodes(*arguments: Any) -> Any:
            found = read(*arguments)
            last = int(max(found[1], default=0))
            if last > 100 * len(found[1]) + _GAPS:
                raise ValueError(f"its {len(found[1])} nodes are numbered up to {last}")
            return found

        return nodes

    _vtu.vtk_cells_from_data = cells
    for version in (_gmsh22, _gmsh40, _gmsh41):
        version._read_nodes = numbered(version._read_nodes)


_ELEMENTS = re.compile(rb"\$Elements\s*\n\s*(\d+)\s*?\n")


def check_gmsh(path: Path) -> None:
    """Whether Gmsh's last section is closed and, of version 2, it has as many elements as it announces; meshio looks at neither.

    Raises:
        ValueError: the file is cut short, or there are more elements or fewer.
    """
    from meshio._common import num_nodes_per_cell
    from meshio.gmsh.common import _gmsh_to_meshio_type

    data = path.read_bytes()
    if not data.startswith(b"$MeshFormat"):
        return  # Fluent's files have the same suffix
    last = data.rstrip()[data.rfind(b"$End") + len(b"$End") :]
    if not last.isalnum() or not re.search(rb"\$" + last + rb"\s", data):
        raise ValueError("it is cut short: its last section has no end")
    if b"$Elements" not in data:
        raise ValueError("it has no section of elements")
    head = re.match(rb"\$MeshFormat\s+2\S* ([01]) ", data)
    begin = _ELEMENTS.search(data)
    if head is None or begin is None:
        return
    count, at = int(begin[1]), begin.end()
    if head[1] == b"0":
        there = len(data[at : data.find(b"$EndElements", at)].strip().splitlines())
    else:
        there = 0
        while there < count and at + 12 <= len(data):
            kind, number, tags = np.frombuffer(data, np.int32, 3, at).tolist()
            at += 12 + 4 * number * (1 + tags + num_nodes_per_cell[_gmsh_to_meshio_type[kind]])
            there += number
        there += not data[at:].lstrip().startswith(b"$EndElements")
    if there != count:
        raise ValueError(f"it announces {count} elements, it has {'more' if there > count else there}")


def check_las(data: bytes) -> None:
    """Whether the records that a header announces fit into the file; laspy would read billions that are not there.

    Raises:
        ValueError: they do not.
    """
    if data[:4] != b"LASF" or len(data) < 227:
        raise ValueError("it does not begin with the header of a las file")
    size, begin, records = struct.unpack_from("<HII", data, 94)
    row, points = struct.unpack_from("<HI", data, 105)
    further = 0, 0
    if data[25] >= 4 and len(data) >= 375:
        further = struct.unpack_from("<QI", data, 235)
        points = struct.unpack_from("<Q", data, 247)[0]
    if size + 54 * records > begin or begin > len(data) or further[0] + 60 * further[1] > len(data):
        raise ValueError(f"its header announces {records + further[1]} records, which it has no place for")
    # Compressed, a point takes less than a byte, but not nothing.
    if points * (row if data[104] < 128 else 1e-4) > len(data) - begin:
        raise ValueError(f"its header announces {points} points, it is cut short")
    if data[104] < 128 or not points:
        return
    # Of chunks, each with at least a point in full: where their table is, or -1 if that stands at the end, and how many.
    table = int.from_bytes(data[begin : begin + 8], "little", signed=True)
    table = int.from_bytes(data[-8:], "little", signed=True) if table == -1 else table
    if not begin + 8 <= table <= len(data) - 8 or int.from_bytes(
        data[table + 4 : table + 8], "little"
    ) * row > len(data):
        raise ValueError("its table of chunks is damaged")
