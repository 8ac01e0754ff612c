"""What a network reads at every vertex."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.transforms import BaseTransform

from geodl.geometry import (
    differential_coordinates,
    face_areas,
    mean_edge_length,
    surface_area,
    vertex_normals,
)


class VertexSignal(BaseTransform):
    r"""Sets ``x [V, 9]``: position, unit normal and differential coordinates of every vertex.

    .. math:: x_i = \bigl[(p_i - \bar p) / \sqrt{A}, \; n_i, \; \delta_i / \ell\bigr]

    with A the surface area, :math:`\bar p` the area's centroid, :math:`\delta_i` the mean of the edge neighbours relative to
    the vertex and :math:`\ell` the mean edge length. x depends neither on the unit of length nor on where the shape stands. It
    does depend on which way it faces, and through :math:`\delta` on how it is meshed, as every network that convolves over the
    edges of FAUST's common mesh does.
    """

    channels = 9

    def forward(self, data: Any) -> Any:
        areas = face_areas(data)
        centroid = (areas[:, None] * data.pos[data.face].mean(0)).sum(0) / areas.sum()
        position = (data.pos - centroid) / surface_area(data).sqrt()
        differential = differential_coordinates(data) / mean_edge_length(data)
        data.x = torch.cat([position, vertex_normals(data), differential], 1)
        return data
