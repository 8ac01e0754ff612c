"""Whether `match(initial=...)` ever makes a map worse, on maps of every quality: `python -m benchmarks.refinement --out DIR`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.result import command, portable, write_result
from geodl.datasets import Puppets, Quadrupeds
from geodl.geometry import edges
from geodl.matching import MatchedPair, SpectralShape, evaluate, fmap_to_p2p, match
from geodl.matching.search import Pair, first_fmaps

POINTS = 200
# By how much a map may be worse: a share of its error.
ALLOWED = 1.02


def qualities(
    one: SpectralShape, two: SpectralShape, true: Tensor, random: torch.Generator
) -> Iterator[tuple[str, Tensor]]:
    """The true map as far as vertices go; it with a share of wrong points; moved by some edges; a part of it wrong; ZoomOut's."""
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
    pair = Pair(one, two, 80)
    for name, number in (("ZoomOut", 1), ("mirrored", 8)):
        c_12 = pair.grown(first_fmaps(one, two)[number], 80, 500)
        yield name, fmap_to_p2p(c_12, pair.phi_1.evecs, pair.phi_2.evecs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=28, help="of people, and as many of animals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu"])
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    console, began = Console(), time.perf_counter()
    random = torch.Generator().manual_seed(chosen.seed)
    people = Puppets(10, 10, seed=21, variant="remeshed", num_vertices=1500)
    animals = Quadrupeds(2, 4, seed=21, num_vertices=1500)
    found: dict[str, list[tuple[float, float]]] = {}
    for data in (people, animals):
        pairs = data.pairs().indices
        for index in torch.randperm(len(pairs), generator=random)[: chosen.pairs].tolist():
            i, j = pairs[index]
            one, two = (SpectralShape.of(data[k], 80) for k in (i, j))
            at_1, at_2 = data.common_points(i, j)
            # The true match of a vertex of shape 2: through the nearest vertex of the reference.
            true = at_1[data[j].y]
            some = torch.randperm(len(at_1), generator=random)[:POINTS]
            for name, start in qualities(one, two, true, random):
                refined = match(one, two, 80, initial=start)
                before, after = (
                    evaluate([MatchedPair(one.mesh, p2p[at_2[some]], at_1[some])]).mean_error
                    for p2p in (start, refined.p2p_21)
                )
                found.setdefault(name, []).append((before, after))
        console.print({name: len(errors) for name, errors in found.items()})
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
