"""Coarsening: a shape's cells, the coarse shape that they form, and the operators between the two."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, dijkstra
from torch import Tensor

from geodl.geometry.cloud import check_cloud
from geodl.geometry.measures import edges, vertex_areas
from geodl.geometry.prolongation import smooth_prolongation, smoothed_aggregation
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.ops import Neighbors, aggregate, farthest_points, knn
from geodl.ops.core.structure import Layout, Part, Rows, Structure

__all__ = ["Coarsening", "coarsen", "hierarchy"]

# Nearest points that a point of a cloud is joined to.
_CLOUD_NEIGHBORS = 6

METHODS = ("farthest", "matching")


@dataclass(frozen=True, eq=False)
class Coarsening(Structure):
    r"""A shape's points in cells, one coarse point a cell, and what carries signals between the two.

    With the mass :math:`m_i` of every point and :math:`M_c = \sum_{i \in c} m_i` of every cell,

    .. math:: (R f)_c = \frac{1}{M_c} \sum_{i \in c} m_i f_i, \qquad (P g)_i = g_{c(i)}

    so constants stay constant both ways, integrals are kept (:math:`\sum_c M_c (R f)_c = \sum_i m_i f_i`, and likewise for P),
    :math:`R P = I`, and R and P are adjoint with respect to the masses. Beside P, which is constant on every cell, there is a
    smooth prolongation, see :func:`~geodl.geometry.prolongation.smooth_prolongation`.

    Args:
        cluster: ``[V]`` int64, the cell of every point.
        centers: ``[C]`` int64, the point that stands for every cell; ascending in the number of the cell.
        cells: row c lists the points of cell c: the sparsity of R.
        weight: ``[V]``, the entries of R in that order.
        mass: ``[C]`` float64, the mass of every cell.
        edge_index: ``[2, E]`` int64, which cells touch, both ways, columns ascending.
        edge_weight: ``[E]``, the sum of the weights of the edges between the two cells: 1 an edge of a mesh or cloud.
        pos: ``[C, 3]``, the centers' positions; None for a graph without.
        smooth: row i lists the cells that point i reads in the smooth prolongation; None if there is none.
        smooth_weight: ``[E']`` in that order, which sum to 1 in every row.
    """

    cluster: Tensor
    centers: Tensor
    cells: Neighbors
    weight: Tensor
    mass: Tensor
    edge_index: Tensor
    edge_weight: Tensor
    pos: Tensor | None = None
    smooth: Neighbors | None = None
    smooth_weight: Tensor | None = None

    layout: ClassVar[Layout] = {
        "cluster": Rows("points", into="cells"),
        "centers": Rows("cells", into="points"),
        "cells": Part(Neighbors),
        "weight": Rows("points"),
        "mass": Rows("cells"),
        "edge_index": Rows("edges", into="cells", dim=1),
        "edge_weight": Rows("edges"),
        "pos": Rows("cells"),
        "smooth": Part(Neighbors),
        "smooth_weight": Rows("links"),
    }

    @property
    def num_nodes(self) -> int:
        """Number of coarse points; a coarsening is itself a graph, which can be coarsened and has a Laplacian."""
        return self.centers.numel()

    def restrict(self, x: Tensor, reduce: str = "mean") -> Tensor:
        """Signals to the cells, ``[V, C]`` -> ``[cells, C]`` or ``[B, C, V]`` -> ``[B, C, cells]``.

        It is the mean by mass, or the "max" or "min" over each cell.
        """
        if reduce == "mean":
            return on_columns(x, lambda signal: aggregate(signal, self.cells, self.weight.to(x.dtype)))
        if reduce not in ("max", "min"):
            raise ValueError(f"reduce must be mean, max or min, not {reduce!r}")
        return on_columns(x, lambda signal: aggregate(signal, self.cells, reduce=reduce))

    def prolong(self, x: Tensor, smooth: bool = False) -> Tensor:
        """Signals of the cells to their points, ``[cells, C]`` -> ``[V, C]`` or ``[B, C, cells]`` -> ``[B, C, V]``.

        Args:
            x: what every cell has.
            smooth: whether points read the cells about them, linearly, or their own alone.

        Raises:
            ValueError: a signal that does not fit; a coarsening that was made without a smooth prolongation.
        """
        if not smooth:
            return on_columns(x, lambda signal: aggregate(signal, self.cells.t()[0]))
        if self.smooth is None or self.smooth_weight is None:
            raise ValueError("the coarsening was made without a smooth prolongation")
        to, weight = self.smooth, self.smooth_weight.to(x.dtype)
        return on_columns(x, lambda signal: aggregate(signal, to, weight))


def on_columns(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """What takes ``[V, C]`` on that, or on ``[B, C, V]`` as so many channels more."""
    if x.dim() == 2:
        return function(x)
    if x.dim() != 3:
        raise ValueError(f"x must have shape [V, C] or [B, C, V], not {list(x.shape)}")
    batch, channels, points = x.shape
    return function(x.permute(2, 0, 1).reshape(points, -1)).view(-1, batch, channels).permute(1, 2, 0)


def coarsen(shape: ShapeLike, points: int, method: str | None = None) -> Coarsening:
    """Cells of about equal size on a mesh, point cloud or graph.

    - ``"farthest"``, the default where there are positions: centers by farthest-point sampling, and every point to the center
      that is nearest along the edges (so a cell never jumps from one finger to the next). Edges are those of the mesh or graph;
      points of a cloud are joined to their 6 nearest. A component without a center gets one more.
    - ``"matching"``, the default for graphs without: points are paired along the edge with the largest
      :math:`w_{ij} (1 / d_i + 1 / d_j)`, again and again, as Graclus does, until few enough are left or no edge is.

    Args:
        shape: ``pos`` with ``face``, or with ``edge_index``, or alone, or ``edge_index`` alone; ``edge_weight`` counts for
            matching, and ``mass`` if there, else the vertex areas of a mesh and 1 elsewhere. A :class:`Coarsening` is such a shape.
        points: how many coarse points are wanted. There are more only where the shape has more components: a vertex of no face
            is one.
        method: "farthest" or "matching".

    Returns:
        Coarsening on the device of the shape. In a cell without mass R is the plain mean.

    Raises:
        ValueError: no such method, fewer than one point wanted, or a bad shape.

    Dhillon, Guan & Kulis, "Weighted graph cuts without eigenvectors: a multilevel approach", TPAMI 2007, for the matching.
    """
    shape = as_shape(shape)
    if points < 1:
        raise ValueError(f"points must be at least 1, got {points}")
    has_pos = getattr(shape, "pos", None) is not None
    method = method or ("farthest" if has_pos else "matching")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if method == "farthest" and not has_pos:
        raise ValueError("farthest-point coarsening needs positions, which the shape does not have")
    graph, mass, device = _graph(shape)
    size = graph.shape[0]
    if method == "farthest":
        pos = check_cloud(shape).detach().to("cpu", torch.float64)
        centers, cluster = _voronoi(pos, graph, min(points, size))
    else:
        cluster = _match(graph, points)
        _, centers = np.unique(cluster, return_index=True)
    count = len(centers)
    member = scipy.sparse.csr_array((np.ones(size), (cluster, np.arange(size))), shape=(count, size))
    total = member @ mass
    plain = member @ np.ones(size)
    weight = np.where(total[cluster] > 0, mass / np.where(total > 0, total, 1)[cluster], 1 / plain[cluster])
    rowptr, col = (torch.from_numpy(a.astype(np.int64)) for a in (member.indptr, member.indices))
    cells = Neighbors(rowptr, col, size)
    links = (member @ graph @ member.T).tocsr()
    links.setdiag(0)
    links.eliminate_zeros()
    links.sort_indices()
    ends = links.tocoo()
    if has_pos:
        place = check_cloud(shape).detach().to("cpu", torch.float64)
        smooth = smooth_prolongation(place, torch.from_numpy(centers), cluster, links)
    else:
        smooth = smoothed_aggregation(graph, cluster, count)
    smooth.sort_indices()
    smooth_ptr, smooth_col = (torch.from_numpy(a.astype(np.int64)) for a in (smooth.indptr, smooth.indices))
    index = torch.from_numpy(centers.astype(np.int64))
    return Coarsening(
        torch.from_numpy(cluster.astype(np.int64)),
        index,
        cells,
        torch.from_numpy(weight[member.indices]),
        torch.from_numpy(total),
        torch.from_numpy(np.stack([ends.row, ends.col]).astype(np.int64)),
        torch.from_numpy(ends.data),
        shape.pos.detach().cpu()[index] if has_pos else None,
        Neighbors(smooth_ptr, smooth_col, count),
        torch.from_numpy(smooth.data),
    ).to(device)


def hierarchy(shape: ShapeLike, sizes: Sequence[int], method: str | None = None) -> list[Coarsening]:
    """Coarsenings one upon the other, to ever fewer points.

    Args:
        shape, method: as in :func:`coarsen`.
        sizes: points of every level, descending.

    Raises:
        ValueError: sizes that do not descend; what :func:`coarsen` raises.
    """
    shape = as_shape(shape)
    if any(later >= earlier for earlier, later in pairwise(sizes)):
        raise ValueError(f"sizes must descend, got {list(sizes)}")
    levels: list[Coarsening] = []
    for size in sizes:
        levels.append(coarsen(levels[-1] if levels else shape, size, method))
    return levels


def _graph(shape: Any) -> tuple[Any, NDArray[np.float64], torch.device]:
    """Symmetric weights ``[V, V]``, masses ``[V]`` and the device of a shape."""
    weight = None
    if getattr(shape, "face", None) is not None:
        index, size, device = edges(shape), shape.pos.shape[0], shape.pos.device
        mass = vertex_areas(shape)
    elif getattr(shape, "edge_index", None) is not None:
        index, size, device = shape.edge_index, shape.num_nodes, shape.edge_index.device
        weight, mass = getattr(shape, "edge_weight", None), None
        if not size:
            raise ValueError("the graph is empty: it has no nodes")
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < size:
            raise IndexError(
                f"edge_index holds {int(index.min())}..{int(index.max())}, but there are {size} nodes"
            )
    else:
        pos = check_cloud(shape)
        size, device, mass = pos.shape[0], pos.device, None
        near = knn(pos.detach().double(), min(_CLOUD_NEIGHBORS + 1, size), loop=True)
        index = torch.stack([near.row, near.col])
    given = getattr(shape, "mass", None)
    mass = mass if given is None else given
    masses = np.ones(size) if mass is None else mass.detach().cpu().double().numpy()
    ends = index.detach().cpu().numpy()
    values = np.ones(ends.shape[1]) if weight is None else weight.detach().cpu().double().numpy()
    if masses.shape != (size,) or not (np.isfinite(masses) & (masses >= 0)).all():
        raise ValueError(f"mass must be [{size}], finite and not negative")
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError("edge_weight must be finite and not negative")
    graph = scipy.sparse.coo_array((values, (ends[0], ends[1])), shape=(size, size)).tocsr()
    graph = graph.maximum(graph.T).tocsr()
    graph.setdiag(0)
    graph.eliminate_zeros()
    return graph, masses, device


def _voronoi(pos: Tensor, graph: Any, points: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Centers, and of every point the center that is nearest along the edges, as its place among them."""
    chosen, _ = farthest_points(pos, points)
    parts, label = connected_components(graph, directed=False)
    orphans = np.setdiff1d(np.arange(parts), label[chosen.numpy()])
    first = np.unique(label, return_index=True)[1][orphans]
    centers: NDArray[np.int64] = np.sort(np.concatenate([chosen.numpy(), first]))
    ends = graph.tocoo()
    place = pos.numpy()
    length = np.linalg.norm(place[ends.row] - place[ends.col], axis=1)
    # Points in one place are apart by the least that counts as an edge.
    length = np.maximum(length, max(float(length.max(initial=0)) * 1e-12, math.ulp(0)))
    lengths = scipy.sparse.csr_array((length, (ends.row, ends.col)), shape=graph.shape)
    _, _, source = dijkstra(lengths, indices=centers, min_only=True, return_predecessors=True)
    return centers, np.searchsorted(centers, source).astype(np.int64)


def _match(graph: Any, points: int) -> NDArray[np.int64]:
    """Cells by pairing along heavy edges, again and again."""
    cluster = np.arange(graph.shape[0])
    while graph.shape[0] > points:
        degree = np.asarray(graph.sum(axis=1)).ravel()
        ends = scipy.sparse.triu(graph, k=1).tocoo()
        if not len(ends.row):
            break
        inverse = np.divide(1, degree, out=np.zeros(len(degree)), where=degree > 0)
        order = np.argsort(-ends.data * (inverse[ends.row] + inverse[ends.col]), kind="stable")
        partner = np.arange(graph.shape[0])
        left = graph.shape[0] - points
        for i, j in zip(ends.row[order].tolist(), ends.col[order].tolist(), strict=True):
            if left and partner[i] == i and partner[j] == j:
                partner[j] = i
                partner[i] = -1 - i
                left -= 1
        head = np.where(partner < 0, -1 - partner, partner)
        _, cell = np.unique(head, return_inverse=True)
        cell = cell.reshape(-1)
        cluster = cell[cluster]
        count = int(cell.max()) + 1
        member = scipy.sparse.csr_array(
            (np.ones(len(cell)), (cell, np.arange(len(cell)))), shape=(count, len(cell))
        )
        graph = (member @ graph @ member.T).tocsr()
        graph.setdiag(0)
        graph.eliminate_zeros()
    return cluster
