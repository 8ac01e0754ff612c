"""A part matched to a whole, or to another part, without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geodl.data.shapes import as_shape
from geodl.geometry import surface_area
from geodl.matching.geodesic_graph import border_vertices, distances_from
from geodl.matching.heat_signs import REACH
from geodl.matching.partial_registration import OpenGraph, PartialRegistration, register_part
from geodl.matching.partial_search import Features, FirstMap, first_maps
from geodl.matching.partial_shape import NEIGHBOURHOOD, PartialShape
from geodl.matching.point_map import nearest
from geodl.matching.trust import orientation
from geodl.matching.zoomout import farthest_vertices

__all__ = ["PartialMatch", "partial_match"]

# Nodes by which first maps are judged, those of the last map, and how many first maps are bent as far as that.
_FEW_NODES, _NODES, _KEPT = 250, 1000, 3
# Points of the overlap lie so near one another, in units of length; a border's vertex counts within half an edge.
_NEAR, _HALF = 0.06, 0.5


@dataclass(frozen=True, eq=False)
class PartialMatch:
    """A correspondence of shapes that have only a part in common.

    Attributes:
        p2p_21: ``[V2]`` int64: for each vertex of shape 2 a vertex of shape 1; -1 outside the overlap.
        p2p_12: ``[V1]`` int64, the other way; -1 outside the overlap.
        overlap_1, overlap_2: ``[V1]`` and ``[V2]`` bool: what of either shape the other one has as well.
        c_12: ``[K2, K1]`` float32, of shapes scaled as for :func:`partial_match`.
        distortion: mean relative change of distances between matched points: about 0.1 for a good map between different people,
            above 0.25 for one that is not to be trusted.
        orientation: as of :class:`Trust`, negative for a map that swaps left and right.
        scale: by which shape 2 was found to be smaller than the part of shape 1.
    """

    p2p_21: Tensor
    p2p_12: Tensor
    overlap_1: Tensor
    overlap_2: Tensor
    c_12: Tensor
    distortion: float
    orientation: float
    scale: float


def partial_match(
    shape_1: Any,
    shape_2: Any,
    contained: bool | None = None,
    k: int = 100,
    features: tuple[Tensor, Tensor] | None = None,
) -> PartialMatch:
    r"""Matches shape 2, a part, to shape 1, a whole or another part. Nothing is learned.

    A few points of shape 2 go to all those of shape 1 between which distances agree; then every point goes where its distances to
    all others agree best, again and again (a cut hardly changes geodesics where it changes eigenfunctions all over). How heat
    diffuses around points that are away from the border breaks ties. Shapes that are nearly symmetric have several such maps. By
    each of them shape 2 is bent onto shape 1, as rigidly as the map allows:

    .. math:: \min_{x, R} \sum_{n \in O} | x_n - t_n |^2 + \mu \sum_{nm} | x_n - x_m - s R_n (p_n - p_m) |^2

    where only the nodes O pull whose nearest points are not on a border, and the size s is estimated. The map is the best that
    bends least and keeps distances, and the brackets of diffusion and histograms of normals, which tell left from right and front
    from back. The overlap is what lies beside the other shape in the end, but not beside its border.

    Args:
        shape_1, shape_2: meshes, whatever :func:`geodl.data.as_shape` takes, of one unit of length; sizes may differ by a fifth.
        contained: whether all of shape 2 is on shape 1; if not given, whether shape 1 has no border.
        k: eigenfunctions of shape 1 of ``c_12``, by Weyl's law as many of shape 2 as it has up to a common frequency.
        features: ``[V1, D]`` and ``[V2, D]`` of a network, whose nearest directions are one more first map, and which help to
            judge: those of :meth:`PartialFunctionalMapNet.compare`.

    Raises:
        ValueError: a cloud, areas that differ a thousandfold, features that do not fit, or what :meth:`SpectralShape.of` raises.

    Rodola, Cosmo, Bronstein, Torsello & Cremers, "Partial functional correspondence", CGF 2017, for the slanted map;
    Leordeanu & Hebert, "A spectral technique for correspondence problems using pairwise constraints", ICCV 2005, for distances that
    agree; Sorkine & Alexa, "As-rigid-as-possible surface modeling", SGP 2007.
    """
    shape_1, shape_2 = as_shape(shape_1), as_shape(shape_2)
    for name, shape in (("shape 1", shape_1), ("shape 2", shape_2)):
        if getattr(shape, "face", None) is None:
            raise ValueError(f"{name} is a point cloud: partial shapes must be meshes, whose border is known")
    areas = [float(surface_area(shape)) for shape in (shape_1, shape_2)]
    if not min(areas) > 1e-3 * max(areas):
        raise ValueError(
            f"the shapes have areas {areas[0]:g} and {areas[1]:g}: give them in one unit of length"
        )
    if contained is None:
        contained = border_vertices(shape_1).numel() == 0
    # Distances in units of the larger shape: its area is 1.
    unit = max(areas) ** 0.5
    one, two = (PartialShape.of(shape, unit, k) for shape in (shape_1, shape_2))
    features = _unit(one, two, features)
    first = first_maps(one, two, contained, features)
    if features is not None:
        near = one.used.nonzero().flatten()
        near = near[nearest(features[0][near], features[1])]
        first.append(FirstMap(near, two.used, 1.0))
    if not first:
        raise ValueError(
            "no points of the two shapes have distances that agree: have they one unit of length?"
        )
    return _bent(one, two, first, contained, features, k)


def _unit(one: PartialShape, two: PartialShape, features: tuple[Tensor, Tensor] | None) -> Features:
    """Directions of the features of a network."""
    if features is None:
        return None
    sizes = [shape.mesh.pos.shape[0] for shape in (one, two)]
    if [f.shape[0] for f in features] != sizes or features[0].shape[1:] != features[1].shape[1:]:
        raise ValueError(
            f"features {[list(f.shape) for f in features]} must have a row for each of {sizes} vertices and as many columns"
        )
    unit_1, unit_2 = (torch.nn.functional.normalize(f.detach().cpu().float()) for f in features)
    return unit_1, unit_2


def _bent(
    one: PartialShape, two: PartialShape, first: list[FirstMap], contained: bool, features: Features, k: int
) -> PartialMatch:
    """The best of several first maps: all bent by few nodes, the best of these by many."""
    number = torch.cumsum(one.used, 0) - 1, torch.cumsum(two.used, 0) - 1
    coarse = OpenGraph.of(one, _FEW_NODES), OpenGraph.of(two, _FEW_NODES)
    judged: list[tuple[float, PartialRegistration]] = []
    for guess in first:
        rows = (two.used if contained else two.used & guess.known).nonzero().flatten()
        at_one, at_two = number[0][guess.p2p_21[rows]].numpy(), number[1][rows].numpy()
        made = register_part(*coarse, at_one, at_two, contained, guess.scale)
        judged.append((_cost(one, two, made, contained, features), made))
    judged.sort(key=lambda found: found[0])
    fine = OpenGraph.of(one, _NODES), OpenGraph.of(two, _NODES)
    ends = [made.on(*fine, contained) for _, made in judged[:_KEPT]]
    best = min(ends, key=lambda made: _cost(one, two, made, contained, features))
    # Once more from where it lies: rotations and the size settle.
    best = best.on(*fine, contained)
    p2p_21, p2p_12, overlap_1, overlap_2 = _point_maps(one, two, best, contained)
    c_12 = _fmap(one, two, p2p_21.clamp(min=0), overlap_2, k)
    return PartialMatch(
        p2p_21,
        p2p_12,
        overlap_1,
        overlap_2,
        c_12,
        _distortion(one, two, p2p_21, overlap_2, best.scale),
        orientation(c_12, one.spectrum, two.spectrum, one.gradient, two.gradient),
        best.scale,
    )


def _point_maps(
    one: PartialShape, two: PartialShape, made: PartialRegistration, contained: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``p2p_21``, ``p2p_12`` and the overlaps ``[V1]``, ``[V2]`` of a shape that is bent."""
    forth, back, gap_2, gap_1 = made.nearest()
    half = _HALF * one.edge
    inside_2 = contained | (gap_2 < _NEAR) & (~made.one.border[forth] | (gap_2 < half))
    inside_1 = (gap_1 < _NEAR) & (~made.two.border[back] | (gap_1 < half))
    found: list[Tensor] = []
    for there, inside, here, other in ((forth, inside_2, two, one), (back, inside_1, one, two)):
        whole = torch.full(here.used.shape, -1)
        matched = other.used.nonzero().flatten()[torch.from_numpy(there)]
        whole[here.used] = matched.masked_fill(~torch.from_numpy(inside), -1)
        found.append(whole)
    return found[0], found[1], found[1] >= 0, found[0] >= 0


