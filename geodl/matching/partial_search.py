"""First maps of a part: a few points of it go where distances between them agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from geodl.matching.geodesic_graph import distances_from
from geodl.matching.heat_signs import REACH
from geodl.matching.partial_shape import SCALES, PartialShape
from geodl.matching.point_map import nearest
from geodl.matching.zoomout import farthest_vertices

__all__ = ["Features", "FirstMap", "agreeing_places", "first_maps", "unlikeness"]

# Points of shape 2 and of shape 1 that are matched first.
_QUERIES, _TARGETS = 60, 160
# Lengths may differ by about this share between shapes that correspond.
_STRETCH, _DETOUR = 0.15, 1.5
# Points that a search begins with; how many of their ways are kept, tried in full, and refined, so far apart.
_LANDMARKS, _WAYS, _RANKED, _TRIED, _KEPT, _APART = 5, 3000, 600, 20, 8, 0.1
# Of two parts: beginnings, points of each, the share of the nearest points that they lie among, and ways that are scored.
_STARTS, _FEW, _AROUND, _SCORED = 24, 4, 0.5, 800
_ROUNDS = 6
# How much the same size counts beside what distances say.
_SAME = 0.5

Features = tuple[Tensor, Tensor] | None


class FirstMap(NamedTuple):
    """A guess: the point map ``[V2]``, the vertices that are taken to have a counterpart, and how much shape 2 must grow."""

    p2p_21: Tensor
    known: Tensor
    scale: float


class _Places(NamedTuple):
    """Where the points of shape 2 go: numbers of the points of shape 1, how sure, the score of all, and the scale."""

    place: Tensor
    sure: Tensor
    score: float
    scale: float


def first_maps(
    one: PartialShape, two: PartialShape, contained: bool, features: Features = None
) -> list[FirstMap]:
    """Maps that lead to different places, the likeliest first."""
    queries, targets = _spread_over(two, _QUERIES), _spread_over(one, _TARGETS)
    far_2, far_1 = distances_from(two.graph, queries), distances_from(one.graph, targets)
    d_2, d_1 = far_2[:, queries].nan_to_num(posinf=9.0), far_1[:, targets].nan_to_num(posinf=9.0)
    valid = (two.border[queries, None, None] > REACH) & (one.border[None, targets, None] > REACH)
    cost = unlikeness([s[queries] for s in two.diffusion], [s[targets] for s in one.diffusion], valid)
    if features is not None:
        apart = 1 - features[1][queries] @ features[0][targets].mT
        cost = cost / 2 + 2 * (apart / apart.median().clamp(min=1e-6)).clamp(max=2)
    if contained:
        found = _searched(d_2, d_1, cost, _far_apart(d_2), contained)
    else:
        found = []
        # Points that are on no counterpart lead nowhere: many beginnings, each of points not far from one another.
        for centre in farthest_vertices(two.mesh.pos[queries], _STARTS).tolist():
            around = d_2[centre].topk(int(_AROUND * queries.numel()), largest=False).indices
            found += _searched(d_2, d_1, cost, _far_apart(d_2, around), contained)
    return [
        _spread(far_2, far_1, made) for made in _elsewhere(found, d_1)[: _KEPT if contained else 4 * _KEPT]
    ]


def agreeing_places(d_2: Tensor, d_1: Tensor, cost: Tensor, ways: int) -> list[tuple[Tensor, Tensor, float]]:
    """Where points of a whole shape 2 go by the distances between them, the likeliest first.

    Args:
        d_2, d_1: distances ``[Q, Q]`` and ``[T, T]`` between points of either shape.
        cost: ``[Q, T]``, see :func:`unlikeness`.
        ways: that are kept of those in which the first few points can go.

    Returns:
        Numbers ``[Q]`` of the points of shape 1, how sure they are ``[Q]``, and by how much shape 2 must grow.
    """
    found = _elsewhere(_searched(d_2, d_1, cost, _far_apart(d_2), True, ways), d_1)
    return [(made.place, made.sure, made.scale) for made in found[:_KEPT]]


def _elsewhere(found: list[_Places], d_1: Tensor) -> list[_Places]:
    """The best of those that lead to the same places, the best first."""
    chosen: list[_Places] = []
    for made in sorted(found, key=lambda made: -made.score):
        if all(float(d_1[made.place, other.place].mean()) > _APART for other in chosen):
            chosen.append(made)
    return chosen


def _spread_over(shape: PartialShape, count: int) -> Tensor:
    """Vertices that have a mass, spread evenly."""
    used = shape.used.nonzero().flatten()
    return used[farthest_vertices(shape.mesh.pos[used], count)]


def _far_apart(d_2: Tensor, among: Tensor | None = None) -> list[int]:
    """Points far from one another, on the component that has most of them or among those given."""
    if among is None:
        begin, few = d_2[int((d_2 <= 8).sum(1).numpy().argmax())], _LANDMARKS
        away = (begin > 8).float()
    else:
        begin, few = d_2[among[0]], _FEW
        away = torch.ones_like(begin).index_fill(0, among, 0)
        away[begin > 8] = 1
    landmarks = [int(begin.masked_fill(away > 0, -1).argmax())]
    while len(landmarks) < few:
        landmarks.append(int(d_2[landmarks].amin(0).masked_fill(away > 0, -1).argmax()))
    return landmarks


def _searched(
    d_2: Tensor, d_1: Tensor, cost: Tensor, landmarks: list[int], contained: bool, kept: int = _WAYS
) -> list[_Places]:
    """The best places of all points that a few points lead to."""
    # All the ways in which their distances agree, the likeliest only where there are too many.
    ways, unlike = torch.arange(d_1.shape[0])[:, None], cost[landmarks[0]].clone()
    for number, landmark in enumerate(landmarks[1:], 1):
        off = _off(d_2[landmark, landmarks[:number]][None, :, None], d_1[ways], contained)
        worst, total = off.abs().amax(1), unlike[:, None] + off.square().sum(1) / 2 + cost[landmark]
        total = total.masked_fill(worst > 2.5, torch.inf).flatten()
        most = kept if contained or number < len(landmarks) - 1 else _SCORED
        some = total.topk(min(most, int(total.isfinite().sum())), largest=False)
        if not some.indices.numel():
            return []
        row, place = some.indices // d_1.shape[0], some.indices % d_1.shape[0]
        ways, unlike = torch.cat([ways[row], place[:, None]], 1), some.values
    # Lengths tell the scale.
    here = d_2[landmarks][:, landmarks]
    there = d_1[ways[:, :, None], ways[:, None, :]]
    square = here.square().sum().clamp(min=1e-12)
    scales = ((here * there).sum((1, 2)) + _SAME * square) / ((1 + _SAME) * square)
    scales = scales.clamp(*SCALES)
    scores = []
    for part, scale in zip(ways.split(64), scales.split(64), strict=True):
        off = torch.zeros(part.shape[0], d_2.shape[0], d_1.shape[0])
        for number, landmark in enumerate(landmarks):
            grown = scale[:, None, None] * d_2[None, :, landmark, None]
            off += _off(grown, d_1[part[:, number]][:, None], contained).square()
        scores.append((-(off / 2 + cost) / 2).amax(2).exp().mean(1))
    order = torch.cat(scores).argsort(descending=True)[:_RANKED]
    tried: list[int] = []
    for number in order.tolist():
        if len(tried) < (_TRIED if contained else _FEW) and all(
            float(d_1[ways[number], ways[other]].mean()) > _APART for other in tried
        ):
            tried.append(number)
    return [
        _agreed(d_2, d_1, cost, landmarks, ways[number], float(scales[number]), contained) for number in tried
    ]


def _off(here: Tensor, there: Tensor, contained: bool) -> Tensor:
    """How far two distances are apart, in units of what is usual; a cut makes ways longer, never shorter."""
    off = (here - there) / (0.04 + _STRETCH * (here + there) / 2)
    return torch.minimum(off, off / _DETOUR) if contained else off / _DETOUR


def _agreed(
    d_2: Tensor,
    d_1: Tensor,
    cost: Tensor,
    landmarks: list[int],
    way: Tensor,
    scale: float,
    contained: bool,
) -> _Places:
    """Every point goes where its distances to all others agree best, again and again."""
    off = _off(scale * d_2[:, landmarks][:, None], d_1[:, way][None], contained).square().sum(2)
    place = (off / 2 + cost).argmin(1)
    sure = torch.ones(d_2.shape[0])
    for _ in range(_ROUNDS):
        agree = (-_off(scale * d_2[:, None, :], d_1[:, place][None], contained).square() / 2).exp()
        support = (agree * sure).sum(2) / sure.sum() - 0.05 * cost
        best = support.max(1)
        if torch.equal(best.indices, place):
            break
        place, sure = best.indices, (best.values / best.values.max()).clamp(min=0.05).pow(4)
        scale = _scale(d_2, d_1[place][:, place], sure)
    # Of a part of a part, half of the points that agree best tell more than all, some of which lie on no counterpart.
    counted = best.values if contained else best.values.topk(best.values.numel() // 2).values
    return _Places(place, best.values.clamp(min=0), float(counted.mean()), scale)


def _scale(here: Tensor, there: Tensor, sure: Tensor) -> float:
    """By which distances differ, of pairs of points that are sure and joined on either shape."""
    weight = sure[:, None] * sure * ((here < 8) & (there < 8))
    square = (weight * here.square()).sum().clamp(min=1e-12)
    scale = float(((weight * here * there).sum() + _SAME * square) / ((1 + _SAME) * square))
    return min(max(scale, SCALES[0]), SCALES[1])


def unlikeness(signs_2: Sequence[Tensor], signs_1: Sequence[Tensor], valid: Tensor | None = None) -> Tensor:
    """``[Q, T]``: how differently heat diffuses around points, 1 in the middle and 2 at most.

    Args:
        signs_2, signs_1: of :func:`heat_signs`, at Q and T points.
        valid: ``[Q, T, 8]`` bool, times at which it has not reached the border; all if not given.
    """
    (heat_2, turn_2), (heat_1, turn_1) = signs_2, signs_1
    away = (heat_2[:, None] - heat_1).abs()
    turned = (turn_2[:, None] - turn_1).abs()
    weight = torch.ones_like(away) if valid is None else valid.float()
    # The shortest time always counts, also at the border.
    weight[..., 0] = 1
    pairs = weight[..., 1:]
    cost = (weight * away).sum(2) / weight.sum(2)
    cost = cost + 0.5 * (pairs * turned).sum(2) / pairs.sum(2).clamp(min=1)
    unit: Tensor = (cost / cost.median().clamp(min=1e-6)).clamp(max=2)
    return unit


def _spread(far_2: Tensor, far_1: Tensor, made: _Places) -> FirstMap:
    """The map of all vertices by their distances to the points that are most sure, and the vertices near those."""
    sure = made.sure
    kept = sure.topk(min(40, sure.numel())).indices
    kept = kept[sure[kept] > 0.8 * sure.max()]
    here = made.scale * far_2[kept].mT.nan_to_num(posinf=9.0)
    there = far_1[made.place[kept]].mT.nan_to_num(posinf=9.0)
    good = sure > 0.8 * sure.max()
    return FirstMap(nearest(there, here), good[far_2.argmin(0)], made.scale)
