"""Two shapes in, a correspondence out, without training."""

from __future__ import annotations

import time
from collections.abc import Callable
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
from geodl.matching.descriptors import match_descriptors
from geodl.matching.functional_map import functional_map
from geodl.matching.losses import orthogonality_loss
from geodl.matching.point_map import fit, fmap_to_p2p, p2p_to_fmap
from geodl.matching.registration import DeformationGraph, Registration, register
from geodl.matching.trust import Trust, orientation, surface_links, trust
from geodl.matching.zoomout import farthest_vertices, zoomout

__all__ = ["Match", "SpectralShape", "initial_fmap", "match"]

# Weights of the families of differential invariants, and the size of the first map. No choice is the best for all shapes: each
# gives a map forth and one back, and the one that bends shape 2 onto shape 1 with the least bending is taken.
_FAMILIES = (1.0, 3.0, 3.0, 2.0, 2.0)
_FIRST_MAPS = (
    (_FAMILIES, 50),
    (_FAMILIES, 30),
    ((1.0, 1.0, 1.0, 1.0, 1.0), 50),
    ((1.0, 1.0, 3.0, 0.5, 0.5), 30),
    ((3.0, 1.0, 1.0, 0.3, 0.3), 30),
)
# Descriptors of a mirror image: brackets are negated.
_MIRROR = (1.0, 1.0, -1.0, -1.0, 1.0)
# Candidates that are refined, rounds at most, and the size of the map that a round begins and ends with.
_KEPT, _ROUNDS, _BEGIN, _END = 3, 3, 30, 100
_FIRST, _GROWN, _WEIGHT = 50, 60, 10.0
_SAMPLES, _STEP = 1000, 10
_FEW_NODES, _NODES = 500, 1500


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
    """

    p2p_21: Tensor
    p2p_12: Tensor
    c_12: Tensor
    trust: Trust
    notes: tuple[str, ...]
    seconds: tuple[float, float]


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
        maps = first_fmaps(one, two)
    else:
        nearest = match_descriptors(features(one)[one.used], features(two)[two.used])
        size = min(_FIRST, one.size, two.size)
        maps = [p2p_to_fmap(nearest, phi_1.evecs[:, :size], phi_2.evecs[:, :size], phi_2.mass)]
    pair = _Pair(one, two, k)
    found = pair.search(maps)
    c_12 = pair.grown(pair.fmap(found, _BEGIN), k, _SAMPLES)
    last = pair.bent(c_12, fine=True)
    forth, back, _ = last.point_maps()
    c_12 = p2p_to_fmap(forth, phi_1.evecs[:, : pair.most], phi_2.evecs[:, : pair.most], phi_2.mass)
    p2p_21, p2p_12 = _at_all(forth, two.used, one.used), _at_all(back, one.used, two.used)
    turned = orientation(c_12, one.spectrum, two.spectrum, one.gradient, two.gradient)
    judged = trust(one.mesh, two.mesh, p2p_21, p2p_12, turned)
    seconds = (prepared - began, time.perf_counter() - prepared)
    return Match(p2p_21, p2p_12, c_12, judged, tuple(_notes(one, two)), seconds)


def initial_fmap(shape_1: SpectralShape, shape_2: SpectralShape) -> Tensor:
    """The functional map ``[K, K]`` of the shapes' differential invariants, with K = 60 or what they have.

    Descriptors of shape 1 are carried to shape 2, and those of shape 2 to shape 1. Of these two maps, after a little ZoomOut, the
    one that is nearer to a rotation is the better one.
    """
    size, grown = (min(size, shape_1.size, shape_2.size) for size in (_FIRST, _GROWN))
    a, b = (_weighted(shape, _FAMILIES, size) for shape in (shape_1, shape_2))
    phi_1, phi_2 = shape_1.embedding(), shape_2.embedding()
    evals_1, evals_2 = phi_1.evals[:size], phi_2.evals[:size]
    forth, back = _carry(a, b, evals_1, evals_2), _carry(b, a, evals_2, evals_1).mT
    places = farthest_vertices(shape_2.mesh.pos[shape_2.used], _SAMPLES // 2)
    maps = [zoomout(c, phi_1, phi_2, grown, _STEP, (None, places)) for c in (forth, back)]
    return min(maps, key=lambda c: float(orthogonality_loss(c)))


def _weighted(
    shape: SpectralShape, families: tuple[float, ...], size: int, signs: tuple[float, ...] = (1.0,) * 5
) -> Tensor:
    """Spectral coefficients ``[size, D]`` of the differential invariants, each family with its weight."""
    parts = zip(families, signs, shape.invariants, strict=True)
    return torch.cat([weight * sign * part[:size] for weight, sign, part in parts], 1)


def first_fmaps(shape_1: SpectralShape, shape_2: SpectralShape) -> list[Tensor]:
    """Functional maps of the differential invariants by several weights, forth and back; the last two to a mirror image."""
    evals_1, evals_2 = shape_1.spectrum.evals, shape_2.spectrum.evals
    maps = []
    plain = (1.0,) * 5
    for families, size, signs in (*((*m, plain) for m in _FIRST_MAPS), (*_FIRST_MAPS[0], _MIRROR)):
        size = min(size, shape_1.size, shape_2.size)
        a, b = _weighted(shape_1, families, size), _weighted(shape_2, families, size, signs)
        maps.append(_carry(a, b, evals_1[:size], evals_2[:size]))
        maps.append(_carry(b, a, evals_2[:size], evals_1[:size]).mT)
    return maps


class _Pair:
    """Two shapes on the way to a map: from a functional map to a bent shape and back."""

    def __init__(self, one: SpectralShape, two: SpectralShape, k: int) -> None:
        self.one, self.two = one, two
        self.phi_1, self.phi_2 = one.embedding(), two.embedding()
        self.most = min(k, one.size, two.size)
        self.places = torch.from_numpy(two.graph.nodes)

    def grown(self, c_12: Tensor, size: int, samples: int) -> Tensor:
        size = max(min(size, self.most), *c_12.shape)
        return zoomout(c_12, self.phi_1, self.phi_2, size, _STEP, (None, self.places[:samples]))

    def bent(self, c_12: Tensor, fine: bool = False, quick: bool = False) -> Registration:
        """Shape 2 bent to where the map leads its nodes, and where those of shape 1 come from."""
        one, two = (s.graph if fine else s.coarse_graph for s in (self.one, self.two))
        nodes_1, nodes_2 = torch.from_numpy(one.nodes), torch.from_numpy(two.nodes)
        forth = fmap_to_p2p(c_12, self.phi_1.evecs, self.phi_2.evecs[nodes_2])
        back = fmap_to_p2p(c_12.mT, self.phi_2.evecs, self.phi_1.evecs[nodes_1])
        at_one, at_two = torch.cat([forth, nodes_1]).numpy(), torch.cat([nodes_2, back]).numpy()
        if quick:
            return register(one, two, at_one, at_two, (0.2, 0.1), 2)
        return register(one, two, at_one, at_two)

    def fmap(self, found: Registration, size: int) -> Tensor:
        """The functional map of the nodes' images."""
        size = min(size, self.most, len(found.two.nodes) // 3)
        nodes, image = torch.from_numpy(found.two.nodes), torch.from_numpy(found.image)
        return fit(self.phi_2.evecs[nodes, :size], self.phi_1.evecs[image, :size])

    def search(self, maps: list[Tensor]) -> Registration:
        """The best of several first maps: bent a little, the best of these refined until they bend no less."""
        judged = []
        for c_12 in maps:
            c_12 = self.grown(c_12, _END - 20, _SAMPLES // 2)
            judged.append((self.bent(c_12, quick=True).bending, c_12))
        judged.sort(key=lambda found: found[0])
        ends = [self.improved(self.bent(c_12)) for _, c_12 in judged[:_KEPT]]
        return min(ends, key=_cost)

    def improved(self, found: Registration) -> Registration:
        for _ in range(_ROUNDS):
            after = self.bent(self.grown(self.fmap(found, _BEGIN), _END, _SAMPLES))
            if _cost(after) > 0.98 * _cost(found):
                return min(found, after, key=_cost)
            found = after
        return found


def _cost(found: Registration) -> float:
    return found.bending


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
