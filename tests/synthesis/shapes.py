"""Pictures and surfaces that synthesis is tried on."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import Delaunay
from torch import Tensor
from torch.nn import functional as F

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
    draw = np.random.default_rng(seed)
    place = (
        np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1)
        .reshape(-1, 2)
        .astype(float)
    )
    inner = ((place > 0) & (place < size - 1)).all(1)
    place[inner] += draw.uniform(-jitter, jitter, (int(inner.sum()), 2))
    pos = np.stack([place[:, 1], -place[:, 0], np.zeros(len(place))], 1)
    face = Delaunay(pos[:, :2]).simplices.astype(np.int64)
    corner = pos[face]
    turned = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])[:, 2]
    face[turned < 0] = face[turned < 0][:, ::-1]
    return Mesh(torch.tensor(pos, dtype=torch.float32), torch.tensor(face[abs(turned) > 1e-3].T.copy()))


def sphere(subdivisions: int = 4) -> Mesh:
    import trimesh

    return Mesh.from_trimesh(trimesh.creation.icosphere(subdivisions))


def pixels(image: Tensor, mesh: Mesh) -> Tensor:
    """What an image shows at the vertices of a sheet, ``[V, C]``."""
    size = image.shape[1]
    at = torch.stack([mesh.pos[:, 0], -mesh.pos[:, 1]], 1) * 2 / (size - 1) - 1
    return F.grid_sample(image[None], at[None, None], align_corners=True, mode="bicubic")[
        0, :, 0
    ].T.contiguous()
