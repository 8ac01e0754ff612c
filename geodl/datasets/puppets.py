"""Puppets: procedural human bodies in many poses, with known correspondence and nothing to download."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from geodl.data import Mesh, Motion, Skeleton
from geodl.datasets.bodies import as_mesh, check_bodies, reference, registered, remeshed, template
from geodl.datasets.body import BODY, BONES
from geodl.datasets.body_skeleton import body_skeleton
from geodl.datasets.correspondence import CorrespondenceSet
from geodl.datasets.pose import draw_pose, draw_proportions
from geodl.datasets.skinning import skin, untangle

__all__ = ["Puppets"]


class Puppets(CorrespondenceSet):
    """Human-like bodies, made on the spot: people of different build, each in a number of poses.

    A body is a smooth implicit surface around a skeleton, meshed once at rest (the :attr:`reference`), then
    scaled bone by bone and bent by linear blend skinning. The same arguments give the same bodies, bit for
    bit on one machine.

    An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (metres, float32; y up, facing z, standing on
    y = 0), ``face [3, F]``, ``y [V]`` int64 (the vertex of :attr:`reference` at the same body point),
    ``corres [T]`` int64 (the vertex at each of the T vertices of the reference), ``part [V]`` int64 (the part of
    the body, 0 to 16, by name in :attr:`parts`: the bone whose flesh is nearest at rest, on any mesh),
    ``joints [17, 3]`` (metres; where the first joints of :meth:`skeleton` are), ``name``, ``subject`` and ``pose``. It is
    closed, of genus 0, with triangles of about equal size. Pose 0 is upright with the arms away from the body;
    pose p is the same for all people, up to a few degrees.

    - "registrations": all have the vertices and faces of the reference, so ``y`` counts from 0 to V - 1.
    - "remeshed": each has a mesh of its own, from another grid laid through the resting body, bent in the
      same way; ``corres`` is the nearest vertex at rest. ``y`` is the nearest corner of the reference triangle
      that the point lies on; the point itself is ``barycentric_weights [V, 3]`` (float32, sum 1) of the
      reference vertices ``barycentric_vertices [V, 3]``.

    Items are made when first asked for and then kept.

    Args:
        num_identities: number of people.
        num_poses: number of poses of each.
        seed: of proportions, poses and meshes. The reference does not depend on it.
        variant: "registrations" or "remeshed".
        split: "train" (the first four fifths of the people), "test" (the others), or None for all.
        new_poses: whether the poses of the test are new as well: training has the first four fifths of them, the test
            the others.
        num_vertices: of the reference, about; at least 1500, for hands to keep their shape.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such variant or split, or a number too small.
    """

    parts = tuple(bone.name for bone in BONES)

    def __init__(
        self,
        num_identities: int = 10,
        num_poses: int = 10,
        seed: int = 0,
        variant: Literal["registrations", "remeshed"] = "registrations",
        split: Literal["train", "test"] | None = None,
        num_vertices: int = 2500,
        transform: Callable[[Mesh], Mesh] | None = None,
        new_poses: bool = False,
    ) -> None:
        check_bodies(variant, split, num_vertices, seed)
        fewest = 1 if split is None else 2
        if num_identities < fewest:
            raise ValueError(
                f"num_identities must be at least {fewest} with split={split!r}, got {num_identities}"
            )
        fewest = 2 if new_poses and split is not None else 1
        if num_poses < fewest:
            new = " with poses that are new in the test" if fewest == 2 else ""
            raise ValueError(f"num_poses must be at least {fewest}{new}, got {num_poses}")
        self.num_identities, self.num_poses, self.seed = num_identities, num_poses, seed
        self.variant, self.split, self.num_vertices = variant, split, num_vertices
        people = _share(num_identities, split)
        poses = _share(num_poses, split if new_poses else None)
        everyone = product(people, poses)
        super().__init__([f"puppet_{subject:03d}_{pose:03d}" for subject, pose in everyone], transform)

    @property
    def reference(self) -> Mesh:
        """The average body at rest, whose vertices the labels ``y`` name."""
        return reference(BODY, self.num_vertices)

    @property
    def num_classes(self) -> int:
        """Number of labels, the vertices of the reference."""
        return len(template(BODY, self.num_vertices).vertices)

    def skeleton(self, subject: int | None = None) -> Skeleton:
        """The skeleton of a person, or of the average body: a joint for every part, in their order, then tips.

        The person of the same number in :class:`Gaits` has the same; see :func:`body_skeleton`.
        """
        return body_skeleton(
            None if subject is None else draw_proportions(self._random("proportions", subject))
        )

    def perform(self, subject: int, motion: Motion) -> list[Mesh]:
        """The body of a person in every frame of a motion, with the vertices of the reference.

        The pelvis goes where the motion's does: motions of the person's own :meth:`skeleton`, such as those of :class:`Gaits`,
        bring the feet to the ground.

        Args:
            subject: number of the person.
            motion: whose skeleton has the joints of :func:`body_skeleton`, in metres.

        Raises:
            ValueError: a motion of another skeleton.
        """
        if not body_skeleton().same_tree(motion.skeleton):
            raise ValueError("motion must be of the body's skeleton (see body_skeleton), its joints differ")
        scales = draw_proportions(self._random("proportions", subject))
        vertices, faces, weights, _ = template(BODY, self.num_vertices)
        rotation = motion.rotation[:, : len(BONES)].detach().cpu().double().numpy()
        place = motion.translation[:, 0].detach().cpu().double().numpy() - BONES[0].joint
        meshes = []
        for frame, (turned, shift) in enumerate(zip(rotation, place, strict=True)):
            turns = Rotation.from_matrix(turned).as_rotvec()
            pos = skin(BODY, vertices, weights, scales, turns) + shift
            meshes.append(as_mesh(pos, faces, y=torch.arange(len(pos)), subject=subject, frame=frame))
        return meshes

    def _read(self, name: str) -> Mesh:
        subject, pose = (int(number) for number in name.split("_")[1:])
        scales = draw_proportions(self._random("proportions", subject))
        turns = np.zeros((len(BONES), 3))
        if pose:
            turns = draw_pose(self._random("pose", pose))
        habit = self._random("habit", subject, pose)
        turns = untangle(
            BODY, scales, turns + np.deg2rad(3) * np.clip(habit.standard_normal(turns.shape), -2, 2)
        )
        turns[0] = (0.0, np.deg2rad(habit.uniform(-12, 12)), 0.0)

        tags = {"name": name, "subject": subject, "pose": pose}
        if self.variant == "registrations":
            return registered(BODY, self.num_vertices, scales, turns, **tags)
        return remeshed(BODY, self.num_vertices, scales, turns, self._random("mesh", subject, pose), **tags)

    def _random(self, purpose: str, *numbers: int) -> Generator:
        """Every person, pose and mesh has a stream of its own, so that asking for more changes none of them."""
        kinds = ("proportions", "pose", "habit", "mesh")
        return np.random.default_rng([self.seed, kinds.index(purpose), *numbers])


def _share(number: int, split: str | None) -> range:
    """Of so many, the first four fifths for training and the others for the test, one at least."""
    tested = max(1, round(number / 5))
    ranges = {"train": range(number - tested), "test": range(number - tested, number)}
    return ranges.get(split or "", range(number))
