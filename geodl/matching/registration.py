"""The last step of a match: one shape is bent onto the other, as stiff as its map allows, and near points are matched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree
from torch import Tensor

from geodl.ops import farthest_points

__all__ = ["DeformationGraph", "Registration", "register"]

Points = NDArray[np.float64]
Indices = NDArray[np.int64]

# Nodes of a graph, and how many of them move a vertex.
_NODES, _NEAR = 1500, 4
# How much a difference of unit normals counts, in the unit of length (the square root of the area).
_NORMAL = 0.05


@dataclass(frozen=True, eq=False)
class DeformationGraph:
    """Points spread over a shape of area 1 that carry the rest of it along (Sumner, Schmid & Pauly 2007).

    Attributes:
        pos: ``[V, 3]`` of all vertices with a mass; normal: ``[V, 3]`` outward.
        nodes: ``[N]``, vertices; links: ``[2, E]``, pairs of neighbouring nodes over the surface, each once.
        near: ``[V, 4]`` nodes near a vertex, over the surface; share: ``[V, 4]``, of each, sum 1.
    """

    pos: Points
    normal: Points
    nodes: Indices
    links: Indices
    near: Indices
    share: Points

    @staticmethod
    def of(pos: Tensor, normal: Tensor, links: Tensor, count: int = _NODES) -> DeformationGraph:
        """Args: places, normals, edges ``[2, E]`` of the surface, number of nodes."""
        place = pos.double().numpy()
        nodes = farthest_points(pos, min(count, len(place)))[0].numpy()
        one, other = links.numpy()
        length = np.maximum(np.linalg.norm(place[one] - place[other], axis=1), 1e-9)
        graph = coo_array((length, (one, other)), shape=(len(place), len(place))).tocsr()
        _, _, source = dijkstra(graph, directed=False, indices=nodes, min_only=True, return_predecessors=True)
        number = np.full(len(place), -1)
        number[nodes] = np.arange(len(nodes))
        # What no node reaches (another component) goes with the nearest one.
        owner = number[np.where(source >= 0, source, nodes[KDTree(place[nodes]).query(place)[1]])]
        joined = np.stack([owner[one], owner[other]])
        joined = np.unique(np.sort(joined[:, joined[0] != joined[1]], axis=0), axis=1)
        near, share = _influence(place, nodes, owner, joined)
        return DeformationGraph(place, normal.double().numpy(), nodes, joined, near, share)

    @cached_property
    def features(self) -> Points:
        """Places and normals, in which near points are looked for: ``[V, 6]``."""
        return _with_normals(self.pos, self.normal)

    @cached_property
    def tree(self) -> KDTree:
        return KDTree(self.features)

    @cached_property
    def samples(self) -> Indices:
        """Vertices that stand for all where these are many: four a node, at random, and the nodes."""
        random = np.random.default_rng(0).permutation(len(self.pos))[: 4 * len(self.nodes)]
        return np.union1d(random, self.nodes)

    def carry(self, moved: Points, turned: Points, some: Indices | None = None) -> tuple[Points, Points]:
        """Places and normals of vertices (all or some) where nodes lie at ``moved [N, 3]``, turned by ``turned [N, 3, 3]``."""
        some = np.arange(len(self.pos)) if some is None else some
        near, share = self.near[some], self.share[some]
        offset = self.pos[some, None] - self.pos[self.nodes][near]
        turns = turned[near]
        pos = np.einsum("vk,vkc->vc", share, (turns @ offset[..., None])[..., 0] + moved[near])
        blend = np.einsum("vk,vkij->vij", share, turns)
        normal = (blend @ self.normal[some, :, None])[..., 0]
        return pos, normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def _influence(place: Points, nodes: Indices, owner: Indices, links: Indices) -> tuple[Indices, Points]:
    """The node that owns a vertex and the nearest of that node's neighbours."""
    count = len(nodes)
    one, other = np.concatenate([links, links[::-1]], axis=1)
    table = csr_array((np.ones(len(one)), (one, other)), shape=(count, count))
    width = int(np.diff(table.indptr).max(initial=0))
    ring = np.full((count, width + 1), -1)
    ring[:, 0] = np.arange(count)
    rank = np.arange(len(table.indices)) - np.repeat(table.indptr[:-1], np.diff(table.indptr))
    ring[np.repeat(np.arange(count), np.diff(table.indptr)), rank + 1] = table.indices
    candidates = ring[owner]
    base = place[nodes]
    gap = np.linalg.norm(place[:, None] - base[candidates], axis=2)
    gap[candidates < 0] = np.inf
    best = np.argsort(gap, axis=1)[:, :_NEAR]
    gap = np.take_along_axis(gap, best, axis=1)
    near = np.take_along_axis(candidates, best, axis=1)
    finite = np.where(np.isfinite(gap), gap, 0.0)
    reach = 1.2 * finite.max(axis=1, keepdims=True) + 1e-12
    share = np.where(np.isfinite(gap), np.square(1 - np.minimum(finite / reach, 1)) + 1e-9, 0.0)
    return np.where(near >= 0, near, owner[:, None]), share / share.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Registration:
    """A shape bent onto another, and what it took.

    Attributes:
        moved: ``[N, 3]``, where the nodes of shape 2 lie; turned: ``[N, 3, 3]``, how they are turned.
        image: ``[N]``, the vertices of shape 1 that are nearest to them.
        bending: mean square by which links of the graph are longer or turned otherwise than rigidly, over their mean square
            length: some hundredths where parts move as wholes, more where left and right were exchanged or parts lie elsewhere.
        gap: root mean square of the distance that is left.
    """

    one: DeformationGraph
    two: DeformationGraph
    moved: Points
    turned: Points
    image: Indices
    bending: float
    gap: float

    def point_maps(self) -> tuple[Tensor, Tensor, Tensor]:
        """Nearest neighbours: ``p2p_21 [V2]``, ``p2p_12 [V1]``, and where the vertices of shape 2 lie, ``[V2, 3]``."""
        here, there = _with_normals(*self.two.carry(self.moved, self.turned)), self.one.features
        forth, back = self.one.tree.query(here)[1], KDTree(here).query(there)[1]
        return torch.from_numpy(forth), torch.from_numpy(back), torch.from_numpy(here[:, :3].copy())


