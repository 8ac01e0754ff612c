"""Shaded shapes: meshes of several families with the ambient occlusion of their vertices, and nothing to download."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from geodl.data import Mesh, UnitArea
from geodl.datasets.classification import ClassificationSet
from geodl.datasets.implicit_shapes import creature, furniture, implicit_mesh
from geodl.datasets.published import check_split
from geodl.datasets.puppets import Puppets
from geodl.datasets.solids import solid_mesh
from geodl.geometry import ambient_occlusion, remesh, repair, surface_area, vertex_normals

__all__ = ["ShadedShapes"]

Points = NDArray[np.float64]
_FEWEST = 1500  # which hands of puppets need


class ShadedShapes(ClassificationSet):
    """Meshes of five families that differ in kind, each vertex with its ambient occlusion by ray casting.

    - "creatures": trunks with limbs that grow anywhere, smooth unions of cones with round ends;
    - "furniture": chairs, tables, shelves and heaps of boxes, of boards with rounded edges;
    - "puppets": the people of :class:`Puppets`;
    - "solids": of the classes of :class:`Solids` those that are one surface: gears, vases, mugs, springs, tori ...;
    - "terrains": sheets with hills, ridges and canyons, seen from above; they have a boundary.

    A network that learned shading rather than one kind of shape is right on a family that it never saw.

    An item is a :class:`~geodl.data.Mesh` of surface area 1 around the origin, turned any way, with ``pos [V, 3]`` (float32),
    ``face [3, F]``, ``normal [V, 3]``, ``occlusion [V]`` (:func:`~geodl.geometry.ambient_occlusion`, 0 open to 1 dark), ``y [1]``
    (the family) and ``name``. Triangles are of about equal size. The same arguments give the same shapes on one machine.

    Args:
        families: which, in the order of the labels.
        split: "train", "test" (other shapes of the same families), or None for both, "train" first.
        num_per_family: shapes of each family in a split.
        num_vertices: of a shape, about.
        rays: of the ambient occlusion.
        seed: of all shapes.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        ValueError: no such family or split, or a number too small.
    """

    FAMILIES = ("creatures", "furniture", "puppets", "solids", "terrains")

    def __init__(
        self,
        families: Sequence[str] = FAMILIES,
        split: Literal["train", "test"] | None = None,
        num_per_family: int = 20,
        num_vertices: int = _FEWEST,
        rays: int = 256,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        check_split(split)
        if unknown := [name for name in families if name not in self.FAMILIES]:
            raise ValueError(f"there is no family {unknown[0]!r}: they are {', '.join(self.FAMILIES)}")
        for name, number, least in (
            ("number of families", len(families), 1),
            ("num_per_family", num_per_family, 1),
            ("num_vertices", num_vertices, _FEWEST),
            ("rays", rays, 1),
            ("seed", seed, 0),
        ):
            if number < least:
                raise ValueError(f"{name} must be at least {least}, got {number}")
        self.num_vertices, self.rays, self.seed = num_vertices, rays, seed
        parts = ["train", "test"] if split is None else [split]
        everything = [
            (part, k, label)
            for part in parts
            for k in range(num_per_family)
            for label in range(len(families))
        ]
        names = [f"{part}/{families[label]}_{k:04d}" for part, k, label in everything]
        super().__init__(names, [label for _, _, label in everything], list(families), transform)

    def _read(self, index: int) -> Mesh:
        part, _, rest = self.names[index].partition("/")
        family, _, number = rest.rpartition("_")
        kind = self.FAMILIES.index(family)
        random = np.random.default_rng([self.seed, part == "test", kind, int(number)])
        made = _MAKERS[family](random, self.num_vertices)
        turn = torch.from_numpy(np.linalg.qr(random.standard_normal((3, 3)))[0])
        turn = turn * torch.linalg.det(turn)
        mesh: Mesh = UnitArea()(Mesh((made.pos.double() @ turn.T).float(), made.face))
        mesh.normal = vertex_normals(mesh)
        mesh.occlusion = ambient_occlusion(mesh, rays=self.rays)
        return mesh


def _implicit(make: Callable[[Generator], Any], random: Generator, num_vertices: int) -> Mesh:
    parts, blend = make(random)
    vertices, faces = implicit_mesh(parts, blend, num_vertices, random)
    return Mesh(torch.from_numpy(vertices), torch.from_numpy(faces.T.copy()))


def _puppet(random: Generator, num_vertices: int) -> Mesh:
    return _people(num_vertices, int(random.integers(2**31)))[1]


@lru_cache(maxsize=1)
def _people(num_vertices: int, seed: int) -> Puppets:
    return Puppets(1, 2, seed=seed, num_vertices=num_vertices)


def _solid(random: Generator, num_vertices: int) -> Mesh:
    vertices, faces = solid_mesh(random)
    # Sheets share no vertices: those at one place become one.
    _, first, number = np.unique(np.round(vertices, 6), axis=0, return_index=True, return_inverse=True)
    mesh = Mesh(torch.from_numpy(vertices[first]), torch.from_numpy(number.reshape(-1)[faces].T.copy()))
    mesh, _ = repair(mesh)
    return _even(_outwards(mesh), num_vertices)


def _terrain(random: Generator, num_vertices: int) -> Mesh:
    side = 60
    height = np.zeros((side, side))
    for size in (3, 6, 12):
        layer = gaussian_filter(random.standard_normal((side, side)), size, mode="nearest")
        layer /= layer.std()
        if random.random() < 0.3:  # ridges, or canyons
            layer = random.choice([-1.0, 1.0]) * (1 - 2 * np.abs(layer))
        height += layer * size ** random.uniform(0.7, 1.3) * random.uniform(0.2, 1)
    height *= random.uniform(0.3, 0.8)
    if random.random() < 0.3:  # terraces
        step = random.uniform(3, 8)
        height = step * (np.floor(height / step) + np.clip(3 * (height / step % 1) - 1, 0, 1))
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    pos = np.stack([x, y, height], axis=2).reshape(-1, 3) / side
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1)
    lower = np.stack([corner, corner + side, corner + side + 1], axis=1)
    upper = np.stack([corner, corner + side + 1, corner + 1], axis=1)
    mesh = Mesh(torch.from_numpy(pos), torch.from_numpy(np.concatenate([lower, upper]).T.copy()))
    return _even(mesh, num_vertices)


def _even(mesh: Mesh, num_vertices: int) -> Mesh:
    """The surface with faces of about one size."""
    even: Mesh = remesh(mesh, float((2 * surface_area(mesh) / (3**0.5 * num_vertices)).sqrt()))
    return even


def _outwards(mesh: Mesh) -> Mesh:
    """Wound so that the volume, as seen from the middle, is positive."""
    a, b, c = (mesh.pos - mesh.pos.mean(dim=0))[mesh.face]
    volume = (torch.linalg.cross(a, b) * c).sum()
    return mesh if volume > 0 else Mesh(mesh.pos, mesh.face.flip(0))


_MAKERS: dict[str, Callable[[Generator, int], Mesh]] = {
    "creatures": lambda random, count: _implicit(creature, random, count),
    "furniture": lambda random, count: _implicit(furniture, random, count),
    "puppets": _puppet,
    "solids": _solid,
    "terrains": _terrain,
}
