"""Bodies of a rig: one resting mesh that all share, or each with a mesh of its own, scaled and bent."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial import KDTree

from geodl.data import Mesh
from geodl.datasets.rig import Rig
from geodl.datasets.skinning import place_bones, skin, skin_weights

Points = NDArray[np.float64]
Indices = NDArray[np.int64]


_VARIANTS = ("registrations", "remeshed")


def check_bodies(variant: str, split: str | None, num_vertices: int, seed: int) -> None:
    """What every set of bodies asks of its arguments."""
    if variant not in _VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(map(repr, _VARIANTS))}, not {variant!r}")
    if split not in ("train", "test", None):
        raise ValueError(f"split must be 'train', 'test' or None, not {split!r}")
    if num_vertices < 1500:
        raise ValueError(f"num_vertices must be at least 1500, got {num_vertices}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")


class Template(NamedTuple):
    """The resting mesh that is everybody's reference."""

    vertices: Points
    faces: Indices
    weights: Points
    part: Indices


@lru_cache(maxsize=8)
def template(rig: Rig, num_vertices: int) -> Template:
    vertices, faces = rig.mesh(np.random.default_rng(0), rig.cell(num_vertices))
    return Template(vertices, faces, skin_weights(rig, vertices, faces), rig.nearest_bone(vertices))


def reference(rig: Rig, num_vertices: int) -> Mesh:
    """The template as a mesh, its vertices labelled by their numbers."""
    made = template(rig, num_vertices)
    labels = torch.arange(len(made.vertices))
    return as_mesh(
        made.vertices, made.faces, y=labels, part=torch.from_numpy(made.part.copy()), name="reference"
    )


def registered(rig: Rig, num_vertices: int, scales: Points, turns: Points, **tags: object) -> Mesh:
    """A body with the vertices and faces of the template."""
    made = template(rig, num_vertices)
    own = torch.arange(len(made.vertices))
    joints = place_bones(rig, scales, turns)[0]
    posed, joints = _stand(skin(rig, made.vertices, made.weights, scales, turns), joints)
    part = torch.from_numpy(made.part.copy())
    return as_mesh(posed, made.faces, y=own, corres=own.clone(), part=part, joints=_floats(joints), **tags)


def remeshed(
    rig: Rig, num_vertices: int, scales: Points, turns: Points, random: Generator, **tags: object
) -> Mesh:
    """A body with a mesh of its own, from another grid laid through the resting surface, bent in the same way."""
    made = template(rig, num_vertices)
    vertices, faces = rig.mesh(random, rig.cell(num_vertices) * random.uniform(0.97, 1.03))
    corres = KDTree(vertices).query(made.vertices)[1]
    corners, shares = locate(made, vertices)
    weights = np.einsum("vk,vkb->vb", shares, made.weights[corners])
    nearest = np.take_along_axis(corners, shares.argmax(axis=1)[:, None], axis=1)[:, 0]
    part = rig.nearest_bone(vertices)
    joints = place_bones(rig, scales, turns)[0]
    posed, joints = _stand(skin(rig, vertices, weights, scales, turns), joints)
    return as_mesh(
        posed,
        faces,
        y=torch.from_numpy(nearest),
        corres=torch.from_numpy(corres),
        part=torch.from_numpy(part),
        joints=_floats(joints),
        barycentric_vertices=torch.from_numpy(corners),
        barycentric_weights=torch.from_numpy(shares).float(),
        **tags,
    )


def locate(made: Template, points: Points) -> tuple[Indices, Points]:
    """Nearest point of the template's surface: corners ``[n, 3]`` of its triangle and their weights ``[n, 3]``."""
    from trimesh.triangles import closest_point, points_to_barycentric

    triangles = made.vertices[made.faces]
    near = KDTree(triangles.mean(axis=1)).query(points, k=12)[1]
    candidates = triangles[near.reshape(-1)]
    found = closest_point(candidates, np.repeat(points, 12, axis=0)).reshape(-1, 12, 3)
    best = np.linalg.norm(found - points[:, None], axis=2).argmin(axis=1)
    rows = np.arange(len(points))
    face = near[rows, best]
    weights = np.clip(points_to_barycentric(triangles[face], found[rows, best]), 0.0, None)
    return made.faces[face], weights / weights.sum(axis=1, keepdims=True)


def _stand(vertices: Points, joints: Points) -> tuple[Points, Points]:
    """Moved so that the lowest vertex is on the ground."""
    ground = (0.0, vertices[:, 1].min(), 0.0)
    return vertices - ground, joints - ground


def _floats(values: Points) -> torch.Tensor:
    return torch.from_numpy(values).float()


def as_mesh(vertices: Points, faces: Indices, **attributes: object) -> Mesh:
    return Mesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces.T.copy()), **attributes)
