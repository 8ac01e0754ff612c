"""What makes the numbers of `geodl.matching.Trust`: maps of every quality on procedural shapes, and how well they are judged.

`python -m benchmarks.trust --out runs/trust` prints the constants of `matching/trust.py`. Pairs of other people and species are
held out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from scipy.optimize import minimize
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.matched_pairs import pair_arguments
from benchmarks.result import command, portable, write_result
from geodl.datasets import FAUST, CorrespondenceSet, Puppets, Quadrupeds
from geodl.matching import MatchedPair, SpectralShape, evaluate, fmap_to_p2p, orientation, p2p_to_fmap, trust
from geodl.matching.deformation_graph import surface_links
from geodl.matching.registration import register
from geodl.matching.search import Pair, first_fmaps
from geodl.matching.trust import expected_error, local_signs, mixed, signs

# Of a pair: first maps as they are after ZoomOut (one of them to a mirror image) and after registration, the match, and noise.
CANDIDATES = (1, 8)
POINTS = 250
VERTICES = 2500


def sets(root: Path | None, held_out: bool) -> dict[str, tuple[CorrespondenceSet, list[tuple[int, int]]]]:
    split: Any = "test" if held_out else "train"
    animals = Quadrupeds(2, 4, split=split, num_vertices=VERTICES)
    people = Puppets(10, 10, variant="remeshed", split=split, num_vertices=VERTICES, new_poses=False, seed=7)
    made: dict[str, tuple[CorrespondenceSet, list[tuple[int, int]]]] = {
        "Quadrupeds": (animals, animals.pairs().indices),
        "Puppets": (people, people.pairs().indices),
    }
    if root is not None:
        bodies: Any = FAUST(root, "remeshed", split)
        made["FAUST remeshed"] = (bodies, bodies.pairs().indices)
    return made


def maps_of(
    one: SpectralShape, two: SpectralShape, random: torch.Generator
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Point maps of every quality, with the way back."""
    pair = Pair(one, two, 100)
    first = first_fmaps(one, two)
    for number in CANDIDATES:
        c_12 = pair.grown(first[number], 80, 500)
        back = fmap_to_p2p(c_12.mT, pair.phi_2.evecs, pair.phi_1.evecs)
        yield "ZoomOut", fmap_to_p2p(c_12, pair.phi_1.evecs, pair.phi_2.evecs), back
        bent = pair.bent(c_12)
        yield "registered", *bent.point_maps()[:2]
    best = pair.last(pair.search(lambda stage, share: None))
    forth, back, _ = best.point_maps()
    yield "best", forth, back
    share = float(torch.rand((), generator=random)) * 0.3
    wrong = torch.rand(len(forth), generator=random) < share
    noise = torch.randint(len(back), (len(forth),), generator=random)
    yield "noisy", torch.where(wrong, noise, forth), back


