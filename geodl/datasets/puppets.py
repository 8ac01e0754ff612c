"""Puppets: procedural human bodies in many poses, with known correspondence and nothing to download."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from geodl.data import Mesh
from geodl.datasets.body import BONES, HIGH, LOW, body
from geodl.datasets.correspondence import CorrespondenceSet
from geodl.datasets.pose import draw_pose, draw_proportions, untangle
from geodl.datasets.skinning import skin, skin_weights
from geodl.datasets.surface_net import is_sphere, surface_net

__all__ = ["Puppets"]

Points = NDArray[np.float64]
Indices = NDArray[np.int64]

_VARIANTS = ("registrations", "remeshed")
# Square metres of grid cells that the resting body's surface crosses.
_CELLS = 2.35


class Puppets(CorrespondenceSet):
    """Human-like bodies, made on the spot: people of different build, each in a number of poses.

    A body is a smooth implicit surface around a skeleton, meshed once at rest (the :attr:`reference`), then
    scaled bone by bone and bent by linear blend skinning. The same arguments give the same bodies, bit for
    bit on one machine.

    An item is a :class:`~geodl.data.Mesh` with ``pos [V, 3]`` (metres, float32; y up, facing z, standing on
    y = 0), ``face [3, F]``, ``y [V]`` int64 (the vertex of :attr:`reference` at the same body point),
    ``corres [T]`` int64 (the vertex at each of the T vertices of the reference), ``name``, ``subject`` and
    ``pose``. It is closed, of genus 0, with triangles of about equal size. Pose 0 is upright with the arms
    away from the body; pose p is the same for all people, up to a few degrees.

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
        num_vertices: of the reference, about; at least 1500, for hands to keep their shape.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such variant or split, or a number too small.
    """

    def __init__(
        self,
        num_identities: int = 10,
        num_poses: int = 10,
        seed: int = 0,
        variant: Literal["registrations", "remeshed"] = "registrations",
        split: Literal["train", "test"] | None = None,
        num_vertices: int = 2500,
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        if variant not in _VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(map(repr, _VARIANTS))}, not {variant!r}")
        if split not in ("train", "test", None):
            raise ValueError(f"split must be 'train', 'test' or None, not {split!r}")
        fewest = 1 if split is None else 2
        if num_identities < fewest:
            raise ValueError(
                f"num_identities must be at least {fewest} with split={split!r}, got {num_identities}"
            )
        if num_poses < 1:
            raise ValueError(f"num_poses must be at least 1, got {num_poses}")
        if num_vertices < 1500:
            raise ValueError(f"num_vertices must be at least 1500, got {num_vertices}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        self.num_identities, self.num_poses, self.seed = num_identities, num_poses, seed
        self.variant, self.split, self.num_vertices = variant, split, num_vertices
        tested = max(1, round(num_identities / 5))
        first, last = {
            "train": (0, num_identities - tested),
            "test": (num_identities - tested, num_identities),
        }.get(split or "", (0, num_identities))
        everyone = product(range(first, last), range(num_poses))
        super().__init__([f"puppet_{subject:03d}_{pose:03d}" for subject, pose in everyone], transform)

    @property
    def reference(self) -> Mesh:
        """The average body at rest, whose vertices the labels ``y`` name."""
        template = _template(self.num_vertices)
        return _mesh(
            template.vertices, template.faces, y=torch.arange(len(template.vertices)), name="reference"
        )

    @property
    def num_classes(self) -> int:
        """Number of labels: the vertices of the reference."""
        return len(_template(self.num_vertices).vertices)

    def _read(self, name: str) -> Mesh:
        subject, pose = (int(number) for number in name.split("_")[1:])
        scales = draw_proportions(self._random("proportions", subject))
        turns = np.zeros((len(BONES), 3))
        if pose:
            turns = draw_pose(self._random("pose", pose))
        habit = self._random("habit", subject, pose)
        turns = untangle(scales, turns + np.deg2rad(3) * np.clip(habit.standard_normal(turns.shape), -2, 2))
        turns[0] = (0.0, np.deg2rad(habit.uniform(-12, 12)), 0.0)

        template = _template(self.num_vertices)
        vertices, faces, weights = template
        tags = {"name": name, "subject": subject, "pose": pose}
        if self.variant == "registrations":
            own = torch.arange(len(vertices))
            return _mesh(_stand(skin(vertices, weights, scales, turns)), faces, y=own, corres=own, **tags)
        random = self._random("mesh", subject, pose)
        vertices, faces = _sphere(random, np.sqrt(_CELLS / self.num_vertices) * random.uniform(0.97, 1.03))
        corres = KDTree(vertices).query(template.vertices)[1]
        corners, shares = _locate(template, vertices)
        weights = np.einsum("vk,vkb->vb", shares, weights[corners])
        nearest = np.take_along_axis(corners, shares.argmax(axis=1)[:, None], axis=1)[:, 0]
        return _mesh(
            _stand(skin(vertices, weights, scales, turns)),
            faces,
            y=torch.from_numpy(nearest),
            corres=torch.from_numpy(corres),
            barycentric_vertices=torch.from_numpy(corners),
            barycentric_weights=torch.from_numpy(shares).float(),
            **tags,
        )

    def _random(self, purpose: str, *numbers: int) -> Generator:
        """Every person, pose and mesh has a stream of its own, so that asking for more changes none of them."""
        kinds = ("proportions", "pose", "habit", "mesh")
        return np.random.default_rng([self.seed, kinds.index(purpose), *numbers])


class _Template(NamedTuple):
    vertices: Points
    faces: Indices
    weights: Points


@lru_cache(maxsize=4)
def _template(num_vertices: int) -> _Template:
    vertices, faces = _sphere(np.random.default_rng(0), np.sqrt(_CELLS / num_vertices))
    return _Template(vertices, faces, skin_weights(vertices, faces))


def _sphere(random: Generator, cell: float) -> tuple[Points, Indices]:
    """Mesh of the resting body by a grid that lies at random; another where thin parts make it no sphere."""
    for _ in range(50):
        vertices, faces = surface_net(body, LOW, HIGH, cell, Rotation.random(random_state=random).as_matrix())
        if is_sphere(faces, len(vertices)):
            return vertices, faces
    raise ValueError(f"no closed surface of genus 0 with cells of {cell:.3f} m: ask for more vertices")


def _locate(template: _Template, points: Points) -> tuple[Indices, Points]:
    """Nearest point of the template's surface: corners ``[n, 3]`` of its triangle and their weights ``[n, 3]``."""
    from trimesh.triangles import closest_point, points_to_barycentric

    triangles = template.vertices[template.faces]
    near = KDTree(triangles.mean(axis=1)).query(points, k=12)[1]
    candidates = triangles[near.reshape(-1)]
    found = closest_point(candidates, np.repeat(points, 12, axis=0)).reshape(-1, 12, 3)
    best = np.linalg.norm(found - points[:, None], axis=2).argmin(axis=1)
    rows = np.arange(len(points))
    face = near[rows, best]
    weights = np.clip(points_to_barycentric(triangles[face], found[rows, best]), 0.0, None)
    return template.faces[face], weights / weights.sum(axis=1, keepdims=True)


def _stand(vertices: Points) -> Points:
    return vertices - (0.0, vertices[:, 1].min(), 0.0)


def _mesh(vertices: Points, faces: Indices, **attributes: object) -> Mesh:
    return Mesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces.T.copy()), **attributes)
