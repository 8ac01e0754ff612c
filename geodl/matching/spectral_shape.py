"""A shape with everything that matching reads of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from geodl.data import Mesh, OperatorCache, PointCloud, UnitArea
from geodl.data.shapes import as_shape
from geodl.geometry import (
    Gradient,
    Spectrum,
    differential_invariants,
    gradient,
    laplacian,
    spectrum,
    surface_area,
    vertex_normals,
)
from geodl.geometry.cloud import oriented_normals
from geodl.geometry.cloud_triangles import oriented_laplacian
from geodl.matching.deformation_graph import DeformationGraph, surface_links

__all__ = ["SpectralShape"]

# Eigenfunctions that descriptors are written in; nodes of the graphs by which candidates are judged, and the last map is made.
_FIRST = 50
_FEW_NODES, _NODES = 500, 1500
# Points of a cloud, below which neighbourhoods of it say little of a surface.
_FEWEST = 100


@dataclass(frozen=True, eq=False)
class SpectralShape:
    """A mesh or cloud of area 1 with what matching reads of it, in float32. Make it once where a shape is in several pairs.

    Attributes:
        mesh: ``pos`` and, of a mesh, ``face`` of area 1; faces of a closed one outward.
        spectrum: at the vertices that have a mass.
        gradient: of functions at all vertices.
        used: ``[V]`` bool, the vertices that have a mass.
        inverted: whether the faces of the mesh given looked inward and were turned.
    """

    mesh: Any
    spectrum: Spectrum
    gradient: Gradient
    used: Tensor
    inverted: bool

    @staticmethod
    def of(mesh: Any, k: int = 120, cache: OperatorCache | None = None) -> SpectralShape:
        """Prepares a mesh or a cloud.

        Args:
            mesh: whatever :func:`geodl.data.as_shape` takes.
            k: eigenpairs; fewer where the mesh has fewer vertices.
            cache: where spectrum and gradient of a mesh are kept, as those of :class:`~geodl.data.UnitArea` shapes.

        Raises:
            ValueError, IndexError: what :func:`~geodl.geometry.laplacian` raises, a mesh without area, a cloud of under 100 points.
        """
        mesh = as_shape(mesh)
        if getattr(mesh, "face", None) is None:
            return _of_cloud(mesh, k)
        unit = Mesh(mesh.pos.detach().cpu(), mesh.face.cpu())
        area = float(surface_area(unit))
        if not area > 0:
            raise ValueError(f"the mesh has surface area {area:g}: there is no surface to match")
        _check_joined(unit.pos, unit.face)
        unit = UnitArea()(unit)
        inverted = _looks_inward(unit.pos.double(), unit.face)
        surface = Mesh(unit.pos, unit.face.flip(0)) if inverted else unit
        size = min(k, int(unit.face.unique().numel()))
        made = spectrum(unit, size) if cache is None else cache.spectrum(unit, size)
        slope = gradient(surface) if cache is None else cache.gradient(surface)
        return SpectralShape(
            Mesh(surface.pos.float(), surface.face),
            made.to(torch.float32),
            Gradient(slope.neighbors, slope.values.float()),
            made.mass > 0,
            inverted,
        )

    @cached_property
    def invariants(self) -> list[Tensor]:
        """Coefficients ``[50, D]`` in the first eigenfunctions (or what there are) of the differential invariants, by family."""
        weighted = (self.spectrum.evecs[:, :_FIRST] * self.spectrum.mass[:, None]).mT
        families = differential_invariants(self.spectrum, self.gradient)
        return [weighted @ family / family.shape[1] ** 0.5 for family in families]

    @cached_property
    def graph(self) -> DeformationGraph:
        """The nodes that carry the vertices that have a mass, for the last step."""
        return self._graph(_NODES)

    @cached_property
    def coarse_graph(self) -> DeformationGraph:
        """Fewer nodes, by which candidates are judged."""
        return self._graph(_FEW_NODES)

    def _graph(self, count: int) -> DeformationGraph:
        normal = getattr(self.mesh, "normal", None)
        normal = vertex_normals(self.mesh) if normal is None else normal
        place = torch.cumsum(self.used, 0) - 1
        links = surface_links(self.mesh)
        links = place[links[:, self.used[links].all(0)]]
        return DeformationGraph.of(self.mesh.pos[self.used], normal[self.used], links, count)

    @property
    def size(self) -> int:
        """Number of eigenpairs."""
        return int(self.spectrum.evecs.shape[1])

    def embedding(self) -> Spectrum:
        """The spectrum at the vertices that have a mass: elsewhere eigenfunctions say nothing."""
        made = self.spectrum
        return Spectrum(made.evals, made.evecs[self.used], made.mass[self.used])


def _looks_inward(pos: Tensor, face: Tensor) -> bool:
    """Whether the faces of a closed surface look inward: the volume that they enclose is negative, from wherever it is measured.

    An open surface has no volume: moving the origin by t changes it by a third of :math:`t \\cdot A`, with A the sum of the
    faces' area vectors, which is 0 only for a closed one.
    """
    a, b, c = pos[face]
    volume = (a * torch.linalg.cross(b, c)).sum() / 6
    vector = torch.linalg.cross(b - a, c - a).sum(0) / 2
    reach = (pos[face.unique()].amax(0) - pos[face.unique()].amin(0)) / 2
    return bool(volume < -(vector.abs() * reach).sum() / 3)


def _check_joined(pos: Tensor, face: Tensor) -> None:
    """Faces that share places but no vertices, as of a file for flat shading, are no surface."""
    corners = face.flatten()
    used, places = corners.unique().numel(), torch.unique(pos[corners], dim=0).shape[0]
    if used > 2 * places:
        raise ValueError(
            f"the faces of the mesh share no vertices: {used} vertices lie at {places} places, as in a file for flat shading; "
            "merge them by geodl.geometry.repair or Mesh.load(path, repair=True)"
        )


def _of_cloud(cloud: Any, k: int) -> SpectralShape:
    """Points by the tufted Laplacian of local triangulations on one side each, with normals that look outward."""
    pos = cloud.pos.detach().cpu().double()
    if len(pos) < _FEWEST:
        raise ValueError(
            f"the cloud has {len(pos)} points: too few for a surface, which takes {_FEWEST} at least"
        )
    plain = laplacian(PointCloud(pos), "points")
    area = float(plain.mass.sum())
    if not area > 0:
        raise ValueError(f"the cloud has area {area:g}: there is no surface to match")
    normal = oriented_normals(cloud, plain.mass)
    operator = oriented_laplacian(pos, normal, plain)
    weight = operator.mass[:, None] / operator.mass.sum()
    pos = (pos - (weight * pos).sum(0)) / float(operator.mass.sum()) ** 0.5
    points = PointCloud(pos, normal=normal)
    operator = replace(operator, mass=weight[:, 0])
    made = spectrum(operator, min(k, int((operator.mass > 0).sum())))
    slope = gradient(points)
    points.pos = points.pos.float()
    return SpectralShape(
        points,
        made.to(torch.float32),
        Gradient(slope.neighbors, slope.values.float()),
        made.mass > 0,
        False,
    )