def register(
    one: DeformationGraph,
    two: DeformationGraph,
    at_one: Indices,
    at_two: Indices,
    reaches: tuple[float, ...] = (0.2, 0.1, 0.05),
    turns: int = 4,
) -> Registration:
    r"""Bends shape 2 onto shape 1 from matches given, by as-rigid-as-possible deformation of its graph.

    .. math:: \min_{x, R} \sum_n | x_n - t_n |^2 + \mu \sum_{nm} | x_n - x_m - R_n (p_n - p_m) |^2

    Targets t are first where the matches lead, then the nearest points of shape 1 with a like normal and where the points of shape
    1 pull that are nearest to them; mu falls.

    Args:
        one, two: graphs of the shapes.
        at_one, at_two: ``[P]`` vertices of either that match; a node of shape 2 takes the mean of its own.
        reaches: lengths that the shape is stiff over, one a stage; the first stage follows the matches.
        turns: alternations of rotations and places in a stage.

    Sorkine & Alexa, "As-rigid-as-possible surface modeling", SGP 2007; Li, Sumner & Pauly, "Global correspondence optimization for
    non-rigid registration of depth scans", SGP 2008.
    """
    moved, owner = two.pos[two.nodes], two.near[:, 0]
    targets = _mean(owner[at_two], one.pos[at_one], moved)
    turned = np.tile(np.eye(3), (len(moved), 1, 1))
    image = np.zeros(len(moved), dtype=np.int64)
    sample = two.samples
    for stage, reach in enumerate(reaches):
        solver = _Rigid(two.pos[two.nodes], two.links, reach)
        if stage == 0:
            moved = targets
        for _ in range(turns):
            if stage:
                at_nodes = _with_normals(*two.carry(moved, turned, two.nodes))
                image = one.tree.query(at_nodes)[1]
                here = _with_normals(*two.carry(moved, turned, sample))
                found = KDTree(here).query(one.features[one.nodes])[1]
                rows = owner[sample[found]]
                pull = moved[rows] + one.pos[one.nodes] - here[found, :3]
                every = np.concatenate([np.arange(len(moved)), rows])
                targets = _mean(every, np.concatenate([one.pos[image], pull]), moved)
            turned = solver.rotations(moved)
            moved = solver.solve(turned, targets)
    turned = solver.rotations(moved)
    distance, image = one.tree.query(_with_normals(*two.carry(moved, turned, two.nodes)))
    gap = float(np.sqrt(np.square(distance).mean()))
    return Registration(one, two, moved, turned, image, solver.energy(moved, turned), gap)


def _with_normals(pos: Points, normal: Points) -> Points:
    return np.concatenate([pos, _NORMAL * normal], axis=1)


def _mean(rows: Indices, values: Points, otherwise: Points) -> Points:
    """Mean of the values of each row, ``otherwise`` where there are none."""
    count = np.bincount(rows, minlength=len(otherwise))[:, None]
    total = np.stack([np.bincount(rows, v, len(otherwise)) for v in values.T], axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), otherwise)


class _Rigid:
    """Alternating solver of as-rigid-as-possible deformation: factored once a stiffness."""

    def __init__(self, base: Points, links: Indices, reach: float) -> None:
        count = len(base)
        one, other = np.concatenate([links, links[::-1]], axis=1)
        self.one, self.other, self.weight = one, other, 1 / count
        self.edge = base[one] - base[other]
        stiffness = self.stiffness = reach**2 / count / (12 * float(np.square(self.edge).sum(1).mean()))
        # Links of all lengths count alike: a membrane of even stiffness.
        self.table = csr_array((np.ones(len(one)), (one, np.arange(len(one)))), shape=(count, len(one)))
        adjacency = csr_array((np.ones(len(one)), (one, other)), shape=(count, count))
        matrix = 2 * stiffness * (diags_array(adjacency.sum(axis=1)) - adjacency)
        self.factor = splu((matrix + diags_array(np.full(count, 1 / count))).tocsc())

    def rotations(self, moved: Points) -> Points:
        now = moved[self.one] - moved[self.other]
        outer = (now[:, :, None] * self.edge[:, None, :]).reshape(-1, 9)
        u, _, vh = np.linalg.svd((self.table @ outer).reshape(-1, 3, 3))
        u[:, :, 2] *= np.sign(np.linalg.det(u @ vh))[:, None]
        found: Points = u @ vh
        return found

    def solve(self, turned: Points, targets: Points) -> Points:
        mean = (turned[self.one] + turned[self.other]) / 2
        pull = 2 * self.stiffness * (self.table @ np.einsum("eij,ej->ei", mean, self.edge))
        found: Points = self.factor.solve(pull + self.weight * targets)
        return found

    def energy(self, moved: Points, turned: Points) -> float:
        now = moved[self.one] - moved[self.other]
        off = now - np.einsum("eij,ej->ei", turned[self.one], self.edge)
        return float(np.square(off).sum() / np.square(self.edge).sum())
