"""First maps of whole shapes: a few points go where the distances between them agree."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.matching.partial_search import agreeing_places, unlikeness
from geodl.matching.point_map import fit, nearest
from geodl.matching.spectral_shape import SAMPLES, SpectralShape

__all__ = ["geodesic_fmaps"]

# The size of the maps, and ways that a few points can go, of which the likeliest are kept.
_SIZE, _WAYS = 30, 1000


def geodesic_fmaps(one: SpectralShape, two: SpectralShape) -> list[Tensor]:
    """Functional maps ``[30, 30]``, or what the shapes have, that lead to different places; the likeliest first.

    Distances know nothing of left and right: of a shape that is nearly symmetric its symmetries are all among them, so that the
    right map is there as well. None for shapes of few vertices.
    """
    used = one.used.nonzero().flatten(), two.used.nonzero().flatten()
    if min(map(len, used)) < SAMPLES:
        return []
    (targets, far_1), (queries, far_2) = one.samples, two.few_samples
    d_1, d_2 = far_1[:, targets], far_2[:, queries]
    cost = unlikeness([s[queries] for s in two.diffusion], [s[targets] for s in one.diffusion])
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
