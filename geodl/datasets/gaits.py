"""Gaits: people who walk, procedural, with nothing to download."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator

from geodl.data import Motion
from geodl.data.bvh import END
from geodl.datasets.body import BONES
from geodl.datasets.body_skeleton import body_skeleton
from geodl.datasets.classification import ClassificationSet
from geodl.datasets.pose import draw_proportions
from geodl.datasets.stepping import draw_manner, walk

__all__ = ["Gaits"]

# Legs and arms, in cycles: the right leg behind the left, an arm behind the leg of its side.
_LIMBS = {
    "walk": (0.5, 0.5),
    "pace": (0.5, 0.0),
    "lead": (0.5, 0.75),
    "lag": (0.5, 0.25),
    "gallop-left": (0.3, 0.5),
    "gallop-right": (0.7, 0.5),
}
_CLASSES = tuple(_LIMBS)
_SPLITS = ("train", "val", "test")


class Gaits(ClassificationSet):
    r"""People who walk along winding paths: six gaits that differ in the order of limbs and in nothing else.

    - "walk": arms swing against the legs of their side; "pace": with them;
    - "lead": arms are a quarter of a cycle ahead of "pace"; "lag": behind it;
    - "gallop-left": the right leg comes soon after the left; "gallop-right": the left soon after the right.

    Speed, cadence, steps, posture and swing are drawn alike for all gaits, so that each joint of each gait moves alike: mean,
    deviation and extremes of the places and velocities in a clip say next to nothing about its class, and only the order of limbs
    in time does. Played backwards, "lead" is nearly "lag", and one gallop the other.

    Footprints are planned along the path and the legs reach for them, so that bones keep their lengths, and a foot that stands does
    not slide.

    An item is a :class:`~geodl.data.Motion` of a skeleton of its own (22 joints, the first of them the 17 bones of
    :class:`Puppets`, whose person of the same number and seed has these proportions; metres, y up, float32) with ``y [1]``,
    ``name`` ("walk_003_001"), ``subject``, ``phase [F]`` (of the left leg, cycles in [0, 1)) and ``contact [F, 4]`` (whether the
    joints :attr:`contact_joints` stand still on the ground).

    Args:
        num_identities: number of people.
        num_clips: of each gait and person.
        frames: length of a clip.
        frame_time: in seconds.
        seed: of everything.
        split: by people: "train" (about three fifths), "val" or "test" (a fifth each), or None for all.
        treadmill: people walk on the spot, facing z, and the ground moves.
        transform: applied to a shallow copy of the motion at every access.

    Raises:
        ValueError: no such split, or a number that is too small.
    """

    contact_joints = ("left foot", f"left foot {END}", "right foot", f"right foot {END}")

    def __init__(
        self,
        num_identities: int = 20,
        num_clips: int = 4,
        frames: int = 120,
        frame_time: float = 1 / 30,
        seed: int = 0,
        split: Literal["train", "val", "test"] | None = None,
        treadmill: bool = False,
        transform: Callable[[Motion], Motion] | None = None,
    ) -> None:
        if split not in (*_SPLITS, None):
            raise ValueError(f"split must be 'train', 'val', 'test' or None, not {split!r}")
        fewest = 1 if split is None else 3
        if num_identities < fewest:
            raise ValueError(
                f"num_identities must be at least {fewest} with split={split!r}, got {num_identities}"
            )
        if num_clips < 1 or frames < 1:
            raise ValueError(f"num_clips and frames must be positive, got {num_clips} and {frames}")
        if not 0 < frame_time < float("inf"):
            raise ValueError(f"frame_time must be positive and finite, got {frame_time}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.frames, self.frame_time, self.seed, self.treadmill = frames, frame_time, seed, treadmill
        held = max(1, round(num_identities / 5))
        ends = {
            "train": (0, num_identities - 2 * held),
            "val": (num_identities - 2 * held, num_identities - held),
        }
        first, last = (
            (0, num_identities) if split is None else ends.get(split, (num_identities - held, num_identities))
        )
        self._walks = [
            (subject, label, clip)
            for subject in range(first, last)
            for label in range(len(_CLASSES))
            for clip in range(num_clips)
        ]
        names = [f"{_CLASSES[label]}_{subject:03d}_{clip:03d}" for subject, label, clip in self._walks]
        super().__init__(names, [label for _, label, _ in self._walks], _CLASSES, transform)

    def _read(self, index: int) -> Motion:
        subject, label, clip = self._walks[index]
        scales = draw_proportions(_person(self.seed, subject))
        random = np.random.default_rng([self.seed, 4, subject, label, clip])
        manner = draw_manner(random, *_LIMBS[_CLASSES[label]])
        made = walk(scales, manner, self.frames, self.frame_time, random.random(), self.treadmill)
        skeleton = body_skeleton(scales)
        rotation = torch.eye(3).repeat(self.frames, skeleton.num_joints, 1, 1)
        rotation[:, : len(BONES)] = torch.from_numpy(made["rotation"]).float()
        return Motion(
            skeleton,
            rotation,
            torch.from_numpy(made["translation"]).float()[:, None],
            self.frame_time,
            phase=torch.from_numpy(made["phase"] % 1).float(),
            contact=torch.from_numpy(made["contact"]).float(),
            subject=subject,
        )


def _person(seed: int, subject: int) -> Generator:
    """The stream that Puppets draws a person from."""
    return np.random.default_rng([seed, 0, subject])