def _cost(
    one: PartialShape, two: PartialShape, made: PartialRegistration, contained: bool, features: Features
) -> float:
    """Bending, times powers of what the map misses of the brackets of diffusion, of distances and of the normals around."""
    p2p, _, _, overlap = _point_maps(one, two, made, contained)
    if not bool(overlap.any()):
        return torch.inf
    rows = overlap.nonzero().flatten()
    there = p2p[rows]
    valid = ((two.border[rows, None] > REACH[1:]) & (one.border[there, None] > REACH[1:])).float()
    a, b = one.diffusion[1][there] * valid, two.diffusion[1][rows] * valid
    alike = float((a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-9))
    cost = made.bending * (1 - alike) ** 2 * _distortion(one, two, p2p, overlap, made.scale) ** 2
    inner = (two.border[rows] > NEIGHBOURHOOD / 2) & (one.border[there] > NEIGHBOURHOOD / 2)
    if bool(inner.any()):
        seen = (one.histograms[there[inner]] * two.histograms[rows[inner]]).sum(1).mean()
        cost *= (1 - float(seen)) ** 4
    if features is not None:
        cost *= float((1 - (features[0][there] * features[1][rows]).sum(1)).mean()) ** 2
    # A map of hardly anything has little that could be wrong.
    share = float(two.spectrum.mass[rows].sum()) / min(one.area, two.area)
    return cost / share**2


