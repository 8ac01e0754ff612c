"""A part matched to a whole, or to another part, without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geodl.data.shapes import as_shape
from geodl.geometry import surface_area
from geodl.matching.geodesic_graph import border_vertices, distance_to, distances_from
from geodl.matching.partial_shape import REACH, PartialShape
from geodl.matching.point_map import nearest
from geodl.matching.trust import orientation
from geodl.matching.zoomout import farthest_vertices

__all__ = ["PartialMatch", "partial_match"]

# Points of shape 2 and of shape 1 that are matched first.
_QUERIES, _TARGETS = 60, 160
# Lengths may differ by about this share between shapes that correspond.
_STRETCH, _DETOUR = 0.15, 1.5
# Points that a search begins with; how many of their ways are kept, tried in full, and refined, so far apart.
_LANDMARKS, _WAYS, _RANKED, _TRIED, _KEPT, _APART = 5, 3000, 600, 20, 6, 0.1
_STARTS, _FEW, _ROUNDS = 16, 4, 6
_FIRST, _STEP = 24, 8
# There and back again within so many edges is in the overlap.
_RETURN = 2.5


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
    """

    p2p_21: Tensor
    p2p_12: Tensor
    overlap_1: Tensor
    overlap_2: Tensor
    c_12: Tensor
    distortion: float
    orientation: float


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
    diffuses around points that are away from the border breaks ties. Shapes that are nearly symmetric have several such maps.
    Each is refined as by ZoomOut, from part to whole only:

    .. math:: C_{12} = \arg\min_C \| W (\Phi_2 C - \Pi_{21} \Phi_1) \|^2, \qquad
              p2p_{21}(j) = \arg\min_i \| \Phi_1(i) - C_{12}^\top \Phi_2(j) \|

    with as many eigenfunctions of either shape as it has up to a common frequency, by Weyl's law in proportion to the areas, and W
    the points that agree. Of the results the one is taken that keeps distances, orientation and the brackets of diffusion best,
    which tell left from right and front from back. The overlap is where there and back returns.

    It finds parts that a plane leaves of a body, of half its area or more, in most cases; large holes, which make ways longer, it
    often does not.

    Args:
        shape_1, shape_2: meshes, whatever :func:`geodl.data.as_shape` takes, of one unit of length.
        contained: whether all of shape 2 is on shape 1; if not given, whether shape 1 has no border.
        k: eigenfunctions of shape 1 in the end.
        features: ``[V1, D]`` and ``[V2, D]`` of a network, whose directions count beside diffusion: those of
            :meth:`PartialFunctionalMapNet.compare`.

    Raises:
        ValueError: a cloud, areas that differ a thousandfold, features that do not fit, or what :meth:`SpectralShape.of` raises.

    Rodola, Cosmo, Bronstein, Torsello & Cremers, "Partial functional correspondence", CGF 2017, for the slanted map;
    Leordeanu & Hebert, "A spectral technique for correspondence problems using pairwise constraints", ICCV 2005, for distances that
    agree; Melzi et al., "ZoomOut", SIGGRAPH Asia 2019.
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
    if features is not None:
        sizes = [shape.pos.shape[0] for shape in (shape_1, shape_2)]
        if [f.shape[0] for f in features] != sizes or features[0].shape[1:] != features[1].shape[1:]:
            raise ValueError(
                f"features {[list(f.shape) for f in features]} must have a row for each of {sizes} vertices and as many columns"
            )
        unit_1, unit_2 = (torch.nn.functional.normalize(f.detach().cpu()) for f in features)
        features = (unit_1, unit_2)
    first = _first_maps(one, two, contained, features)
    found = [_refined(one, two, p2p, known, contained, k) for p2p, known in first]
    if not found:
        raise ValueError(
            "no points of the two shapes have distances that agree: have they one unit of length?"
        )
    return max(found, key=lambda made: _plausible(one, two, made, features))


