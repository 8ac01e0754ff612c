"""A human body as a skeleton of joints and the smooth surface around it, standing with arms and legs apart.

Metres; x to its left, y up, z to the front.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Bone:
    """A rigid part that turns about ``joint`` on its ``parent``.

    ``blend`` is the distance (metres) over which the skin passes from the parent's motion to its own,
    ``end`` the far end of the bone and ``radius`` the thickness around it, which together keep poses from
    running through each other.
    """

    name: str
    parent: int
    joint: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float
    blend: float


def _mirror(point: tuple[float, float, float]) -> tuple[float, float, float]:
    return (-point[0], point[1], point[2])


_TRUNK = [
    Bone("pelvis", -1, (0, 0.96, 0), (0, 1.02, 0), 0.12, 0.0),
    Bone("belly", 0, (0, 1.05, -0.01), (0, 1.18, -0.01), 0.11, 0.08),
    Bone("chest", 1, (0, 1.20, -0.015), (0, 1.40, -0.015), 0.12, 0.08),
    Bone("neck", 2, (0, 1.465, -0.03), (0, 1.53, -0.01), 0.06, 0.04),
    Bone("head", 3, (0, 1.545, -0.005), (0, 1.68, 0.02), 0.10, 0.035),
]
_ARM = [
    Bone("upper arm", 2, (0.175, 1.415, -0.025), (0.385, 1.215, -0.035), 0.045, 0.055),
    Bone("forearm", 0, (0.385, 1.215, -0.035), (0.572, 1.035, -0.005), 0.035, 0.04),
    Bone("hand", 1, (0.572, 1.035, -0.005), (0.69, 0.915, 0.015), 0.03, 0.025),
]
_LEG = [
    Bone("thigh", 0, (0.092, 0.915, 0.0), (0.135, 0.50, 0.012), 0.07, 0.09),
    Bone("shin", 0, (0.135, 0.50, 0.012), (0.175, 0.085, -0.025), 0.05, 0.05),
    Bone("foot", 1, (0.175, 0.085, -0.025), (0.205, 0.03, 0.14), 0.035, 0.03),
]


def _skeleton() -> list[Bone]:
    bones = list(_TRUNK)
    for limb in (_ARM, _LEG):
        for side in ("left", "right"):
            first = len(bones)
            for k, bone in enumerate(limb):
                place = (lambda p: p) if side == "left" else _mirror
                bones.append(
                    dataclasses.replace(
                        bone,
                        name=f"{side} {bone.name}",
                        parent=bone.parent if k == 0 else first + bone.parent,
                        joint=place(bone.joint),
                        end=place(bone.end),
                    )
                )
    return bones


BONES = _skeleton()
NUMBER = {bone.name: k for k, bone in enumerate(BONES)}


@dataclasses.dataclass(frozen=True)
class Part:
    """A piece of the surface that belongs to a bone: an ellipsoid, or (``to`` given) a tapered capsule."""

    bone: str
    at: tuple[float, float, float]
    size: tuple[float, float, float]
    to: tuple[float, float, float] | None = None
    along: tuple[float, float, float] | None = None


def _capsule(
    bone: str, at: tuple[float, float, float], to: tuple[float, float, float], r0: float, r1: float
) -> Part:
    return Part(bone, at, (r0, r1, 0.0), to)


_MIDDLE = [
    Part("pelvis", (0, 0.970, -0.004), (0.136, 0.125, 0.088)),
    Part("belly", (0, 1.10, 0.0), (0.120, 0.150, 0.084)),
    Part("chest", (0, 1.29, -0.012), (0.142, 0.165, 0.092)),
    _capsule("neck", (0, 1.43, -0.035), (0, 1.56, -0.010), 0.050, 0.044),
    Part("head", (0, 1.665, 0.004), (0.072, 0.102, 0.088)),
    Part("head", (0, 1.606, 0.034), (0.048, 0.048, 0.046)),
    _capsule("head", (0, 1.668, 0.074), (0, 1.640, 0.088), 0.004, 0.009),
]
_HAND = (0.689, -0.707, 0.118)
_SIDES = [
    Part("pelvis", (0.070, 0.910, -0.052), (0.070, 0.082, 0.062)),
    Part("chest", (0.070, 1.325, 0.044), (0.064, 0.056, 0.034)),
    Part("chest", (0.078, 1.36, -0.056), (0.066, 0.095, 0.036)),
    _capsule("chest", (0.02, 1.462, -0.035), (0.140, 1.425, -0.028), 0.034, 0.042),
    Part("upper arm", (0.190, 1.395, -0.026), (0.052, 0.056, 0.048)),
    _capsule("upper arm", (0.190, 1.400, -0.027), (0.375, 1.225, -0.034), 0.041, 0.032),
    Part("upper arm", (0.290, 1.306, -0.014), (0.060, 0.034, 0.030), along=(0.727, -0.687, 0.0)),
    _capsule("forearm", (0.398, 1.202, -0.033), (0.572, 1.035, -0.005), 0.033, 0.020),
    Part("forearm", (0.440, 1.160, -0.028), (0.065, 0.034, 0.032), along=(0.72, -0.69, 0.08)),
    Part("hand", (0.614, 0.992, 0.004), (0.058, 0.021, 0.040), along=_HAND),
    # Blunt ends: a tip thinner than a triangle would be cut off, each time in another place.
    _capsule("hand", (0.638, 0.967, -0.010), (0.688, 0.916, -0.004), 0.017, 0.015),
    _capsule("hand", (0.638, 0.967, 0.026), (0.688, 0.916, 0.030), 0.017, 0.015),
    _capsule("hand", (0.592, 1.012, 0.022), (0.626, 0.966, 0.070), 0.017, 0.015),
    _capsule("thigh", (0.090, 0.90, 0.004), (0.133, 0.52, 0.014), 0.084, 0.046),
    Part("shin", (0.135, 0.500, 0.026), (0.032, 0.045, 0.026)),
    _capsule("shin", (0.136, 0.48, 0.006), (0.175, 0.10, -0.022), 0.042, 0.027),
    Part("shin", (0.148, 0.375, -0.020), (0.044, 0.110, 0.042)),
    _capsule("foot", (0.175, 0.075, -0.025), (0.174, 0.040, -0.050), 0.026, 0.031),
    _capsule("foot", (0.176, 0.060, -0.005), (0.196, 0.036, 0.085), 0.032, 0.025),
    _capsule("foot", (0.184, 0.034, 0.070), (0.188, 0.029, 0.148), 0.022, 0.019),
    _capsule("foot", (0.208, 0.032, 0.060), (0.222, 0.028, 0.132), 0.022, 0.019),
]


def _parts() -> list[Part]:
    parts = list(_MIDDLE)
    for part in _SIDES:
        trunk = part.bone in NUMBER
        for side in ("left", "right"):
            place = (lambda p: p) if side == "left" else _mirror
            parts.append(
                dataclasses.replace(
                    part,
                    bone=part.bone if trunk else f"{side} {part.bone}",
                    at=place(part.at),
                    to=None if part.to is None else place(part.to),
                    along=None if part.along is None else place(part.along),
                )
            )
    return parts


PARTS = _parts()
LOW, HIGH = np.array([-0.78, -0.03, -0.22]), np.array([0.78, 1.82, 0.26])

# Softness of the joins between parts, and how far a part is felt beyond its border (exp(-9) of its
# weight is left there), in metres.
_SOFTNESS = 0.016
_REACH = 9 * _SOFTNESS


def _distance(part: Part, points: Points) -> tuple[Points, Points]:
    """Approximate signed distance ``[n]`` of points ``[n, 3]`` to a part, and its direction ``[n, 3]``."""
    offset = points - part.at
    if part.to is not None:
        axis = np.subtract(part.to, part.at)
        along = np.clip(offset @ axis / (axis @ axis), 0.0, 1.0)
        away = offset - along[:, None] * axis
        length = np.maximum(np.linalg.norm(away, axis=1), 1e-12)
        return length - part.size[0] - along * (part.size[1] - part.size[0]), away / length[:, None]
    frame = np.eye(3)
    if part.along is not None:
        first = np.array(part.along) / np.linalg.norm(part.along)
        third = np.array([0.0, 0.0, 1.0]) - first[2] * first
        third /= np.linalg.norm(third)
        frame = np.stack([first, np.cross(third, first), third])
    local = offset @ frame.T
    scaled = np.maximum(np.linalg.norm(local / part.size, axis=1), 1e-12)
    slope = local / np.square(part.size)
    steepness = np.maximum(np.linalg.norm(slope, axis=1), 1e-9)
    return scaled * (scaled - 1) / steepness, slope / steepness[:, None] @ frame


def body(points: Points) -> tuple[Points, Points]:
    r"""Implicit surface of the body: the smooth union of its parts, negative inside.

    .. math:: f(x) = -s \log \sum_k \exp(-d_k(x) / s)

    with :math:`d_k` the distance to part k and s the softness of the joins.

    Args:
        points: ``[n, 3]`` float64, metres.

    Returns:
        ``[n]`` about the distance to the surface, and ``[n, 3]`` about its gradient.
    """
    total = np.full(len(points), 1e-300)
    slope = np.zeros((len(points), 3))
    for part in PARTS:
        ends = np.array([part.at, part.at if part.to is None else part.to])
        margin = max(part.size) + _REACH
        near = ((points > ends.min(axis=0) - margin) & (points < ends.max(axis=0) + margin)).all(axis=1)
        distance, direction = _distance(part, points[near])
        weight = np.exp(-distance / _SOFTNESS)
        total[near] += weight
        slope[near] += weight[:, None] * direction
    return -_SOFTNESS * np.log(total), slope / total[:, None]


def nearest_bone(points: Points) -> NDArray[np.int64]:
    """Number of the bone whose parts are nearest to each of the points ``[n, 3]``."""
    owner = np.array([NUMBER[part.bone] for part in PARTS])
    nearest = np.stack([_distance(part, points)[0] for part in PARTS]).argmin(axis=0)
    return np.asarray(owner[nearest])
