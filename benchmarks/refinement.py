"""Whether `match(initial=...)` ever makes a map worse, on maps of every quality: `python -m benchmarks.refinement --out DIR`.

What is measured of a pair is kept in DIR/pairs.jsonl: a run that was interrupted goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.matched_pairs import pair_arguments
from benchmarks.result import command, portable, write_result
from geodl.datasets import CorrespondenceSet, Puppets, Quadrupeds
from geodl.geometry import edges
from geodl.matching import (
    MatchedPair,
    SpectralShape,
    evaluate,
    fmap_to_p2p,
    match,
    match_descriptors,
)
from geodl.matching.named_features import named_features
from geodl.matching.search import Pair, first_fmaps

POINTS = 200
# By how much a map may be worse: a share of its error.
ALLOWED = 1.02


def qualities(
    one: SpectralShape, two: SpectralShape, true: Tensor, random: torch.Generator
) -> Iterator[tuple[str, Tensor]]:
    """The true map as far as vertices go; it with a share of wrong points; moved by some edges; a part of it wrong; ZoomOut's.

    And those of networks: of the one that comes with geodl, and of it with its features blurred by noise, as early in a training.
    """
    count = one.mesh.pos.shape[0]
    yield "true", true
    for share in (0.02, 0.2):
        wrong = torch.rand(len(true), generator=random) < share
        yield (
            f"{share:.0%} wrong",
            torch.where(wrong, torch.randint(count, true.shape, generator=random), true),
        )
    first, other = edges(one.mesh)
    start, end = torch.cat([first, other]), torch.cat([other, first])
    order = torch.argsort(start, stable=True)
    degree = torch.bincount(start, minlength=count)
    begin = degree.cumsum(0) - degree
    moved = true
    for steps in (1, 2, 3, 4):
        chosen = (torch.rand(len(moved), generator=random) * degree[moved]).long()
        moved = end[order][begin[moved] + chosen]
        if steps in (1, 4):
            yield f"{steps} edges astray", moved
    centre = two.mesh.pos[torch.randint(len(true), (1,), generator=random)]
    near = (two.mesh.pos - centre).norm(dim=1) < 0.2
    shift = true[torch.randint(len(true), (1,), generator=random)].expand_as(true)
    yield "a part to one place", torch.where(near, shift, true)
    features = [named_features("pretrained")(shape).detach() for shape in (one, two)]
    for name, noise in (("network", 0.0), ("network with noise", 0.5)):
        blurred = [x + noise * x.std(0) * torch.randn(x.shape, generator=random) for x in features]
        yield name, match_descriptors(*blurred)
    pair = Pair(one, two, 80)
    for name, number in (("ZoomOut", 1), ("mirrored", 8)):
        c_12 = pair.grown(first_fmaps(one, two)[number], 80, 500)
        yield name, fmap_to_p2p(c_12, pair.phi_1.evecs, pair.phi_2.evecs)


def errors_of(
    data: CorrespondenceSet, i: int, j: int, random: torch.Generator
) -> dict[str, tuple[float, float]]:
    """Mean errors x100 before and after, by the quality of the map."""
    one, two = (SpectralShape.of(data[k], 80) for k in (i, j))
    at_1, at_2 = data.common_points(i, j)
    # The true match of a vertex of shape 2: through the nearest vertex of the reference.
    true = at_1[data[j].y]
    some = torch.randperm(len(at_1), generator=random)[:POINTS]
    found = {}
    for name, start in qualities(one, two, true, random):
        refined = match(one, two, 80, initial=start)
        before, after = (
            evaluate([MatchedPair(one.mesh, p2p[at_2[some]], at_1[some])]).mean_error
            for p2p in (start, refined.p2p_21)
        )
        found[name] = (before, after)
    return found


def main() -> None:
    chosen = pair_arguments(__doc__, 26, "of people, and as many of animals", bodies=False)
    console, began = Console(), time.perf_counter()
    chosen.out.mkdir(parents=True, exist_ok=True)
    kept = chosen.out / "pairs.jsonl"
    done: dict[str, dict[str, tuple[float, float]]] = {}
    for line in kept.read_text().splitlines() if kept.exists() else []:
        done |= json.loads(line)
    people = Puppets(10, 10, seed=21, variant="remeshed", num_vertices=1500)
    animals = Quadrupeds(2, 4, seed=21, num_vertices=1500)
    found: dict[str, list[tuple[float, float]]] = {}
    for number in range(chosen.pairs):
        for data in (people, animals):
            pairs = data.pairs().indices
            random = torch.Generator().manual_seed(chosen.seed * 1000 + number)
            i, j = pairs[int(torch.randint(len(pairs), (), generator=random))]
            key = f"{chosen.seed} {number} {type(data).__name__} {i} {j}"
            if key not in done:
                done[key] = errors_of(data, i, j, random)
                with kept.open("a") as lines:
                    lines.write(json.dumps({key: done[key]}) + "\n")
                console.print(key, {name: [round(x, 2) for x in both] for name, both in done[key].items()})
            for name, both in done[key].items():
                found.setdefault(name, []).append(both)
    rows: list[dict[str, Any]] = []
    for name, errors in found.items():
        before, after = torch.tensor(errors, dtype=torch.float64).T
        worse = after > ALLOWED * before + 1e-9
        rows.append(
            {
                "maps": name,
                "count": len(errors),
                "error before": float(before.mean()),
                "error after": float(after.mean()),
                "worse by more than 2 %": int(worse.sum()),
                "worst quotient": float((after / before.clamp(min=1e-3)).max()),
            }
        )
        console.print(rows[-1])
    write_result(
        chosen.out,
        benchmark="refinement",
        data="Puppets, Quadrupeds",
        model="match",
        metrics={"rows": rows, "maps": sum(row["count"] for row in rows)},
        seconds=time.perf_counter() - began,
        parameters=0,
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )


if __name__ == "__main__":
    main()
