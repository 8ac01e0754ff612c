"""The motions that are trained on and tested: procedural gaits, or the motion capture of Bandai-Namco."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from geodl.data import Motion, Skeleton
from geodl.datasets import BandaiNamco, Gaits

Split = Literal["train", "val", "test"]


class Names(NamedTuple):
    """Joints by what they are for: hips left and right, the ends of limbs, what is longer on the other skeleton and what is cut."""

    hips: tuple[str, str]
    limbs: tuple[tuple[str, str], ...]
    scales: dict[str, float]
    halved: tuple[str, ...]


_SEED = 100  # of the gaits, none of which anything was tuned on
_SIDES = ("left", "right")
GAITS = Names(
    ("left thigh", "right thigh"),
    tuple(
        (f"{side} {a}", f"{side} {b}")
        for side in _SIDES
        for a, b in (("thigh", "foot"), ("upper arm", "hand"))
    ),
    {"shin": 0.8, "foot": 1.15, "forearm": 1.25, "hand": 0.8, "chest": 1.2, "neck": 1.1},
    ("shin", "chest", "hand"),
)
CAPTURED = Names(
    ("UpperLeg_L", "UpperLeg_R"),
    tuple(
        (f"{a}_{side}", f"{b}_{side}")
        for side in "LR"
        for a, b in (("UpperLeg", "Foot"), ("UpperArm", "Hand"))
    ),
    {"LowerLeg": 0.8, "Foot": 1.15, "LowerArm": 1.25, "Hand": 0.8, "Chest": 1.2, "Neck": 1.1},
    ("LowerLeg", "Chest", "Hand"),
)


def names(root: Path | None) -> Names:
    return GAITS if root is None else CAPTURED


def kind(joint: str) -> str:
    """A joint's name without its side."""
    return joint.removeprefix("left ").removeprefix("right ").removesuffix("_L").removesuffix("_R")


def title(root: Path | None) -> str:
    return "Gaits, people not trained on" if root is None else "Bandai-Namco set 1, takes not trained on"


def items(data: Gaits | BandaiNamco) -> list[Motion]:
    return [data[k] for k in range(len(data))]


@cache
def motions(
    root: Path | None, split: Split, target: Literal["action", "style"] = "action", fold: int = 0
) -> Sequence[Motion]:
    """Whole motions with labels."""
    if root is None:
        return items(Gaits(40, 4, 120, split=split, treadmill=True, seed=_SEED + fold))
    return items(BandaiNamco(root, target, split, fold=fold))


def classes(root: Path | None, target: Literal["action", "style"] = "action") -> tuple[str, ...]:
    """The names of the labels."""
    return tuple((Gaits(1, 1, 1) if root is None else BandaiNamco(root, target)).classes)


def moved(root: Path | None, split: Split) -> Sequence[Motion]:
    """The same, and people walk away."""
    return items(Gaits(20, 2, 120, split=split, seed=_SEED)) if root is None else motions(root, split)


_SWAP = {"left": "right", "right": "left", "L": "R", "R": "L"}


def mirrored(positions: Tensor, skeleton: Skeleton) -> Tensor:
    """``[..., J, 3]``, right where it was left."""
    named = [
        re.sub(r"^(left|right)(?= )|(?<=_)[LR]$", lambda m: _SWAP[m[0]], name) for name in skeleton.names
    ]
    return positions[..., [skeleton.number(name) for name in named], :] * positions.new_tensor([-1.0, 1, 1])


def mirrored_labels(classes: Sequence[str]) -> list[int]:
    """Of every class, which it is seen in a mirror: "walk-left" is "walk-right"."""
    return [classes.index(re.sub("left|right", lambda m: _SWAP[m[0]], name)) for name in classes]


def windows(clips: Sequence[Tensor], frames: int, hop: int) -> Tensor:
    """All windows ``[B, frames, ...]`` of clips that are long enough."""
    cut = [clip[k : k + frames] for clip in clips for k in range(0, len(clip) - frames + 1, hop)]
    return torch.stack(cut)


def random_windows(clips: Sequence[Tensor], frames: int, count: int) -> Tensor:
    """Some ``[count, frames, ...]``, each frame of all clips as likely as any other."""
    long = [clip for clip in clips if len(clip) >= frames]
    chances = torch.tensor([float(len(clip) - frames + 1) for clip in long])
    chosen = [long[k] for k in torch.multinomial(chances, count, replacement=True).tolist()]
    starts = [int(torch.randint(len(clip) - frames + 1, ())) for clip in chosen]
    return torch.stack([clip[k : k + frames] for clip, k in zip(chosen, starts, strict=True)])
