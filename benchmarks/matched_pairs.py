"""Pairs of a set matched by features or by ZoomOut alone, and judged under every protocol."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geodl.datasets import ShapePair
from geodl.geometry import Spectrum
from geodl.matching import (
    CorrespondenceReport,
    MatchedPair,
    evaluate,
    farthest_vertices,
    fmap_to_p2p,
    p2p_to_fmap,
    zoomout,
)

# Size of a map before and after ZoomOut, and the points that ZoomOut looks at.
FIRST, REFINED, SAMPLES = 50, 120, 1000


def pair_arguments(doc: str | None, pairs: int, of: str, bodies: bool = True) -> argparse.Namespace:
    """What a measurement of matches is told: how many ``pairs``, of what, and where remeshed ``bodies`` lie if it takes them."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--out", type=Path, required=True)
    if bodies:
        parser.add_argument("--root", type=Path, help="folder of the remeshed FAUST; left out if not given")
    parser.add_argument("--pairs", type=int, default=pairs, help=of)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    return chosen


def judged(pair: ShapePair, p2p: Tensor) -> MatchedPair:
    """A point map from the source's vertices to the target's, at the points whose match is known."""
    return MatchedPair(pair.target, p2p[pair.source_vertices], pair.target_vertices, pair.name)


def refine(p2p_21: Tensor, spectrum_1: Spectrum, spectrum_2: Spectrum, pos_2: Tensor) -> Tensor:
    """The point map after ZoomOut."""
    size = min(FIRST, spectrum_1.evecs.shape[1], spectrum_2.evecs.shape[1])
    grown = min(REFINED, spectrum_1.evecs.shape[1], spectrum_2.evecs.shape[1])
    c_12 = p2p_to_fmap(p2p_21, spectrum_1.evecs[:, :size], spectrum_2.evecs[:, :size], spectrum_2.mass)
    c_12 = zoomout(c_12, spectrum_1, spectrum_2, grown, 10, (None, farthest_vertices(pos_2, SAMPLES)))
    return fmap_to_p2p(c_12, spectrum_1.evecs, spectrum_2.evecs)


def errors(
    matched: dict[str, list[MatchedPair]],
) -> tuple[list[dict[str, Any]], dict[str, CorrespondenceReport]]:
    """A row a refinement, with the mean error under every protocol; and the reports on exact geodesics."""
    rows, reports = [], {}
    for refinement, pairs in matched.items():
        exact, edges = evaluate(pairs), evaluate(pairs, "dijkstra")
        reports[refinement] = exact
        rows.append(
            {
                "refinement": refinement,
                "exact": exact.mean_error,
                "per-pair": float(torch.tensor(exact.pair_means, dtype=torch.float64).mean()),
                "dijkstra": edges.mean_error,
                "accuracy": exact.accuracy,
                "within 5 %": exact.hit_rate(0.05),
                "auc": exact.auc,
            }
        )
    return rows, reports
