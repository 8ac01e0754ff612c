"""Two shapes in, a correspondence out, without training."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
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
)
from geodl.geometry.cloud import oriented_normals
from geodl.geometry.cloud_triangles import oriented_laplacian
from geodl.matching import match_file
from geodl.matching import transfer as carrying
from geodl.matching.barycentric_map import BarycentricMap
from geodl.matching.descriptors import match_descriptors
from geodl.matching.functional_map import functional_map
from geodl.matching.losses import orthogonality_loss
from geodl.matching.point_map import fmap_to_p2p, p2p_to_fmap
from geodl.matching.transfer import Kind
from geodl.matching.trust import Trust, orientation, trust
from geodl.matching.zoomout import farthest_vertices, zoomout

__all__ = ["Match", "SpectralShape", "initial_fmap", "match"]

# Of the families of differential invariants: found on pairs of FAUST's shapes, by the error of the map after ZoomOut.
_FAMILIES = (1.0, 3.0, 3.0, 2.0, 2.0)
_FIRST, _GROWN, _WEIGHT = 50, 60, 10.0
_SAMPLES, _STEP = 1000, 10


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
            ValueError, IndexError: what :func:`~geodl.geometry.laplacian` raises, and a mesh without area.
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


@dataclass(frozen=True, eq=False)
class Match:
    """A correspondence of two shapes.

    Attributes:
        p2p_21: ``[V2]`` int64: for each vertex of shape 2 a vertex of shape 1; -1 where it belongs to no face.
        p2p_12: ``[V1]`` int64, the other way.
        c_12: ``[k, k]`` float32, the functional map, of shapes scaled to area 1.
        trust: how far it can be trusted.
        notes: what was found and done on the way, in words.
        seconds: preparation of the shapes, and matching.
        shapes: what was matched, for :meth:`transfer`; None if it was saved without.
    """

    p2p_21: Tensor
    p2p_12: Tensor
    c_12: Tensor
    trust: Trust
    notes: tuple[str, ...]
    seconds: tuple[float, float]
    shapes: tuple[SpectralShape, SpectralShape] | None = None

    def transfer(self, values: Any, kind: Kind = "nearest") -> Tensor:
        r"""Values at the vertices of shape 1 carried to the vertices of shape 2.

        For the other direction: ``found.inverse().transfer(values)``.

        Args:
            values: what shape 1 has, as a tensor or array:

                - ``[V1]`` or ``[V1, C]`` floating point: functions, colours, positions (``found.transfer(mesh_1.pos, "precise")``
                  is shape 1 with the faces of shape 2), vectors in space. Tangent vectors turn with the surface:
                  :meth:`push_forward`.
                - ``[V1]`` or ``[V1, C]`` integers or bool: labels, which are never mixed.
                - ``[F1, 3, C]`` floating point: texture coordinates of the corners of faces. A face of shape 2 across a seam has
                  all of its corners in one chart, whatever the kind.
            kind: "nearest", the value of the vertex ``p2p_21``; "precise", interpolated in the face in which the vertex lies
                (:attr:`precise`), of labels that with the largest weight; or "functional", :math:`\Phi_2 C_{12} \Phi_1^\top M_1 f`,
                smooth, without the frequencies that the map does not have.

        Returns:
            ``[V2]``, ``[V2, C]`` or ``[F2, 3, C]`` in the dtype of ``values`` (unsigned labels as int64). Where a vertex is matched
            to none (-1): NaN, label -1, False.

        Raises:
            ValueError: values that do not fit, labels with "functional", a cloud or a match without shapes where they are needed.
        """
        return carrying.transfer(self, values, kind)

    def push_forward(self, vectors: Any) -> Tensor:
        """Tangent vectors ``[V1, 3]`` of shape 1 carried by the differential of the map: ``[V2, 3]``, tangent to shape 2.

        They turn and stretch with the surface. Lengths are in units of the square root of either shape's area. NaN where a vertex
        is matched to none.

        Raises:
            ValueError: vectors that do not fit; a cloud as shape 1, or a match without shapes.
        """
        return carrying.push_forward(self, vectors)

    @cached_property
    def precise(self) -> BarycentricMap:
        """For each vertex of shape 2 a point on a face of shape 1, see :func:`precise_map`; made when first asked for.

        Raises:
            ValueError: shape 1 is a cloud, or a match without shapes.
        """
        return carrying.precise(self)

    def inverse(self) -> Match:
        """The same match with shapes 1 and 2 exchanged; ``trust`` stays that of the pair."""
        words = {"shape 1": "shape 2", "shape 2": "shape 1"}
        notes = tuple(re.sub("shape [12]", lambda said: words[said[0]], note) for note in self.notes)
        shapes = None if self.shapes is None else self.shapes[::-1]
        return replace(
            self, p2p_21=self.p2p_12, p2p_12=self.p2p_21, c_12=self.c_12.mT, notes=notes, shapes=shapes
        )

    def save(self, path: str | Path, shapes: bool = True) -> Path:
        """Writes the match as one safetensors file; an existing one is replaced only once the new one is complete.

        Args:
            path: of the file; a folder that is missing is made.
            shapes: whether ``shapes`` are written too: some 300 numbers a vertex, for all of :meth:`transfer` but "nearest".
        """
        return match_file.save(self, Path(path), shapes)

    @staticmethod
    def load(path: str | Path) -> Match:
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, holds no match, or was written by a later version.
        """
        return match_file.load(Path(path))