def _fmap(one: PartialShape, two: PartialShape, p2p: Tensor, region: Tensor, k: int) -> Tensor:
    """The functional map that fits the points best on a region, slanted by the ratio of the areas."""
    size = min(k, one.spectrum.evecs.shape[1])
    rows = min(max(round(two.area / one.area * size) + 4, 8), two.spectrum.evecs.shape[1])
    basis = two.spectrum.evecs[:, :rows]
    weight = (two.spectrum.mass * region)[:, None]
    gram = basis.mT @ (weight * basis)
    # Eigenfunctions of which the overlap sees little are held back.
    gram = gram + torch.diag(
        1e-3 + 1e-2 * (two.spectrum.evals[:rows] / two.spectrum.evals[rows - 1]).clamp(min=0)
    )
    c: Tensor = torch.linalg.solve(gram, basis.mT @ (weight * one.spectrum.evecs[p2p, :size]))
    return c


def _distortion(one: PartialShape, two: PartialShape, p2p: Tensor, region: Tensor, scale: float) -> float:
    """Mean relative change of distances between points of the overlap."""
    inside = region.nonzero().flatten()
    if inside.numel() < 4:
        return 1.0
    some = inside[farthest_vertices(two.mesh.pos[inside], 60)]
    here = scale * distances_from(two.graph, some)[:, some]
    there = distances_from(one.graph, p2p[some])[:, p2p[some]]
    off = ((here - there).abs() / (0.02 + (here + there) / 2)).clamp(max=1)
    return float(off.nan_to_num(1.0).mean())
