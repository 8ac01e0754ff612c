"""Mutations of the files of :mod:`foreign_writers`, whose right answer is known."""

from __future__ import annotations

import copy
import io
import re
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.data.fuzz.foreign_writers import glb_bytes, threemf_bytes
from tests.data.fuzz.mutation import Mutation, counted, cut
from tests.data.fuzz.writers import Random, Written


def npy(random: Random, written: Written) -> Iterator[Mutation]:
    rows = written.notes["rows"]
    yield from cut(random, written.data, 1, "refused")
    yield Mutation("with bytes more", written.data + b"\1\2", "said")
    for step, answer in ((1, "refused"), (-1, "said")):
        out = io.BytesIO()
        header = np.lib.format.header_data_from_array_1_0(rows)
        count = max(rows.shape)
        header["shape"] = tuple(count + step if n == count else n for n in rows.shape)
        np.lib.format.write_array_header_1_0(out, header)
        if rows.shape[0] != rows.shape[1] and header["shape"][0] > 0:
            yield Mutation(f"shape {step:+}", out.getvalue() + rows.tobytes(), answer)
    strange = io.BytesIO()
    np.save(strange, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    yield Mutation("of objects", strange.getvalue(), "refused")
    for name, array in (("flat", rows.reshape(-1)), ("of words", rows.astype("U9")), ("complex", rows + 1j)):
        out = io.BytesIO()
        np.save(out, array)
        yield Mutation(name, out.getvalue(), "refused")


def vtk(random: Random, written: Written) -> Iterator[Mutation]:
    data = written.data
    yield from counted(data, rb"\nPOINTS (\d+)", "said", "said")
    yield from counted(data, rb"\n(?:POLYGONS|CELLS|TRIANGLE_STRIPS|LINES) (\d+)", "said", "said")
    yield from counted(data, rb"\n(?:POLYGONS|CELLS|TRIANGLE_STRIPS|LINES) \d+ (\d+)", "said", "said")
    yield from counted(data, rb"\nCELL_TYPES (\d+)", "said", "said")
    yield from counted(data, rb"\n(?:POINT|CELL)_DATA (\d+)", "said", "said")
    begin, end = written.notes["sections"][int(random.integers(len(written.notes["sections"])))]
    if end > begin:
        at = int(random.integers(begin, end))
        yield Mutation(f"cut at {at} of {len(data)}", data[:at], "refused")
    yield Mutation("with a section more", data + b"\nSURPRISE 3\n", "said")


def las(random: Random, written: Written) -> Iterator[Mutation]:
    data = written.data
    packed = written.suffix == ".laz"
    begin = struct.unpack_from("<I", data, 96)[0]
    yield from cut(random, data, 4, "refused")
    yield from cut(random, data, begin, "refused")
    if not packed:
        yield Mutation("with bytes more", data + bytes(random.integers(1, 255, 60, dtype=np.uint8)), "said")
    count = len(written.pos)
    for step, answer in ((1, "said" if packed else "refused"), (-1, "said")):
        changed = bytearray(data)
        struct.pack_into("<I", changed, 107, count + step)
        if written.notes["version"] == "1.4":
            struct.pack_into("<Q", changed, 247, count + step)
        yield Mutation(f"points {step:+}", bytes(changed), answer)


def gltf(random: Random, written: Written) -> Iterator[Mutation]:
    import json

    tree: dict[str, Any] = written.notes["tree"]

    def changed(name: str, answer: str, change: Any) -> Mutation:
        other = copy.deepcopy(tree)
        change(other)
        if written.suffix == ".gltf":
            return Mutation(name, json.dumps(other).encode(), answer)
        return Mutation(name, glb_bytes(other, written.notes["body"]), answer)

    def bump(place: str, field: str, step: int) -> Any:
        def change(other: dict[str, Any]) -> None:
            other[place][-1][field] += step

        return change

    yield from cut(random, written.data, 1, "refused")
    yield changed("an index more", "refused", bump("accessors", "count", 3))
    yield changed("a longer view", "refused", bump("bufferViews", "byteLength", 64))
    yield changed("no accessors", "refused", lambda other: other.pop("accessors"))
    yield changed("a mesh that is none", "refused", lambda other: other["nodes"][-1].update(mesh=9))
    yield changed(
        "a view that is none", "refused", lambda other: other["accessors"][-1].update(bufferView=99)
    )
    yield changed(
        "fewer points", "refused" if len(written.polygons) else "any",
        lambda other: other["accessors"][-2].update(count=2),
    )  # fmt: skip


def threemf(random: Random, written: Written) -> Iterator[Mutation]:
    model: str = written.notes["model"]
    at = int(random.integers(0, len(written.data)))
    other = bytes([written.data[at] ^ int(random.integers(1, 256))])
    yield Mutation(f"byte {at}", written.data[:at] + other + written.data[at + 1 :], "same or said")
    yield from cut(random, written.data, 1, "refused")
    for name, old, new in (
        ("a corner that is none", r'v2="\d+"', 'v2="999"'),
        ("a corner below 0", r'v2="\d+"', 'v2="-1"'),
        ("a corner lost", r' v3="\d+"', ""),
        ("a coordinate lost", r' y="[^"]+"', ""),
        ("a coordinate of letters", r' y="[^"]+"', ' y="abc"'),
        ("an object that is none", r'objectid="\d+"', 'objectid="77"'),
        ("a short transform", r'transform="[^ ]+ ', 'transform="'),
        ("an end lost", r"</triangles>", ""),
    ):
        yield Mutation(name, threemf_bytes(re.sub(old, new, model, count=1)), "said")


def vtu(random: Random, written: Written) -> Iterator[Mutation]:
    yield from counted(written.data, rb'NumberOfPoints="(\d+)"', "said", "said")
    yield from counted(written.data, rb'NumberOfCells="(\d+)"', "said", "said")
    yield from cut(random, written.data.rstrip(), 1, "refused")


def msh(random: Random, written: Written) -> Iterator[Mutation]:
    data = written.data
    for title in (b"Nodes", b"Elements"):
        # Text of version 2 says how many there are; one more or less may not pass.
        yield from counted(data, rb"\$" + title + rb"\r?\n(\d+)\r?\n", "said", "said")
    yield from cut(random, data[:-1], 1, "said")
    if b"$MeshFormat\n2.2 0" in data:
        yield Mutation(
            "a corner that is none", re.sub(rb"\d+\n\$EndElements", b"999\n$EndElements", data), "refused"
        )


FOREIGN = {
    ".npy": npy, ".vtk": vtk, ".las": las, ".laz": las, ".glb": gltf, ".gltf": gltf, ".3mf": threemf, ".vtu": vtu, ".msh": msh,
}  # fmt: skip
