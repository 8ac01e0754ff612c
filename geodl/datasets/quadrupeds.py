"""Quadrupeds: procedural four-legged animals of several species in many poses, with known correspondence."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Literal

import numpy as np
from numpy.random import Generator
from torch import Tensor

from geodl.data import Mesh
from geodl.datasets.animal import ANIMAL, BONES, SPECIES, draw_animal, draw_stance
from geodl.datasets.bodies import check_bodies, reference, registered, remeshed, template
from geodl.datasets.correspondence import CorrespondenceSet
from geodl.datasets.skinning import untangle

__all__ = ["Quadrupeds"]

# Species that training never sees.
_HELD_OUT = ("lion", "deer", "bear")


class Quadrupeds(CorrespondenceSet):
    """Four-legged animals, made on the spot: species by their proportions, each in a number of poses.

    The sibling of :class:`Puppets`: one smooth implicit surface around a skeleton, meshed at rest, scaled bone by bone and bent
    by linear blend skinning. The same arguments give the same animals, bit for bit on one machine.

    An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (metres, float32; y up, standing on y = 0), ``face [3, F]``,
    ``y [V]`` (the vertex of :attr:`reference` at the same point), ``corres [T]`` (the vertex at each of the T vertices of the
    reference), ``part [V]`` (0 to 22, by name in :attr:`parts`), ``joints [23, 3]``, ``name``, ``species``, ``animal`` (number
    within the species) and ``pose`` (0 is at rest). It is closed, of genus 0, with triangles of about equal size at rest.

    All species are in correspondence: :meth:`common_points` takes any two; :meth:`pairs` are those of one species, which are
    near to isometric.

    Args:
        num_animals: of each species.
        num_poses: of each animal.
        seed: of proportions, poses and meshes. The reference does not depend on it.
        variant: "remeshed": each animal has a mesh of its own (``y`` is then the nearest corner of the reference triangle that the
            point lies on, the point itself ``barycentric_weights [V, 3]`` of ``barycentric_vertices [V, 3]``);
            "registrations": all have the vertices and faces of the reference.
        split: "train" (seven species), "test" (three others: lion, deer, bear), or None for all.
        num_vertices: of the reference, about; at least 1500, for ears and feet to keep their shape.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such variant or split, or a number too small.
    """

    parts = tuple(bone.name for bone in BONES)

    def __init__(
        self,
        num_animals: int = 2,
        num_poses: int = 5,
        seed: int = 0,
        variant: Literal["registrations", "remeshed"] = "remeshed",
        split: Literal["train", "test"] | None = None,
        num_vertices: int = 2500,
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        check_bodies(variant, split, num_vertices, seed)
        for name, number, fewest in (
            ("num_animals", num_animals, 1),
            ("num_poses", num_poses, 1),
        ):
            if number < fewest:
                raise ValueError(f"{name} must be at least {fewest}, got {number}")
        self.seed, self.variant, self.split, self.num_vertices = seed, variant, split, num_vertices
        self.species = tuple(s for s in SPECIES if split is None or (s in _HELD_OUT) == (split == "test"))
        everyone = product(self.species, range(num_animals), range(num_poses))
        super().__init__([f"{kind}_{animal:03d}_{pose:03d}" for kind, animal, pose in everyone], transform)

    @property
    def reference(self) -> Mesh:
        """The mean animal at rest, whose vertices the labels ``y`` name."""
        return reference(ANIMAL, self.num_vertices)

    @property
    def num_classes(self) -> int:
        """Number of labels, the vertices of the reference."""
        return len(template(ANIMAL, self.num_vertices).vertices)

    def category(self, name: str) -> str:
        """The species: pairs are of one."""
        return name.split("_")[0]

    def common_points(self, source: int, target: int) -> tuple[Tensor, Tensor]:
        """Vertices of any two animals at the same points of the body: ``[P]`` and ``[P]`` int64."""
        return self._mesh(self.names[source]).corres, self._mesh(self.names[target]).corres

    def _read(self, name: str) -> Mesh:
        kind, *numbers = name.split("_")
        animal, pose = map(int, numbers)
        number = list(SPECIES).index(kind)
        scales = draw_animal(self._random("proportions", number, animal), SPECIES[kind])
        turns = np.zeros((len(BONES), 3))
        if pose:
            turns = draw_stance(self._random("pose", number, animal, pose))
        turns = untangle(ANIMAL, scales, turns)
        turns[0] = (0.0, np.deg2rad(self._random("heading", number, animal, pose).uniform(-12, 12)), 0.0)
        tags = {"name": name, "species": kind, "animal": animal, "pose": pose}
        if self.variant == "registrations":
            return registered(ANIMAL, self.num_vertices, scales, turns, **tags)
        random = self._random("mesh", number, animal, pose)
        return remeshed(ANIMAL, self.num_vertices, scales, turns, random, **tags)

    def _random(self, purpose: str, *numbers: int) -> Generator:
        """Every animal, pose and mesh has a stream of its own, so that asking for more changes none of them."""
        kinds = ("proportions", "pose", "heading", "mesh")
        return np.random.default_rng([self.seed, 1000 + kinds.index(purpose), *numbers])
