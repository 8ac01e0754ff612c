"""Ambient occlusion, learned on three domains and tested on a family of shapes that training never saw.

    python -m benchmarks.shading                      puppets are held out
    python -m benchmarks.shading --held-out solids    another family

One target, the ambient occlusion of vertices by ray casting, is predicted on surfaces by DiffusionNet, on clouds by a convolution
that gathers points and normals, and in screen space, from depth and normals, by a U-Net and by a convolution that gathers at taps
around a pixel. All are compared at the pixels of the same views. Beside them stand ridge regressions: of positions and normals, of
what balls around a vertex hold (22 numbers made by hand, which a cloud knows as well as a surface), and of what a pixel knows; and
what one view can say at all: the light traced against nothing but the faces that it shows, as it is and after a linear map.
DiffusionNet is trained on positions and normals, too, and on what the balls hold, to which the linear map is its shortcut, as it is
the U-Net's. Shapes are those of ``ShadedShapes``; rates, epochs, noise, penalty and how small the shapes are in the views of
training were chosen with creatures held out and no puppets in training. So were 24 epochs of the convolution at taps; its 60 were
set after puppets had been seen with 24.

Interrupted, the same command goes on after the last seed that is finished.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.result import command, portable, write_result
from benchmarks.shading.data import buried
from benchmarks.shading.methods import VIEWS, Answer, Methods
from benchmarks.shading.pictures import ON_PIXELS, draw
from benchmarks.shading.traced import occluders
from geodl.data import Mesh
from geodl.data.whole_file import whole_file
from geodl.datasets import ShadedShapes
from geodl.geometry import ambient_occlusion

PLACES = ("pixels", "outer vertices", "vertices")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shading", description="Learn ambient occlusion."
    )
    parser.add_argument("--held-out", choices=ShadedShapes.FAMILIES, default="puppets")
    parser.add_argument("--shapes", type=int, default=20, help="training shapes of each family")
    parser.add_argument("--tested", type=int, default=10, help="shapes of the family that is held out")
    parser.add_argument("--epochs", type=float, default=1.0, help="how much longer to train than by default")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the shapes and views, and the first one of trainings"
    )
    parser.add_argument("--seeds", type=int, default=1, help="how many trainings there are")
    parser.add_argument("--device", choices=["cpu"], default="cpu", help="rays are cast on the CPU")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("runs") / "shading", help="run folder")
    chosen = parser.parse_args(argv)
    if chosen.seeds < 1:
        parser.error(f"--seeds must be at least 1, not {chosen.seeds}")
    return chosen


def r2(prediction: Tensor, truth: Tensor) -> float:
    spread = (truth - truth.mean()).square().sum()
    return 1 - float((prediction - truth).square().sum() / spread)


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    console = Console()
    began = time.perf_counter()
    train, test = shapes(chosen)
    methods = Methods(train, test, chosen.seed, chosen.epochs)
    outer = ~torch.cat([buried(mesh) for mesh in test])
    console.print(
        f"{len(train)} shapes of other families to learn from, {len(test)} {chosen.held_out} to be tested on: "
        f"{time.perf_counter() - began:.0f} s"
    )
    seeds = list(range(chosen.seed, chosen.seed + chosen.seeds))
    rows: dict[str, list[dict[str, Any]]] = {}
    for seed in [None, *seeds]:
        for name, row in of_seed(chosen, methods, outer, seed, console).items():
            rows.setdefault(name, []).append(row)
    found = {name: over_seeds(some) for name, some in rows.items()}
    table(console, found, chosen.held_out)
    path = write_result(
        chosen.out,
        benchmark="shading",
        data=f"ShadedShapes, {chosen.held_out} held out",
        model="DiffusionNet, gathered cloud, U-Net, gathered picture",
        seconds=time.perf_counter() - began,
        parameters={"shapes": len(train), "tested": len(test), "views": VIEWS},
        seeds=seeds,
        command=portable(command(), chosen),
        metrics={
            "held_out": chosen.held_out,
            "buried_vertices": 1 - float(outer.float().mean()),
            "occluders": shares(methods, chosen.seed),
            "rows": found,
            "rays": casting(test[0]),
        },
    )
    console.print(f"written to {path}")


def shapes(chosen: argparse.Namespace) -> tuple[list[Mesh], list[Mesh]]:
    others = [family for family in ShadedShapes.FAMILIES if family != chosen.held_out]
    train = ShadedShapes(others, "train", chosen.shapes, seed=chosen.seed)
    test = ShadedShapes([chosen.held_out], "test", chosen.tested, seed=chosen.seed)
    return [train[k] for k in range(len(train))], [test[k] for k in range(len(test))]


def of_seed(
    chosen: argparse.Namespace, methods: Methods, outer: Tensor, seed: int | None, console: Console
) -> dict[str, dict[str, Any]]:
    """Measures of what is learned with a seed, by method; None for what has no seed. They are kept in a file of the run folder."""
    settings = [chosen.held_out, chosen.shapes, chosen.tested, chosen.epochs, chosen.seed]
    path = chosen.out / ("linear.json" if seed is None else f"seed-{seed}.json")
    if path.is_file():
        kept: dict[str, Any] = json.loads(path.read_text())
        if kept["settings"] != settings:
            raise ValueError(
                f"{path} is of a run with other settings, {kept['settings']}; choose another --out"
            )
        found: dict[str, dict[str, Any]] = kept["rows"]
        return found
    found, answers = {}, {}
    for answer in methods.linear() if seed is None else methods.learned(seed):
        answers[answer.name] = answer.values
        found[answer.name] = measured(methods, outer, answer)
        console.print(answer.name, {key: round(value, 3) for key, value in found[answer.name].items()})
    chosen.out.mkdir(parents=True, exist_ok=True)
    if seed == chosen.seed:
        draw(chosen.out, methods.test, methods.views, answers, answers[ON_PIXELS])
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps({"settings": settings, "rows": found}))
    return found


def measured(methods: Methods, outer: Tensor, answer: Answer) -> dict[str, Any]:
    """R2 at the pixels of all views, and of what is known at vertices there as well."""
    views, values = methods.views, answer.values
    on_views = (
        [view.of_vertices(values[k // VIEWS]) for k, view in enumerate(views)]
        if answer.at_vertices
        else values
    )
    row: dict[str, Any] = {
        "r2_pixels": r2(torch.cat(on_views), torch.cat([view.occlusion[view.valid] for view in views]))
    }
    if answer.at_vertices:
        truth, told = torch.cat([mesh.occlusion for mesh in methods.test]), torch.cat(values)
        row |= {"r2_outer_vertices": r2(told[outer], truth[outer]), "r2_vertices": r2(told, truth)}
    row["parameters"] = answer.parameters
    return row if answer.training_seconds is None else row | {"training_seconds": answer.training_seconds}


def over_seeds(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Means, and of R2 the deviations, where there are several."""
    found = {
        key: value if key == "parameters" else statistics.mean(row[key] for row in rows)
        for key, value in rows[0].items()
    }
    if len(rows) > 1:
        found |= {
            f"{key}_deviation": statistics.stdev(row[key] for row in rows)
            for key in rows[0]
            if key.startswith("r2")
        }
    return found


