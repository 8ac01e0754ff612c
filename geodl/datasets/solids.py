"""Solids: procedural shapes of twelve classes, with nothing to download."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from torch_geometric.data import Data

from geodl.datasets.classification import ClassificationSet
from geodl.datasets.published import check_split
from geodl.datasets.sheets import Sheet, box, cap, lathe, mesh_of, superquadric, tube, wall
from geodl.datasets.surface_samples import Points, cloud, sample_surface, unit_ball

__all__ = ["Solids"]


class Solids(ClassificationSet):
    """Shapes of twelve classes, made on the spot: superquadrics, tori, gears, lathed and extruded shapes, furniture made of parts.

    Every shape has proportions of its own, is tapered, twisted, bent and stretched, turned about the vertical (z) by any angle and
    tilted by up to 15 degrees; points are drawn evenly from its area and jittered. So a class is told by form, not extent:
    a linear model on moments gets fewer than four of five right. The same arguments give the same bits on one machine.

    An item is a PyG ``Data`` with ``pos [N, 3]`` (float32, in the unit ball), ``y [1]`` and ``name`` ("train/gear_0007").

    Args:
        split: "train", "test" (other shapes of the same classes), or None for both, "train" first.
        num_per_class: shapes of each class in a split.
        num_points: of every cloud.
        seed: of all shapes.
        noise: standard deviation of the jitter, in radii of the unit ball.
        transform: applied to a shallow copy of the cloud at every access.

    Raises:
        ValueError: no such split, or a number too small.
    """

    def __init__(
        self,
        split: Literal["train", "test"] | None = None,
        num_per_class: int = 100,
        num_points: int = 1024,
        seed: int = 0,
        noise: float = 0.01,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        check_split(split)
        for name, number, least in (
            ("num_per_class", num_per_class, 1),
            ("num_points", num_points, 1),
            ("seed", seed, 0),
        ):
            if number < least:
                raise ValueError(f"{name} must be at least {least}, got {number}")
        if not noise >= 0:
            raise ValueError(f"noise must not be negative, got {noise}")
        self.num_points, self.seed, self.noise = num_points, seed, noise
        classes = list(_MAKERS)
        parts = ["train", "test"] if split is None else [split]
        # Classes alternate, so that the first few shapes are of different ones.
        everything = [
            (part, k, label) for part in parts for k in range(num_per_class) for label in range(len(classes))
        ]
        names = [f"{part}/{classes[label]}_{k:04d}" for part, k, label in everything]
        super().__init__(names, [label for _, _, label in everything], classes, transform)

    def _read(self, index: int) -> Data:
        part, _, rest = self.names[index].partition("/")
        label = int(self.labels[index])
        random = np.random.default_rng([self.seed, part == "test", label, int(rest.rpartition("_")[2])])
        vertices, faces = mesh_of(_MAKERS[self.classes[label]](random))
        points, _ = sample_surface(_deformed(vertices, random), faces, self.num_points, random)
        points = unit_ball(points)
        return cloud(unit_ball(points + self.noise * random.standard_normal(points.shape)))


def solid_mesh(random: Generator) -> tuple[Points, NDArray[np.int64]]:
    """Vertices and faces, as of :func:`mesh_of`, of a solid of a class whose sheets make one surface and do not merely touch."""
    touching = ("beam", "chair", "table")
    makers = [make for name, make in _MAKERS.items() if name not in touching]
    vertices, faces = mesh_of(makers[int(random.integers(len(makers)))](random))
    return _deformed(vertices, random), faces


def _deformed(points: Points, random: Generator) -> Points:
    """Tapered, twisted, bent, stretched, turned and tilted."""
    points = points - (points.min(axis=0) + points.max(axis=0)) / 2
    points = points / np.abs(points).max()
    x, y, z = points.T
    taper = 1 + random.uniform(-0.3, 0.3) * z
    x, y = x * taper, y * taper
    twist = random.uniform(-0.6, 0.6) * z
    x, y = x * np.cos(twist) - y * np.sin(twist), x * np.sin(twist) + y * np.cos(twist)
    # The axis becomes an arc: a height z goes the angle b z along a circle of radius 1 / b.
    b = random.uniform(0.05, 0.7)
    x, z = (x - 1 / b) * np.cos(b * z) + 1 / b, (1 / b - x) * np.sin(b * z)
    points = np.stack([x, y, z], axis=1) * np.exp(random.normal(0, 0.2, 3))
    return points @ _turn(2, random.uniform(0, 2 * np.pi)) @ _tilt(random)


def _turn(axis: int, angle: float) -> Points:
    """Rotates row vectors from the right about a coordinate axis."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turned = np.eye(3)
    turned[i, i] = turned[j, j] = np.cos(angle)
    turned[i, j], turned[j, i] = np.sin(angle), -np.sin(angle)
    return turned


