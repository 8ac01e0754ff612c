"""Some points of a shape carry the rest of it along: what bends in a registration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree
from torch import Tensor

from geodl.geometry import edges
from geodl.ops import farthest_points, knn

__all__ = ["DeformationGraph", "surface_links"]

Points = NDArray[np.float64]
Indices = NDArray[np.int64]

# Nodes that move a vertex.
_NEAR = 4
# Points of a cloud that a point is joined to.
_NEAREST = 6
# How much a difference of unit normals counts, in the unit of length (the square root of the area).
NORMAL = 0.05


@dataclass(frozen=True, eq=False)
class DeformationGraph:
    """Points spread over a shape of area 1 that carry the rest of it along (Sumner, Schmid & Pauly 2007).

    Attributes:
        pos: ``[V, 3]`` of all vertices with a mass; normal: ``[V, 3]`` outward.
        nodes: ``[N]``, vertices; links: ``[2, E]``, pairs of neighbouring nodes over the surface, each once.
        edges: ``[2, L]``, of all vertices over the surface.
        near: ``[V, 4]`` nodes near a vertex, over the surface; share: ``[V, 4]``, of each, sum 1.
    """

    pos: Points
    normal: Points
    nodes: Indices
    links: Indices
    near: Indices
    share: Points
    edges: Indices

    @staticmethod
    def of(pos: Tensor, normal: Tensor, links: Tensor, count: int) -> DeformationGraph:
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
        return DeformationGraph(place, normal.double().numpy(), nodes, joined, near, share, links.numpy())

    def on(
        self, pos: Tensor, normal: Tensor, links: Tensor, cell: Tensor, center: Tensor
    ) -> DeformationGraph:
        """The same nodes carrying a finer surface, whose vertices lie in cells of this one's about ``center``."""
        place, owner, nodes = pos.double().numpy(), self.near[cell.numpy(), 0], center.numpy()[self.nodes]
        near, share = _influence(place, nodes, owner, self.links)
        return DeformationGraph(place, normal.double().numpy(), nodes, self.links, near, share, links.numpy())

    @cached_property
    def features(self) -> Points:
        """Places and normals, in which near points are looked for: ``[V, 6]``."""
        return with_normals(self.pos, self.normal)

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


def with_normals(pos: Points, normal: Points) -> Points:
    return np.concatenate([pos, NORMAL * normal], axis=1)


def surface_links(shape: Any) -> Tensor:
    """The edges of a mesh, or those of a cloud's points to their 6 nearest, ``[2, E]``, each once."""
    if getattr(shape, "face", None) is not None:
        return edges(shape)
    near = knn(shape.pos.double(), min(_NEAREST, shape.pos.shape[0] - 1), loop=False)
    low, high = torch.minimum(near.row, near.col), torch.maximum(near.row, near.col)
    each: Tensor = torch.unique(torch.stack([low, high]), dim=1)
    return each
