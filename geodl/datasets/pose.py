"""What makes one body differ from another: proportions, and poses within the limits of human joints."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from geodl.datasets.body import BONES, NUMBER

Points = NDArray[np.float64]


def draw_proportions(random: Generator) -> Points:
    """A person: the scale ``[B, 3, 3]`` of every bone, drawn about the average body.

    Height varies by some 5 %, lengths of legs, arms and trunk by 4 % more each, girth by 10 %, the widths of
    shoulders and hips, the belly and the head on their own (one standard deviation, cut at two).
    """

    def about(deviation: float) -> float:
        return float(1 + deviation * np.clip(random.standard_normal(), -2, 2))

    height, leg, arm, trunk, head = about(0.05), about(0.04), about(0.04), about(0.035), about(0.03)
    girth, limbs = about(0.09), about(0.05)
    shoulders, hips, belly = about(0.05), about(0.05), about(0.10)
    thick = girth * limbs
    trunks = {
        "pelvis": (girth * hips, trunk, girth),
        "belly": (girth * (hips + shoulders) / 2, trunk, girth * belly),
        "chest": ((1 + girth) / 2 * shoulders, trunk, (1 + girth) / 2),
        "neck": ((1 + girth) / 2, trunk, (1 + girth) / 2),
        "head": (head, head, head),
    }
    scales = np.empty((len(BONES), 3, 3))
    for number, bone in enumerate(BONES):
        kind = bone.name.removeprefix("left ").removeprefix("right ")
        if kind in trunks:
            scales[number] = np.diag(trunks[kind])
        elif kind in ("hand", "foot"):
            scales[number] = np.eye(3) * (arm if kind == "hand" else leg) * (2 + limbs) / 3
        else:
            scales[number] = bone.scaled(leg if kind in ("thigh", "shin") else arm, thick)
    return height * scales


def draw_pose(random: Generator) -> Points:
    """A pose: rotation vectors ``[B, 3]`` of every bone relative to its parent, in radians.

    Legs stand, step, lift a knee, crouch or straddle; each arm hangs, reaches sideways, up or forwards, or
    is bent; the trunk and the head lean and turn.
    """
    turns = np.zeros((len(BONES), 3))

    def between(low: float, high: float) -> float:
        return float(np.deg2rad(random.uniform(low, high)))

    trunk = {"belly": (14, 9, 12), "chest": (10, 8, 12), "neck": (12, 8, 18), "head": (10, 8, 20)}
    lean_trunk(turns, random, trunk)
    stance = random.choice(["stand", "step", "lift", "crouch", "straddle"])
    raised = random.integers(2)
    for which, (body_side, out) in enumerate((("left", 1.0), ("right", -1.0))):
        flex, spread, knee = between(-8, 12), between(-5, 8), between(0, 15)
        if stance == "step":
            flex, knee = (
                (between(20, 40), between(5, 25)) if which == raised else (between(-25, -10), between(10, 35))
            )
        elif stance == "lift" and which == raised:
            flex, knee = between(45, 85), between(50, 100)
        elif stance == "crouch":
            flex, spread, knee = between(45, 70), between(5, 18), between(65, 95)
        elif stance == "straddle":
            spread = between(12, 26)
        turns[NUMBER[f"{body_side} thigh"]] = (-flex, 0.0, out * spread)
        turns[NUMBER[f"{body_side} shin"]] = (knee, 0.0, 0.0)
        turns[NUMBER[f"{body_side} foot"]] = (
            between(-15, 15) + (flex - knee if stance == "crouch" else 0.0) / 2,
            0.0,
            0.0,
        )

        lift, forward, elbow = {
            "hang": (between(-28, -8), between(-10, 25), between(5, 40)),
            "side": (between(20, 55), between(-10, 25), between(0, 60)),
            "up": (between(60, 90), between(-5, 25), between(0, 70)),
            "front": (between(-20, 10), between(40, 85), between(10, 70)),
            "bent": (between(-12, 15), between(-5, 35), between(60, 110)),
        }[str(random.choice(["hang", "side", "up", "front", "bent"]))]
        raise_arm(turns, body_side, lift, forward, between(-20, 20), elbow)
        turns[NUMBER[f"{body_side} hand"]] = (0.0, between(-15, 15), between(-20, 20))
    return turns


def lean_trunk(turns: Points, random: Generator, limits: Mapping[str, tuple[float, float, float]]) -> None:
    """Draws turns of the trunk, in place: by so many degrees a bone bends forwards (half backwards), leans and twists."""
    for name, (bend, lean, twist) in limits.items():
        ends = (-bend / 2, bend), (-twist, twist), (-lean, lean)
        turns[NUMBER[name]] = np.deg2rad([random.uniform(*some) for some in ends])


def raise_arm(turns: Points, side: str, lift: float, forward: float, roll: float, elbow: float) -> None:
    """Sets turns of an arm, in place, by angles in radians: upwards to the side, forwards, about itself, and at the elbow."""
    arm, forearm = (BONES[NUMBER[f"{side} {name}"]] for name in ("upper arm", "forearm"))
    axis = np.subtract(arm.end, arm.joint) / np.linalg.norm(np.subtract(arm.end, arm.joint))
    out = 1.0 if side == "left" else -1.0
    turn = Rotation.from_rotvec([0, 0, out * lift]) * Rotation.from_rotvec([-forward, 0, 0])
    turns[NUMBER[f"{side} upper arm"]] = (turn * Rotation.from_rotvec(roll * axis)).as_rotvec()
    hinge = np.cross(np.subtract(forearm.end, forearm.joint), (0, 0, 1))
    turns[NUMBER[f"{side} forearm"]] = elbow * hinge / np.linalg.norm(hinge)
