"""Lengths of shortest paths along the edges of a mesh, for lists of pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from torch import Tensor

from geodl.data.shapes import as_shape
from geodl.geometry.shapes import as_index

__all__ = ["edge_distance"]

# Entries of the block "sources x vertices" that Dijkstra returns at once: 32 MB of float64.
_BLOCK = 1 << 22


def edge_distance(mesh: Any, sources: Any, targets: Any) -> Tensor:
    """Length of the shortest path along mesh edges from ``sources[p]`` to ``targets[p]`` (Dijkstra 1959).

    Never shorter than the geodesic distance, and it does not converge to it under refinement. Sources are
    taken in blocks and each search is bounded, so memory stays far below ``V x V``.

    Args:
        mesh: anything with ``pos`` ``[V, 3]`` and ``face`` ``[3, F]``.
        sources: ``[P]`` int64 vertices.
        targets: ``[P]`` int64 vertices.

    Returns:
        ``[P]`` float64, in units of ``pos``; inf between vertices that no path joins.

    Raises:
        IndexError: a source or a target that does not exist.
    """
    mesh = as_shape(mesh)
    pos = mesh.pos.detach().cpu().double().numpy()
    graph = _edge_graph(pos, mesh.face.detach().cpu().numpy())
    source, target = (as_index(n, i).cpu().numpy() for n, i in (("sources", sources), ("targets", targets)))
    for name, vertex in (("sources", source), ("targets", target)):
        if vertex.size and not 0 <= vertex.min() <= vertex.max() < len(pos):
            raise IndexError(
                f"{name} hold {vertex.min()}..{vertex.max()}, but vertices go from 0 to {len(pos) - 1}"
            )
    component = connected_components(graph, directed=False)[1]
    distance = np.full(source.shape[0], np.inf)
    open_pairs = np.flatnonzero(component[source] == component[target])
    # No path is shorter than the straight line. Most are little longer, so a search bounded by half as much
    # again reaches most targets; for the others the bound is doubled until it does.
    bound = 1.5 * np.linalg.norm(pos[source] - pos[target], axis=1)
    bound = np.maximum(bound, 2 * float(graph.data.mean()) if graph.nnz else 0.0)
    rows = max(1, _BLOCK // pos.shape[0])
    while open_pairs.size:
        vertex, group = np.unique(source[open_pairs], return_inverse=True)
        reach = np.zeros(vertex.size)
        np.maximum.at(reach, group, bound[open_pairs])
        rank = np.empty(vertex.size, dtype=np.int64)
        by_reach = np.argsort(reach)  # the sources of a block share one bound: like bounds go together
        rank[by_reach] = np.arange(vertex.size)
        open_pairs = open_pairs[np.argsort(rank[group], kind="stable")]
        position = np.sort(rank[group])
        for start in range(0, vertex.size, rows):
            block = by_reach[start : start + rows]
            found = dijkstra(graph, indices=vertex[block], limit=reach[block[-1]])
            first, last = np.searchsorted(position, (start, start + block.size))
            pairs = open_pairs[first:last]
            distance[pairs] = found[position[first:last] - start, target[pairs]]
        open_pairs = open_pairs[~np.isfinite(distance[open_pairs])]
        bound[open_pairs] *= 2
    return torch.from_numpy(distance)


def _edge_graph(pos: np.ndarray[Any, Any], face: np.ndarray[Any, Any]) -> Any:
    """Symmetric sparse matrix of edge lengths; an edge of length 0 stays an edge."""
    ends = np.concatenate([face[[0, 1]], face[[1, 2]], face[[2, 0]]], axis=1)
    ends = ends[:, ends[0] != ends[1]]
    low, high = np.unique(np.sort(ends, axis=0), axis=1)
    length = np.linalg.norm(pos[low] - pos[high], axis=1)
    rows, columns = np.concatenate([low, high]), np.concatenate([high, low])
    return csr_array((np.concatenate([length, length]), (rows, columns)), shape=(pos.shape[0], pos.shape[0]))
