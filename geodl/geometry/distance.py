"""Exact geodesic distances of pairs of vertices."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from geodl.geometry.native import native, num_threads
from geodl.geometry.shapes import IndexLike, ShapeLike, as_index, as_shape
from geodl.geometry.surface import surface_arrays

__all__ = ["geodesic_distance"]


def geodesic_distance(
    mesh: ShapeLike, sources: IndexLike, targets: IndexLike, max_distance: float = float("inf")
) -> Tensor:
    r"""Length of the shortest path over the faces between vertices ``sources[p]`` and ``targets[p]``, exact for the polyhedron.

    Pairs are grouped by the endpoint that occurs in more of them, and from every such vertex windows of
    straight rays are propagated over the edges (Mitchell, Mount & Papadimitriou 1987; Chen & Han 1990; Xin &
    Wang 2009) only until its partners are reached: pairs of near vertices cost little. Groups run in parallel
    with memory O(V + F) a thread; nothing is V x V.

    Paths do not cross boundaries or edges with more than two faces. They do cross edges where the orientation
    of the faces disagrees: a length needs no orientation (angles do, see `geodesic_charts`).

    Args:
        mesh: anything with ``pos [V, 3]`` and ``face [3, F]``.
        sources: ``[P]`` integer, vertex numbers.
        targets: ``[P]`` integer, vertex numbers.
        max_distance: paths longer than this are not looked for, in the unit of ``pos``.

    Returns:
        ``[P]`` in the unit of ``pos``: 0 for equal vertices, infinite beyond ``max_distance`` and where no
        path leads; float64 if ``pos`` is, else float32, on the device of ``pos``.

    Raises:
        ValueError: sources and targets of different length or not integer; a negative ``max_distance``; a bad
            mesh.
        IndexError: a source, a target or a face refers to a vertex that does not exist.
    """
    mesh = as_shape(mesh)
    if not max_distance >= 0:
        raise ValueError(f"max_distance must not be negative, got {max_distance}")
    pos, face = surface_arrays(mesh)
    ends = []
    for name, given in (("sources", sources), ("targets", targets)):
        vertex = as_index(name, given)
        if vertex.dim() != 1:
            raise ValueError(f"{name} must have shape [P], not {list(vertex.shape)}")
        if vertex.numel() and not 0 <= int(vertex.min()) <= int(vertex.max()) < len(pos):
            span = f"{int(vertex.min())}..{int(vertex.max())}"
            raise IndexError(f"{name} hold {span}, but vertices go from 0 to {len(pos) - 1}")
        ends.append(vertex.detach().cpu().numpy())
    if len(ends[0]) != len(ends[1]):
        raise ValueError(f"there are {len(ends[0])} sources but {len(ends[1])} targets")

    # Each undirected pair once; of its two ends, the one with more partners becomes the source.
    low, high = np.minimum(*ends), np.maximum(*ends)
    pairs, place = np.unique(low * len(pos) + high, return_inverse=True)
    low, high = np.divmod(pairs, len(pos))
    partners = np.bincount(np.concatenate([low, high]), minlength=len(pos))
    swap = partners[high] > partners[low]
    start, end = np.where(swap, high, low), np.where(swap, low, high)
    order = np.argsort(start, kind="stable")
    group, first = np.unique(start[order], return_index=True)
    ptr = np.append(first, len(order)).astype(np.int64)
    lengths = np.empty(len(order))
    lengths[order] = native().geodesic_distance(
        pos, face, group, ptr, end[order], float(max_distance), num_threads()
    )
    dtype = torch.float64 if mesh.pos.dtype == torch.float64 else torch.float32
    return torch.from_numpy(lengths[place.reshape(-1)]).to(mesh.pos.device, dtype)