def measured(
    console: Console, root: Path | None, held_out: bool, count: int, seed: int
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    random = torch.Generator().manual_seed(seed)
    for name, (data, pairs) in sets(root, held_out).items():
        chosen = [pairs[k] for k in torch.randperm(len(pairs), generator=random)[:count].tolist()]
        shapes: dict[int, SpectralShape] = {}
        for number, (i, j) in enumerate(chosen):
            for k in (i, j):
                if k not in shapes:
                    shapes[k] = SpectralShape.of(data[k], 100)
            one, two = shapes[i], shapes[j]
            at_1, at_2 = data.common_points(i, j)
            some = torch.randperm(len(at_1), generator=random)[:POINTS]
            at_1, at_2 = at_1[some], at_2[some]
            for kind, forth, back in maps_of(one, two, random):
                truth = (
                    evaluate([MatchedPair(one.mesh, forth[at_2], at_1)], "dijkstra").errors[0].clamp(max=1)
                )
                c_12 = p2p_to_fmap(
                    forth, one.spectrum.evecs[:, :60], two.spectrum.evecs[:, :60], two.spectrum.mass
                )
                turned = orientation(c_12, one.spectrum, two.spectrum, one.gradient, two.gradient)
                graphs = one.coarse_graph, two.coarse_graph
                judged = trust(one.mesh, two.mesh, forth, back, turned, graphs=graphs)
                bent = register(*graphs, forth.numpy(), np.arange(len(forth)))
                off = torch.from_numpy(
                    graphs[1].carry(bent.moved, bent.turned)[0] - graphs[0].pos[forth.numpy()]
                ).norm(dim=1)
                local = local_signs(judged, *graphs, surface_links(two.mesh), forth, back, off)[at_2]
                row: dict[str, Any] = {"set": name, "kind": kind, "error": truth.numpy()}
                rows.append(row | {"signs": np.array(signs(judged)), "local": local.numpy()})
            console.print(f"{name} {number + 1} / {len(chosen)}: {rows[-2]['error'].mean() * 100:.2f}")
    return rows


def logistic(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Weights of least cross-entropy with a small pull to zero, each of the sign that its meaning has."""
    scale = np.maximum(x.std(0), 1e-9)
    scale[0] = 1.0
    z = x / scale

    def loss(weight: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
        logit = z @ weight
        pull = 1e-3 * len(x) * np.r_[0.0, weight[1:]]
        p = 1 / (1 + np.exp(-np.clip(logit, -40, 40)))
        value = np.logaddexp(0, logit).sum() - y @ logit + pull @ weight / 2
        return float(value), z.T @ (p - y) + pull

    bounds = [(None, None), *((0, None) if sign > 0 else (None, 0) for sign in (-1, 1, -1, 1, -1))]
    found: np.ndarray[Any, Any] = minimize(loss, np.zeros(x.shape[1]), jac=True, bounds=bounds).x / scale
    return found


def table(
    rows: list[dict[str, Any]], weights: np.ndarray[Any, Any], local: np.ndarray[Any, Any]
) -> dict[str, float]:
    means = np.array([row["error"].mean() * 100 for row in rows])
    p = np.array([1 / (1 + np.exp(-row["signs"] @ weights)) for row in rows])
    expected = [
        expected_error(torch.from_numpy(row["local"]), float(q), torch.from_numpy(local)).numpy()
        for row, q in zip(rows, p, strict=True)
    ]
    mean_expected = np.array([e.mean() * 100 for e in expected])
    good = p > 0.9
    every, true = np.concatenate(expected), np.concatenate([row["error"] for row in rows])
    return {
        "maps": len(rows),
        "below 5": int((means < 5).sum()),
        "called good": int(good.sum()),
        "good and below 5, %": 100 * float((means[good] < 5).mean()) if good.any() else 100.0,
        "below 5 and called good, %": 100 * float(good[means < 5].mean()),
        "rank correlation of a map's expected and true error": float(spearmanr(mean_expected, means)[0]),
        "rank correlation over vertices": float(spearmanr(every, true)[0]),
    }


def main() -> None:
    chosen = pair_arguments(__doc__, 16, "of each set")
    console, began = Console(), time.perf_counter()
    train = measured(console, chosen.root, False, chosen.pairs, chosen.seed)
    test = measured(console, chosen.root, True, chosen.pairs // 2, chosen.seed + 1)
    y = np.array([row["error"].mean() < 0.05 for row in train], dtype=float)
    weights = logistic(np.stack([row["signs"] for row in train]), y)
    p = [1 / (1 + np.exp(-row["signs"] @ weights)) for row in train]
    x = np.concatenate(
        [mixed(torch.from_numpy(r["local"]), q).numpy() for r, q in zip(train, p, strict=True)]
    )
    goal = np.log(np.concatenate([row["error"] for row in train]) + 5e-3)
    local = np.linalg.solve(x.T @ x + 1e-3 * np.eye(x.shape[1]), x.T @ goal)
    console.print("_LOGIT = (" + ", ".join(f"{w:.3f}" for w in weights) + ")")
    console.print("_LOCAL = (" + ", ".join(f"{w:.3f}" for w in local) + ")")
    metrics: dict[str, Any] = {
        "constants": {"logit": weights.tolist(), "local": local.tolist()},
        "training": table(train, weights, local),
        "held out": table(test, weights, local),
    }
    for name in sorted({row["set"] for row in test}):
        metrics[f"held out, {name}"] = table([row for row in test if row["set"] == name], weights, local)
    console.print(metrics)
    write_result(
        chosen.out,
        benchmark="trust",
        data="Puppets, Quadrupeds" + (", FAUST remeshed" if chosen.root else ""),
        model="match",
        metrics=metrics,
        seconds=time.perf_counter() - began,
        parameters=len(weights) + len(local),
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )


if __name__ == "__main__":
    main()
