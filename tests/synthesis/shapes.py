"""Pictures and surfaces that synthesis is tried on."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.texture import at_vertices, flat
from geodl.data import Mesh


def blobs(size: int = 64, seed: int = 0, channels: int = 3) -> Tensor:
    """Round spots of two colours, ``[C, size, size]``."""
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, 1, size + 8, size + 8, generator=draw)
    smooth = F.avg_pool2d(F.avg_pool2d(noise, 5, 1), 5, 1)[0, 0]
    share = torch.sigmoid(20 * smooth)
    one, two = torch.tensor([0.9, 0.8, 0.2])[:channels], torch.tensor([0.2, 0.3, 0.6])[:channels]
    return one[:, None, None] * share + two[:, None, None] * (1 - share)


def sheet(size: int, jitter: float = 0.0, seed: int = 0) -> Mesh:
    """The pixels of a picture as a flat mesh: x to the right, y up; inner points moved by up to ``jitter`` of a pixel."""
    return flat(size, seed, jitter)


def sphere(subdivisions: int = 4) -> Mesh:
    import trimesh

    return Mesh.from_trimesh(trimesh.creation.icosphere(subdivisions))


pixels = at_vertices  # what an image shows at the vertices of a sheet
