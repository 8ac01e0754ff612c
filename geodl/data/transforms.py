"""What a network reads at every vertex."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.transforms import BaseTransform

from geodl.geometry import face_areas, surface_area, vertex_normals


class PositionsAndNormals(BaseTransform):
    r"""Sets ``x [V, 6]``: position and unit normal of every vertex.

    .. math:: x_i = \bigl[(p_i - \bar p) / \sqrt{A}, \; n_i\bigr]

    with A the surface area and :math:`\bar p` the area's centroid, so that x depends neither on the unit of length nor on
    where the shape stands. It does depend on which way it faces.
    """

    def forward(self, data: Any) -> Any:
        areas = face_areas(data)
        centres = data.pos[data.face].mean(0)
        centroid = (areas[:, None] * centres).sum(0) / areas.sum()
        data.x = torch.cat([(data.pos - centroid) / surface_area(data).sqrt(), vertex_normals(data)], 1)
        return data
