"""Two shapes in, a correspondence out, without training."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from geodl.data import OperatorCache
from geodl.geometry import edges
from geodl.geometry.shapes import IndexLike
from geodl.matching import match_file
from geodl.matching import transfer as carrying
from geodl.matching.barycentric_map import BarycentricMap
from geodl.matching.descriptors import match_descriptors
from geodl.matching.hints import Regions, as_hints, as_start, heeded
from geodl.matching.losses import orthogonality_loss
from geodl.matching.named_features import named_features
from geodl.matching.point_map import p2p_to_fmap
from geodl.matching.progress import told
from geodl.matching.registration import Registration
from geodl.matching.search import FAMILIES, Pair, carry, weighted
from geodl.matching.spectral_shape import SpectralShape
from geodl.matching.transfer import Kind
from geodl.matching.trust import Trust, orientation, trust
from geodl.matching.zoomout import farthest_vertices, zoomout

__all__ = ["Match", "SpectralShape", "initial_fmap", "match"]

# Sizes of a first map, before and after a little ZoomOut, and the vertices that ZoomOut looks at.
_FIRST, _GROWN, _SAMPLES, _STEP = 50, 60, 1000, 10
# A map given is left for another one that costs less than this share of it. Its points are kept within so far (in square
# roots of the area) of where the shape is bent to.
_MUCH_LESS, _AGREES = 0.7, 0.05
# Areas so many times as large are named.
_OTHER_SCALE = 4.0


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
        """The same match with shapes 1 and 2 exchanged; ``trust`` stays that of the pair, without errors a vertex."""
        words = {"shape 1": "shape 2", "shape 2": "shape 1"}
        notes = tuple(re.sub("shape [12]", lambda said: words[said[0]], note) for note in self.notes)
        shapes = None if self.shapes is None else self.shapes[::-1]
        return replace(
            self,
            p2p_21=self.p2p_12,
            p2p_12=self.p2p_21,
            c_12=self.c_12.mT,
            trust=replace(self.trust, error=None),
            notes=notes,
            shapes=shapes,
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
    features: Callable[[SpectralShape], Tensor] | Literal["pretrained"] | None = None,
    cache: OperatorCache | None = None,
    landmarks: Sequence[tuple[int, int]] | None = None,
    regions: Regions | None = None,
    initial: Match | IndexLike | None = None,
    progress: bool | Callable[[str, float], None] = False,
) -> Match:
    r"""Matches two shapes: several first maps, each refined a little and judged, the best refined fully.

    First maps lead a few points where the geodesic distances between them agree, which finds a nearly symmetric shape's symmetries
    as well as the right map, or come from the :func:`~geodl.geometry.differential_invariants`, which know left from right where
    faces are turned outward (closed meshes whose faces look inward are turned first). Each grows by :func:`zoomout`; then shape 2
    is bent onto shape 1, as rigidly as the map allows. The map that bends it least is the best: a left arm on a right shoulder
    costs more than any pose. Where the best bends it much, limbs are loosened by maps of few eigenfunctions and first maps by
    more weights are tried. The last map joins nearest points of the bent shapes.
    Clouds are matched by the tufted Laplacian of local triangulations, with their ``normal`` or those of their neighbourhoods,
    turned outward. Meshes of more than 25,000 vertices are matched at 8,000, the last step is at all.
    The shapes should be whole and near to isometric. Nothing is learned.

    Args:
        shape_1, shape_2: meshes or clouds, whatever :func:`geodl.data.as_shape` takes, or :class:`SpectralShape`.
        k: size of the refined functional map, and eigenpairs that are made of a mesh.
        features: ``features(shape) -> [V, D]`` of a trained network, whose nearest neighbours are one more first map, and the last
            one where they agree with the bent shape; or "pretrained", for :func:`~geodl.models.pretrained_features`, those of the
            network that comes with geodl.
        cache: where spectra and gradients of meshes are kept and read from; `geodl precompute` fills the user's.
        landmarks: pairs ``(vertex of shape 1, vertex of shape 2)`` that match; a handful breaks a symmetry and pins the map.
        regions: labels ``([V1], [V2])`` of all vertices, integers not negative, that must agree; or a pair of masks
            ``([V1], [V2])`` bool, or a list of such, what lies in none of them being a region too.
        initial: a map to be refined, ``p2p_21 [V2]`` (-1 where there is none) or a :class:`Match`. Its points are kept where they
            agree with the shape bent by it and with landmarks and regions, and replaced elsewhere.
        progress: True draws a bar; or a function that is told the stage and the share that is done.

    Returns:
        Match, with what speaks for and against it in ``trust``.

    Raises:
        ValueError, IndexError: what the Laplacian of a mesh raises; landmarks, regions or an initial map that do not fit.

    Melzi et al., "ZoomOut", SIGGRAPH Asia 2019; Sorkine & Alexa, "As-rigid-as-possible surface modeling", SGP 2007.
    """
    if initial is not None and features is not None:
        raise ValueError("features and initial are two ways to the first map: give one of them")
    with told(progress) as tell:
        began = time.perf_counter()
        tell("preparation", 0.0)
        one, two = (
            s if isinstance(s, SpectralShape) else SpectralShape.of(s, k, cache) for s in (shape_1, shape_2)
        )
        prepared = time.perf_counter()
        hints = as_hints(one, two, landmarks, regions)
        pair = Pair(one.light, two.light, k, hints and hints.at_light(one, two))
        start, stays = None, False
        if initial is not None:
            p2p = initial.p2p_21 if isinstance(initial, Match) else initial
            start = heeded(as_start(one, two, p2p), hints)
            last, stays = _refined(pair, _at_light(start, one, two), tell)
        else:
            light = pair.one, pair.two
            more: list[Tensor] = []
            if features is not None:
                near = _nearest(*light, named_features(features))
                more.append(_as_fmap(pair, near))
                # Of coarse copies, points are not those of the shapes.
                start = heeded(near, hints) if light == (one, two) else None
            last = pair.last(pair.search(tell, more))
        tell("all vertices", 0.85)
        if one.coarse is not None or two.coarse is not None:
            last = last.on(one.graph, two.graph, (hints.labels_1, hints.labels_2) if hints else (None, None))
        forth, back, here = last.point_maps()
        if start is not None:
            forth = torch.where(start >= 0 if stays else _kept(last, start, here), start, forth)
        if hints is not None:
            at_one, at_two = torch.from_numpy(hints.at_one), torch.from_numpy(hints.at_two)
            forth[at_two], back[at_one] = at_one, at_two
        tell("judgement", 0.9)
        phi_1, phi_2 = one.embedding(), two.embedding()
        c_12 = p2p_to_fmap(forth, phi_1.evecs[:, : pair.most], phi_2.evecs[:, : pair.most], phi_2.mass)
        p2p_21, p2p_12 = _at_all(forth, two.used, one.used), _at_all(back, one.used, two.used)
        light_1, light_2 = one.light, two.light
        turned = orientation(c_12, light_1.spectrum, light_2.spectrum, light_1.gradient, light_2.gradient)
        whole = bool(one.used.all()) and bool(two.used.all())
        graphs = (one.coarse_graph, two.coarse_graph) if whole else None
        judged = trust(one.mesh, two.mesh, p2p_21, p2p_12, turned, graphs=graphs)
        seconds = (prepared - began, time.perf_counter() - prepared)
        tell("judgement", 1.0)
    return Match(p2p_21, p2p_12, c_12, judged, tuple(_notes(one, two)), seconds, (one, two))


def _nearest(one: SpectralShape, two: SpectralShape, features: Callable[[SpectralShape], Tensor]) -> Tensor:
    """The point map of the nearest features."""
    return match_descriptors(*(features(shape).detach().cpu()[shape.used] for shape in (one, two)))


def _as_fmap(pair: Pair, p2p_21: Tensor) -> Tensor:
    """The first functional map of a point map."""
    size = min(_FIRST, pair.one.size, pair.two.size)
    return p2p_to_fmap(p2p_21, pair.phi_1.evecs[:, :size], pair.phi_2.evecs[:, :size], pair.phi_2.mass)


def _at_light(start: Tensor, one: SpectralShape, two: SpectralShape) -> Tensor:
    """A point map as one of what large meshes are matched by first."""
    if two.coarse is not None:
        start = start[two.coarse.center]
    return start if one.coarse is None else torch.where(start < 0, -1, one.coarse.cell[start.clamp(min=0)])


def _refined(pair: Pair, start: Tensor, tell: Callable[[str, float], None]) -> tuple[Registration, bool]:
    """The shape bent by the map given, or better; and whether the map shall stay as it is.

    A spectral round takes the place of the map's own bending only where it costs much less. A map that swaps left and right is
    left for one found anew if that costs much less, and else stays as it is: bending has no way from one to the other.
    """
    rows = (start >= 0).nonzero().flatten()
    direct = pair.follow(start[rows], rows)
    tell("refinement", 0.3)
    mirrored = pair.orientation(direct) < 0
    better = pair.search(tell) if mirrored else pair.improved(direct)
    tell("refinement", 0.8)
    if pair.cost(better) < _MUCH_LESS * pair.cost(direct):
        return pair.last(better), False
    return pair.follow(start[rows], rows, fine=True), mirrored


def _kept(last: Registration, start: Tensor, here: Tensor) -> Tensor:
    """Points of a map that agree with where the shape is bent to, or lie not far off and hang together with their neighbours."""
    place, own = torch.from_numpy(last.one.pos), torch.from_numpy(last.two.pos)
    goal = place[start.clamp(min=0)]
    off = (goal - here).norm(dim=1)
    one, other = torch.from_numpy(last.two.edges)
    length = (own[one] - own[other]).norm(dim=1)
    torn = ((goal[one] - goal[other]).norm(dim=1) > 2 * length + 2 * length.mean()).double()
    share = torch.zeros(len(own), dtype=torch.float64).index_add_(0, one, torn).index_add_(0, other, torn)
    degree = torch.bincount(torch.cat([one, other]), minlength=len(own)).clamp(min=1)
    whole = share / degree < 0.2
    kept: Tensor = (start >= 0) & ((off < _AGREES) | (whole & (off < 3 * _AGREES)))
    return kept


def initial_fmap(shape_1: SpectralShape, shape_2: SpectralShape) -> Tensor:
    """The functional map ``[K, K]`` of the shapes' differential invariants, with K = 60 or what they have.

    Descriptors of shape 1 are carried to shape 2, and those of shape 2 to shape 1. Of these two maps, after a little ZoomOut, the
    one that is nearer to a rotation is the better one.
    """
    size, grown = (min(size, shape_1.size, shape_2.size) for size in (_FIRST, _GROWN))
    a, b = (weighted(shape, FAMILIES, size) for shape in (shape_1, shape_2))
    phi_1, phi_2 = shape_1.embedding(), shape_2.embedding()
    evals_1, evals_2 = phi_1.evals[:size], phi_2.evals[:size]
    forth, back = carry(a, b, evals_1, evals_2), carry(b, a, evals_2, evals_1).mT
    places = farthest_vertices(shape_2.mesh.pos[shape_2.used], _SAMPLES // 2)
    maps = [zoomout(c, phi_1, phi_2, grown, _STEP, (None, places)) for c in (forth, back)]
    return min(maps, key=lambda c: float(orthogonality_loss(c)))


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
        if (parts := _components(shape)) > 1:
            found.append(f"{name} has {parts} components: which goes to which is a guess")
        if shape.coarse is not None:
            vertices, few = shape.used.shape[0], len(shape.coarse.center)
            found.append(f"{name} has {vertices} vertices: it was matched at {few}, then at all")
    small, big = sorted((one.area, two.area))
    if big > _OTHER_SCALE * small:
        found.append(
            f"the shapes differ in scale: areas {one.area:.3g} and {two.area:.3g}. Each was scaled to area 1; "
            "is one a part of the other, use partial_match"
        )
    sheets = [_euler_characteristic(shape) for shape in (one, two) if "face" in shape.mesh]
    if len(sheets) == 2 and sheets[0] != sheets[1]:
        found.append(
            f"the shapes differ in topology: Euler characteristics {sheets[0]} of shape 1 and "
            f"{sheets[1]} of shape 2 (holes, handles or components)"
        )
    return found


def _components(shape: SpectralShape) -> int:
    """Of the vertices that have a mass, along edges; of a cloud by the zeros of its spectrum."""
    if "face" not in shape.mesh:
        evals = shape.spectrum.evals
        return int((evals <= 1e-8 * evals.max()).sum())
    one, other = edges(shape.mesh).numpy()
    count = shape.used.shape[0]
    label = connected_components(
        coo_array((np.ones(len(one)), (one, other)), shape=(count, count)), directed=False
    )[1]
    return len(np.unique(label[shape.used.numpy()]))


def _euler_characteristic(shape: SpectralShape) -> int:
    face = shape.mesh.face
    return int(face.unique().numel()) - int(edges(shape.mesh).shape[1]) + int(face.shape[1])
