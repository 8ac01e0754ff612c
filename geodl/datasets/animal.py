"""A four-legged animal as a skeleton and the surface around it, species by their proportions, and poses.

Metres; x to its left, y up, z to the front. The resting animal is the mean of all species; a species scales its bones.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from geodl.datasets.rig import Bone, Part, Rig, both_sides, capsule, with_sides

Points = NDArray[np.float64]

_TRUNK = [
    Bone("hips", -1, (0, 0.72, -0.32), (0, 0.72, -0.42), 0.10, 0.0),
    Bone("belly", 0, (0, 0.74, -0.18), (0, 0.71, 0.02), 0.11, 0.12),
    Bone("chest", 1, (0, 0.74, 0.06), (0, 0.70, 0.30), 0.12, 0.12),
    Bone("neck", 2, (0, 0.80, 0.34), (0, 0.97, 0.50), 0.07, 0.09),
    Bone("head", 3, (0, 1.00, 0.53), (0, 1.02, 0.64), 0.07, 0.06),
    Bone("muzzle", 4, (0, 1.00, 0.66), (0, 0.94, 0.82), 0.04, 0.05),
    Bone("tail", 0, (0, 0.77, -0.48), (0, 0.68, -0.66), 0.03, 0.05),
    Bone("tail middle", 6, (0, 0.68, -0.66), (0, 0.55, -0.79), 0.025, 0.05),
    Bone("tail end", 7, (0, 0.55, -0.79), (0, 0.40, -0.87), 0.025, 0.05),
]
_EAR = [Bone("ear", 4, (0.055, 1.085, 0.535), (0.105, 1.215, 0.52), 0.02, 0.035)]
_FORELEG = [
    Bone("upper foreleg", 2, (0.105, 0.62, 0.27), (0.115, 0.37, 0.25), 0.045, 0.09),
    Bone("lower foreleg", 0, (0.115, 0.37, 0.25), (0.115, 0.09, 0.265), 0.03, 0.05),
    Bone("forepaw", 1, (0.115, 0.09, 0.265), (0.115, 0.03, 0.345), 0.03, 0.035),
]
_HINDLEG = [
    Bone("thigh", 0, (0.095, 0.64, -0.38), (0.115, 0.38, -0.33), 0.05, 0.09),
    Bone("hock", 0, (0.115, 0.38, -0.33), (0.115, 0.10, -0.44), 0.03, 0.05),
    Bone("hindpaw", 1, (0.115, 0.10, -0.44), (0.115, 0.03, -0.36), 0.03, 0.035),
]
BONES = both_sides([_EAR, _FORELEG, _HINDLEG], _TRUNK)

_MIDDLE = [
    Part("hips", (0, 0.72, -0.36), (0.125, 0.135, 0.145)),
    Part("belly", (0, 0.70, -0.10), (0.130, 0.140, 0.250)),
    Part("chest", (0, 0.69, 0.19), (0.130, 0.165, 0.200)),
    capsule("neck", (0, 0.78, 0.28), (0, 0.99, 0.52), 0.105, 0.068),
    Part("head", (0, 1.025, 0.58), (0.075, 0.075, 0.100)),
    capsule("muzzle", (0, 1.00, 0.66), (0, 0.955, 0.80), 0.052, 0.038),
    capsule("tail", (0, 0.77, -0.46), (0, 0.68, -0.66), 0.036, 0.028),
    capsule("tail middle", (0, 0.68, -0.66), (0, 0.55, -0.79), 0.027, 0.025),
    capsule("tail end", (0, 0.55, -0.79), (0, 0.40, -0.87), 0.027, 0.030),
]
_SIDES = [
    Part("ear", (0.08, 1.145, 0.53), (0.075, 0.022, 0.038), along=(0.33, 0.94, -0.08)),
    Part("chest", (0.075, 0.68, 0.24), (0.060, 0.130, 0.085)),
    Part("hips", (0.070, 0.68, -0.38), (0.065, 0.110, 0.095)),
    capsule("upper foreleg", (0.105, 0.60, 0.265), (0.115, 0.37, 0.25), 0.062, 0.040),
    capsule("lower foreleg", (0.115, 0.36, 0.25), (0.115, 0.09, 0.265), 0.036, 0.027),
    capsule("forepaw", (0.115, 0.055, 0.265), (0.115, 0.036, 0.325), 0.034, 0.032),
    capsule("thigh", (0.095, 0.62, -0.37), (0.115, 0.39, -0.33), 0.085, 0.046),
    capsule("hock", (0.115, 0.37, -0.335), (0.115, 0.10, -0.435), 0.039, 0.027),
    capsule("hindpaw", (0.115, 0.058, -0.435), (0.115, 0.036, -0.375), 0.034, 0.032),
]
ANIMAL = Rig(
    BONES,
    with_sides(_MIDDLE, _SIDES, _TRUNK),
    np.array([-0.22, -0.03, -0.95]),
    np.array([0.22, 1.27, 0.90]),
    area=2.72,
    trunk=5,
)


@dataclasses.dataclass(frozen=True)
class Species:
    """Proportions: lengths and thicknesses over those of the resting animal; size is of the whole."""

    size: float
    legs: float = 1.0
    leg_girth: float = 1.0
    trunk: float = 1.0
    girth: float = 1.0
    neck: float = 1.0
    neck_girth: float = 1.0
    head: float = 1.0
    muzzle: float = 1.0
    ears: float = 1.0
    tail: float = 1.0
    tail_girth: float = 1.0


SPECIES = {
    "dog": Species(0.7, legs=0.95, neck=0.9, head=1.15, muzzle=1.0, ears=0.9),
    "horse": Species(1.5, 1.2, 0.9, 1.1, 1.0, 1.35, 1.05, 1.0, 1.35, 0.75, 0.9, 1.1),
    "cat": Species(0.4, 0.8, 0.85, 0.95, 0.85, 0.65, 0.85, 1.15, 0.6, 0.85, 1.3, 0.9),
    "cow": Species(1.4, 0.85, 1.0, 1.2, 1.3, 0.9, 1.2, 1.1, 1.25, 0.9, 1.0, 0.8),
    "pig": Species(0.8, 0.6, 1.1, 1.15, 1.35, 0.55, 1.4, 1.2, 1.0, 0.9, 0.6, 0.8),
    "giraffe": Species(2.2, 1.5, 0.95, 0.9, 0.9, 2.1, 0.9, 0.9, 1.1, 0.8, 0.8, 0.8),
    "fox": Species(0.5, 0.85, 0.8, 1.05, 0.85, 0.75, 0.95, 1.05, 1.0, 1.25, 1.2, 1.6),
    "lion": Species(1.1, 0.9, 1.1, 1.1, 1.0, 0.7, 1.15, 1.2, 0.8, 0.75, 1.25, 0.9),
    "deer": Species(1.2, 1.25, 0.8, 0.95, 0.9, 1.4, 0.9, 0.95, 1.05, 1.3, 0.6, 0.9),
    "bear": Species(1.3, 0.75, 1.5, 1.0, 1.3, 0.75, 1.5, 1.25, 0.9, 0.75, 0.5, 1.0),
}


def draw_animal(random: Generator, species: Species) -> Points:
    """One of a species: the scale ``[B, 3, 3]`` of every bone; each proportion varies by 4 % (one deviation, cut at two)."""
    vary = 1 + 0.04 * np.clip(random.standard_normal(len(dataclasses.fields(Species))), -2, 2)
    own = Species(*(np.array(dataclasses.astuple(species)) * vary))
    lengths = {
        "neck": (own.neck, own.neck_girth),
        "muzzle": (own.head * own.muzzle, own.head),
        "ear": (own.ears * own.head, own.ears * own.head),
        "leg": (own.legs, own.leg_girth),
        "tail": (own.tail, own.tail_girth),
    }
    scales = np.empty((len(BONES), 3, 3))
    for number, bone in enumerate(BONES):
        kind = bone.name.removeprefix("left ").removeprefix("right ").split()[0]
        if kind in ("hips", "belly", "chest"):
            scales[number] = np.diag((own.girth, own.girth, own.trunk))
        elif kind == "head":
            scales[number] = own.head * np.eye(3)
        elif kind in ("forepaw", "hindpaw"):
            scales[number] = (2 * own.leg_girth + own.legs) / 3 * np.eye(3)
        else:
            length, thickness = lengths.get(kind, lengths["leg"])
            scales[number] = bone.scaled(length, thickness)
    return own.size * scales


def draw_stance(random: Generator) -> Points:
    """A pose: rotation vectors ``[B, 3]`` of every bone relative to its parent, in radians.

    The animal stands, walks, gallops, sits or lifts a paw; it grazes, looks up or aside; trunk, tail and ears turn.
    """
    turns, number = np.zeros((len(BONES), 3)), ANIMAL.number

    def between(low: float, high: float) -> float:
        return float(np.deg2rad(random.uniform(low, high)))

    # About x: positive turns a limb that hangs down to the back, and lowers what points to the front.
    for name in ("belly", "chest"):
        turns[number[name]] = (between(-10, 10), between(-12, 12), between(-8, 8))
    gaze = random.choice(["ahead", "graze", "up"])
    nod = {"ahead": (-15, 20), "graze": (35, 70), "up": (-40, -15)}[str(gaze)]
    turns[number["neck"]] = (between(*nod), between(-30, 30), between(-8, 8))
    turns[number["head"]] = (between(-15, 30), between(-25, 25), between(-12, 12))
    lift = random.uniform(-40, 60)
    for name in ("tail", "tail middle", "tail end"):
        turns[number[name]] = (np.deg2rad(lift / 1.7 + random.uniform(-10, 10)), between(-25, 25), 0.0)

    stance = str(random.choice(["stand", "walk", "gallop", "sit", "paw"]))
    phase, raised = random.choice([-1.0, 1.0]), int(random.integers(2))
    for which, (side, out) in enumerate((("left", 1.0), ("right", -1.0))):
        turns[number[f"{side} ear"]] = (between(-20, 15), 0.0, -out * between(-15, 25))
        fore, hind, wrist, hock = between(-8, 8), between(-8, 8), between(0, 10), between(-8, 8)
        swing = phase * (1 if which else -1)
        if stance == "walk":
            fore, hind = fore + swing * between(12, 30), hind - swing * between(12, 30)
            wrist += max(swing, 0.0) * between(0, 40)
        elif stance == "gallop":
            reach = phase * between(25, 45)
            fore, hind = fore - reach, hind + reach
            wrist, hock = wrist + (between(30, 70) if phase < 0 else 0.0), hock - between(0, 15)
        elif stance == "sit":
            hind, hock = -between(50, 70), between(60, 85)
        elif stance == "paw" and which == raised:
            fore, wrist = -between(25, 60), between(40, 90)
        spread = out * between(-3, 10)
        turns[number[f"{side} upper foreleg"]] = (fore, 0.0, spread)
        turns[number[f"{side} lower foreleg"]] = (wrist, 0.0, 0.0)
        turns[number[f"{side} forepaw"]] = (between(-10, 25), 0.0, 0.0)
        turns[number[f"{side} thigh"]] = (hind, 0.0, spread)
        turns[number[f"{side} hock"]] = (hock, 0.0, 0.0)
        turns[number[f"{side} hindpaw"]] = (between(-20, 15), 0.0, 0.0)
    return turns
