"""Broken meshes, one a defect: what a function must answer or name."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

__all__ = ["broken_meshes"]


def broken_meshes(subdivisions: int = 2) -> dict[str, Data]:
    """Meshes with one defect each, by its name, and a few point clouds; all made anew, without a download.

    Most are a deformed icosphere with something done to it. They are PyG ``Data`` with ``pos`` float32 and ``face`` int64 (clouds
    have no ``face``), as :class:`~geodl.data.Mesh` refuses some of them.

    Args:
        subdivisions: of the icosphere; 2 gives 162 vertices.
    """
    pos, face = _ball(subdivisions)
    size = len(pos)
    meshes: dict[str, tuple[Tensor, Tensor]] = {"sound": (pos, face)}

    # Topology
    edge = face[:2, 0]
    fin = torch.cat([pos, 1.5 * pos[edge].mean(dim=0, keepdim=True)])
    meshes["non-manifold edge"] = (
        fin,
        torch.cat([face, torch.tensor([[int(edge[0])], [int(edge[1])], [size]])], dim=1),
    )
    other = face + size
    other[other == size] = 0
    meshes["bow-tie vertex"] = (
        torch.cat([pos, pos[:1] * 2 - pos]),
        other.new_tensor(torch.cat([face, other], 1).tolist()),
    )
    flipped = face.clone()
    flipped[:, ::3] = flipped[:, ::3].flip(0)
    meshes["flipped faces"] = pos, flipped
    meshes["duplicate faces"] = pos, torch.cat([face, face[:, ::4]], dim=1)
    meshes["several components"] = (
        torch.cat([pos, pos + 4, 0.3 * pos - 3]),
        torch.cat([face, face + size, face + 2 * size], 1),
    )
    meshes["isolated vertices"] = torch.cat([pos[:1] * 2, pos, pos[:3] * 3]), face + 1
    meshes["holes"] = pos, face[:, torch.arange(face.shape[1]) % 7 > 0]
    meshes["Moebius strip"] = _moebius()
    meshes["self-intersection"] = torch.cat([pos, pos + 0.5]), torch.cat([face, face + size], dim=1)
    meshes["triangle soup"] = pos[face.T.reshape(-1)], torch.arange(face.numel()).view(-1, 3).T.contiguous()
    meshes["quad soup"] = _quad_soup()
    meshes["disconnected triangles"] = _apart(pos, face)

    # Positions
    twins = pos.clone()
    twins[1::9] = twins[::9][: len(twins[1::9])]
    meshes["duplicate vertices"] = twins, face
    flat = torch.cat([pos, pos[face[1, :5]]])
    needles = torch.stack([face[0, :5], face[1, :5], torch.arange(size, size + 5)])
    meshes["zero-area faces"] = flat, torch.cat([face, needles], dim=1)
    meshes["corner named twice"] = pos, torch.cat([face, face[:, :4][[0, 1, 1]]], dim=1)
    meshes["slivers"] = pos * torch.tensor([1.0, 1.0, 1e-5]), face
    meshes["tiny scale"] = pos * 1e-8, face
    meshes["huge scale"] = pos * 1e8, face
    meshes["far from the origin"] = pos + 1000, face
    for name, value in (("NaN", math.nan), ("infinity", math.inf)):
        meshes[name] = pos.clone(), face
        meshes[name][0][size // 2, 1] = value
    meshes["one point"] = torch.ones_like(pos), face

    # Size
    triangle = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.2, 0.8, 0.0]])
    meshes["one triangle"] = triangle, torch.tensor([[0], [1], [2]])
    square = torch.cat([triangle, torch.tensor([[1.0, 1.0, 0.3]])])
    meshes["two triangles"] = square, torch.tensor([[0, 2], [1, 1], [2, 3]])
    meshes["one flat triangle"] = triangle * torch.tensor([1.0, 0.0, 0.0]), torch.tensor([[0], [1], [2]])
    meshes["no faces"] = pos, face[:, :0]
    meshes["no vertices"] = pos[:0], face[:, :0]
    beyond = face.clone()
    beyond[2, 5] = size
    meshes["face out of range"] = pos, beyond

    clouds = {
        "point cloud": pos,
        "point cloud with duplicates": torch.cat([pos, pos[::2]]),
        "two clouds far apart": torch.cat([pos, pos + 100]),
        "points on a line": torch.linspace(0, 1, 50)[:, None] * torch.tensor([[1.0, 2.0, -1.0]]),
        "single point": pos[:1],
        "NaN in a cloud": meshes["NaN"][0],
    }
    found = {name: Data(pos=p, face=f) for name, (p, f) in meshes.items()}
    return found | {name: Data(pos=p) for name, p in clouds.items()}


def _tensor(array: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _ball(subdivisions: int) -> tuple[Tensor, Tensor]:
    import trimesh  # not with the library: it loads slowly

    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    x, y, z = np.array(ball.vertices).T
    radius = 1 + 0.25 * np.sin(3 * x + 1) * np.cos(4 * y + 0.7) + 0.15 * np.sin(5 * z + 2 * x)
    pos = np.stack([1.4 * x, y, 0.8 * z], axis=1) * radius[:, None]
    return _tensor(pos), torch.from_numpy(np.array(ball.faces, dtype=np.int64).T.copy())


def _moebius(n: int = 30) -> tuple[Tensor, Tensor]:
    t = 2 * np.pi * np.arange(n) / n
    rim = [
        np.stack(
            [(1 + s * np.cos(t / 2)) * np.cos(t), (1 + s * np.cos(t / 2)) * np.sin(t), s * np.sin(t / 2)],
            axis=1,
        )
        for s in (-0.3, 0.3)
    ]
    here = np.arange(n)
    low = np.where(here + 1 < n, here + 1, n)
    high = np.where(here + 1 < n, here + 1 + n, 0)
    faces = np.concatenate([np.stack([here, low, here + n]), np.stack([here + n, low, high])], axis=1)
    return _tensor(np.concatenate(rim)), torch.from_numpy(faces)


def _quad_soup(n: int = 6) -> tuple[Tensor, Tensor]:
    """A folded sheet of n x n quads that share no vertex, each cut along its diagonal."""
    x, y = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    corners = np.stack(
        [np.stack([x + a, y + b], -1).reshape(-1, 2) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))], 1
    )
    flat = corners.reshape(-1, 2) / n
    first = 4 * np.arange(n * n)
    faces = np.concatenate(
        [np.stack([first, first + 1, first + 2]), np.stack([first, first + 2, first + 3])], axis=1
    )
    return _tensor(np.column_stack([flat, np.abs(flat[:, 0] - 0.5)])), torch.from_numpy(faces)


def _apart(pos: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
    """Every triangle alone, moved away from the others."""
    corners = pos[face.T]
    corners = corners + 2 * corners.mean(dim=1, keepdim=True)
    return corners.reshape(-1, 3), torch.arange(face.numel()).view(-1, 3).T.contiguous()
