"""BVH files: a skeleton and how its joints turn, as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.data.skeleton import Skeleton
from geodl.data.whole_file import whole_file
from geodl.geometry import euler_angles_to_matrix, matrix_to_euler_angles

END = "End Site"  # the file's word for the end of a bone, which has no name

_ORDER = "ZXY"  # of the angles that are written
_ROUNDING = 1e-6


@dataclass
class _Joint:
    name: str
    parent: int
    offset: list[float] | None = None
    channels: list[str] | None = None  # "x" a position along the axis, "X" a turn about it


def read_bvh(path: Path) -> tuple[Skeleton, Tensor, Tensor, Tensor | None, float]:
    """Skeleton, rotation, translation, offsets (None where bones are rigid) and frame time, all float64; see ``Motion.load``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: what the file holds is no motion, or not all of it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such BVH file")
    try:
        data = path.read_bytes()
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:  # names of joints in an older code
            text = data.decode("latin-1")
        joints, rest = _hierarchy(text)
        offsets = [_offset(joint) for joint in joints]
        numbers, frame_time = _frames(text[rest:], sum(len(joint.channels or ()) for joint in joints))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except StopIteration as error:
        raise ValueError(f"{path}: the BVH file is cut short within its skeleton") from error

    skeleton = Skeleton(
        tuple(joint.name for joint in joints),
        torch.tensor([joint.parent for joint in joints]),
        torch.tensor(offsets, dtype=torch.float64),
    )
    values = torch.from_numpy(numbers)
    rotation = torch.eye(3, dtype=torch.float64).repeat(len(values), len(joints), 1, 1)
    place = skeleton.offsets.repeat(len(values), 1, 1)
    column = 0
    for number, joint in enumerate(joints):
        channels = joint.channels or []
        turns = [k for k, channel in enumerate(channels, column) if channel.isupper()]
        if turns:
            order = "".join(channels[k - column] for k in turns)
            rotation[:, number] = euler_angles_to_matrix(values[:, turns].deg2rad(), order)
        for k, channel in enumerate(channels, column):
            if channel.islower():
                place[:, number, "xyz".index(channel)] = values[:, k]
        column += len(channels)
    inner = skeleton.parents >= 0
    moved = (place - skeleton.offsets)[:, inner].abs()
    rigid = not moved.numel() or float(moved.max()) <= _ROUNDING * float(skeleton.offsets[inner].abs().max())
    return skeleton, rotation, place[:, skeleton.roots], None if rigid else place, frame_time


def _hierarchy(text: str) -> tuple[list[_Joint], int]:
    """The joints, and where the motion begins."""
    tokens = re.finditer(r"[{}]|[^\s{}]+", text)
    first = next(tokens, None)
    if first is None or first[0].upper() != "HIERARCHY":
        raise ValueError("not a BVH file: it does not begin with HIERARCHY")
    joints: list[_Joint] = []
    above: list[int] = []  # the joints whose braces are open
    for token in tokens:
        word = token[0].upper()
        if word == "MOTION" and not above:
            if not joints:
                raise ValueError("the skeleton has no joints")
            return joints, token.end()
        if word in ("ROOT", "JOINT", "END"):
            if (word == "ROOT") != (not above):
                where = f"within joint {joints[above[-1]].name}" if above else "outside of every ROOT"
                raise ValueError(f"damaged skeleton: {token[0]} {where}")
            name = _name(tokens)
            parent = above[-1] if above else -1
            joints.append(_Joint(f"{joints[parent].name} {END}" if word == "END" else name, parent))
            above.append(len(joints) - 1)
        elif word == "}" and above:
            above.pop()
        elif word == "OFFSET" and above:
            if joints[above[-1]].offset is not None:
                raise ValueError(f"damaged skeleton: joint {joints[above[-1]].name} has two offsets")
            joints[above[-1]].offset = [_number(next(tokens)[0], joints[above[-1]]) for _ in range(3)]
        elif word == "CHANNELS" and above:
            if joints[above[-1]].channels is not None:
                raise ValueError(
                    f"damaged skeleton: joint {joints[above[-1]].name} has two lists of channels"
                )
            joints[above[-1]].channels = _channels(tokens, joints[above[-1]])
        else:
            where = f"joint {joints[above[-1]].name}" if above else "the skeleton"
            raise ValueError(f"damaged skeleton: {where} holds {token[0][:40]!r}")
    raise StopIteration


def _offset(joint: _Joint) -> list[float]:
    if joint.offset is None:
        raise ValueError(f"damaged skeleton: joint {joint.name} has no offset")
    return joint.offset


def _name(tokens: Iterator[re.Match[str]]) -> str:
    words: list[str] = []
    while (word := next(tokens)[0]) != "{":
        if word == "}":
            raise ValueError(f"damaged skeleton: joint {' '.join(words)!r} is closed before it is opened")
        words.append(word)
    return " ".join(words)


def _number(word: str, joint: _Joint) -> float:
    try:
        value = _float(word)
    except ValueError:
        raise ValueError(f"damaged skeleton: the offset of joint {joint.name} holds {word[:40]!r}") from None
    if not np.isfinite(value):
        raise ValueError(f"the offset of joint {joint.name} is NaN or infinite")
    return value


def _float(word: str) -> float:
    if "_" in word:  # in Python alone 1_0 is ten
        raise ValueError(f"could not convert string to float: {word[:40]!r}")
    return float(word)


