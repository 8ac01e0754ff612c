"""A shape with everything that matching reads of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from geodl.data import Mesh, OperatorCache, PointCloud, UnitArea
from geodl.data.shapes import as_shape
from geodl.geometry import (
    Gradient,
    Spectrum,
    coarsen,
    differential_invariants,
    gradient,
    laplacian,
    spectrum,
    surface_area,
    vertex_areas,
    vertex_normals,
)
from geodl.geometry.cloud import oriented_normals
from geodl.geometry.cloud_triangles import oriented_laplacian
from geodl.matching.deformation_graph import DeformationGraph, surface_links
from geodl.matching.geodesic_graph import distances_from, surface_graph
from geodl.matching.heat_signs import heat_signs
from geodl.matching.zoomout import farthest_vertices
from geodl.ops.graph_filter import matmul

__all__ = ["SAMPLES", "SpectralShape"]

# Eigenfunctions that descriptors are written in; nodes of the graphs by which candidates are judged, and the last map is made.
_FIRST = 50
_FEW_NODES, _NODES = 500, 1500
# Points whose distances first maps are found by, of the shape that is matched and of the one that it is matched to.
_FEW_SAMPLES, SAMPLES = 40, 160
# A mesh of more vertices is matched by so many of them first.
_LARGE, _COARSE = 25_000, 8000
# Points of a cloud, below which neighbourhoods of it say little of a surface.
_FEWEST = 100


@dataclass(frozen=True, eq=False)
class Coarse:
    """A coarse copy of a large mesh, in its place and size, by which it is matched.

    Attributes:
        shape: the copy.
        cell: ``[V]``, for each vertex of the mesh that has a mass one of the copy's, counted among those that have one.
        center: ``[C]``, where each of these lies in the mesh.
    """

    shape: SpectralShape
    cell: Tensor
    center: Tensor


class Samples(NamedTuple):
    """Points spread evenly over a shape: vertices ``[P]`` that have a mass, and distances ``[P, V]``, 9 where there is no way."""

    vertices: Tensor
    far: Tensor


@dataclass(frozen=True, eq=False)
class SpectralShape:
    """A mesh or cloud of area 1 with what matching reads of it, in float32. Make it once where a shape is in several pairs.

    Attributes:
        mesh: ``pos`` and, of a mesh, ``face`` of area 1; faces of a closed one outward.
        spectrum: at the vertices that have a mass.
        gradient: of functions at all vertices.
        used: ``[V]`` bool, the vertices that have a mass.
        inverted: whether the faces of the mesh given looked inward and were turned.
        area: of the shape given.
        coarse: of a mesh of more than 25,000 vertices, what is matched first; its eigenfunctions, interpolated, are the mesh's.
    """

    mesh: Any
    spectrum: Spectrum
    gradient: Gradient
    used: Tensor
    inverted: bool
    area: float = 1.0
    coarse: Coarse | None = None

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
        if surface.pos.shape[0] > _LARGE and (large := _of_large(surface, k, cache, inverted, area)):
            return large
        return SpectralShape._of_surface(surface, unit, k, cache, inverted, area)

    @staticmethod
    def _of_surface(
        surface: Mesh, unit: Mesh, k: int, cache: OperatorCache | None, inverted: bool, area: float
    ) -> SpectralShape:
        size = min(k, int(unit.face.unique().numel()))
        made = spectrum(unit, size) if cache is None else cache.spectrum(unit, size)
        slope = gradient(surface) if cache is None else cache.gradient(surface)
        return SpectralShape(
            Mesh(surface.pos.float(), surface.face),
            made.to(torch.float32),
            Gradient(slope.neighbors, slope.values.float()),
            made.mass > 0,
            inverted,
            area,
        )

    @cached_property
    def invariants(self) -> list[Tensor]:
        """Coefficients ``[50, D]`` in the first eigenfunctions (or what there are) of the differential invariants, by family."""
        weighted = self.spectrum.evecs[:, :_FIRST] * self.spectrum.mass[:, None]
        families = differential_invariants(self.spectrum, self.gradient)
        return [matmul(family.mT, weighted).mT / family.shape[1] ** 0.5 for family in families]

    @cached_property
    def diffusion(self) -> tuple[Tensor, Tensor]:
        """What :func:`heat_signs` gives, ``[V, 8]`` and ``[V, 7]``."""
        return heat_signs(self.spectrum, self.gradient)

    @cached_property
    def samples(self) -> Samples:
        """The points that others' are matched to."""
        return self._samples(SAMPLES)

    @cached_property
    def few_samples(self) -> Samples:
        """The points that are matched."""
        return self._samples(_FEW_SAMPLES)

    def _samples(self, count: int) -> Samples:
        rows = self.used.nonzero().flatten()
        rows = rows[farthest_vertices(self.mesh.pos[rows], count)]
        return Samples(rows, distances_from(surface_graph(self.mesh), rows).nan_to_num(posinf=9.0))

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
        if self.coarse is not None:
            spread = self.coarse.shape._graph(count)
            return spread.on(
                self.mesh.pos[self.used], normal[self.used], links, self.coarse.cell, self.coarse.center
            )
        return DeformationGraph.of(self.mesh.pos[self.used], normal[self.used], links, count)

    @property
    def light(self) -> SpectralShape:
        """The shape that is matched first: the coarse one of a large mesh."""
        return self if self.coarse is None else self.coarse.shape

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
    used = corners.unique().numel()
    # A surface has half as many vertices as faces.
    if used < 0.9 * face.shape[1]:
        return
    places = torch.unique(pos[corners], dim=0).shape[0]
    if used > 2 * places:
        raise ValueError(
            f"the faces of the mesh share no vertices: {used} vertices lie at {places} places, as in a file for flat shading; "
            "merge them by geodl.geometry.repair or Mesh.load(path, repair=True)"
        )


