"""First maps of whole shapes: a few points go where the distances between them agree."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.matching.geodesic_graph import distances_from, surface_graph
from geodl.matching.heat_signs import heat_signs
from geodl.matching.partial_search import agreeing_places, unlikeness
from geodl.matching.point_map import fit, nearest
from geodl.matching.spectral_shape import SpectralShape
from geodl.matching.zoomout import farthest_vertices

__all__ = ["geodesic_fmaps"]

# Points of shape 2 and of shape 1 that are matched, and the size of the maps.
_QUERIES, _TARGETS, _SIZE = 40, 160, 30
# Ways that a few points can go, of which the likeliest are kept.
_WAYS = 1000


def geodesic_fmaps(one: SpectralShape, two: SpectralShape) -> list[Tensor]:
    """Functional maps ``[30, 30]``, or what the shapes have, that lead to different places; the likeliest first.

    Distances know nothing of left and right: of a shape that is nearly symmetric its symmetries are all among them, so that the
    right map is there as well. None for shapes of few vertices.
    """
    used = one.used.nonzero().flatten(), two.used.nonzero().flatten()
    if min(map(len, used)) < _TARGETS:
        return []
    targets, queries = (
        rows[farthest_vertices(shape.mesh.pos[rows], count)]
        for shape, rows, count in ((one, used[0], _TARGETS), (two, used[1], _QUERIES))
    )
    far_1, far_2 = (
        distances_from(surface_graph(s.mesh), rows) for s, rows in ((one, targets), (two, queries))
    )
    far_1, far_2 = far_1.nan_to_num(posinf=9.0), far_2.nan_to_num(posinf=9.0)
    d_1, d_2 = far_1[:, targets], far_2[:, queries]
    signs_1, signs_2 = (heat_signs(s.spectrum, s.gradient) for s in (one, two))
    cost = unlikeness([s[queries] for s in signs_2], [s[targets] for s in signs_1])
    nodes = torch.from_numpy(two.coarse_graph.nodes)
    phi_1, phi_2 = one.embedding().evecs, two.embedding().evecs
    size = min(_SIZE, one.size, two.size, len(nodes) // 3)
    maps = []
    for place, sure, scale in agreeing_places(d_2, d_1, cost, _WAYS):
        # The points that are most sure tell where all others are.
        kept = sure.topk(len(sure) * 2 // 3).indices
        image = nearest(far_1[place[kept]][:, used[0]].mT, scale * far_2[kept][:, used[1][nodes]].mT)
        maps.append(fit(phi_2[nodes, :size], phi_1[image, :size]))
    return maps
