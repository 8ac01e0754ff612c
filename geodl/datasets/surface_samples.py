"""Point clouds from surfaces: points spread evenly over the area of triangles."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

Points = NDArray[np.float64]


def sample_surface(
    vertices: Points, faces: NDArray[np.int64], count: int, random: Generator
) -> tuple[Points, Points]:
    """Points drawn uniformly from the area of a mesh, and the normals of their faces, ``[count, 3]`` each.

    Args:
        vertices: ``[V, 3]``.
        faces: ``[F, 3]``.
        count: how many points.
        random: where they are drawn from.

    Raises:
        ValueError: the mesh has no area, or a coordinate that is not finite.
    """
    chosen, weights = draw_points(vertices, faces, count, random)
    corners = vertices[faces[chosen]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    points = np.einsum("pk,pkd->pd", weights, corners)
    return points, normals / np.maximum(lengths, np.finfo(float).tiny)


def draw_points(
    vertices: Points, faces: NDArray[np.int64], count: int, random: Generator
) -> tuple[NDArray[np.int64], Points]:
    """The same as faces ``[count]`` and weights of their corners ``[count, 3]``."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    reached = np.linalg.norm(normals, axis=1).cumsum()
    if len(faces) == 0 or not reached[-1] > 0 or not np.isfinite(reached[-1]):
        raise ValueError("the mesh has no area that points could be drawn from")
    chosen = np.searchsorted(reached, random.random(count) * reached[-1], side="right")
    a, b = np.sqrt(random.random(count)), random.random(count)
    return chosen.clip(max=len(faces) - 1), np.stack([1 - a, a * (1 - b), a * b], axis=1)


def unit_ball(points: Points) -> Points:
    """Moved to the mean and scaled to reach the unit sphere, as published results on ModelNet have it."""
    points = points - points.mean(axis=0)
    farthest = np.linalg.norm(points, axis=1).max()
    return points / farthest if farthest > 0 else points


def cloud(points: Points, normals: Points | None = None) -> Data:
    """``pos [N, 3]`` and, if there are any, ``normal [N, 3]``, in float32."""
    found = Data(pos=_tensor(points))
    if normals is not None:
        found.normal = _tensor(normals)
    return found


def _tensor(array: Points) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