def shares(methods: Methods, seed: int) -> dict[str, float]:
    """Where rays from the pixels of the test views end that meet something: which share of it the view shows."""
    random = torch.Generator().manual_seed(seed)
    counts = sum(
        (occluders(methods.test[k // VIEWS], view, random) for k, view in enumerate(methods.views)),
        torch.zeros(3),
    )
    return dict(zip(("shown", "facing_away", "hidden"), (counts / counts.sum()).tolist(), strict=True))


def casting(mesh: Mesh) -> dict[str, float]:
    """How long the ground truth takes."""
    began = time.process_time()
    ambient_occlusion(mesh)
    seconds = time.process_time() - began
    return {
        "vertices": mesh.num_nodes,
        "core_seconds": seconds,
        "core_seconds_10000": seconds * 1e4 / mesh.num_nodes,
    }


def table(console: Console, found: dict[str, dict[str, Any]], held_out: str) -> None:
    made = Table(
        "domain",
        *(f"R2 at {place}" for place in PLACES),
        "parameters",
        title=f"{held_out}, never seen in training",
    )
    for name, row in found.items():
        values = [row.get(f"r2_{place.replace(' ', '_')}") for place in PLACES]
        shown = ["-" if value is None else f"{value:.3f}" for value in values]
        made.add_row(name, *shown, f"{row['parameters']:,}")
    console.print(made)


if __name__ == "__main__":
    main()
