"""Random windows in all their forms, and the operators from their definitions, with scipy in float64."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from geodl.ops import Neighbors, PolarWindows

FORMS = ("dense", "sparse", "single")


def random_neighbors(num_dst: int, num_src: int, edges: int, seed: int = 0) -> Neighbors:
    """A multigraph whose destinations beyond the first two thirds are empty rows."""
    generator = torch.Generator().manual_seed(seed)
    src = (
        torch.randint(num_src, (edges,), generator=generator)
        if num_src
        else torch.zeros(0, dtype=torch.int64)
    )
    dst = torch.randint(max(1, 2 * num_dst // 3), (len(src),), generator=generator)
    return Neighbors.from_edge_index(torch.stack([src, dst]), num_dst, num_src)


def random_windows(
    neighbors: Neighbors, num_windows: int, form: str, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[Tensor, Tensor | None]:
    """(weight, index): dense, three windows an edge, or one window an edge in runs as templates have."""
    generator = torch.Generator().manual_seed(seed)
    edges = neighbors.num_edges
    columns = {"dense": num_windows, "sparse": 3, "single": 1}[form]
    weight = torch.randn(edges, columns, generator=generator, dtype=torch.float64).to(dtype)
    if form == "dense":
        return weight, None
    if form == "single":
        return weight, (torch.arange(edges) // 3 % num_windows).unsqueeze(1)
    return weight, torch.randint(num_windows, (edges, columns), generator=generator)


def random_polar(
    neighbors: Neighbors, rings: int, rays: int, form: str, dtype: torch.dtype = torch.float64, seed: int = 0
) -> PolarWindows:
    return PolarWindows(neighbors, *random_windows(neighbors, rings * rays, form, dtype, seed), rings, rays)


def gather_by_definition(
    x: Tensor, neighbors: Neighbors, weight: Tensor, index: Tensor | None, num_windows: int
) -> np.ndarray:
    """D_m x as one scipy sparse product a window, [N, M, C]."""
    rows, cols = neighbors.row.numpy(), neighbors.col.numpy()
    w, signal = weight.double().numpy(), x.double().numpy()
    out = np.zeros((neighbors.num_dst, num_windows, x.shape[1]))
    for m in range(num_windows):
        w_m = w[:, m] if index is None else (w * (index.numpy() == m)).sum(1)
        matrix = scipy.sparse.coo_array((w_m, (rows, cols)), shape=(neighbors.num_dst, neighbors.num_src))
        out[:, m] = matrix @ signal
    return out


def polar_by_definition(x: Tensor, windows: PolarWindows, filters: Tensor, rotations: int) -> np.ndarray:
    """Every rotation of the filter, written as in the docstring, [N, T, C']."""
    rings, rays = windows.rings, windows.rays
    patches = gather_by_definition(x, windows.neighbors, windows.weight, windows.index, windows.num_windows)
    patches = patches.reshape(len(patches), rings, rays, x.shape[1])
    weights = filters.double().numpy()
    out = np.zeros((patches.shape[0], rotations, filters.shape[-1]))
    for t in range(rotations):
        for r in range(rings):
            for a in range(rays):
                out[:, t] += patches[:, r, (a + t * rays // rotations) % rays] @ weights[r, a]
    return out
