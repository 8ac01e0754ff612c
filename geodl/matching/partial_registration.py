"""A part bent onto a shape of which it may have more or less: only what lies beside one another pulls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from geodl.geometry import vertex_normals
from geodl.matching.deformation_graph import NORMAL, DeformationGraph, surface_links, with_normals
from geodl.matching.geodesic_graph import border_vertices
from geodl.matching.partial_shape import SCALES, PartialShape
from geodl.matching.rigid_solver import RigidSolver, mean_of_rows

__all__ = ["OpenGraph", "PartialRegistration", "register_part"]

Points = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

# Lengths that the shape is stiff over, one a stage, and how far apart what pulls may be; the first stage follows the matches.
_REACHES, _TRIMS, _TURNS = (0.2, 0.1, 0.05), (1.0, 0.15, 0.1), 5
_OPEN_REACHES, _OPEN_TRIMS = (0.3, 0.2, 0.15, 0.1), (1.0, 0.12, 0.08, 0.06)
# Normals that lie beside one another look the same way.
_FACING = 0.3


class OpenGraph(NamedTuple):
    """A deformation graph of the vertices that have a mass, and which of them are on the border, ``[V]``."""

    graph: DeformationGraph
    border: Mask

    @staticmethod
    def of(shape: PartialShape, nodes: int) -> OpenGraph:
        used = shape.used
        place = torch.cumsum(used, 0) - 1
        links = surface_links(shape.mesh)
        links = place[links[:, used[links].all(0)]]
        graph = DeformationGraph.of(shape.mesh.pos[used], vertex_normals(shape.mesh)[used], links, nodes)
        border = np.zeros(int(used.sum()), dtype=bool)
        border[place[border_vertices(shape.mesh)].numpy()] = True
        return OpenGraph(graph, border)


@dataclass(frozen=True, eq=False)
class PartialRegistration:
    """A part bent onto another shape.

    Attributes:
        scale: by which it was scaled first.
        moved, turned: ``[N, 3]`` and ``[N, 3, 3]``, of its nodes.
        bending: as of :class:`Registration`.
        touched: share of the nodes that lie beside the other shape.
    """

    one: OpenGraph
    two: OpenGraph
    scale: float
    moved: Points
    turned: Points
    bending: float
    touched: float

    def nearest(self) -> tuple[Indices, Indices, Points, Points]:
        """Of every vertex of shape 2 the nearest of shape 1, of every vertex of shape 1 the nearest of shape 2, and how far."""
        one, here = self.one.graph, _carried(self.two.graph, self.scale, self.moved, self.turned)
        forth, back = one.tree.query(here)[1], KDTree(here).query(one.features)[1]
        gap_2 = np.linalg.norm(here[:, :3] - one.pos[forth], axis=1)
        return forth, back, gap_2, np.linalg.norm(here[back, :3] - one.pos, axis=1)

    def on(self, one: OpenGraph, two: OpenGraph, contained: bool) -> PartialRegistration:
        """The same with other nodes."""
        forth, back, gap_2, gap_1 = self.nearest()
        good_2 = ~self.one.border[forth] & (gap_2 < _TRIMS[-1]) | contained
        good_1 = ~self.two.border[back] & (gap_1 < _TRIMS[-1])
        at_one = np.concatenate([forth[good_2], good_1.nonzero()[0]])
        at_two = np.concatenate([good_2.nonzero()[0], back[good_1]])
        return register_part(one, two, at_one, at_two, contained, self.scale)


def register_part(
    one: OpenGraph,
    two: OpenGraph,
    at_one: Indices,
    at_two: Indices,
    contained: bool,
    scale: float = 1.0,
) -> PartialRegistration:
    """Bends shape 2 onto shape 1 from matches given, as :func:`register`, where the shapes have only a part in common.

    A node of shape 2 whose nearest point is on the border of shape 1, or farther than what the stage allows, follows its
    neighbours; points of shape 1 whose nearest is on the border of shape 2 do not pull. The size is estimated before.

    Args:
        one, two: graphs of the shapes.
        at_one, at_two: ``[P]`` vertices of either that match.
        contained: whether shape 1 has all of shape 2.
        scale: of shape 2 in the beginning.
    """
    own = two.graph
    owner, count, sample = own.near[:, 0], len(own.nodes), own.samples
    base = scale * own.pos[own.nodes]
    targets, weight = mean_of_rows(owner[at_two], one.graph.pos[at_one], count)
    moved = _placed(base, targets, weight > 0)
    reaches, trims = (_REACHES, _TRIMS) if contained else (_OPEN_REACHES, _OPEN_TRIMS)
    for stage, reach in enumerate(reaches):
        solver = RigidSolver(base, own.links, reach)
        for _ in range(_TURNS):
            turned = solver.rotations(moved)
            if stage:
                targets, weight = _pulls(
                    one, two, scale, moved, turned, owner, sample, trims[stage], contained
                )
            moved = solver.solve(turned, np.where(weight[:, None] > 0, targets, moved), weight > 0)
        grown = _grown(solver, moved, weight > 0)
        grown = min(max(grown * scale, SCALES[0]), SCALES[1]) / scale
        scale, base = scale * grown, base * grown
    solver = RigidSolver(base, own.links, reaches[-1])
    turned = solver.rotations(moved)
    return PartialRegistration(
        one, two, scale, moved, turned, solver.energy(moved, turned), float((weight > 0).mean())
    )


def _carried(
    graph: DeformationGraph, scale: float, moved: Points, turned: Points, some: Indices | None = None
) -> Points:
    """Places and normals of vertices, of a graph that was scaled before."""
    pos, normal = replace(graph, pos=scale * graph.pos).carry(moved, turned, some)
    return with_normals(pos, normal)


def _pulls(
    one: OpenGraph,
    two: OpenGraph,
    scale: float,
    moved: Points,
    turned: Points,
    owner: Indices,
    sample: Indices,
    trim: float,
    contained: bool,
) -> tuple[Points, Indices]:
    """Where nodes are pulled ``[N, 3]``, and by how many ``[N]``."""
    other = one.graph
    at = _carried(two.graph, scale, moved, turned, two.graph.nodes)
    image = other.tree.query(at)[1]
    beside = ~one.border[image]
    if not contained:
        beside &= np.linalg.norm(at[:, :3] - other.pos[image], axis=1) < trim
        beside &= (at[:, 3:] * other.features[image, 3:]).sum(1) > _FACING * NORMAL**2
    here = _carried(two.graph, scale, moved, turned, sample)
    found = KDTree(here).query(other.features[other.nodes])[1]
    offset = other.pos[other.nodes] - here[found, :3]
    pulling = ~two.border[sample[found]] & (np.linalg.norm(offset, axis=1) < trim)
    if not contained:
        pulling &= (here[found, 3:] * other.features[other.nodes, 3:]).sum(1) > _FACING * NORMAL**2
    rows = owner[sample[found[pulling]]]
    values = np.concatenate([other.pos[image[beside]], moved[rows] + offset[pulling]])
    return mean_of_rows(np.concatenate([beside.nonzero()[0], rows]), values, len(moved))


def _placed(base: Points, targets: Points, known: Mask) -> Points:
    """Nodes at their targets; those that have none where the rigid motion of the others takes them."""
    a, b = base[known], targets[known]
    u, _, vh = np.linalg.svd((b - b.mean(0)).T @ (a - a.mean(0)))
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vh))]) @ vh
    placed: Points = (base - a.mean(0)) @ turn.T + b.mean(0)
    placed[known] = b
    return placed


def _grown(solver: RigidSolver, moved: Points, pulled: Mask) -> float:
    """By which links between nodes that are pulled have grown, in the middle."""
    some = pulled[solver.one] & pulled[solver.other]
    if not some.any():
        return 1.0
    now = np.linalg.norm(moved[solver.one[some]] - moved[solver.other[some]], axis=1)
    return float(np.median(now / np.maximum(np.linalg.norm(solver.edge[some], axis=1), 1e-12)))
