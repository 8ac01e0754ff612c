"""The last step of a match: one shape is bent onto the other, as stiff as its map allows, and near points are matched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree
from torch import Tensor

from geodl.geometry import vertex_normals
from geodl.ops import farthest_points

__all__ = ["DeformationGraph", "Registration", "register"]

Points = NDArray[np.float64]
Indices = NDArray[np.int64]

# Nodes of a graph, and how many of them move a vertex.
_NODES, _NEAR = 1500, 4
# Lengths (in square roots of the area) that the shape is stiff over: first the map is followed from afar, at the end neighbours on the other shape.
_REACH = (0.2, 0.1, 0.05)
_TURNS = 4
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
        _, _, source = dijkstra(
            graph, directed=False, indices=nodes, min_only=True, return_predecessors=True
        )
        number = np.full(len(place), -1)
        number[nodes] = np.arange(len(nodes))
        # What no node reaches (another component) goes with the nearest one.
        owner = number[np.where(source >= 0, source, nodes[KDTree(place[nodes]).query(place)[1]])]
        joined = np.stack([owner[one], owner[other]])
        joined = np.unique(np.sort(joined[:, joined[0] != joined[1]], axis=0), axis=1)
        near, share = _influence(place, nodes, owner, joined)
        return DeformationGraph(place, normal.double().numpy(), nodes, joined, near, share)

    def carry(self, moved: Points, turned: Points) -> tuple[Points, Points]:
        """Places and normals of all vertices where the nodes lie at ``moved [N, 3]``, turned by ``turned [N, 3, 3]``."""
        base = self.pos[self.nodes]
        offset = self.pos[:, None] - base[self.near]
        turns = turned[self.near]
        pos = np.einsum("vk,vkc->vc", self.share, np.einsum("vkij,vkj->vki", turns, offset) + moved[self.near])
        normal = np.einsum("vk,vkij,vj->vi", self.share, turns, self.normal)
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
        p2p_21, p2p_12: point maps by nearest neighbours, ``[V2]`` and ``[V1]``.
        bending: mean square by which links of the graph are longer or turned otherwise than rigidly, over their mean square
            length: near 0 where parts move as wholes, large where left and right were exchanged.
        gap: root mean square of the distance that is left.
    """

    p2p_21: Tensor
    p2p_12: Tensor
    bending: float
    gap: float


def register(one: DeformationGraph, two: DeformationGraph, p2p_21: Tensor, p2p_12: Tensor) -> Registration:
    """Bends shape 2 onto shape 1 from the point maps given, by as-rigid-as-possible deformation of its graph.

    .. math:: \\min_{x, R} \\sum_n | x_n - t_n |^2 + \\mu \\sum_{nm} | x_n - x_m - R_n (p_n - p_m) |^2

    Targets t are first where the maps lead, then the nearest points of shape 1 with a like normal; mu falls.

    Sorkine & Alexa, "As-rigid-as-possible surface modeling", SGP 2007; Li, Sumner & Pauly, "Global correspondence optimization for
    non-rigid registration of depth scans", SGP 2008.
    """
    forth, back = p2p_21.numpy(), p2p_12.numpy()
    count, base = len(two.nodes), two.pos[two.nodes]
    weight = 1.0 / count
    turned = np.tile(np.eye(3), (count, 1, 1))
    owner = two.near[:, 0]
    # The targets of the maps: where a node's vertex goes, and where vertices of shape 1 come from.
    moved = _targets(one, two, base, two.pos, forth, back)
    tree = KDTree(np.concatenate([one.pos, _NORMAL * one.normal], axis=1))
    bending = gap = 0.0
    for stage, reach in enumerate(_REACH):
        solver = _Rigid(base, two.links, reach, weight)
        for turn in range(_TURNS):
            if stage == 0:
                targets = _targets(one, two, base, two.pos, forth, back) if turn == 0 else targets
            else:
                pos, normal = two.carry(moved, turned)
                near = tree.query(np.concatenate([pos, _NORMAL * normal], axis=1)[two.nodes])[1]
                reverse = KDTree(np.concatenate([pos, _NORMAL * normal], axis=1)).query(
                    np.concatenate([one.pos, _NORMAL * one.normal], axis=1)[one.nodes]
                )[1]
                targets = _pulled(one, owner, moved, pos, one.pos[near], one.nodes, reverse)
            turned = solver.rotations(moved)
            moved = solver.solve(turned, targets)
            turned = solver.rotations(moved)
    pos, normal = two.carry(moved, turned)
    here, there = (np.concatenate(x, axis=1) for x in ((pos, _NORMAL * normal), (one.pos, _NORMAL * one.normal)))
    to_one = tree.query(here)[1]
    to_two = KDTree(here).query(there)[1]
    bending = solver.energy(moved, turned)
    gap = float(np.sqrt(np.square(pos - one.pos[to_one]).sum(1).mean()))
    return Registration(torch.from_numpy(to_one), torch.from_numpy(to_two), bending, gap)


def _targets(
    one: DeformationGraph, two: DeformationGraph, moved: Points, pos: Points, forth: Indices, back: Indices
) -> Points:
    """Mean of where the vertices of a node go and of which vertices come to it, less how far they lie from it."""
    count, owner = len(two.nodes), two.near[:, 0]
    known = forth >= 0
    rows = owner[known]
    total = np.zeros((count, 4))
    np.add.at(total, rows, np.concatenate([one.pos[forth[known]], np.ones((len(rows), 1))], axis=1))
    come = back >= 0
    rows = owner[back[come]]
    np.add.at(total, rows, np.concatenate([one.pos[come], np.ones((len(rows), 1))], axis=1))
    found: Points = np.where(total[:, 3:] > 0, total[:, :3] / np.maximum(total[:, 3:], 1), moved)
    return found


def _pulled(
    one: DeformationGraph,
    owner: Indices,
    moved: Points,
    pos: Points,
    near: Points,
    nodes: Indices,
    reverse: Indices,
) -> Points:
    """Half-way between a node's nearest point and where the points that it is nearest to pull it."""
    total = np.concatenate([near, np.ones((len(near), 1))], axis=1)
    rows = owner[reverse]
    pull = moved[rows] + one.pos[nodes] - pos[reverse]
    np.add.at(total, rows, np.concatenate([pull, np.ones((len(rows), 1))], axis=1))
    mean: Points = total[:, :3] / total[:, 3:]
    return mean


class _Rigid:
    """Alternating solver of as-rigid-as-possible deformation: factored once a stiffness."""

    def __init__(self, base: Points, links: Indices, reach: float, weight: float) -> None:
        count = len(base)
        one, other = np.concatenate([links, links[::-1]], axis=1)
        self.one, self.other, self.weight = one, other, weight
        self.edge = base[one] - base[other]
        stiffness = self.stiffness = weight * reach**2 / (12 * float(np.square(self.edge).sum(1).mean()))
        # Links of all lengths count alike: a membrane of even stiffness.
        self.table = csr_array((np.ones(len(one)), (one, np.arange(len(one)))), shape=(count, len(one)))
        adjacency = csr_array((np.ones(len(one)), (one, other)), shape=(count, count))
        matrix = 2 * stiffness * (diags_array(adjacency.sum(axis=1)) - adjacency)
        self.factor = splu((matrix + weight * diags_array(np.ones(count))).tocsc())

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
