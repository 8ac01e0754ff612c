"""Distances over a mesh that are good to a few per cent and cheap: along edges, and straight across pairs of faces."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from geodl.geometry import edges
from geodl.matching.deformation_graph import surface_links

__all__ = ["border_vertices", "distance_to", "distances_from", "geodesic_graph", "surface_graph"]


def geodesic_graph(mesh: Any) -> Any:
    """A sparse matrix ``[V, V]`` of lengths: of edges, and of the straight way between the corners opposite to an inner edge."""
    pos, face = mesh.pos.detach().double(), mesh.face
    vertices = pos.shape[0]
    one, other = edges(mesh)
    halves = _halves(face)
    key = _key(halves, vertices)
    order = key.argsort(stable=True)
    pair = key[order][1:] == key[order][:-1]
    left, right = halves[:, order[:-1][pair]], halves[:, order[1:][pair]]
    begin = pos[left[0]]
    along = pos[left[1]] - begin
    length = torch.linalg.vector_norm(along, dim=1).clamp(min=1e-12)

    def unfolded(corner: Tensor) -> tuple[Tensor, Tensor]:
        """Where a corner lies along the edge, and how far from it."""
        away = pos[corner] - begin
        at = (away * along).sum(1) / length
        return at, (away.square().sum(1) - at.square()).clamp(min=0).sqrt()

    (at_1, off_1), (at_2, off_2) = unfolded(left[2]), unfolded(right[2])
    # Only where the way crosses the edge itself.
    crossing = at_1 + (at_2 - at_1) * off_1 / (off_1 + off_2).clamp(min=1e-12)
    inside = (crossing > 0) & (crossing < length)
    straight = torch.hypot(at_1 - at_2, off_1 + off_2)
    rows = torch.cat([one, left[2][inside]])
    columns = torch.cat([other, right[2][inside]])
    lengths = torch.cat([torch.linalg.vector_norm(pos[one] - pos[other], dim=1), straight[inside]])
    entries = (lengths.clamp(min=1e-12).numpy(), (rows.numpy(), columns.numpy()))
    return csr_array(entries, shape=(vertices, vertices))


def surface_graph(shape: Any) -> Any:
    """Lengths ``[V, V]`` by which ways over a mesh or a cloud are measured: :func:`geodesic_graph`, or those of a cloud's links."""
    if getattr(shape, "face", None) is not None:
        return geodesic_graph(shape)
    pos, (one, other) = shape.pos.double(), surface_links(shape)
    length = torch.linalg.vector_norm(pos[one] - pos[other], dim=1).clamp(min=1e-12)
    return csr_array((length.numpy(), (one.numpy(), other.numpy())), shape=(len(pos), len(pos)))


def distances_from(graph: Any, sources: Tensor) -> Tensor:
    """``[S, V]`` float32; inf where there is no way."""
    return torch.from_numpy(dijkstra(graph, directed=False, indices=sources.numpy()).astype(np.float32))


def distance_to(graph: Any, targets: Tensor) -> Tensor:
    """``[V]`` float32, to the nearest of the targets; inf if there are none."""
    if not targets.numel():
        return torch.full((graph.shape[0],), torch.inf)
    found = dijkstra(graph, directed=False, indices=targets.numpy(), min_only=True)
    return torch.from_numpy(found.astype(np.float32))


def border_vertices(mesh: Any) -> Tensor:
    """Vertices of edges that have one face, ascending."""
    vertices = mesh.pos.shape[0]
    key, count = torch.unique(_key(_halves(mesh.face), vertices), return_counts=True)
    once = key[count == 1]
    found: Tensor = torch.unique(torch.cat([once // vertices, once % vertices]))
    return found


def _halves(face: Tensor) -> Tensor:
    """``[3, 3 F]``: the two ends of every edge of every face, and the corner opposite."""
    return torch.cat([face, face.roll(-1, 0), face.roll(-2, 0)], 1)


def _key(halves: Tensor, vertices: int) -> Tensor:
    return torch.minimum(halves[0], halves[1]) * vertices + torch.maximum(halves[0], halves[1])