def _tilt(random: Generator) -> Points:
    towards = random.uniform(0, 2 * np.pi)
    return _turn(2, towards) @ _turn(0, random.uniform(0, np.deg2rad(15))) @ _turn(2, -towards)


# --- the classes ---------------------------------------------------------------


def _superquadric(random: Generator) -> list[Sheet]:
    return [superquadric(random.uniform(0.3, 1.8, 2), random.uniform(0.5, 1, 3))]


def _torus(random: Generator) -> list[Sheet]:
    angle = np.linspace(0, 2 * np.pi, 49)
    ring = np.stack([np.cos(angle), random.uniform(0.7, 1) * np.sin(angle), 0 * angle], axis=1)
    return [tube(ring, random.uniform(0.18, 0.4))]


def _spring(random: Generator) -> list[Sheet]:
    turns, height = random.uniform(2.5, 5), random.uniform(1, 2.5)
    s = np.linspace(0, 1, int(30 * turns))
    radius = 1 + random.uniform(-0.4, 0.4) * s
    angle = 2 * np.pi * turns * s
    return [
        tube(
            np.stack([radius * np.cos(angle), radius * np.sin(angle), height * s], axis=1),
            random.uniform(0.06, 0.15),
        )
    ]


def _plate(outline: Points, hole: float, height: float) -> list[Sheet]:
    """An outline about the origin, extruded, with a round hole."""
    angle = np.linspace(0, 2 * np.pi, len(outline))
    inner = hole * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    sheets = [wall(outline, 0, height), cap(outline, inner, 0), cap(outline, inner, height)]
    return [*sheets, wall(inner, 0, height)] if hole else sheets


def _gear(random: Generator) -> list[Sheet]:
    teeth, depth = int(random.integers(8, 19)), random.uniform(0.15, 0.3)
    angle = np.linspace(0, 2 * np.pi, 12 * teeth + 1)
    radius = 1 - depth * (np.tanh(4 * np.sin(teeth * angle)) + 1) / 2
    outline = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _plate(outline, random.uniform(0.15, 0.5), random.uniform(0.2, 0.9))


