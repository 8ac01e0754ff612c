"""The graphs, meshes and clouds that the operators run on, drawn from the global generator."""

from __future__ import annotations

import math
import warnings

import torch
from scipy.spatial import KDTree
from torch import Tensor

from benchmarks.operators.sizes import Sizes
from geodl.ops import Neighbors


def random_graph(nodes: int, degree: int, device: torch.device) -> Neighbors:
    """One neighbour from each of ``degree`` ranges of nodes: columns ascend and differ, as torch.sparse asks for."""
    ranges = torch.arange(degree, device=device) * (nodes // degree)
    col = (ranges + torch.randint(nodes // degree, (nodes, degree), device=device)).flatten()
    return Neighbors(torch.arange(nodes + 1, device=device) * degree, col, nodes)


def near_graph(nodes: int, degree: int, device: torch.device) -> Neighbors:
    """Neighbours whose numbers are near, as on a mesh or a cloud that is numbered along the surface."""
    offsets = torch.randint(-4 * degree, 4 * degree, (nodes, degree), device=device)
    col = (torch.arange(nodes, device=device)[:, None] + offsets).remainder(nodes).sort(dim=1).values
    return Neighbors(torch.arange(nodes + 1, device=device) * degree, col.flatten(), nodes)


def power_law_graph(nodes: int, edges: int, device: torch.device) -> Neighbors:
    """About ``edges`` edges; degrees are distributed as d^-2.2, from one up to a hundredth of the nodes.

    The ends of edges are matched at random (configuration model), so a hub is read as often as it reads.
    """
    degrees = torch.rand(nodes, dtype=torch.float64).pow(-1 / 1.2).clamp(max=nodes / 100)
    degrees = (degrees * (edges / degrees.sum())).round().clamp(min=1).long()
    ends = torch.arange(nodes).repeat_interleave(degrees)
    pairs = torch.unique(ends * nodes + ends[torch.randperm(len(ends))])
    counts = torch.bincount(pairs // nodes, minlength=nodes)
    rowptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Neighbors(rowptr.to(device), (pairs % nodes).to(device), nodes)


def citation_graph(sizes: Sizes, device: torch.device) -> tuple[Neighbors, Tensor]:
    """A symmetric random graph and the words of its papers, of Cora's shape: ``x [N, F]``, rows sum to one."""
    nodes, edges, features, words = sizes.citations
    first = torch.randint(nodes, (edges,))
    second = (first + torch.randint(1, nodes, (edges,))) % nodes
    pairs = torch.stack([first, second]).sort(0)[0]
    chosen = torch.unique(pairs, dim=1)
    chosen = chosen[:, torch.randperm(chosen.shape[1])[: edges // 2]]
    edge_index = torch.cat([chosen, chosen.flip(0)], dim=1)
    x = torch.zeros(nodes, features).scatter_(1, torch.rand(nodes, features).topk(words)[1], 1 / words)
    return Neighbors.from_edge_index(edge_index, nodes).to(device), x.to(device)


def mesh_neighbors(sizes: Sizes, device: torch.device) -> tuple[Neighbors, Tensor]:
    """The nearest points of every point of a sphere, and where they lie from it, ``u [E, 2]`` in its tangent plane.

    The points cover the sphere evenly along a spiral.
    """
    vertices, patch = sizes.vertices, sizes.patch
    i = torch.arange(vertices, dtype=torch.float64)
    height, turn = 1 - (2 * i + 1) / vertices, i * math.pi * (3 - math.sqrt(5))
    radius = (1 - height.square()).sqrt()
    points = torch.stack([radius * turn.cos(), radius * turn.sin(), height], dim=1)
    distance, near = (torch.from_numpy(found) for found in KDTree(points).query(points, k=patch))
    east = torch.nn.functional.normalize(torch.stack([-points[:, 1], points[:, 0], 0 * height], dim=1))
    north = torch.linalg.cross(points, east)
    offset = points[near] - points[:, None]
    u = torch.stack([(offset * axis[:, None]).sum(-1) for axis in (east, north)], dim=-1)
    u = (u / distance.mean()).float().flatten(0, 1)
    rowptr = torch.arange(vertices + 1, device=device) * patch
    return Neighbors(rowptr, near.flatten().to(device), vertices), u.to(device)


def clouds_graph(clouds: int, sizes: Sizes, device: torch.device) -> Neighbors:
    """``clouds`` clouds side by side; every point reads itself and others of its cloud, as a k-NN graph does."""
    points, nearest = sizes.points, sizes.nearest
    near = torch.rand(clouds * points, points).topk(nearest)[1]
    near[:, 0] = torch.arange(points).repeat(clouds)
    near += torch.arange(clouds).repeat_interleave(points)[:, None] * points
    rowptr = torch.arange(clouds * points + 1, device=device) * nearest
    return Neighbors(rowptr, near.flatten().to(device), clouds * points)


def sparse_matrix(neighbors: Neighbors, weight: Tensor | None = None) -> Tensor:
    """The same graph as torch.sparse holds it."""
    if weight is None:
        weight = torch.ones_like(neighbors.col, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        shape = neighbors.num_dst, neighbors.num_src
        return torch.sparse_csr_tensor(neighbors.rowptr, neighbors.col, weight, shape)
