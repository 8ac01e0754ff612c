"""How far a correspondence can be trusted when nobody knows the true one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from geodl.data.shapes import as_shape
from geodl.geometry import (
    Gradient,
    Spectrum,
    geodesic_distance,
    surface_area,
    vertex_areas,
    vertex_normals,
)
from geodl.geometry.cloud import oriented_normals
from geodl.geometry.shapes import IndexLike, as_index
from geodl.matching.deformation_graph import DeformationGraph, surface_links
from geodl.matching.geodesic_graph import surface_graph
from geodl.matching.registration import register

__all__ = ["Trust", "orientation", "trust"]

# Points whose way there and back is measured.
_SAMPLES = 500
# An edge is torn if its image is longer than this many mean edges of the shape it lands on.
_TORN = 5.0
# Is added to lengths whose logarithm is taken.
_FLOOR = 5e-3
# A map of less orientation, or that leaves out more of shape 1, is not called good, however little it bends.
_ORIENTED, _COVERED = 0.4, 0.5
# Nodes of the graph by which the bending of a map is found.
_NODES = 500
# Of `python -m benchmarks.trust`: logit of the probability that the mean error x100 is below 5, and the logarithm of the error of a
# vertex, both linear in what :func:`signs` and :func:`local_signs` give.
_LOGIT = (-22.925, -3.949, 0.0, -1.22, 0.0, -1.791)
_LOCAL = (4.789, 0.851, -0.022, -0.146, 0.432, -4.922, -0.634, 0.235, 0.216, -0.212, 0.655, -0.403)


@dataclass(frozen=True)
class Trust:
    """Signs of a good correspondence, none of which needs the true one.

    Attributes:
        bijectivity: mean geodesic distance between a point of shape 2 and where it comes back to, over the square root of the
            area. A good map has less than about 0.03; 0 is the best.
        coverage: share of shape 1's area at vertices that some vertex of shape 2 is matched to, or that are next to one. 1 is best.
        smoothness: share of shape 2's edges whose ends are matched to near points. 1 is the best.
        orientation: correlation of the brackets of functions before and after the map, see :func:`orientation`: about 0.9 and
            more for a good map, negative for one that swaps left and right, near 0 for one that is right in parts only.
        bending: what it takes to bend shape 2 onto shape 1 by the map, other than moving its parts as wholes: some hundredths for a
            good map, more where parts lie on wrong ones.
        gap: mean distance of where the map leads from where the shape so bent lies, over the square root of the area.
        error: ``[V2]`` float32: typical (geometric mean) error of each vertex of shape 2 over the square root of the area; NaN
            where it is not matched. None where nothing but the numbers is known.
    """

    bijectivity: float
    coverage: float
    smoothness: float
    orientation: float
    bending: float
    gap: float
    error: Tensor | None = field(default=None, compare=False)

    @property
    def probability(self) -> float:
        """That the mean error x100 is below 5, by a logistic model of the signs, found on procedural bodies and animals."""
        logit = sum(w * x for w, x in zip(_LOGIT, signs(self), strict=True))
        return 1 / (1 + math.exp(-min(max(logit, -50.0), 50.0)))

    @property
    def verdict(self) -> str:
        """The numbers in words; "good" only where orientation and coverage do not speak against it."""
        if self.orientation < -0.5:
            return "mirrored: left and right are swapped"
        if self.probability > 0.9 and self.orientation >= _ORIENTED and self.coverage >= _COVERED:
            return "good"
        return "doubtful: right in parts" if self.probability > 0.3 else "not to be trusted"

    def to_dict(self) -> dict[str, Any]:
        """The numbers and the words, for JSON."""
        names = (
            "bijectivity",
            "coverage",
            "smoothness",
            "orientation",
            "bending",
            "gap",
            "probability",
            "verdict",
        )
        mean = None if self.error is None else float(self.error.nanmean())
        return {name: getattr(self, name) for name in names} | {"expected_error": mean}

    def __str__(self) -> str:
        return (
            f"{self.verdict} (bijectivity {self.bijectivity:.3f}, coverage {100 * self.coverage:.0f} %, "
            f"smoothness {100 * self.smoothness:.1f} %, orientation {self.orientation:+.2f}, bending {self.bending:.3f}; "
            f"probability {self.probability:.2f})"
        )


def signs(judged: Trust) -> tuple[float, ...]:
    """What the probability is linear in."""
    return (
        1.0,
        math.log(max(judged.bending, 1e-3)),
        judged.orientation,
        math.log(max(judged.bijectivity, 1e-3)),
        judged.coverage,
        math.log(max(judged.gap, 1e-3)),
    )


def trust(
    mesh_1: Any,
    mesh_2: Any,
    p2p_21: IndexLike,
    p2p_12: IndexLike,
    turned: float,
    seed: int = 0,
    graphs: tuple[DeformationGraph, DeformationGraph] | None = None,
) -> Trust:
    """Judges a correspondence by what every good one has.

    Args:
        mesh_1, mesh_2: meshes or clouds.
        p2p_21: ``[V2]`` int64, vertices of shape 1; -1 where there is none.
        p2p_12: ``[V1]`` int64, vertices of shape 2; -1 where there is none.
        turned: of :func:`orientation`.
        seed: of the 500 points whose way there and back is measured.
        graphs: of both shapes, all vertices, scaled to area 1; made if not given.
    """
    mesh_1, mesh_2 = as_shape(mesh_1), as_shape(mesh_2)
    p2p_21, p2p_12 = as_index("p2p_21", p2p_21), as_index("p2p_12", p2p_12)
    matched = (p2p_21 >= 0).nonzero().flatten()
    random = torch.Generator().manual_seed(seed)
    start = matched[torch.randperm(matched.numel(), generator=random)[:_SAMPLES]]
    back = p2p_12[p2p_21[start]]
    returned = back >= 0
    way = _ways(mesh_2, start[returned], back[returned])
    # Where a way back leads to another component there is no distance: it counts as the square root of the area.
    size = float(surface_area(mesh_2)) ** 0.5
    bijectivity = float((way / size).clamp(max=1).mean()) if way.numel() else 1.0

    links_1, links_2 = surface_links(mesh_1), surface_links(mesh_2)
    one, other = links_1
    hit = torch.zeros(mesh_1.pos.shape[0], dtype=torch.bool)
    hit[p2p_21[matched]] = True
    near = hit.clone()
    near[one[hit[other]]] = True
    near[other[hit[one]]] = True
    area = vertex_areas(mesh_1).double()
    coverage = float((near * area).sum() / area.sum())

    one, other = links_2
    both = (p2p_21[one] >= 0) & (p2p_21[other] >= 0)
    pos = mesh_1.pos.double()
    ends = pos[p2p_21[one[both]]] - pos[p2p_21[other[both]]]
    edge = torch.linalg.vector_norm(pos[links_1[0]] - pos[links_1[1]], dim=1).mean()
    stretched = torch.linalg.vector_norm(ends, dim=1) > _TORN * float(edge)
    smoothness = 1 - float(stretched.double().mean()) if stretched.numel() else 0.0
    if not matched.numel():
        return Trust(bijectivity, coverage, smoothness, turned, 1.0, 1.0)
    graph_1, graph_2 = graphs or (_graph(mesh_1, links_1), _graph(mesh_2, links_2))
    bent = register(graph_1, graph_2, p2p_21[matched].numpy(), matched.numpy())
    off = torch.from_numpy(graph_2.carry(bent.moved, bent.turned)[0] - graph_1.pos[p2p_21.clamp(min=0)]).norm(
        dim=1
    )
    judged = Trust(bijectivity, coverage, smoothness, turned, bent.bending, float(off[matched].mean()))
    local = local_signs(judged, graph_1, graph_2, links_2, p2p_21, p2p_12, off)
    error = expected_error(local, judged.probability, torch.tensor(_LOCAL, dtype=torch.float64)).float()
    error[p2p_21 < 0] = torch.nan
    return replace(judged, error=error)


def expected_error(local: Tensor, probability: float, weights: Tensor) -> Tensor:
    """Errors ``[V2]``: the logarithm is linear in ``local``, with other weights for a good map than for a bad one.

    The logarithm is of the error and a floor, so that what comes out is a typical error (a geometric mean).
    """
    found: Tensor = mixed(local, probability) @ weights
    return (found.exp() - _FLOOR).clamp(0.0, 1.0)


def mixed(local: Tensor, probability: float) -> Tensor:
    return torch.cat([probability * local, (1 - probability) * local], 1)


def local_signs(
    judged: Trust,
    one: DeformationGraph,
    two: DeformationGraph,
    links: Tensor,
    p2p_21: Tensor,
    p2p_12: Tensor,
    off: Tensor,
) -> Tensor:
    """What the logarithm of a vertex's error is linear in, ``[V2, 6]`` float64: all lengths as logarithms.

    How far it lies from where the shape is bent to, how far it comes back, how its links are stretched (both with the mean of
    their surroundings), the bending of all, and the orientation.
    """
    there, own = torch.from_numpy(one.pos), torch.from_numpy(two.pos)
    goal = p2p_21.clamp(min=0)
    back = p2p_12[goal]
    way = torch.where(back >= 0, (own[back.clamp(min=0)] - own).norm(dim=1), 1.0)
    a, b = links
    long = (there[goal[a]] - there[goal[b]]).norm(dim=1) - (own[a] - own[b]).norm(dim=1)
    node = torch.from_numpy(two.near[:, 0])

    matched = p2p_21 >= 0

    def spread(values: Tensor, at: Tensor, counted: Tensor) -> Tensor:
        """Mean about every vertex of those that are matched."""
        total = torch.zeros(len(two.nodes), dtype=torch.float64).index_add_(0, at, values * counted)
        count = torch.zeros(len(two.nodes), dtype=torch.float64).index_add_(0, at, counted.double())
        return (total / count.clamp(min=1))[node]

    columns = [
        torch.ones(len(own), dtype=torch.float64),
        (off + spread(off, node, matched) + _FLOOR).log(),
        (way + spread(way, node, matched) + _FLOOR).log(),
        (spread(long.abs(), node[a], matched[a] & matched[b]) + _FLOOR).log(),
        torch.full((len(own),), math.log(max(judged.bending, 1e-3)), dtype=torch.float64),
        torch.full((len(own),), judged.orientation, dtype=torch.float64),
    ]
    return torch.stack(columns, 1)


def _graph(shape: Any, links: Tensor) -> DeformationGraph:
    """Of all vertices of a shape scaled to area 1."""
    if getattr(shape, "face", None) is not None:
        normal = vertex_normals(shape)
    else:
        normal = oriented_normals(shape, vertex_areas(shape).double())
    return DeformationGraph.of(shape.pos / float(surface_area(shape)) ** 0.5, normal, links, _NODES)


def _ways(shape: Any, sources: Tensor, targets: Tensor) -> Tensor:
    """Distances ``[P]`` over the faces of a mesh, or along the links of a cloud."""
    if getattr(shape, "face", None) is not None:
        return geodesic_distance(shape, sources, targets).double()
    graph = surface_graph(shape)
    found, place = torch.unique(sources, return_inverse=True)
    if not found.numel():
        return torch.zeros(0, dtype=torch.float64)
    return torch.from_numpy(dijkstra(graph, directed=False, indices=found.numpy()))[place, targets]


def orientation(
    c_12: Tensor,
    spectrum_1: Spectrum,
    spectrum_2: Spectrum,
    gradient_1: Gradient,
    gradient_2: Gradient,
    functions: int = 15,
) -> float:
    r"""Whether a functional map keeps the orientation of the surface: the correlation, over pairs of eigenfunctions f and g, of

    .. math:: C_{12} \{f, g\}_1 \quad \text{and} \quad \{C_{12} f, C_{12} g\}_2, \qquad
              \{f, g\} = \langle n, \nabla f \times \nabla g \rangle

    The pull-back by a map that keeps area and orientation carries brackets to brackets; a mirror image negates them.

    Args:
        c_12: ``[K2, K1]``.
        spectrum_1, spectrum_2: with at least K1 and K2 eigenpairs.
        gradient_1, gradient_2: with normals outward.
        functions: how many of the first eigenfunctions are taken.

    Returns:
        Between -1 and 1.
    """
    two, one = c_12.shape
    count = min(functions, one)
    c = c_12.double()
    phi_1, phi_2 = spectrum_1.evecs[:, :one].double(), spectrum_2.evecs[:, :two].double()
    before = c @ _coefficients(_brackets(gradient_1(phi_1[:, :count])), phi_1, spectrum_1)
    after = _coefficients(_brackets(gradient_2(phi_2 @ c[:, :count])), phi_2, spectrum_2)
    norm = before.norm() * after.norm()
    return float((before * after).sum() / norm) if norm > 0 else 0.0


def _brackets(gradients: Tensor) -> Tensor:
    x, y = (part.T.contiguous() for part in gradients.unbind(-1))
    i, j = torch.triu_indices(x.shape[0], x.shape[0], 1, device=x.device)
    return (x[i] * y[j] - y[i] * x[j]).T


def _coefficients(x: Tensor, evecs: Tensor, spectrum: Spectrum) -> Tensor:
    return (evecs * spectrum.mass.double()[:, None]).mT @ x
