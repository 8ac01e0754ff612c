"""Mutations whose right answer is known: what must be refused, what must be said, what must be read as it stands."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np

from tests.data.fuzz.foreign_mutations import FOREIGN
from tests.data.fuzz.mutation import Mutation, counted, cut
from tests.data.fuzz.writers import Random, Written


def mutations(random: Random, written: Written) -> Iterator[Mutation]:
    """Mutations of one file, as many as its format allows."""
    if written.suffix in FOREIGN:
        yield from FOREIGN[written.suffix](random, written)
        return
    kind = {".txt": "xyz", ".pts": "xyz", ".csv": "xyz"}.get(written.suffix, written.suffix[1:])
    yield from {"ply": _ply, "off": _off, "obj": _obj, "stl": _stl, "pcd": _pcd, "xyz": _xyz, "npz": _npz}[
        kind
    ](random, written)
    if kind != "npz" and not _is_binary(written.data):
        yield from _coordinate(random, written)


def _is_binary(data: bytes) -> bool:
    return re.search(rb"BINARY|format binary|DATA binary", data[:999]) is not None or b"\0" in data


def _without_last_word(data: bytes) -> bytes:
    return re.sub(rb"(#[^\n]*|\s)*$", b"", data).rpartition(b" ")[0]


def _ply(random: Random, written: Written) -> Iterator[Mutation]:
    data = written.data
    # One vertex more or less may make another right file of what follows; behind the last element nothing follows.
    yield from counted(data, rb"(?<=[\r\n])element \w+ (\d+)" + rb"(?![\s\S]*[\r\n]element )", "said", "said")
    if b"format ascii" in data:
        yield Mutation("without the last word", _without_last_word(data), "refused")
        yield Mutation("with a row more", data + b"0 0 0\n", "said")
    else:
        yield from cut(random, data, data.index(b"end_header") + 12, "refused")
        yield Mutation("with bytes more", data + b"\1\2", "said")


def _off(random: Random, written: Written) -> Iterator[Mutation]:
    data, counts = written.data, f"{len(written.pos)} {len(written.polygons)} 0".encode()
    if b"BINARY" in data:
        at = data.index(struct.pack(">2i", len(written.pos), len(written.polygons)))
        yield from cut(random, data, at + 12, "refused")
        yield Mutation("with bytes more", data + b"\1\2", "said")
        return
    at = data.index(counts)
    # A stream without lines, with a vertex more or less, may be another right file.
    tail = [line.split() for line in data.split(b"\n") if line.strip()][-len(written.polygons) :]
    by_lines = all(
        list(map(int, line[: 1 + len(polygon)])) == [len(polygon), *polygon]
        for line, polygon in zip(tail, written.polygons, strict=True)
        if all(word.isdigit() for word in line[: 1 + len(polygon)])
    )
    for v, f in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        changed = f"{len(written.pos) + v} {len(written.polygons) + f} 0".encode()
        answer = "said" if by_lines or not v else "any"
        yield Mutation(f"counts {v:+} {f:+}", data[:at] + changed + data[at + len(counts) :], answer)
    yield Mutation("without the last word", _without_last_word(data), "said")
    yield Mutation("with a row more", data + b"3 0 1 2\n", "said")


def _obj(random: Random, written: Written) -> Iterator[Mutation]:
    """Lines may end the file anywhere: what is whole before must be read."""
    lines = re.sub(rb"\\[ \t]*\r?\n", b" ", written.data).splitlines(keepends=True)
    kept = lines[: int(random.integers(1, len(lines) + 1))]
    sizes = [len(line.split(b"#")[0].split()) - 1 for line in kept if line.startswith(b"f ")]
    points = sum(line.startswith(b"v ") for line in kept)
    if points and sizes:
        yield Mutation("lines lost", b"".join(kept), "read", None, points, sum(size - 2 for size in sizes))
    faces = [k for k, line in enumerate(lines) if line.startswith(b"f ")]
    for number in (b"999", b"-999", b"0", b"x"):
        row = lines[int(random.choice(faces))]
        wrong = row.replace(row.split()[1], number, 1)
        changed = b"".join(wrong if line is row else line for line in lines)
        yield Mutation(f"a corner {number!r}", changed, "refused")


def _stl(random: Random, written: Written) -> Iterator[Mutation]:
    data = written.data
    text = re.search(rb"endfacet", data, re.IGNORECASE) is not None
    if text:
        first = [m.start() for m in re.finditer(rb"\bfacet normal", data, re.IGNORECASE)][-1]
        last = [m.start() for m in re.finditer(rb"endsolid", data, re.IGNORECASE)][-1]
        first = max(
            first,
            [m.start() for m in re.finditer(rb"^solid part", data, re.IGNORECASE | re.MULTILINE)][-1] + 6,
        )
        if first < last:
            yield Mutation("cut", data[: int(random.integers(first + 5, last))], "refused")
        yield Mutation("without a corner", re.sub(rb"(?i)vertex [^\n]*\n", b"", data, count=1), "refused")
        return
    yield from cut(random, data, 1, "refused")
    count = len(written.polygons)
    yield Mutation("a facet more", data[:80] + struct.pack("<I", count + 1) + data[84:], "refused")
    yield Mutation("a facet less", data[:80] + struct.pack("<I", count - 1) + data[84:], "said")


def _pcd(random: Random, written: Written) -> Iterator[Mutation]:
    data = written.data
    yield from counted(data, rb"POINTS (\d+)", "refused", "said")
    if b"DATA ascii" in data:
        yield Mutation("without the last word", _without_last_word(data), "refused")
        yield Mutation("with a row more", data + b"0 0 0\n", "said")
    else:
        yield from cut(random, data, data.index(b"\nDATA"), "refused")


def _xyz(random: Random, written: Written) -> Iterator[Mutation]:
    data = written.data
    yield from counted(data, rb"\A(\d+)\r?\n", "refused", "said")
    rows = re.sub(rb"\s*$", b"", data)
    yield Mutation("without the last word", re.sub(rb"[\s,;]+[^\s,;]*$", b"", rows), "refused")
    if not re.match(rb"\d+\r?\n", data):
        fewer = rows[: rows.rindex(b"\n") + 1]
        yield Mutation("without the last row", fewer, "read", written.pos[:-1])


def _npz(random: Random, written: Written) -> Iterator[Mutation]:
    """Every array has a checksum: it is read as it was, or not."""
    at = int(random.integers(0, len(written.data)))
    other = bytes([written.data[at] ^ int(random.integers(1, 256))])
    yield Mutation(f"byte {at}", written.data[:at] + other + written.data[at + 1 :], "same or said")
    yield from cut(random, written.data, 1, "refused")


def _coordinate(random: Random, written: Written) -> Iterator[Mutation]:
    """One coordinate, found in the text by its value, is another one, no number, or no word of a number at all."""
    row, column = int(random.integers(len(written.pos))), int(random.integers(3))
    value = float(np.float32(written.pos[row, column]))
    found = [m for m in re.finditer(rb"[^\s,;]+", written.data) if _is(m[0], value)]
    if len(found) != 1:
        return
    begin, end = found[0].span()
    for word, number in ((b"7.25", 7.25), (b"nan", np.nan), (b"-inf", -np.inf), (b"1e-300", 0.0)):
        pos = written.pos.copy()
        pos[row, column] = number
        yield Mutation(
            f"a coordinate {word!r}", written.data[:begin] + word + written.data[end:], "read", pos
        )
    for word in (b"abc", b"1.2.3", b"0x7"):
        yield Mutation(f"a coordinate {word!r}", written.data[:begin] + word + written.data[end:], "refused")


def _is(word: bytes, value: float) -> bool:
    try:
        return float(np.float32(float(word))) == value
    except ValueError:
        return False