def _star(random: Generator) -> list[Sheet]:
    tips, inner = int(random.integers(3, 8)), random.uniform(0.3, 0.6)
    corners = np.where(np.arange(2 * tips + 1) % 2, inner, 1.0)
    angle = np.pi * np.arange(2 * tips + 1) / tips
    star = corners[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    s = np.linspace(0, 2 * tips, 16 * tips + 1)
    outline = np.stack([np.interp(s, np.arange(2 * tips + 1), star[:, k]) for k in range(2)], axis=1)
    return _plate(outline, 0, random.uniform(0.4, 2.5))


def _beam(random: Generator) -> list[Sheet]:
    """A cross-section of two or three bars, like an L, T, U or H, extruded."""
    t, width, height = random.uniform(0.15, 0.3), random.uniform(0.7, 1.4), random.uniform(1.2, 3)
    web = {
        "L": [(0.0, t, 0.0, width)],
        "T": [(0.5 - t / 2, 0.5 + t / 2, 0.0, width)],
        "U": [(0.0, t, 0.0, width), (1 - t, 1.0, 0.0, width)],
        "H": [(0.5 - t / 2, 0.5 + t / 2, 0.0, width), (0.0, 1.0, width, width + t)],
    }[str(random.choice(list("LTUH")))]
    bars = [(0.0, 1.0, -t, 0.0), *web]
    return [sheet for a, b, c, d in bars for sheet in box((a, c, 0), (b, d, height))]


def _profile(radii: Sequence[float], heights: Sequence[float]) -> Points:
    """A smooth curve through radii at heights, ``[33, 2]``."""
    from scipy.interpolate import PchipInterpolator

    z = np.linspace(heights[0], heights[-1], 33)
    return np.stack([PchipInterpolator(heights, radii)(z), z], axis=1)


def _closed_below(profile: Points) -> list[Sheet]:
    bottom = np.stack([np.linspace(0, profile[0, 0], 8), np.full(8, profile[0, 1])], axis=1)
    return [lathe(profile), lathe(bottom)]


def _vase(random: Generator) -> list[Sheet]:
    """Open above, with a belly and a neck that widens again."""
    foot, belly, neck = random.uniform(0.25, 0.5), random.uniform(0.6, 0.9), random.uniform(0.2, 0.45)
    lip = neck + random.uniform(0.1, 0.35)
    return _closed_below(
        _profile([foot, belly, neck, lip], [0, random.uniform(0.5, 0.9), random.uniform(1.3, 1.6), 2])
    )


def _bottle(random: Generator) -> list[Sheet]:
    """A straight body, a shoulder, a narrow straight neck with a lid."""
    body, neck = random.uniform(0.45, 0.65), random.uniform(0.12, 0.25)
    shoulder = random.uniform(1.0, 1.4)
    end = shoulder + random.uniform(0.2, 0.4)
    profile = _profile([body, body, neck, neck], [0, shoulder, end, 2])
    lid = np.stack([np.linspace(0, neck, 5), np.full(5, 2.0)], axis=1)
    return [*_closed_below(profile), lathe(lid)]


def _mug(random: Generator) -> list[Sheet]:
    """Open above, with walls nearly straight and a handle."""
    radius, height = random.uniform(0.45, 0.7), random.uniform(1, 1.5)
    body = _profile(
        [radius, radius * random.uniform(0.9, 1.15), radius * random.uniform(0.95, 1.2)],
        [0, height / 2, height],
    )
    angle = np.linspace(-np.pi / 2, np.pi / 2, 25)
    reach = random.uniform(0.3, 0.5)
    handle = np.stack(
        [radius + reach * np.cos(angle), 0 * angle, height * (0.5 + 0.3 * np.sin(angle))], axis=1
    )
    return [*_closed_below(body), tube(handle, random.uniform(0.06, 0.11))]


def _legs(random: Generator, width: float, depth: float, height: float) -> list[Sheet]:
    t = random.uniform(0.05, 0.1)
    corners = [(x, y) for x in (0, width - t) for y in (0, depth - t)]
    return [sheet for x, y in corners for sheet in box((x, y, 0), (x + t, y + t, height))]


def _chair(random: Generator) -> list[Sheet]:
    width, depth, seat = random.uniform(0.8, 1.2), random.uniform(0.8, 1.2), random.uniform(0.7, 1.1)
    thick, back = random.uniform(0.06, 0.14), random.uniform(0.7, 1.3)
    sheets = _legs(random, width, depth, seat) + box((0, 0, seat), (width, depth, seat + thick))
    sheets += box((0, 0, seat + thick), (thick, depth, seat + thick + back))
    if random.random() < 0.4:
        arm = seat + thick + random.uniform(0.3, 0.5)
        for y in (0, depth - thick):
            sheets += box((0, y, arm), (width, y + thick, arm + thick))
            sheets += box((width - thick, y, seat + thick), (width, y + thick, arm))
    return sheets


def _table(random: Generator) -> list[Sheet]:
    width, depth, height = random.uniform(1.2, 2), random.uniform(0.9, 1.4), random.uniform(0.7, 1.1)
    thick = random.uniform(0.06, 0.14)
    return [*_legs(random, width, depth, height), *box((0, 0, height), (width, depth, height + thick))]


def _stool(random: Generator) -> list[Sheet]:
    """A round seat on a column with a round foot."""
    seat, foot, column = random.uniform(0.5, 0.8), random.uniform(0.4, 0.7), random.uniform(0.06, 0.14)
    height, thick = random.uniform(1, 1.8), random.uniform(0.06, 0.16)
    corners = [
        (0, 0),
        (foot, 0),
        (foot, 0.06),
        (column, 0.1),
        (column, height),
        (seat, height),
        (seat, height + thick),
        (0, height + thick),
    ]
    s = np.linspace(0, len(corners) - 1, 8 * (len(corners) - 1) + 1)
    profile = np.stack(
        [np.interp(s, range(len(corners)), [corner[k] for corner in corners]) for k in range(2)], axis=1
    )
    return [lathe(profile)]


_MAKERS: dict[str, Callable[[Generator], list[Sheet]]] = {
    "beam": _beam,
    "bottle": _bottle,
    "chair": _chair,
    "gear": _gear,
    "mug": _mug,
    "spring": _spring,
    "star": _star,
    "stool": _stool,
    "superquadric": _superquadric,
    "table": _table,
    "torus": _torus,
    "vase": _vase,
}
