"""What a network reads: signals at the vertices, and operators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.transforms import BaseTransform

from geodl.data.cache import OperatorCache
from geodl.data.shapes import as_shape
from geodl.geometry import (
    Gradient,
    Spectrum,
    differential_invariants,
    face_areas,
    laplacian_coordinates,
    mean_edge_length,
    vertex_areas,
)
from geodl.geometry.cloud import normals_of
from geodl.geometry.repeatable import total
from geodl.ops import aggregate, knn

# Nearest points that stand for the edge neighbours, of which a cloud has none: about as many as a triangle mesh has.
_NEAREST = 6


class VertexSignal(BaseTransform):
    r"""Sets ``x [V, 9]``: position, unit normal and differential coordinates of every vertex, three vectors in space.

    .. math:: x_i = \bigl[(p_i - \bar p) / \sqrt{A}, \; n_i, \; \delta_i / \ell\bigr]

    with A the surface area, :math:`\bar p` the area's centroid, :math:`\delta_i` the mean of the edge neighbours relative to
    the vertex and :math:`\ell` the mean edge length. x depends neither on the unit of length nor on where the shape stands. It
    does depend on which way it faces, and through :math:`\delta` on how it is meshed, as every network that convolves over the
    edges of FAUST's common mesh does. Of a cloud, normals are its ``normal`` or those of its neighbourhoods, areas the mass of its
    Laplacian, and edge neighbours the 6 nearest points.

    Args:
        meshing: whether two numbers that tell how the shape is meshed follow, ``x [V, 11]``,

            .. math:: \log(A_i / \bar A), \qquad |N(i)| - 6

            with the area of the vertex over the mean, and its number of faces. Shapes that share a connectivity, as the FAUST
            registrations do, are matched far better with them, for the reason that graph networks match these: the mesh tells
            where on the body a vertex is. They mean nothing on shapes that are meshed each in its own way.

    Raises:
        ValueError: no shape, or a cloud with ``meshing``.
    """

    vectors = 3

    def __init__(self, meshing: bool = False) -> None:
        self.meshing = meshing

    @property
    def channels(self) -> int:
        return 11 if self.meshing else 9

    def forward(self, data: Any) -> Any:
        data = as_shape(data)
        cloud = getattr(data, "face", None) is None
        if cloud and self.meshing:
            raise ValueError("a point cloud has no faces that would tell how it is meshed: use meshing=False")
        centroid, area = _centroid(data)
        position = (data.pos - centroid) / area.sqrt()
        differential = _differential(data) if cloud else laplacian_coordinates(data) / mean_edge_length(data)
        signal = [position, normals_of(data), differential]
        if self.meshing:
            areas = vertex_areas(data)
            faces = torch.bincount(data.face.flatten(), minlength=data.pos.shape[0])
            # A vertex of no face has no area: the bound keeps its logarithm finite.
            relative = (areas / (total(areas) / len(areas))).clamp(min=1e-3).log()
            signal += [relative[:, None], (faces - 6).to(data.pos)[:, None]]
        data.x = torch.cat(signal, 1)
        return data


def _centroid(data: Any) -> tuple[Tensor, Tensor]:
    """Centroid ``[3]`` of a surface or of a cloud's points, each with its share, and the area."""
    if getattr(data, "face", None) is None:
        areas, places = vertex_areas(data), data.pos
    else:
        areas, places = face_areas(data), data.pos[data.face].mean(0)
    area = total(areas)
    return (areas[:, None] * places).sum(0) / area, area


def _differential(cloud: Any) -> Tensor:
    """Mean of the nearest points relative to each point, over their mean distance."""
    pos = cloud.pos
    near = knn(pos.detach(), min(_NEAREST, len(pos) - 1), loop=False)
    distance = total(torch.linalg.vector_norm(pos[near.row] - pos[near.col], dim=1)) / near.num_edges
    made: Tensor = (aggregate(pos, near, reduce="mean") - pos) / distance
    return made