# --- the first maps: points that agree about their distances --------------------


Features = tuple[Tensor, Tensor] | None


def _first_maps(
    one: PartialShape, two: PartialShape, contained: bool, features: Features = None
) -> list[tuple[Tensor, Tensor]]:
    """Point maps ``[V2]`` with the vertices that are taken to have a counterpart, best first."""
    queries, targets = _spread_over(two, _QUERIES), _spread_over(one, _TARGETS)
    far_2, far_1 = distances_from(two.graph, queries), distances_from(one.graph, targets)
    d_2, d_1 = far_2[:, queries].nan_to_num(posinf=9.0), far_1[:, targets].nan_to_num(posinf=9.0)
    cost = _unlikeness(two, one, queries, targets)
    cost = (cost / cost.median().clamp(min=1e-6)).clamp(max=2)
    if features is not None:
        apart = 1 - features[1][queries] @ features[0][targets].mT
        cost = cost / 2 + 2 * (apart / apart.median().clamp(min=1e-6)).clamp(max=2)
    found: list[tuple[Tensor, Tensor, float]] = []
    if contained:
        found = _searched(d_2, d_1, cost, _far_apart(d_2), contained)
    else:
        # Points that are on no counterpart lead nowhere: many beginnings, of few points.
        random = torch.Generator().manual_seed(0)
        for _ in range(_STARTS):
            landmarks = torch.randperm(queries.numel(), generator=random)[:_FEW].tolist()
            found += _searched(d_2, d_1, cost, landmarks, contained)
    found.sort(key=lambda made: -made[2])
    chosen: list[tuple[Tensor, Tensor, float]] = []
    for made in found:
        # Those that lead elsewhere, not the same again.
        if all(float(d_1[made[0], other[0]].mean()) > _APART for other in chosen):
            chosen.append(made)
    return [_spread(far_2, far_1, place, sure) for place, sure, _ in chosen[:_KEPT]]


def _spread_over(shape: PartialShape, count: int) -> Tensor:
    """Vertices that have a mass, spread evenly."""
    used = shape.used.nonzero().flatten()
    return used[farthest_vertices(shape.mesh.pos[used], count)]


def _far_apart(d_2: Tensor) -> list[int]:
    """Points far from one another on the component that has most of them."""
    begin = d_2[int((d_2 <= 8).sum(1).numpy().argmax())]
    landmarks = [int(begin.masked_fill(begin > 8, -1).argmax())]
    while len(landmarks) < _LANDMARKS:
        landmarks.append(int(d_2[landmarks].amin(0).masked_fill(d_2[landmarks[0]] > 8, -1).argmax()))
    return landmarks


def _searched(
    d_2: Tensor, d_1: Tensor, cost: Tensor, landmarks: list[int], contained: bool
) -> list[tuple[Tensor, Tensor, float]]:
    """Places ``[Q]`` of the points on shape 1, how sure each is, and the score of all: from a few points."""
    # All the ways in which their distances agree, the likeliest only where there are too many.
    ways, unlike = torch.arange(d_1.shape[0])[:, None], cost[landmarks[0]].clone()
    for number, landmark in enumerate(landmarks[1:], 1):
        off = _off(d_2[landmark, landmarks[:number]][None, :, None], d_1[ways])
        worst, total = off.abs().amax(1), unlike[:, None] + off.square().sum(1) / 2 + cost[landmark]
        total = total.masked_fill(worst > 2.5, torch.inf).flatten()
        some = total.topk(min(_WAYS, int(total.isfinite().sum())), largest=False)
        if not some.indices.numel():
            return []
        row, place = some.indices // d_1.shape[0], some.indices % d_1.shape[0]
        ways, unlike = torch.cat([ways[row], place[:, None]], 1), some.values
    scores = []
    for part in ways.split(64):
        off = torch.zeros(part.shape[0], d_2.shape[0], d_1.shape[0])
        for number, landmark in enumerate(landmarks):
            off += _off(d_2[None, :, landmark, None], d_1[part[:, number]][:, None]).square()
        scores.append((-(off / 2 + cost) / 2).amax(2).exp().mean(1))
    ways = ways[torch.cat(scores).argsort(descending=True)[:_RANKED]]
    tried: list[Tensor] = []
    for way in ways:
        if len(tried) < (_TRIED if contained else _FEW) and all(
            float(d_1[way, other].mean()) > _APART for other in tried
        ):
            tried.append(way)
    return [_agreed(d_2, d_1, cost, landmarks, way, contained) for way in tried]


