"""A shape as a cloud of so many points."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
import torch

from geodl.data import PointCloud
from geodl.datasets.surface_samples import draw_points, unit_ball

__all__ = ["drawn_points"]


def drawn_points(shape: Any, count: int, seed: int, name: str) -> PointCloud:
    """Points in the unit ball: drawn evenly from the area of a mesh, or chosen from a cloud's.

    Labels ``y`` of vertices or faces come along: those of the nearest corner of a point's triangle, or of the triangle.

    Args:
        shape: a mesh or a cloud.
        count: how many points.
        seed, name: where they are drawn from.

    Raises:
        ValueError: a mesh without area, or a cloud of fewer points; by name.
    """
    random = np.random.default_rng([seed, crc32(name.encode())])
    pos, y = shape.pos.double().numpy(), getattr(shape, "y", None)
    if getattr(shape, "face", None) is None:
        if len(pos) < count:
            raise ValueError(f"{name} has {len(pos)} points, but {count} are asked for: ask for fewer")
        row = random.permutation(len(pos))[:count]
        points = pos[row]
    else:
        faces = shape.face.t().numpy()
        try:
            face, weights = draw_points(pos, faces, count, random)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        points = np.einsum("pk,pkd->pd", weights, pos[faces[face]])
        of_vertices = y is not None and len(y) == len(pos)
        row = faces[face, weights.argmax(axis=1)] if of_vertices else face
    made = PointCloud(torch.from_numpy(unit_ball(points)).float())
    if y is not None:
        made.y = y[torch.from_numpy(row)]
    return made
