"""A creature as a skeleton of joints and the smooth surface around it: what procedural bodies are made from."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from geodl.datasets.surface_net import is_sphere, surface_net

Points = NDArray[np.float64]
Place = tuple[float, float, float]


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

    def scaled(self, length: float, thickness: float) -> Points:
        """The scale ``[3, 3]`` of the bone by factors along and across it."""
        axis = np.subtract(self.end, self.joint)
        axis /= np.linalg.norm(axis)
        along = np.outer(axis, axis)
        scale: Points = thickness * (np.eye(3) - along) + length * along
        return scale


@dataclasses.dataclass(frozen=True)
class Part:
    """A piece of the surface that belongs to a bone: an ellipsoid, or (``to`` given) a tapered capsule."""

    bone: str
    at: tuple[float, float, float]
    size: tuple[float, float, float]
    to: tuple[float, float, float] | None = None
    along: tuple[float, float, float] | None = None


def capsule(bone: str, at: Place, to: Place, r0: float, r1: float) -> Part:
    return Part(bone, at, (r0, r1, 0.0), to)


def mirror(point: Place) -> Place:
    return (-point[0], point[1], point[2])


def both_sides(limbs: list[list[Bone]], trunk: list[Bone]) -> list[Bone]:
    """The trunk, then every limb left and right. A limb's first bone hangs on one of the trunk, the others on one of the limb."""
    bones = list(trunk)
    for limb in limbs:
        for side in ("left", "right"):
            first = len(bones)
            for k, bone in enumerate(limb):
                bones.append(
                    dataclasses.replace(
                        bone,
                        name=f"{side} {bone.name}",
                        parent=bone.parent if k == 0 else first + bone.parent,
                        joint=bone.joint if side == "left" else mirror(bone.joint),
                        end=bone.end if side == "left" else mirror(bone.end),
                    )
                )
    return bones


def with_sides(middle: list[Part], sides: list[Part], trunk: list[Bone]) -> list[Part]:
    """Parts of the middle and, of those of the left side, a mirror image each."""
    parts, inner = list(middle), {bone.name for bone in trunk}
    for part in sides:
        for side in ("left", "right"):
            left = side == "left"
            parts.append(
                dataclasses.replace(
                    part,
                    bone=part.bone if part.bone in inner else f"{side} {part.bone}",
                    at=part.at if left else mirror(part.at),
                    to=part.to if left or part.to is None else mirror(part.to),
                    along=part.along if left or part.along is None else mirror(part.along),
                )
            )
    return parts


@dataclasses.dataclass(frozen=True, eq=False)
class Rig:
    """Bones and flesh of a resting creature, in metres.

    Attributes:
        bones: a parent before what hangs on it.
        parts: what the surface is the union of.
        low, high: ``[3]``, corners of a box that holds the surface.
        area: square metres of grid cells that the surface crosses, see :meth:`cell`.
        trunk: how many of the first bones always touch one another.
        softness: of the joins between parts.
    """

    bones: list[Bone]
    parts: list[Part]
    low: Points
    high: Points
    area: float
    trunk: int
    softness: float = 0.016

    @cached_property
    def number(self) -> dict[str, int]:
        return {bone.name: k for k, bone in enumerate(self.bones)}

    def surface(self, points: Points) -> tuple[Points, Points]:
        r"""Implicit surface: the smooth union of the parts, negative inside.

        .. math:: f(x) = -s \log \sum_k \exp(-d_k(x) / s)

        with :math:`d_k` the distance to part k and s the softness of the joins.

        Args:
            points: ``[n, 3]`` float64, metres.

        Returns:
            ``[n]`` about the distance to the surface, and ``[n, 3]`` about its gradient.
        """
        total = np.full(len(points), 1e-300)
        slope = np.zeros((len(points), 3))
        for part in self.parts:
            ends = np.array([part.at, part.at if part.to is None else part.to])
            # A part is felt as far beyond its border as exp(-9) of its weight is left.
            margin = max(part.size) + 9 * self.softness
            near = ((points > ends.min(axis=0) - margin) & (points < ends.max(axis=0) + margin)).all(axis=1)
            distance, direction = _distance(part, points[near])
            weight = np.exp(-distance / self.softness)
            total[near] += weight
            slope[near] += weight[:, None] * direction
        return -self.softness * np.log(total), slope / total[:, None]

    def nearest_bone(self, points: Points) -> NDArray[np.int64]:
        """Number of the bone whose parts are nearest to each of the points ``[n, 3]``."""
        owner = np.array([self.number[part.bone] for part in self.parts])
        nearest = np.stack([_distance(part, points)[0] for part in self.parts]).argmin(axis=0)
        return np.asarray(owner[nearest])

    def cell(self, num_vertices: int) -> float:
        """Edge of the grid's cells for a mesh of about so many vertices."""
        return float(np.sqrt(self.area / num_vertices))

    def mesh(self, random: Generator, cell: float) -> tuple[Points, NDArray[np.int64]]:
        """Of the resting surface, by a grid that lies at random; another where thin parts make it no sphere."""
        for _ in range(50):
            turn = Rotation.random(random_state=random).as_matrix()
            vertices, faces = surface_net(self.surface, self.low, self.high, cell, turn)
            if is_sphere(faces, len(vertices)):
                return vertices, faces
        raise ValueError(f"no closed surface of genus 0 with cells of {cell:.3f} m: ask for more vertices")

    def below(self, number: int) -> list[int]:
        """A bone and all that hang on it."""
        found = [number]
        for child, bone in enumerate(self.bones):
            if bone.parent in found:
                found.append(child)
        return found

    def touching(self, a: int, b: int) -> bool:
        """Whether two bones meet at a joint, or are part of the trunk, where skin always touches skin."""
        one, other = self.bones[a], self.bones[b]
        inner = a < self.trunk and b < self.trunk
        return one.parent in (b, other.parent) or other.parent == a or inner


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