def _of_large(
    surface: Mesh, k: int, cache: OperatorCache | None, inverted: bool, area: float
) -> SpectralShape | None:
    """By a coarse copy: cells of a Voronoi diagram over the surface, joined where three of them meet; None where none do."""
    mass = vertex_areas(surface).double()
    used = mass > 0
    place = torch.cumsum(used, 0) - 1
    whole = Mesh(surface.pos[used], place[surface.face[:, used[surface.face].all(0)]])
    cells = coarsen(whole, _COARSE)
    corners = cells.cluster[whole.face]
    apart = (corners != corners.roll(1, 0)).all(0)
    # Cells that meet at several faces are joined once.
    _, first = np.unique(corners[:, apart].sort(0).values.numpy(), axis=1, return_index=True)
    face = corners[:, apart][:, torch.from_numpy(first)]
    if not face.numel():
        return None
    mesh = Mesh(whole.pos[cells.centers], face)
    shape = SpectralShape._of_surface(mesh, mesh, k, cache, False, area)
    number = torch.where(shape.used, torch.cumsum(shape.used, 0) - 1, -1)
    center = cells.centers[shape.used]
    cell = number[cells.cluster]
    # What lies in a cell that meets no two others, as a small component, goes with the nearest.
    if bool((lost := cell < 0).any()):
        near = KDTree(whole.pos[center].numpy()).query(whole.pos[lost].numpy())[1]
        cell[lost] = torch.from_numpy(near)
    evecs = torch.zeros(used.shape[0], shape.size)
    evecs[used] = cells.prolong(shape.spectrum.evecs, smooth=True)
    weighted = evecs * mass[:, None].float()
    # Orthonormal again: each with those before it.
    inner = torch.linalg.cholesky((evecs.mT @ weighted).double(), upper=True)
    evecs = torch.linalg.solve_triangular(inner.float(), evecs, upper=True, left=False)
    slope = gradient(surface) if cache is None else cache.gradient(surface)
    return SpectralShape(
        Mesh(surface.pos.float(), surface.face),
        Spectrum(shape.spectrum.evals, evecs, mass.float()),
        Gradient(slope.neighbors, slope.values.float()),
        used,
        inverted,
        area,
        Coarse(shape, cell, center),
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
        area,
    )
