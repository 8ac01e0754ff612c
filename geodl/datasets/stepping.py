"""How a body walks along a path: footprints are planned, legs reach for them, arms and trunk swing along."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from geodl.datasets.body import BONES, NUMBER

Points = NDArray[np.float64]

SIDES = ("left", "right")
_OUT = (1.0, -1.0)  # x of a side
_FINE = 240  # steps a second in which paths are integrated
_MARGIN = 2.5  # seconds before and after, for the footprints that lie there
_REACH = 0.995  # of a straight leg


@dataclasses.dataclass(frozen=True)
class Manner:
    """How somebody walks; angles in radians, lengths in metres."""

    speed: float
    legs: float  # how much of a cycle the right leg is behind the left
    arms: float  # how much of a cycle an arm is behind the leg of its side
    trunk: float  # how much of a cycle hips and trunk are ahead of where they are when people walk
    cadence: float  # cycles a second
    duty: float  # the part of a cycle that a foot stands
    lift: float  # of the swinging foot
    roll: float  # of the foot over its toes, at the end of its stand
    bob: float  # of the hips
    sway: float  # of the hips, to the standing foot
    width: float  # of the track, in widths of the hips
    lean: float  # of the trunk
    swing: float  # of the arms
    elbow: float
    spread: float  # of the arms from the body
    twist: float  # of hips and shoulders, against one another
    bends: tuple[tuple[float, float, float], ...]  # of the path: size (radians a second), frequency, phase


def draw_manner(random: Generator, legs: float, arms: float) -> Manner:
    """A manner of walking, slow to jogging; but for ``legs`` and ``arms`` all are drawn alike."""

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    speed = between(0.6, 2.0)
    pace = (speed - 0.6) / 1.4
    duty = 0.66 - 0.22 * pace + between(-0.02, 0.02)
    return Manner(
        speed=speed,
        legs=legs + between(-0.03, 0.03),
        arms=arms + between(-0.04, 0.04),
        # Were it the same for all, hands and feet would be shaken more in one gait than in another.
        trunk=between(0, 1),
        cadence=(0.80 + 0.55 * pace) * between(0.93, 1.07),
        duty=duty,
        lift=between(0.06, 0.12) + 0.10 * pace,
        roll=between(0.5, 0.9),
        bob=0.2 * (duty - 0.53) + between(-0.006, 0.006),
        sway=between(0.005, 0.025),
        width=between(0.5, 1.2),
        lean=between(-0.02, 0.08) + 0.12 * pace,
        swing=between(0.25, 0.5) + 0.25 * pace,
        elbow=between(0.15, 0.5) + 0.9 * pace,
        spread=between(-0.55, -0.35),
        twist=between(0.04, 0.14),
        bends=tuple((between(-0.45, 0.45), between(0.03, 0.15), between(0, 2 * np.pi)) for _ in range(2)),
    )


def walk(
    scales: Points, manner: Manner, frames: int, frame_time: float, start: float, treadmill: bool = False
) -> dict[str, NDArray[np.float64]]:
    """A walk on the plane y = 0; it begins at the origin, to +z, or is seen from a treadmill and stays there.

    Args:
        scales: ``[B, 3, 3]`` of every bone, as :func:`geodl.datasets.pose.draw_proportions` draws them.
        manner: how.
        frames: ``F``.
        frame_time: in seconds.
        start: phase of the first frame, in cycles.
        treadmill: take the path's shift and turn away.

    Returns:
        ``rotation [F, B, 3, 3]`` relative to the parent, ``translation [F, 3]`` of the pelvis, ``phase [F]`` in cycles
        (the left foot comes down at whole numbers), ``contact [F, 4]`` (left ankle, left toes, right ankle, right toes; 1 where
        it stands still).
    """
    time = np.arange(frames, dtype=np.float64) * frame_time
    fine = np.arange(-_MARGIN, time[-1] + _MARGIN, 1 / _FINE)
    turn = sum(size * np.sin(2 * np.pi * often * fine + begin) for size, often, begin in manner.bends)
    heading = np.cumsum(turn) / _FINE
    heading -= np.interp(0, fine, heading)
    place = np.cumsum(manner.speed * np.stack([np.sin(heading), np.cos(heading)], 1), 0) / _FINE
    place -= [np.interp(0, fine, place[:, axis]) for axis in (0, 1)]

    def at(moment: Points) -> tuple[Points, Points]:
        """Place on the ground ``[..., 3]`` and heading ``[...]``."""
        x, z = (np.interp(moment, fine, place[:, axis]) for axis in (0, 1))
        return np.stack([x, np.zeros_like(x), z], -1), np.interp(moment, fine, heading)

    phase = start + manner.cadence * time
    rest = {bone.name: np.array(bone.joint) for bone in BONES}

    def bone(name: str, to: str | None = None) -> Points:
        """From a joint to the next one, or to the end of the bone, in the axes of the resting body."""
        number = NUMBER[name]
        along: Points = scales[number] @ ((BONES[number].end if to is None else rest[to]) - rest[name])
        return along

    # Feet: the toes lie on their footprint while they stand, and the foot rolls over them.
    toes, pitch, yaw, contact = [], [], [], np.zeros((frames, 4))
    for side, name in enumerate(SIDES):
        own = phase - side * manner.legs
        number, part = np.floor(own), own % 1
        stands = part < manner.duty
        hip = (scales[0] @ (rest[f"{name} thigh"] - rest["pelvis"]))[0]
        foot = bone(f"{name} foot")
        sole = 0.03 * scales[NUMBER[f"{name} foot"]][1, 1]

        def footprint(
            step: Points, side: int = side, hip: float = hip, foot: Points = foot, sole: float = sole
        ) -> tuple[Points, Points]:
            middle = (step + manner.duty / 2 + side * manner.legs - start) / manner.cadence
            ground, facing = at(middle)
            shift = _about_y(facing) @ np.array([manner.width * hip + foot[0], sole, 0.75 * foot[2]])
            return ground + shift, facing

        here, facing = footprint(number)
        there, next_facing = footprint(number + 1)
        flown = np.clip((part - manner.duty) / (1 - manner.duty), 0, 1)
        smooth = flown**3 * (10 - 15 * flown + 6 * flown**2)
        toe = here + smooth[:, None] * (there - here)
        toe[:, 1] += manner.lift * np.sin(np.pi * flown) ** 2
        rolling = np.clip((part / manner.duty - 0.55) / 0.45, 0, 1)
        lifted = rolling * rolling * (3 - 2 * rolling)
        toes.append(toe)
        pitch.append(
            manner.roll * np.where(stands, lifted, (1 - smooth) ** 2 - 0.35 * np.sin(np.pi * smooth) ** 2)
        )
        yaw.append(facing + smooth * (next_facing - facing))
        contact[:, 2 * side] = stands & (rolling == 0)
        contact[:, 2 * side + 1] = stands

    # The trunk.
    cycle: Points = 2 * np.pi * (phase + manner.trunk)
    ground, facing = at(time)
    middle = cycle - np.pi * (manner.duty - 0.5)  # between the middles of the two stands
    turned = {
        "pelvis": _turn(manner.lean / 3, facing + manner.twist * np.cos(cycle) * -0.5, 0.03 * np.sin(cycle)),
        "belly": _turn(manner.lean / 3, 0.5 * manner.twist * np.cos(cycle), -0.03 * np.sin(cycle)),
        "chest": _turn(manner.lean / 3, 0.0 * cycle, 0.0),
        "neck": _turn(-0.3 * manner.lean, 0.0 * cycle, 0.0),
        "head": _turn(-0.4 * manner.lean, 0.0 * cycle, 0.0),
    }
    hips = ground + manner.sway * np.sin(cycle - np.pi * (manner.duty - 0.5))[:, None] * (
        _about_y(facing) @ np.array([1.0, 0, 0])
    )
    hips[:, 1] = manner.bob * np.cos(2 * middle - np.pi)

    # Arms: they swing with the legs, those of the other side or their own.
    local = np.tile(np.eye(3), (frames, len(BONES), 1, 1))
    for side, name in enumerate(SIDES):
        along = np.cos(2 * np.pi * (phase - side * manner.legs - manner.arms))
        forward = manner.swing * along + 0.05
        lift = Rotation.from_rotvec([0, 0, _OUT[side] * manner.spread])
        local[:, NUMBER[f"{name} upper arm"]] = (
            lift * Rotation.from_rotvec(np.stack([-forward, 0 * forward, 0 * forward], 1))
        ).as_matrix()
        hinge = np.cross(
            np.subtract(BONES[NUMBER[f"{name} forearm"]].end, rest[f"{name} forearm"]), (0, 0, 1)
        )
        bend = manner.elbow + 0.3 * manner.swing * (along + 1)
        local[:, NUMBER[f"{name} forearm"]] = Rotation.from_rotvec(
            bend[:, None] * hinge / np.linalg.norm(hinge)
        ).as_matrix()
    for name, rotation in turned.items():
        local[:, NUMBER[name]] = rotation
    pelvis = local[:, 0]

    # Legs reach for the ankles; the hips are as low as the farthest of them asks for.
    foot_turn = [_about_y(yaw[side]) @ _turn(pitch[side], 0.0, 0.0) for side in range(2)]
    ankle = [toes[side] - foot_turn[side] @ bone(f"{name} foot") for side, name in enumerate(SIDES)]
    joint = [pelvis @ (scales[0] @ (rest[f"{name} thigh"] - rest["pelvis"])) for name in SIDES]
    drop = np.inf
    for side, name in enumerate(SIDES):
        long = np.linalg.norm(bone(f"{name} thigh", f"{name} shin")) + np.linalg.norm(
            bone(f"{name} shin", f"{name} foot")
        )
        gap = ankle[side] - hips - joint[side]
        high = np.sqrt(np.maximum((_REACH * long) ** 2 - gap[:, 0] ** 2 - gap[:, 2] ** 2, 0.0))
        drop = min(drop, float((high + gap[:, 1]).min()))
    hips[:, 1] += drop
    for side, name in enumerate(SIDES):
        pole = _about_y((facing + yaw[side]) / 2) @ np.array([_OUT[side] * 0.08, 0, 1.0])
        thigh, shin = bone(f"{name} thigh", f"{name} shin"), bone(f"{name} shin", f"{name} foot")
        reached = _reach(ankle[side] - hips - joint[side], thigh, shin, pole)
        world = [pelvis, *reached, foot_turn[side]]
        for k, limb in enumerate(("thigh", "shin", "foot")):
            local[:, NUMBER[f"{name} {limb}"]] = world[k].transpose(0, 2, 1) @ world[k + 1]
    if treadmill:
        back = _about_y(-facing)
        hips = (back @ (hips - ground)[..., None])[..., 0]
        local[:, 0] = back @ local[:, 0]
    return {"rotation": local, "translation": hips, "phase": phase, "contact": contact}


def _about_y(angle: Points) -> Points:
    made: Points = Rotation.from_rotvec(np.multiply.outer(angle, [0, 1.0, 0])).as_matrix()
    return made


def _turn(forward: float | Points, about: float | Points, aside: float | Points) -> Points:
    """``[F, 3, 3]``: about z, then x, then y."""
    angles = np.stack(np.broadcast_arrays(about, forward, aside), -1)
    made: Points = Rotation.from_euler("YXZ", np.atleast_2d(angles)).as_matrix()
    return made


def _reach(target: Points, thigh: Points, shin: Points, pole: Points) -> tuple[Points, Points]:
    """World rotations ``[F, 3, 3]`` of the two bones of a leg whose end is to come to ``target [F, 3]``, bent towards ``pole``."""
    one, two = np.linalg.norm(thigh), np.linalg.norm(shin)
    distance = np.clip(np.linalg.norm(target, axis=1), abs(one - two) + 1e-9, one + two)
    along = target / np.linalg.norm(target, axis=1, keepdims=True)
    aside = pole - (pole * along).sum(1, keepdims=True) * along
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    share = (one**2 + distance**2 - two**2) / (2 * distance)
    out = np.sqrt(np.maximum(one**2 - share**2, 0.0))
    knee = share[:, None] * along + out[:, None] * aside
    front = np.array([0, 0, 1.0])
    return (
        _frame(knee, pole) @ _frame(thigh[None], front[None]).transpose(0, 2, 1),
        _frame(target - knee, pole) @ _frame(shin[None], front[None]).transpose(0, 2, 1),
    )


def _frame(along: Points, front: Points) -> Points:
    """Orthonormal frames ``[n, 3, 3]`` whose first column lies along the bone, the second towards the front."""
    first = along / np.linalg.norm(along, axis=1, keepdims=True)
    second = front - (front * first).sum(1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], -1)