def match(
    shape_1: Any,
    shape_2: Any,
    k: int = 120,
    features: Callable[[SpectralShape], Tensor] | None = None,
    cache: OperatorCache | None = None,
) -> Match:
    r"""Matches two shapes: descriptors, a functional map, ZoomOut.

    Without ``features``, the first map is that of the :func:`~geodl.geometry.differential_invariants`, which know left from right
    where faces are turned outward; closed meshes whose faces look inward are turned first. Clouds are matched by the tufted
    Laplacian of local triangulations, with their ``normal`` or those of their neighbourhoods, turned outward.
    The shapes should be whole and near to isometric. Nothing is learned.

    Args:
        shape_1, shape_2: meshes or clouds, whatever :func:`geodl.data.as_shape` takes, or :class:`SpectralShape`.
        k: size of the refined functional map, and eigenpairs that are made of a mesh.
        features: ``features(shape) -> [V, D]`` of a trained network, whose nearest neighbours are the first map.
        cache: where spectra and gradients of meshes are kept and read from; `geodl precompute` fills the user's.

    Returns:
        Match, with what speaks for and against it in ``trust``.

    Raises:
        ValueError, IndexError: what the Laplacian of a mesh raises.

    Melzi et al., "ZoomOut", SIGGRAPH Asia 2019, for the refinement.
    """
    began = time.perf_counter()
    one, two = (
        s if isinstance(s, SpectralShape) else SpectralShape.of(s, k, cache) for s in (shape_1, shape_2)
    )
    prepared = time.perf_counter()
    phi_1, phi_2 = one.embedding(), two.embedding()
    if features is None:
        c_12 = initial_fmap(one, two)
    else:
        found = match_descriptors(features(one)[one.used], features(two)[two.used])
        size = min(_FIRST, one.size, two.size)
        c_12 = p2p_to_fmap(found, phi_1.evecs[:, :size], phi_2.evecs[:, :size], phi_2.mass)
    places = farthest_vertices(two.mesh.pos[two.used], _SAMPLES)
    c_12 = zoomout(c_12, phi_1, phi_2, min(k, one.size, two.size), _STEP, (None, places))
    p2p_21 = _at_all(fmap_to_p2p(c_12, phi_1.evecs, phi_2.evecs), two.used, one.used)
    p2p_12 = _at_all(fmap_to_p2p(c_12.mT, phi_2.evecs, phi_1.evecs), one.used, two.used)
    turned = orientation(c_12, one.spectrum, two.spectrum, one.gradient, two.gradient)
    judged = trust(one.mesh, two.mesh, p2p_21, p2p_12, turned)
    seconds = (prepared - began, time.perf_counter() - prepared)
    return Match(p2p_21, p2p_12, c_12, judged, tuple(_notes(one, two)), seconds, (one, two))


def initial_fmap(shape_1: SpectralShape, shape_2: SpectralShape) -> Tensor:
    """The functional map ``[K, K]`` of the shapes' differential invariants, with K = 60 or what they have.

    Descriptors of shape 1 are carried to shape 2, and those of shape 2 to shape 1. Of these two maps, after a little ZoomOut, the
    one that is nearer to a rotation is the better one.
    """
    size, grown = (min(size, shape_1.size, shape_2.size) for size in (_FIRST, _GROWN))
    a, b = (_invariants(shape, size) for shape in (shape_1, shape_2))
    phi_1, phi_2 = shape_1.embedding(), shape_2.embedding()
    evals_1, evals_2 = phi_1.evals[:size], phi_2.evals[:size]
    forth, back = _carry(a, b, evals_1, evals_2), _carry(b, a, evals_2, evals_1).mT
    places = farthest_vertices(shape_2.mesh.pos[shape_2.used], _SAMPLES // 2)
    maps = [zoomout(c, phi_1, phi_2, grown, _STEP, (None, places)) for c in (forth, back)]
    return min(maps, key=lambda c: float(orthogonality_loss(c)))


def _invariants(shape: SpectralShape, size: int) -> Tensor:
    """Spectral coefficients ``[size, D]`` of the differential invariants, each family with its weight."""
    weighted = (shape.spectrum.evecs[:, :size] * shape.spectrum.mass[:, None]).mT
    families = differential_invariants(shape.spectrum, shape.gradient)
    parts = [
        weight / family.shape[1] ** 0.5 * (weighted @ family)
        for weight, family in zip(_FAMILIES, families, strict=True)
    ]
    return torch.cat(parts, 1)


def _carry(a: Tensor, b: Tensor, evals_1: Tensor, evals_2: Tensor) -> Tensor:
    """The functional map of the descriptors. What those of a symmetric shape leave open, a weak pull to zero decides."""
    pull = 1e-3 * a.norm() * torch.eye(a.shape[0])
    ends = torch.cat([a, pull], 1), torch.cat([b, torch.zeros_like(pull)], 1)
    return functional_map(*ends, evals_1, evals_2, _WEIGHT)


def _at_all(p2p: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
    """A point map between vertices that have a mass, as one between all vertices."""
    whole = torch.full((rows.shape[0],), -1, dtype=torch.int64)
    whole[rows] = targets.nonzero().flatten()[p2p]
    return whole


def _notes(one: SpectralShape, two: SpectralShape) -> list[str]:
    found = []
    for name, shape in (("shape 1", one), ("shape 2", two)):
        if shape.inverted:
            found.append(f"the faces of {name} looked inward and were turned")
        if left_out := int((~shape.used).sum()):
            why = "belong to no face" if "face" in shape.mesh else "lie where another one does"
            found.append(f"{left_out} vertices of {name} {why}: they are matched to -1")
        zeros = int((shape.spectrum.evals <= 1e-8 * shape.spectrum.evals.max()).sum())
        if zeros > 1:
            found.append(f"{name} has {zeros} components or more: which goes to which is a guess")
    return found
