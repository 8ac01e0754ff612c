"""A mesh matched to a cloud of points of another body, beside the same two as meshes.

`python -m benchmarks.mesh_to_cloud --out DIR`. Points are drawn at random from the surface, evenly by area; noise is normal, a
tenth of the edge of a mesh of as many vertices. Errors are at points whose match is known through the mesh they were drawn from.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.matched_pairs import pair_arguments
from benchmarks.result import command, portable, write_result
from geodl.data import PointCloud, UnitArea
from geodl.datasets import FAUST, CorrespondenceSet, Puppets, Quadrupeds
from geodl.geometry import face_areas
from geodl.matching import MatchedPair, SpectralShape, evaluate, match

POINTS, NOISE = (2048, 10_000), (0.0, 0.1)
# Points of a pair at which errors are measured.
JUDGED = 500


def drawn(mesh: Any, count: int, noise: float, random: torch.Generator) -> tuple[PointCloud, Tensor]:
    """Points of a surface of area 1, and the vertex of the mesh nearest to each, of its face."""
    face = torch.multinomial(face_areas(mesh), count, replacement=True, generator=random)
    weights = torch.rand(count, 2, generator=random).sort(dim=1).values
    weights = torch.stack([weights[:, 0], weights[:, 1] - weights[:, 0], 1 - weights[:, 1]], 1)
    corners = mesh.face[:, face].T
    edge = (2 / 3**0.5 / count) ** 0.5
    pos = (weights[:, :, None] * mesh.pos[corners]).sum(1)
    pos = pos + noise * edge * torch.randn(pos.shape, generator=random)
    return PointCloud(pos), corners.gather(1, weights.argmax(1, keepdim=True)).flatten()


def sets(root: Path | None) -> dict[str, CorrespondenceSet]:
    made: dict[str, CorrespondenceSet] = {
        "Puppets": Puppets(10, 10, seed=41, variant="remeshed"),
        "Quadrupeds": Quadrupeds(2, 4, seed=41, split="train"),
    }
    return made if root is None else made | {"FAUST remeshed": FAUST(root, "remeshed", "train")}


def main() -> None:
    chosen = pair_arguments(__doc__, 8, "of all sets together")
    console, began = Console(), time.perf_counter()
    random = torch.Generator().manual_seed(chosen.seed)
    data = sets(chosen.root)
    found: dict[str, list[float]] = {}
    for number in range(chosen.pairs):
        name = list(data)[number % len(data)]
        pairs = data[name].pairs().indices
        i, j = pairs[int(torch.randint(len(pairs), (), generator=random))]
        one, mesh = SpectralShape.of(data[name][i]), UnitArea()(data[name][j])
        at_1, at_2 = data[name].common_points(i, j)
        # The true match of a vertex of shape 2: that of the vertex of the template that is nearest to it.
        true = torch.full((len(mesh.pos),), -1)
        true[at_2] = at_1
        known = true >= 0
        shapes: dict[str, tuple[Any, Tensor]] = {"mesh": (mesh, torch.arange(len(mesh.pos)))}
        for count in POINTS:
            for noise in NOISE:
                kind = f"{count:,} points" + (f", noise of {noise:g} edge" if noise else "")
                shapes[kind] = drawn(mesh, count, noise, random)
        for kind, (shape, vertex) in shapes.items():
            p2p = match(one, shape).p2p_21
            some = (known[vertex] & (p2p >= 0)).nonzero().flatten()
            some = some[torch.randperm(len(some), generator=random)[:JUDGED]]
            error = evaluate([MatchedPair(one.mesh, p2p[some], true[vertex[some]])]).mean_error
            found.setdefault(kind, []).append(error)
        console.print(f"{name} {i}-{j}", {kind: round(errors[-1], 2) for kind, errors in found.items()})
    plain = torch.tensor(found["mesh"], dtype=torch.float64)
    rows = []
    for kind, errors in found.items():
        each = torch.tensor(errors, dtype=torch.float64)
        rows.append(
            {
                "matched to": kind,
                "pairs": len(errors),
                "mean error x100": float(each.mean()),
                "median of pairs": float(each.median()),
                "worst pair": float(each.max()),
                "times the error of mesh to mesh": float(each.mean() / plain.mean()),
            }
        )
        console.print(rows[-1])
    write_result(
        chosen.out,
        benchmark="mesh-to-cloud",
        data=", ".join(data),
        model="match",
        metrics={"rows": rows},
        seconds=time.perf_counter() - began,
        parameters=0,
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )


if __name__ == "__main__":
    main()
