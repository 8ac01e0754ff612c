"""From several first maps to the one that bends one shape onto the other with the least bending."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.matching.functional_map import functional_map
from geodl.matching.geodesic_maps import geodesic_fmaps
from geodl.matching.hints import Hints
from geodl.matching.point_map import fit, fmap_to_p2p
from geodl.matching.registration import Registration, register
from geodl.matching.spectral_shape import SpectralShape
from geodl.matching.trust import orientation
from geodl.matching.zoomout import zoomout

Indices = NDArray[np.int64]
Judged = tuple[Registration, Tensor]

# Weights of the families of differential invariants, and the size of the first map. No choice is the best for all shapes: each
# gives a map forth and one back.
FAMILIES = (1.0, 3.0, 3.0, 2.0, 2.0)
_FIRST_MAPS = (
    (FAMILIES, 50),
    (FAMILIES, 30),
    ((1.0, 1.0, 1.0, 1.0, 1.0), 50),
    ((1.0, 1.0, 3.0, 0.5, 0.5), 30),
)
# Descriptors of a mirror image: brackets are negated.
_MIRROR = (1.0, 1.0, -1.0, -1.0, 1.0)
# Of first maps the best are refined, and more that lead elsewhere (by this part of the square root of the area), unless they bend
# so many times the best; in so many rounds at most, and the size of the map that a round ends with.
_KEPT, _MORE, _ELSEWHERE, _FAR = 3, 3, 0.1, 4.0
_ROUNDS, _END = 4, 100
# A round must lower the cost to this share: the spectral map in it is blunter than the bent shape that it begins from.
_LESS = 0.85
# Most right maps of training bodies and animals bend less than _STUCK, nearly all less than _WRONG. What bends more is loosened by
# maps of so few eigenfunctions, and so is the best where another one that leads elsewhere costs less than so many times as much;
# then all other first maps are refined.
_STUCK, _WRONG, _LOOSE, _RIVAL = 0.045, 0.07, 25, 1.5
_FIRST, _WEIGHT = 50, 10.0
_SAMPLES, _STEP = 1000, 10


def weighted(
    shape: SpectralShape, families: tuple[float, ...], size: int, signs: tuple[float, ...] = (1.0,) * 5
) -> Tensor:
    """Spectral coefficients ``[size, D]`` of the differential invariants, each family with its weight."""
    parts = zip(families, signs, shape.invariants, strict=True)
    return torch.cat([weight * sign * part[:size] for weight, sign, part in parts], 1)


def first_fmaps(shape_1: SpectralShape, shape_2: SpectralShape, hints: Hints | None = None) -> list[Tensor]:
    """Functional maps of the differential invariants by several weights, forth and back; the last two to a mirror image.

    Landmarks add the heat that spreads from them, regions the functions that are 1 on them.
    """
    maps: list[Tensor] = []
    plain = (1.0,) * 5
    for families, size, signs in (*((*m, plain) for m in _FIRST_MAPS), (*_FIRST_MAPS[0], _MIRROR)):
        maps += _forth_and_back(shape_1, shape_2, families, size, signs, hints)
    return maps


def _forth_and_back(
    shape_1: SpectralShape,
    shape_2: SpectralShape,
    families: tuple[float, ...],
    size: int,
    signs: tuple[float, ...],
    hints: Hints | None,
) -> tuple[Tensor, Tensor]:
    size = min(size, shape_1.size, shape_2.size)
    a, b = weighted(shape_1, families, size), weighted(shape_2, families, size, signs)
    if hints is not None:
        known = (_known(s, w, n, hints.regions, size) for s, w, n in _sides(shape_1, shape_2, hints))
        a, b = (torch.cat([x, 2 * a.norm() * more], 1) for x, more in zip((a, b), known, strict=True))
    evals_1, evals_2 = shape_1.spectrum.evals[:size], shape_2.spectrum.evals[:size]
    return carry(a, b, evals_1, evals_2), carry(b, a, evals_2, evals_1).mT


class Pair:
    """Two shapes on the way to a map: from a functional map to a bent shape and back."""

    def __init__(self, one: SpectralShape, two: SpectralShape, k: int, hints: Hints | None = None) -> None:
        self.one, self.two = one, two
        none = np.zeros(0, dtype=np.int64)
        self.hints = Hints(none, none) if hints is None else hints
        self.phi_1, self.phi_2 = one.embedding(), two.embedding()
        self.most = min(k, one.size, two.size)
        self.places = torch.from_numpy(two.graph.nodes)

    def grown(self, c_12: Tensor, size: int, samples: int) -> Tensor:
        """The functional map after ZoomOut to ``size``, looking at so many vertices of shape 2."""
        c_12 = c_12[: self.most, : self.most]
        size = min(max(size, *c_12.shape), self.most)
        return zoomout(c_12, self.phi_1, self.phi_2, size, _STEP, (None, self.places[:samples]))

    def sketched(self, c_12: Tensor) -> Tensor:
        """The functional map after a ZoomOut that is good enough to judge it by."""
        return self.grown(c_12, _END - 20, _SAMPLES // 2)

    def bent(self, c_12: Tensor, fine: bool = False, quick: bool = False) -> Registration:
        """Shape 2 bent to where the map leads its nodes, and where those of shape 1 come from."""
        one, two = (s.graph if fine else s.coarse_graph for s in (self.one, self.two))
        nodes_1, nodes_2 = torch.from_numpy(one.nodes), torch.from_numpy(two.nodes)
        forth = fmap_to_p2p(c_12, self.phi_1.evecs, self.phi_2.evecs[nodes_2])
        back = fmap_to_p2p(c_12.mT, self.phi_2.evecs, self.phi_1.evecs[nodes_1])
        return self.follow(torch.cat([forth, nodes_1]), torch.cat([nodes_2, back]), fine, quick)

    def follow(self, at_one: Tensor, at_two: Tensor, fine: bool = False, quick: bool = False) -> Registration:
        """Shape 2 bent by matches given: vertices ``[P]`` of either."""
        one, two = (s.graph if fine else s.coarse_graph for s in (self.one, self.two))
        known = self.hints.at_one, self.hints.at_two, self.hints.labels_1, self.hints.labels_2
        reaches, turns = ((0.2, 0.1), 2) if quick else ((0.2, 0.1, 0.05), 4)
        return register(one, two, at_one.numpy(), at_two.numpy(), reaches, turns, known)

    def last(self, found: Registration) -> Registration:
        """With more nodes, from all point matches of a coarse one."""
        forth, back, _ = found.point_maps()
        every = [torch.arange(len(found_map)) for found_map in (back, forth)]
        return self.follow(torch.cat([forth, every[0]]), torch.cat([every[1], back]), fine=True)

    def fmap(self, found: Registration) -> Tensor:
        """The functional map of the nodes' images, ``[50, 50]`` or what the shapes have."""
        size = max(1, min(_FIRST, self.most, len(found.two.nodes) // 3))
        nodes, image = torch.from_numpy(found.two.nodes), torch.from_numpy(found.image)
        fitted: Tensor = fit(self.phi_2.evecs[nodes, :size], self.phi_1.evecs[image, :size])
        return fitted

    def cost(self, found: Registration) -> float:
        """Bending, times what the map misses of the brackets of signatures.

        Bending alone would let a body pass for one that looks the other way, whose back is much like its front: brackets tell.
        """
        c_12 = self.fmap(found)
        rows, columns = c_12.shape
        carried, true = c_12 @ self.one.invariants[2][:columns], self.two.invariants[2][:rows]
        whole = carried.square().sum() + true.square().sum()
        return found.bending * float((carried - true).square().sum() / whole.clamp(min=1e-12))

    def orientation(self, found: Registration) -> float:
        """See :func:`geodl.matching.orientation`: negative where left and right are swapped."""
        one, two = self.one, self.two
        return orientation(self.fmap(found), one.spectrum, two.spectrum, one.gradient, two.gradient)

    def search(self, tell: Callable[[str, float], None], more: Sequence[Tensor] = ()) -> Registration:
        """The best of several first maps: where distances lead, what descriptors say, and more that are given."""
        spectral = first_fmaps(self.one, self.two, self.hints)
        judged = self.judged([*more, *geodesic_fmaps(self.one, self.two), *spectral[:2]])
        tell("first maps", 0.3)
        kept: list[Judged] = []
        for found, c_12 in judged:
            near = found.bending < _FAR * judged[0][0].bending and len(kept) < _KEPT + _MORE
            if near and (len(kept) < _KEPT or all(_apart(found, other) > _ELSEWHERE for other, _ in kept)):
                kept.append((found, c_12))
        best = self.refined(kept)
        tell("refinement", 0.6)
        if best.bending > _WRONG:
            some = {id(found) for found, _ in kept}
            left = [each for each in judged if id(each[0]) not in some] + self.judged(spectral[2:])
            best = min(best, self.refined(left), key=self.cost)
        tell("refinement", 0.8)
        return best

    def judged(self, maps: list[Tensor]) -> list[Judged]:
        """First maps by how they bend, the least first: all are bent a little."""
        sketched = [self.sketched(c_12) for c_12 in maps]
        return sorted(((self.bent(c, quick=True), c) for c in sketched), key=lambda found: found[0].bending)

    def refined(self, maps: list[Judged]) -> Registration:
        """The best of the maps, each refined as long as that helps; loosened where it bends much or another one is near to it."""
        ends = sorted((self.improved(self.bent(c_12)) for _, c_12 in maps), key=self.cost)
        best, near = ends[0], _RIVAL * self.cost(ends[0])
        rivals = [end for end in ends[1:] if self.cost(end) < near and _apart(end, best) > _ELSEWHERE]
        if rivals or best.bending > _STUCK:
            return min((self.loosened(end) for end in (best, *rivals[:1])), key=self.cost)
        return best

    def loosened(self, found: Registration) -> Registration:
        """Through blunt maps, which move whole limbs, as long as that lowers the cost much."""
        for _ in range(_ROUNDS):
            after = self.improved(self.bent(self.sketched(self.joint(found, _LOOSE))))
            if self.cost(after) > _LESS * self.cost(found):
                return min(found, after, key=self.cost)
            found = after
        return found

    def joint(self, found: Registration, size: int = _FIRST) -> Tensor:
        """The functional map that fits the invariants and the nodes' images alike."""
        size = min(size, self.most)
        a, b = (weighted(shape, FAMILIES, size) for shape in (self.one, self.two))
        nodes, image = torch.from_numpy(found.two.nodes), torch.from_numpy(found.image)
        at_one, at_two = self.phi_1.evecs[image, :size].T, self.phi_2.evecs[nodes, :size].T
        scale = a.norm() / at_one.norm()
        ends = torch.cat([a, scale * at_one], 1), torch.cat([b, scale * at_two], 1)
        return carry(*ends, self.phi_1.evals[:size], self.phi_2.evals[:size])

    def improved(self, found: Registration) -> Registration:
        """Through a functional map, ZoomOut and back, as long as that lowers the cost much."""
        for _ in range(_ROUNDS):
            after = self.bent(self.grown(self.joint(found), _END, _SAMPLES))
            if self.cost(after) > _LESS * self.cost(found):
                break
            found = after
        return found


def _apart(found: Registration, other: Registration) -> float:
    """Mean distance of the images of two maps."""
    pos = found.one.pos
    return float(np.linalg.norm(pos[found.image] - pos[other.image], axis=1).mean())


def _sides(
    shape_1: SpectralShape, shape_2: SpectralShape, hints: Hints
) -> tuple[tuple[SpectralShape, Indices, Indices | None], ...]:
    return (shape_1, hints.at_one, hints.labels_1), (shape_2, hints.at_two, hints.labels_2)


def _known(shape: SpectralShape, at: Indices, labels: Indices | None, regions: int, size: int) -> Tensor:
    """Coefficients ``[size, D]`` of heat at landmarks, at three times, and of regions, of unit length in all."""
    phi = shape.embedding()
    evecs, evals = phi.evecs[:, :size], phi.evals[:size]
    columns = [evecs[torch.from_numpy(at)].T * (-t * evals)[:, None].exp() for t in (0.003, 0.01, 0.03)]
    if labels is not None:
        inside = torch.from_numpy(labels)[:, None] == torch.arange(regions)
        columns.append((evecs * phi.mass[:, None]).mT @ inside.float())
    known = torch.cat(columns, 1)
    unit: Tensor = known / known.norm().clamp(min=1e-12)
    return unit


def carry(a: Tensor, b: Tensor, evals_1: Tensor, evals_2: Tensor) -> Tensor:
    """The functional map of the descriptors. What those of a symmetric shape leave open, a weak pull to zero decides."""
    pull = 1e-3 * a.norm() * torch.eye(a.shape[0])
    ends = torch.cat([a, pull], 1), torch.cat([b, torch.zeros_like(pull)], 1)
    return functional_map(*ends, evals_1, evals_2, _WEIGHT)