def _channels(tokens: Iterator[re.Match[str]], joint: _Joint) -> list[str]:
    count = next(tokens)[0]
    if not count.isdecimal():
        raise ValueError(f"damaged skeleton: joint {joint.name} has {count[:40]!r} channels")
    channels = []
    for _ in range(int(count)):
        word = next(tokens)[0]
        kind, axis = word[1:].lower(), word[0].lower()
        if axis not in "xyz" or kind not in ("position", "rotation"):
            raise ValueError(f"damaged skeleton: joint {joint.name} has the unknown channel {word[:40]!r}")
        channels.append(axis if kind == "position" else axis.upper())
    if any(channels.count(axis) > 1 for axis in "xyz"):
        raise ValueError(f"joint {joint.name} has two positions along one axis")
    return channels


def _frames(text: str, channels: int) -> tuple[NDArray[np.float64], float]:
    head = re.match(r"\s*Frames\s*:\s*(\S+)\s+Frame\s*Time\s*:\s*(\S+)", text, re.IGNORECASE)
    if head is None or not head[1].isdecimal():
        raise ValueError(
            "cut short or damaged: MOTION must be followed by 'Frames: ' and 'Frame Time: ' with numbers"
        )
    try:
        frame_time = float(head[2])
        if odd := re.search(r"\S*_\S*", text[head.end() :]):
            _float(odd[0])
        values = np.array(text[head.end() :].split(), dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"damaged: the frames hold what is no number ({error})") from None
    frames = int(head[1])
    if not frames:
        raise ValueError("the motion has no frames")
    if not channels:
        raise ValueError("the motion has no channels: no joint moves")
    if not 0 < frame_time < np.inf:
        raise ValueError(f"damaged: the frame time must be positive, it is {head[2]}")
    if values.size != frames * channels:
        told = "cut short" if values.size < frames * channels else "damaged"
        raise ValueError(
            f"{told}: {frames} frames of {channels} channels are announced, which is {frames * channels} numbers, "
            f"but there are {values.size}"
        )
    values = values.reshape(frames, channels)
    if (bad := ~np.isfinite(values).all(1)).any():
        raise ValueError(f"{bad.sum()} frames hold NaN or infinite numbers, first frame {bad.argmax()}")
    return values, frame_time


def write_bvh(
    path: Path,
    skeleton: Skeleton,
    rotation: Tensor,
    translation: Tensor,
    offsets: Tensor | None,
    frame_time: float,
) -> None:
    """Writes what :func:`read_bvh` reads; a reader sees the old file or the whole new one.

    Raises:
        ValueError: numbers that are NaN or infinite, matrices that are no rotations, or a name that can't be written.
    """
    joints, parents = skeleton.num_joints, skeleton.parents.tolist()
    rotation, rest = rotation.detach().cpu().double(), skeleton.offsets.detach().cpu().double()
    place = (rest.repeat(len(rotation), 1, 1) if offsets is None else offsets).detach().cpu().double().clone()
    place[:, skeleton.roots.cpu()] = translation.detach().cpu().double()
    for told, values in (("rotation", rotation), ("translation or offsets", place), ("skeleton", rest)):
        if not bool(values.isfinite().all()):
            raise ValueError(f"{told} holds NaN or infinite numbers: they can't be written")
    eye = torch.eye(3, dtype=torch.float64)
    off = (rotation.mT @ rotation - eye).abs().amax((-1, -2)).maximum((rotation.det() - 1).abs()).amax(0)
    if float(off.max()) > 1e-3:
        worst = skeleton.names[int(off.argmax())]
        raise ValueError(f"the matrices of joint {worst} are no rotations (off by {float(off.max()):.2g})")
    moves = [parent < 0 or bool((place[:, j] != rest[j]).any()) for j, parent in enumerate(parents)]
    turns = [bool((rotation[:, j] != eye).any()) for j in range(joints)]
    children: list[list[int]] = [[] for _ in range(joints)]
    for joint, parent in enumerate(parents):
        if parent >= 0:
            children[parent].append(joint)

    lines, columns = ["HIERARCHY"], []
    opened = [(joint, 0) for joint, parent in reversed(list(enumerate(parents))) if parent < 0]
    while opened:
        joint, depth = opened.pop()
        tab = "\t" * depth
        if joint < 0:
            lines.append(f"{tab}}}")
            continue
        name, parent = skeleton.names[joint], parents[joint]
        if re.search(r"[{}\r\n]", name):
            raise ValueError(f"a name in a BVH file has no braces and one line, not {name!r}")
        end = (
            parent >= 0
            and name == f"{skeleton.names[parent]} {END}"
            and not (children[joint] or moves[joint] or turns[joint])
        )
        lines += [f"{tab}{END}" if end else f"{tab}{'ROOT' if parent < 0 else 'JOINT'} {name}", f"{tab}{{"]
        lines.append(f"{tab}\tOFFSET {_text(rest[joint].tolist())}")
        if not end:
            kinds = [f"{a}position" for a in "XYZ"] * moves[joint] + [f"{a}rotation" for a in _ORDER]
            lines.append(f"{tab}\tCHANNELS {len(kinds)} {' '.join(kinds)}")
            if moves[joint]:
                columns.append(place[:, joint])
            columns.append(matrix_to_euler_angles(rotation[:, joint], _ORDER).rad2deg())
        opened.append((-1, depth))
        opened += [(child, depth + 1) for child in reversed(children[joint])]
    lines += ["MOTION", f"Frames: {len(rotation)}", f"Frame Time: {frame_time:.12g}"]
    lines += [_text(row) for row in torch.cat(columns, 1).tolist()]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _text(numbers: list[float]) -> str:
    return " ".join(f"{number:.12g}" for number in numbers)