class SpectralOperators(BaseTransform):
    """Sets ``spectrum`` (:class:`~geodl.geometry.Spectrum`) and ``gradient`` (:class:`~geodl.geometry.Gradient`) of a mesh or a
    point cloud, whose Laplacian is the robust one of local triangulations.

    In the dtype of ``pos``, computed in float64. :func:`~geodl.data.collate` packs them, so that a network reads
    ``batch.spectrum`` and ``batch.gradient``. As every access to a data set applies the transform anew, ``list(dataset)`` reads
    every operator once and keeps it in memory.

    Args:
        cache: where operators are kept; see :func:`~geodl.data.precompute` for making them on all cores.
        k: number of eigenvalues.
        kind: of the Laplacian.
    """

    def __init__(self, cache: OperatorCache, k: int = 128, kind: str | None = None) -> None:
        self.cache, self.k, self.kind = cache, k, kind

    def forward(self, data: Any) -> Any:
        data = as_shape(data)
        data.spectrum = self.cache.spectrum(data, self.k, self.kind).to(data.pos.dtype)
        data.gradient = self.cache.gradient(data)
        return data


class GeodesicOperators(BaseTransform):
    """Sets ``windows`` (:class:`~geodl.ops.PolarWindows`) and ``area [V]`` of a mesh, which geodesic networks read.

    The windows are the template points of :func:`~geodl.geometry.polar_template` in charts of about ``size`` vertices each;
    :func:`~geodl.data.collate` packs them.

    Args:
        cache: where operators are kept.
        rings, rays: of the template.
        size: average number of vertices in a chart.
    """

    def __init__(self, cache: OperatorCache, rings: int = 5, rays: int = 8, size: int = 30) -> None:
        self.cache, self.rings, self.rays, self.size = cache, rings, rays, size

    def forward(self, data: Any) -> Any:
        data = as_shape(data)
        data.windows = self.cache.polar_template(data, None, self.rings, self.rays, size=self.size)
        data.area = vertex_areas(data)
        return data


class InvariantSignal(BaseTransform):
    r"""Sets ``x [V, 532]``: the :func:`~geodl.geometry.differential_invariants` of a mesh with ``spectrum`` and ``gradient``.

    Large values, which second derivatives have at a few vertices, are compressed by :math:`\operatorname{asinh}`. The signal does
    not change with the pose as far as that is an isometry, and differs between left and right.

    Raises:
        ValueError: a mesh without ``spectrum`` or ``gradient``.
    """

    functions = 12
    channels = (
        100 + (functions * (functions + 1)) // 2 + (functions * (functions - 1)) // 2 + 2 * functions**2
    )

    def forward(self, data: Any) -> Any:
        for operator in ("spectrum", "gradient"):
            if getattr(data, operator, None) is None:
                raise ValueError(f"the mesh has no {operator}: SpectralOperators(cache) sets it")
        data.x = self.of(data.spectrum, data.gradient).to(data.pos.dtype)
        return data

    @classmethod
    def of(cls, spectrum: Spectrum, gradient: Gradient) -> Tensor:
        """The signal ``[V, 532]`` of a shape's spectrum and gradient."""
        return torch.cat(differential_invariants(spectrum, gradient, cls.functions), 1).asinh()


class UnitArea(BaseTransform):
    """Moves a mesh or a cloud to its area's centroid and scales it to surface area 1, in its own dtype.

    Raises:
        ValueError: a shape without area.
    """

    def forward(self, data: Any) -> Any:
        data = as_shape(data)
        centroid, area = _centroid(data)
        if not bool(area > 0):
            kind = "cloud" if getattr(data, "face", None) is None else "mesh"
            raise ValueError(f"the {kind} has surface area {float(area):g} and cannot be scaled to 1")
        data.pos = (data.pos - centroid) / area.sqrt()
        return data
