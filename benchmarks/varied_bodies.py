"""Procedural bodies that differ in more than build and pose: bumps, stretches, meshes of their own, noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from rich.progress import track
from scipy.spatial import KDTree

from benchmarks.varied_people import draw_person
from geodl.data import Mesh, UnitArea
from geodl.datasets import Puppets, Quadrupeds
from geodl.datasets.bodies import registered
from geodl.datasets.body import BODY
from geodl.geometry import gradient, remesh, spectrum, vertex_normals

Points = NDArray[np.float64]

# As many as `match` makes of a shape.
EIGENFUNCTIONS = 120
# Vertices of the body that is bent; lengths in square roots of the area.
DETAIL = 5000
BUMPS, RADIUS, WAVES, LENGTH, STRETCH, NOISE = 14, (0.012, 0.05), 6, (0.12, 0.8), 0.25, 0.06


def varied(body: Mesh, rest: Points, random: Generator, vertices: Callable[[Generator], float]) -> Mesh:
    """A body of area 1 that is bumped, stretched and remeshed at random.

    Args:
        body: with the vertices of the reference.
        rest: ``[T, 3]``, these vertices at rest, where no two parts of the body touch.
        random: what it is drawn from.
        vertices: draws how many the mesh shall have, about.

    Returns:
        A mesh with ``corres [T]``: its vertex at every vertex of the reference.
    """
    body = UnitArea()(body)
    normal = vertex_normals(body).double().numpy()
    rest = rest / np.sqrt(float(np.ptp(rest, axis=0).prod()) ** (2 / 3))
    pos = body.pos.double().numpy() + _waves(rest, random) + _bumps(rest, normal, body.part.numpy(), random)
    bent = UnitArea()(Mesh(torch.from_numpy(pos), body.face, rest=torch.from_numpy(rest)))
    edge = float(np.sqrt(2 / (np.sqrt(3) * vertices(random))))
    made = remesh(bent, edge)
    noise = random.uniform(0, NOISE) * (random.random() < 0.5) * edge
    shift = noise * torch.from_numpy(random.standard_normal(made.pos.shape[0]))
    found = Mesh((made.pos + shift[:, None] * vertex_normals(made)).float(), made.face)
    found.corres = torch.from_numpy(KDTree(made.rest.numpy()).query(rest)[1])
    unit: Mesh = UnitArea()(found)
    return unit


def _some(random: Generator) -> float:
    return random.uniform(1600, 3600)


def _from_coarse_to_fine(random: Generator) -> float:
    return float(np.exp(random.uniform(np.log(1400), np.log(4500))))


def _waves(rest: Points, random: Generator) -> Points:
    """A smooth displacement: sines through space at rest that stretch by at most a quarter each."""
    moved = np.zeros_like(rest)
    for _ in range(WAVES):
        length = np.exp(random.uniform(*np.log(LENGTH)))
        along, way = random.standard_normal((2, 3))
        phase = 2 * np.pi * (rest @ along / np.linalg.norm(along) / length + random.random())
        size = random.uniform(0, STRETCH) * length / (2 * np.pi)
        moved += size * np.sin(phase)[:, None] * way / np.linalg.norm(way)
    return moved


def _bumps(rest: Points, normal: Points, part: NDArray[np.int64], random: Generator) -> Points:
    """Bumps and dents, as many on a hand as on the trunk, some longer than wide: what noses and fingers are to a body."""
    moved = np.zeros_like(rest)
    for _ in range(random.integers(BUMPS)):
        inside = np.flatnonzero(part == random.choice(np.unique(part)))
        centre = random.choice(inside)
        radius = random.uniform(*RADIUS)
        way = normal[centre] + 0.3 * random.standard_normal(3)
        fall = np.exp(-(np.linalg.norm(rest - rest[centre], axis=1) ** 2) / (2 * radius**2))
        moved += radius * random.uniform(-0.5, 2.0) * fall[:, None] * way
    return moved


def puppets(count: int, seed: int) -> list[Mesh]:
    """So many varied Puppets, each another person in another pose."""
    made = Puppets(count, count, seed, num_vertices=DETAIL)
    return _all(made, [number * (count + 1) for number in range(count)], seed)


def people(count: int, seed: int) -> list[Mesh]:
    """So many varied people whose proportions and poses go further than those of Puppets."""
    rest = Puppets(1, 1, num_vertices=DETAIL).reference.pos.double().numpy()
    return [_person(rest, np.random.default_rng([seed, number])) for number in track(range(count), "People")]


def _person(rest: Points, random: Generator) -> Mesh:
    scales, turns = draw_person(random)
    return prepared(varied(registered(BODY, DETAIL, scales, turns), rest, random, _from_coarse_to_fine))


def quadrupeds(count: int, seed: int, split: Literal["train", "test"]) -> list[Mesh]:
    """So many varied Quadrupeds of every species of a split, each another animal in another pose."""
    made = Quadrupeds(count, 2, seed, "registrations", split, DETAIL)
    return _all(made, range(1, len(made), 2), seed)


def _all(made: Puppets | Quadrupeds, chosen: Iterable[int], seed: int) -> list[Mesh]:
    rest = made.reference.pos.double().numpy()
    return [
        prepared(varied(made[number].clone(), rest, np.random.default_rng([seed, number]), _some))
        for number in track(list(chosen), type(made).__name__)
    ]


def prepared(mesh: Mesh) -> Mesh:
    """The mesh with its spectrum and gradient in float32."""
    mesh.spectrum = spectrum(mesh, EIGENFUNCTIONS).to(torch.float32)
    mesh.gradient = gradient(mesh)
    return mesh
