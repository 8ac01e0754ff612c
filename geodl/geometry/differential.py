"""Differential coordinates: where a vertex lies relative to its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.geometry.measures import edges
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.surface import check_surface
from geodl.ops import Neighbors, aggregate

__all__ = ["laplacian_coordinates"]


def laplacian_coordinates(mesh: ShapeLike) -> Tensor:
    r"""Mean of the edge neighbours of every vertex, relative to the vertex: the uniform Laplacian of the positions.

    .. math:: \delta_i = \frac{1}{|N(i)|} \sum_{j \in N(i)} p_j - p_i

    Along the normal it tells the curvature, across it how the mesh is laid around the vertex. Differentiable in ``pos``.

    Args:
        mesh: ``pos [V, 3]``, ``face [3, F]``.

    Returns:
        ``[V, 3]`` in the unit and dtype of ``pos``; zero for a vertex without edges.

    Raises:
        ValueError, IndexError: a bad mesh.

    Sorkine, "Differential representations for mesh processing", Computer Graphics Forum 2006.
    """
    mesh = as_shape(mesh)
    pos, _ = check_surface(mesh)
    undirected = edges(mesh)
    neighbors = Neighbors.from_edge_index(torch.cat([undirected, undirected.flip(0)], dim=1), pos.shape[0])
    lonely = neighbors.degree() == 0
    return torch.where(lonely[:, None], 0.0, aggregate(pos, neighbors, reduce="mean") - pos)
