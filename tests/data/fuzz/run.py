"""Files that are right must be read exactly; files that are not must be answered: by a shape or by an error that names them."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geodl.data import Mesh, PointCloud, as_shape
from geodl.data.files import text
from tests.data.fuzz.foreign_writers import FOREIGN
from tests.data.fuzz.mutation import Mutation
from tests.data.fuzz.mutations import mutations
from tests.data.fuzz.writers import OWN, Random, Written

WRITERS = OWN | FOREIGN

# Seconds in which a small file, whatever is in it, is answered.
_LONGEST = 5.0


def check_valid(written: Written, path: Path) -> None:
    """The shape that is read has the counts, positions, area and attributes that were written."""
    path.write_bytes(written.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = as_shape(path)
    assert isinstance(found, Mesh if written.polygons else PointCloud)
    pos = found.pos.double().numpy()
    if written.merged:
        corners = pos[found.face.t().reshape(-1).numpy()]
        np.testing.assert_array_equal(corners, written.pos)
    elif written.unordered:
        np.testing.assert_allclose(_sorted(pos), _sorted(written.pos), rtol=2e-7, atol=1e-6)
    else:
        np.testing.assert_allclose(pos, written.pos, rtol=2e-7, atol=1e-11)
    if written.polygons:
        assert found.face.shape[1] == sum(len(polygon) - 2 for polygon in written.polygons)
        sides = pos[found.face.t().numpy()]
        doubled = np.linalg.norm(np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0]), axis=1)
        np.testing.assert_allclose(doubled.sum() / 2, written.area, rtol=1e-4)
        if not written.merged and not written.unordered:
            used = [set(polygon) for polygon in written.polygons]
            assert all(any(set(face) <= polygon for polygon in used) for face in found.face.t().tolist())
    for name, right in (("color", written.color), ("normal", written.normal), ("y", written.label)):
        if right is not None:
            np.testing.assert_allclose(found[name].double().numpy(), right, rtol=1e-6, atol=1e-9)
    if written.group is not None and len(set(written.group)) > 1:
        sizes = [len(polygon) - 2 for polygon in written.polygons]
        right = np.repeat(written.group, sizes).tolist()
        if written.unordered:
            assert sorted(Counter(found.face_group.tolist()).values()) == sorted(Counter(right).values())
        else:
            assert found.face_group.tolist() == right


def _sorted(pos: np.ndarray) -> np.ndarray:
    return pos[np.lexsort(pos.T.round(4))]


def mutated(random: Random, written: Written) -> bytes:
    """The file after damage that its structure notices: cut, bytes and words changed, lines lost, doubled and swapped."""
    data = bytearray(written.data)
    for _ in range(int(random.integers(1, 4))):
        at = int(random.integers(0, len(data) + 1))
        match int(random.integers(0, 7)):
            case 0:
                data = data[:at]
            case 1 if data:
                data[min(at, len(data) - 1)] = int(random.integers(0, 256))
            case 2:
                data[at:at] = bytes(random.integers(0, 256, int(random.integers(1, 5)), dtype=np.uint8))
            case 3:
                del data[at : at + int(random.integers(1, 9))]
            case 4 | 5:
                lines = bytes(data).split(b"\n")
                k, other = random.integers(0, len(lines), 2)
                change = int(random.integers(0, 3))
                if change == 0:
                    del lines[k]
                elif change == 1:
                    lines.insert(k, lines[other])
                else:
                    words = lines[k].split(b" ")
                    strange = [
                        b"nan",
                        b"-1",
                        b"99999999999",
                        b"1e400",
                        b"abc",
                        b"",
                        b"0",
                        b"2147483648",
                        b"-0.5",
                        b"\xff\xfe",
                        b"#",
                    ]
                    words[int(random.integers(0, len(words)))] = strange[
                        int(random.integers(0, len(strange)))
                    ]
                    lines[k] = b" ".join(words)
                data = bytearray(b"\n".join(lines))
            case _:
                data += bytes(random.integers(0, 256, int(random.integers(1, 99)), dtype=np.uint8))
        if not data:
            break
    return bytes(data)


def answer(data: bytes, path: Path) -> Any:
    """What is made of a file: positions and faces, or the error, which names the file."""
    path.write_bytes(data)
    began = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = as_shape(path)
    except (ValueError, IndexError) as error:
        assert str(path) in str(error), error
        found = None
    assert time.process_time() - began < _LONGEST, "it took too long"
    if found is None:
        return None
    face = getattr(found, "face", None)
    assert found.pos.shape[1] == 3 and len(found.pos)
    if face is not None:
        assert (
            face.shape[0] == 3 and face.shape[1] and int(face.min()) >= 0 and int(face.max()) < len(found.pos)
        )
    return found.pos, face


def check_damaged(random: Random, written: Written, path: Path) -> bool:
    """The compiled readers and those of Python answer alike; True where the file was read nevertheless."""
    data = mutated(random, written)
    one = answer(data, path)
    kept, text.native = text.native, None
    try:
        other = answer(data, path)
    finally:
        text.native = kept
    assert (one is None) == (other is None), "one reader takes it, the other does not"
    if one is not None:
        assert torch.equal(one[0].isnan(), other[0].isnan()) and torch.equal(
            one[0].nan_to_num(), other[0].nan_to_num()
        )
        assert (one[1] is None) == (other[1] is None) and (one[1] is None or torch.equal(one[1], other[1]))
    return one is not None


def check_known(mutation: Mutation, written: Written, path: Path) -> None:
    """What the mutation must lead to: see there."""
    path.write_bytes(mutation.data)
    began = time.process_time()
    found: Any = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = as_shape(path)
        except (ValueError, IndexError) as error:
            assert str(path) in str(error), error
            assert mutation.answer != "read", f"{mutation.name}: {error}"
    assert time.process_time() - began < _LONGEST, f"{mutation.name}: it took too long"
    if found is None:
        return
    assert mutation.answer != "refused", f"{mutation.name}: it was read as {found}"
    pos, face = found.pos.double().numpy(), getattr(found, "face", None)
    told = any(str(path) in str(each.message) for each in said)
    if mutation.answer == "same or said" and not told:
        rows = (_sorted(pos), _sorted(written.pos)) if written.unordered else (pos, written.pos)
        assert (
            np.allclose(*rows, rtol=2e-7, atol=1e-6 * written.unordered)
            and face is not None
            and face.shape[1] == len(written.polygons)
        )
    elif mutation.answer == "said":
        assert told, f"{mutation.name}: read as {found} without a word"
    if mutation.pos is not None:
        corners = pos[face.t().reshape(-1).numpy()] if written.merged and face is not None else pos
        np.testing.assert_allclose(corners, mutation.pos, rtol=2e-7, atol=1e-11, err_msg=mutation.name)
        assert told or bool(np.isfinite(mutation.pos).all()), f"{mutation.name}: without a word"
    if mutation.points is not None:
        counts = (len(pos), 0 if face is None else face.shape[1])
        assert counts == (mutation.points, mutation.faces), f"{mutation.name}: {counts}"


def fuzz(kind: str, count: int, seed: int, folder: Path) -> dict[str, int]:
    """Writes ``count`` files of a kind and reads each whole and damaged; what fails is kept in the folder."""
    said = {"valid": 0, "damaged": 0, "read nevertheless": 0, "mutations": 0, "failed": 0}
    for number in range(count):
        random = np.random.default_rng([seed, list(WRITERS).index(kind), number])
        written = WRITERS[kind](random)
        path = folder / f"{kind}{written.suffix}"
        try:
            check_valid(written, path)
            said["valid"] += 1
            said["read nevertheless"] += check_damaged(random, written, path)
            said["damaged"] += 1
            for mutation in mutations(random, written):
                check_known(mutation, written, path)
                said["mutations"] += 1
        except Exception as error:
            said["failed"] += 1
            kept = folder / f"failed-{kind}-{number}{written.suffix}"
            kept.write_bytes(path.read_bytes())
            print(f"{kept}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    return said
