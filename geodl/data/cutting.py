"""Parts of meshes: cut off by a plane, or with holes, and which vertex of the whole each vertex is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from torch import Generator, Tensor
from torch_geometric.transforms import BaseTransform

from geodl.data.augment import normal_numbers, uniform
from geodl.data.shapes import as_shape
from geodl.geometry import edges, vertex_areas

__all__ = ["CutByPlane", "RandomHoles"]


# How often a plane is drawn again, and the part of what it leaves that the largest component must have.
_TRIES, _LEAST = 100, 0.5


class CutByPlane(BaseTransform):
    """What lies on one side of a random plane: the largest component of it.

    Sets ``whole [V']`` int64, the vertex of the uncut mesh that each is. Attributes with a row a vertex or a face keep those
    of what is left; ``corres``, where the mesh has it, points to the new vertices, -1 where they are gone.

    Args:
        low, high: between which the share of the area that the plane leaves is drawn. The largest component may have less, at least
            half of it: planes that would leave less are drawn again, up to a hundred times.
        generator: as of :class:`RandomScale`.

    Raises:
        ValueError: shares that are not in 0 < low <= high <= 1; on use, a shape without faces or with operators, which would no
            longer fit it.

    Cosmo et al., "SHREC'16: partial matching of deformable shapes", 3DOR 2016, for the kind of parts.
    """

    def __init__(self, low: float = 0.5, high: float = 0.9, generator: Generator | None = None) -> None:
        _check_shares(low, high)
        self.low, self.high, self.generator = low, high, generator

    def forward(self, data: Any) -> Any:
        data = _checked(data)
        area = vertex_areas(data).double()
        share = float(uniform(self.low, self.high, (1,), data.pos, self.generator))
        for _ in range(_TRIES):
            height = data.pos.double() @ normal_numbers((3,), data.pos, self.generator).double()
            order = height.argsort()
            count = int(torch.searchsorted(area[order].cumsum(0), share * area.sum())) + 1
            left = torch.zeros(area.shape[0], dtype=torch.bool)
            left[order[:count]] = True
            rows = _largest(data.face, left)
            kept = data.face[:, rows].unique()
            if float(area[kept].sum() / area.sum()) >= max(_LEAST * share, min(self.low, share)):
                break
        return _taken(data, rows)


class RandomHoles(BaseTransform):
    """A mesh with round holes at random places: the largest component of what is left.

    Sets ``whole`` and keeps attributes as :class:`CutByPlane` does.

    Args:
        low, high: between which the share of the area that is left is drawn; holes are cut until about that is.
        holes: how many there are.
        generator: as of :class:`RandomScale`.

    Raises:
        ValueError: as of :class:`CutByPlane`; no holes.
    """

    def __init__(
        self, low: float = 0.6, high: float = 0.9, holes: int = 5, generator: Generator | None = None
    ) -> None:
        _check_shares(low, high)
        if holes < 1:
            raise ValueError(f"holes must be at least 1, got {holes}")
        self.low, self.high, self.holes, self.generator = low, high, holes, generator

    def forward(self, data: Any) -> Any:
        data = _checked(data)
        area = vertex_areas(data).double()
        share = float(uniform(self.low, self.high, (1,), data.pos, self.generator))
        used = data.face.unique()
        each = (1 - share) * float(area.sum()) / self.holes
        left = torch.ones(area.shape[0], dtype=torch.bool)
        graph = _graph(data)
        for _ in range(self.holes):
            drawn = float(uniform(0, 1, (1,), data.pos, self.generator))
            centre = int(used[min(int(drawn * used.numel()), used.numel() - 1)])
            order = torch.from_numpy(dijkstra(graph, directed=False, indices=centre)).argsort()
            left[order[: int(torch.searchsorted(area[order].cumsum(0), each)) + 1]] = False
        return _taken(data, _largest(data.face, left))


def _check_shares(low: float, high: float) -> None:
    if not 0 < low <= high <= 1:
        raise ValueError(f"shares must be in 0 < low <= high <= 1, got {low} and {high}")


def _checked(data: Any) -> Any:
    data = as_shape(data)
    if getattr(data, "face", None) is None or not data.face.numel():
        raise ValueError("only a mesh can be cut: the shape has no faces")
    for key in data.keys():  # noqa: SIM118  (PyG's Data is no mapping)
        if key == "edge_index" or hasattr(type(data[key]), "cat"):
            raise ValueError(
                f"a shape with {key}, which would no longer fit it, cannot be cut: cut it before"
            )
    return data


def _graph(mesh: Any) -> Any:
    one, other = edges(mesh).numpy()
    pos = mesh.pos.detach().double().numpy()
    length = np.maximum(np.linalg.norm(pos[one] - pos[other], axis=1), 1e-12)
    return csr_array((length, (one, other)), shape=(len(pos), len(pos)))


def _largest(face: Tensor, left: Tensor) -> Tensor:
    """``[F]`` bool: of the faces whose corners are all left, those of the component that has most; all if there are none."""
    rows = left[face].all(0)
    kept = face[:, rows]
    if not kept.numel():
        return torch.ones_like(rows)
    one, other = kept[0].repeat(2).numpy(), kept[1:].flatten().numpy()
    graph = csr_array((np.ones(len(one)), (one, other)), shape=(left.shape[0], left.shape[0]))
    label = torch.from_numpy(connected_components(graph, directed=False)[1]).long()
    return rows & (label[face[0]] == label[kept[0]].bincount().argmax())


def _taken(data: Any, rows: Tensor) -> Any:
    """The mesh of some faces alone, vertices in their order."""
    vertices, faces = data.pos.shape[0], data.face.shape[1]
    face = data.face[:, rows]
    whole = face.unique()
    place = torch.full((vertices,), -1)
    place[whole] = torch.arange(whole.numel())
    for key in list(data.keys()):
        value = data[key]
        if key == "face":
            data.face = place[face]
        elif key == "corres":
            data.corres = torch.where(value >= 0, place[value.clamp(min=0)], -1)
        elif isinstance(value, Tensor) and value.dim():
            # Where vertices and faces are as many, the name tells.
            if value.shape[0] == faces and (key.startswith("face_") or faces != vertices):
                data[key] = value[rows]
            elif value.shape[0] == vertices:
                data[key] = value[whole]
    data.whole = whole
    return data