def _off(here: Tensor, there: Tensor) -> Tensor:
    """How far two distances are apart, in units of what is usual; a cut makes ways on shape 2 longer, never shorter."""
    off = (here - there) / (0.04 + _STRETCH * (here + there) / 2)
    return torch.where(off > 0, off / _DETOUR, off)


def _agreed(
    d_2: Tensor, d_1: Tensor, cost: Tensor, landmarks: list[int], way: Tensor, contained: bool
) -> tuple[Tensor, Tensor, float]:
    """Every point goes where its distances to all others agree best, again and again."""
    off = _off(d_2[:, landmarks][:, None], d_1[:, way][None]).square().sum(2)
    place = (off / 2 + cost).argmin(1)
    sure = torch.ones(d_2.shape[0])
    for _ in range(_ROUNDS):
        agree = (-_off(d_2[:, None, :], d_1[:, place][None]).square() / 2).exp()
        support = (agree * sure).sum(2) / sure.sum() - 0.05 * cost
        best = support.max(1)
        if torch.equal(best.indices, place):
            break
        place, sure = best.indices, (best.values / best.values.max()).clamp(min=0.05).pow(4)
    # Of a part of a part, half of the points that agree best tell more than all, some of which lie on no counterpart.
    counted = best.values if contained else best.values.topk(best.values.numel() // 2).values
    return place, best.values.clamp(min=0), float(counted.mean())


def _unlikeness(two: PartialShape, one: PartialShape, queries: Tensor, targets: Tensor) -> Tensor:
    """``[Q, T]``: how differently heat diffuses around points, over times at which it has not reached the border."""
    (heat_2, turn_2), (heat_1, turn_1) = two.diffusion(), one.diffusion()
    valid = (two.border[queries, None, None] > REACH) & (one.border[None, targets, None] > REACH)
    # The shortest time always counts, also at the border.
    valid[..., 0] = True
    away = (heat_2[queries, None] - heat_1[None, targets]).abs()
    turned = (turn_2[queries, None] - turn_1[None, targets]).abs()
    weight = valid.float()
    both: Tensor = (weight * away).sum(2) / weight.sum(2)
    pairs = weight[..., 1:]
    return both + 0.5 * (pairs * turned).sum(2) / pairs.sum(2).clamp(min=1)


def _spread(far_2: Tensor, far_1: Tensor, place: Tensor, sure: Tensor) -> tuple[Tensor, Tensor]:
    """The map of all vertices by their distances to the points that are most sure, and the vertices near those."""
    kept = sure.topk(min(40, sure.numel())).indices
    kept = kept[sure[kept] > 0.8 * sure.max()]
    here, there = far_2[kept].mT.nan_to_num(posinf=9.0), far_1[place[kept]].mT.nan_to_num(posinf=9.0)
    p2p = nearest(there, here)
    good = sure > 0.8 * sure.max()
    known = good[far_2.argmin(0)]
    return p2p, known


def _plausible(one: PartialShape, two: PartialShape, found: PartialMatch, features: Features = None) -> float:
    """How good a map looks: distances, brackets of the map, and brackets of the diffusion, which tell its front from its back."""
    rows = found.p2p_21 >= 0
    if not bool(rows.any()):
        return -1.0
    _, before = one.diffusion()
    _, after = two.diffusion()
    valid = (two.border[rows, None] > REACH[1:]).float()
    a, b = before[found.p2p_21[rows]] * valid, after[rows] * valid
    alike = float((a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-9))
    # A map of hardly anything has little that could be wrong.
    return (
        0.1 * alike
        + 0.05 * found.orientation
        - found.distortion
        - 0.3 * max(0.0, 0.5 - float(rows.float().mean()))
    )


# --- refinement -----------------------------------------------------------------


def _refined(
    one: PartialShape, two: PartialShape, p2p: Tensor, known: Tensor, contained: bool, k: int
) -> PartialMatch:
    ratio = two.area / one.area
    most = min(k, one.spectrum.evecs.shape[1])
    sizes = [*range(min(_FIRST, most), most, _STEP), most]
    region = two.used if contained else known
    at_1, at_2 = one.used.nonzero().flatten(), two.used.nonzero().flatten()
    c, back = _fitted(one, two, p2p, region, sizes[0], ratio), p2p
    for size in sizes:
        c = _fitted(one, two, p2p, region, size, ratio)
        seen, basis = two.spectrum.evecs[:, : c.shape[0]] @ c, one.spectrum.evecs[:, :size]
        p2p, back = at_1[nearest(basis[at_1], seen)], at_2[nearest(seen[at_2], basis)]
    overlap_2 = two.used if contained else _returned(two, p2p, back) & two.used & _near(two, region)
    overlap_1 = one.used & _returned(one, back, p2p) & overlap_2[back]
    turned = orientation(c, one.spectrum, two.spectrum, one.gradient, two.gradient)
    return PartialMatch(
        p2p.masked_fill(~overlap_2, -1),
        back.masked_fill(~overlap_1, -1),
        overlap_1,
        overlap_2,
        c,
        _distortion(one, two, p2p, overlap_2),
        turned,
    )


def _fitted(
    one: PartialShape, two: PartialShape, p2p: Tensor, region: Tensor, size: int, ratio: float
) -> Tensor:
    rows = min(max(round(ratio * size) + 4, 8), two.spectrum.evecs.shape[1])
    basis = two.spectrum.evecs[:, :rows]
    weight = (two.spectrum.mass * region)[:, None]
    gram = basis.mT @ (weight * basis)
    # Eigenfunctions of which the overlap sees little are held back.
    gram = gram + torch.diag(
        1e-3 + 1e-2 * (two.spectrum.evals[:rows] / two.spectrum.evals[rows - 1]).clamp(min=0)
    )
    c: Tensor = torch.linalg.solve(gram, basis.mT @ (weight * one.spectrum.evecs[p2p, :size]))
    return c


def _returned(shape: PartialShape, there: Tensor, back: Tensor) -> Tensor:
    """``[V]`` bool: whether the way there and back ends within a few edges."""
    pos = shape.mesh.pos
    near: Tensor = torch.linalg.vector_norm(pos[back[there]] - pos, dim=1) < _RETURN * shape.edge
    return near


def _near(shape: PartialShape, region: Tensor) -> Tensor:
    """``[V]`` bool: what lies in a region or within a tenth of the unit of it."""
    return distance_to(shape.graph, region.nonzero().flatten()) < 0.1


def _distortion(one: PartialShape, two: PartialShape, p2p: Tensor, region: Tensor) -> float:
    """Mean relative change of distances between points of the overlap."""
    inside = region.nonzero().flatten()
    if inside.numel() < 4:
        return 1.0
    some = inside[farthest_vertices(two.mesh.pos[inside], 60)]
    here = distances_from(two.graph, some)[:, some]
    there = distances_from(one.graph, p2p[some])[:, p2p[some]]
    off = ((here - there).abs() / (0.02 + (here + there) / 2)).clamp(max=1)
    return float(off.nan_to_num(1.0).mean())
