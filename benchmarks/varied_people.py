"""People whose proportions and poses go further than those of Puppets: what is learned from them holds for scanned ones."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from geodl.datasets.body import BODY, BONES, NUMBER
from geodl.datasets.pose import draw_pose, draw_proportions, lean_trunk, raise_arm
from geodl.datasets.skinning import untangle

Points = NDArray[np.float64]

# Standard deviations of the logarithm of lengths and thicknesses, and of what the two sides differ by.
_LENGTH, _GIRTH, _SIDES = 0.10, 0.16, 0.02
# Of the poses, those of Puppets; and of the other ones, those with both sides alike but for some degrees.
_PUPPETS, _ALIKE = 0.4, 0.4


def draw_person(random: Generator) -> tuple[Points, Points]:
    """Scales ``[B, 3, 3]`` and turns ``[B, 3]`` of the bones, as :func:`geodl.datasets.skinning.skin` takes them."""
    scales = draw_proportions(random)
    drawn: dict[str, Points] = {}
    for number, bone in enumerate(BONES):
        kind = bone.name.removeprefix("left ").removeprefix("right ")
        if kind not in drawn:
            drawn[kind] = np.clip(random.standard_normal(3), -2, 2)
        across, deep, long = np.exp((_GIRTH, _GIRTH, _LENGTH) * drawn[kind]) * np.exp(
            _SIDES * random.standard_normal()
        )
        if kind in ("pelvis", "belly", "chest", "neck", "head"):
            scales[number] = np.diag((across, long, deep)) @ scales[number]
        elif kind in ("hand", "foot"):
            scales[number] = scales[number] * np.sqrt(across * long)
        else:
            scales[number] = bone.scaled(long, across) @ scales[number]
    turns = draw_pose(random) if random.random() < _PUPPETS else _free_pose(random)
    turns = untangle(
        BODY, scales, turns + np.deg2rad(3) * np.clip(random.standard_normal(turns.shape), -2, 2)
    )
    turns[0] = 0.0
    return scales, turns


def _free_pose(random: Generator) -> Points:
    """Every joint anywhere within its limits."""
    turns = np.zeros((len(BONES), 3))

    def between(low: float, high: float) -> float:
        return float(np.deg2rad(random.uniform(low, high)))

    trunk = {"belly": (20, 12, 15), "chest": (20, 12, 15), "neck": (15, 10, 20), "head": (15, 10, 25)}
    lean_trunk(turns, random, trunk)
    alike = random.random() < _ALIKE, random.random() < _ALIKE
    arm = leg = np.zeros(0)
    for first, (side, out) in ((True, ("left", 1.0)), (False, ("right", -1.0))):
        if first or not alike[0]:
            straight = random.random() < 0.4
            leg = np.array(
                [between(-15, 15), between(-4, 12), between(-10, 15), between(0, 20)]
                if straight
                else [between(-30, 100), between(-5, 50), between(-20, 50), between(0, 130)]
            )
        if first or not alike[1]:
            arm = np.array([between(-40, 95), between(-30, 110), between(-60, 60), between(0, 135)])
        flex, spread, twist, knee = leg
        thigh = (
            Rotation.from_rotvec([0, 0, out * spread])
            * Rotation.from_rotvec([-flex, 0, 0])
            * Rotation.from_rotvec([0, out * twist, 0])
        )
        turns[NUMBER[f"{side} thigh"]] = thigh.as_rotvec()
        turns[NUMBER[f"{side} shin"]] = (knee, 0.0, 0.0)
        turns[NUMBER[f"{side} foot"]] = (between(-20, 30), 0.0, 0.0)
        lift, forward, roll, elbow = arm
        raise_arm(turns, side, lift, forward, roll, elbow)
        turns[NUMBER[f"{side} hand"]] = (between(-20, 20), between(-20, 20), between(-40, 40))
    return turns
