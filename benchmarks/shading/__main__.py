"""Ambient occlusion, learned on three domains and tested on a family of shapes that training never saw.

    python -m benchmarks.shading                      puppets are held out
    python -m benchmarks.shading --held-out solids    another family

One target, the ambient occlusion of vertices by ray casting, is predicted on surfaces by DiffusionNet, on clouds by a convolution
that gathers points and normals, and in screen space by a U-Net from depth and normals. All are compared at the pixels of the same
views. Beside them stand ridge regressions: of positions and normals, of what balls around a vertex hold (22 numbers made by hand,
which a cloud knows as well as a surface), and of what a pixel knows. DiffusionNet is trained on positions and normals, too, and on
what the balls hold, to which the linear map is its shortcut, as it is the U-Net's. Shapes are those of ``ShadedShapes``; rates,
epochs, noise, penalty and how small the shapes are in the views of training were chosen with creatures held out and no puppets in
training.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.result import command, portable, write_result
from benchmarks.baseline import ridge
from benchmarks.shading.data import (
    DIRECTED,
    Clouds,
    Screens,
    Surfaces,
    buried,
    operators_of,
    positions,
    surroundings,
)
from benchmarks.shading.networks import OnCloud, OnScreen, OnSurface
from geodl.data import DataLoader, Mesh
from geodl.datasets import ShadedShapes
from geodl.geometry import ambient_occlusion
from geodl.training import RegressionModule
from geodl.viz import images, surface

VIEWS = 8  # of a shape
FARTHEST = 3.0  # how much smaller than the picture shapes are in training at most, so that thin limbs are no surprise
ON_VERTICES = "surface, DiffusionNet of balls", "cloud, gathered"
PENALTY = 0.1  # of the linear map of what pixels know
NOISE = 0.2  # of the signals on surfaces, in their deviations


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shading", description="Learn ambient occlusion."
    )
    parser.add_argument("--held-out", choices=ShadedShapes.FAMILIES, default="puppets")
    parser.add_argument("--shapes", type=int, default=20, help="training shapes of each family")
    parser.add_argument("--tested", type=int, default=10, help="shapes of the family that is held out")
    parser.add_argument("--epochs", type=float, default=1.0, help="how much longer to train than by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cpu"], default="cpu", help="rays are cast on the CPU")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("runs") / "shading", help="run folder")
    return parser.parse_args(argv)


def r2(prediction: Tensor, truth: Tensor) -> float:
    spread = (truth - truth.mean()).square().sum()
    return 1 - float((prediction - truth).square().sum() / spread)


logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


def fit(
    model: nn.Module,
    data: Any,
    epochs: int,
    batch: int,
    rate: float,
    seed: int,
) -> tuple[RegressionModule, float]:
    """The model after the last epoch, and the seconds that it took."""
    L.seed_everything(seed, verbose=False)
    trainer = L.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    began = time.process_time()
    order = torch.Generator().manual_seed(seed)
    module = RegressionModule(model, rate)
    trainer.fit(module, DataLoader(data, batch, shuffle=True, generator=order, drop_last=True))
    return module.eval(), time.process_time() - began


def predict(module: RegressionModule, data: Any) -> list[Tensor]:
    with torch.no_grad():
        return [module(batch) for batch in DataLoader(data)]


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    console = Console()
    began = time.perf_counter()
    train, test = shapes(chosen)
    console.print(
        f"{len(train)} shapes of other families to learn from, {len(test)} {chosen.held_out} to be tested on: "
        f"{time.perf_counter() - began:.0f} s"
    )
    torch.manual_seed(chosen.seed)
    screens = Screens(train, VIEWS, chosen.seed, FARTHEST), Screens(test, VIEWS, chosen.seed + 1)
    truth = torch.cat([mesh.occlusion for mesh in test])
    outer = ~torch.cat([buried(mesh) for mesh in test])
    seen = torch.cat([view.occlusion[view.valid] for view in screens[1].views])
    found: dict[str, dict[str, Any]] = {}
    maps: dict[str, list[Tensor]] = {}

    def at_vertices(name: str, values: list[Tensor], **more: Any) -> None:
        shown = torch.cat([view.of_vertices(values[k // VIEWS]) for k, view in enumerate(screens[1].views)])
        answer = torch.cat(values)
        found[name] = {
            "r2_pixels": r2(shown, seen),
            "r2_outer_vertices": r2(answer[outer], truth[outer]),
            "r2_vertices": r2(answer, truth),
            **more,
        }
        maps[name] = values

    def on_surfaces(name: str, signal: Callable[[Mesh], Tensor], noise: float) -> None:
        surfaces = Surfaces(train, operators[0], signal)
        unseen = Surfaces(test, operators[1], signal, surfaces.scale)
        linear = ridge(
            torch.cat([item.x for item in surfaces.items]), torch.cat([m.occlusion for m in train])
        )
        values = [linear(item.x)[:, 0].detach() for item in unseen.items]
        at_vertices(f"{name}, ridge", values, parameters=size(linear))
        trained, seconds = fit(OnSurface(linear, noise), surfaces, epochs(chosen, 15), 2, 2e-3, chosen.seed)
        name = f"surface, DiffusionNet of {name}"
        at_vertices(name, predict(trained, unseen), **told(trained, seconds))
        report(console, found, name)

    operators = operators_of(train), operators_of(test)
    on_surfaces("positions", positions, 0.0)
    on_surfaces("balls", surroundings, NOISE)

    trained, seconds = fit(
        OnCloud(), Clouds(train, chosen.seed, True), epochs(chosen, 50), 4, 5e-3, chosen.seed
    )
    at_vertices("cloud, gathered", predict(trained, Clouds(test, 0, False)), **told(trained, seconds))
    report(console, found, "cloud, gathered")

    linear = ridge(*pixels(screens[0]), PENALTY)
    values = linear(pixels(screens[1])[0])[:, 0].detach()
    found["screen, ridge"] = {"r2_pixels": r2(values, seen), "parameters": size(linear)}
    trained, seconds = fit(OnScreen(linear), screens[0], epochs(chosen, 8), 8, 2e-3, chosen.seed)
    pictures = [one[0] for one in predict(trained, screens[1])]
    shown = torch.cat([one[view.valid] for one, view in zip(pictures, screens[1].views, strict=True)])
    found["screen, U-Net"] = {"r2_pixels": r2(shown, seen), **told(trained, seconds)}
    report(console, found, "screen, U-Net")

    draw(chosen, test[0], maps, screens[1], pictures)
    table(console, found, chosen.held_out)
    path = write_result(
        chosen.out,
        benchmark="shading",
        data=f"ShadedShapes, {chosen.held_out} held out",
        model="DiffusionNet, gathered cloud, U-Net",
        seconds=time.perf_counter() - began,
        parameters={"shapes": len(train), "tested": len(test), "views": VIEWS},
        seeds=[chosen.seed],
        command=portable(command(), chosen),
        metrics={
            "held_out": chosen.held_out,
            "buried_vertices": 1 - float(outer.float().mean()),
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


def epochs(chosen: argparse.Namespace, by_default: int) -> int:
    longer: float = chosen.epochs
    return max(1, round(by_default * longer))


def size(model: nn.Module) -> int:
    count: int = sum(p.numel() for p in model.parameters())
    return count


def told(model: nn.Module, seconds: float) -> dict[str, Any]:
    return {"parameters": size(model), "training_seconds": round(seconds, 1)}


def pixels(screens: Screens) -> tuple[Tensor, Tensor]:
    """What pixels know that does not turn with the view, ``[P, C]``, and their occlusion."""
    x = torch.cat([view.x[DIRECTED:, view.valid].T for view in screens.views])
    return x, torch.cat([view.occlusion[view.valid] for view in screens.views])


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


def report(console: Console, found: dict[str, dict[str, Any]], name: str) -> None:
    console.print(name, {key: round(value, 3) for key, value in found[name].items()})


def table(console: Console, found: dict[str, dict[str, Any]], held_out: str) -> None:
    places = ("pixels", "outer vertices", "vertices")
    made = Table(
        "domain",
        *(f"R2 at {place}" for place in places),
        "parameters",
        title=f"{held_out}, never seen in training",
    )
    for name, row in found.items():
        values = [row.get(f"r2_{place.replace(' ', '_')}") for place in places]
        shown = ["-" if value is None else f"{value:.3f}" for value in values]
        made.add_row(name, *shown, f"{row['parameters']:,}")
    console.print(made)


def draw(
    chosen: argparse.Namespace,
    mesh: Mesh,
    maps: dict[str, list[Tensor]],
    screens: Screens,
    pictures: list[Tensor],
) -> None:
    """Truth, prediction and error: on the first shape, and in one view of some."""
    rows, titles = [], []
    for k in range(0, len(screens.views), 2 * VIEWS):
        view, number = screens.views[k], k // VIEWS
        drawn = [("truth", view.occlusion[view.valid])]
        drawn += [(name, view.of_vertices(maps[name][number])) for name in ON_VERTICES]
        drawn.append(("screen, U-Net", pictures[k][view.valid]))
        for name, values in drawn:
            rows.append(grey(view.valid, 1 - values))
            titles.append(name)
        for name, values in drawn[1:]:
            rows.append(signed(view.valid, values - drawn[0][1]))
            titles.append(f"error: {name.partition(',')[0]}")
    images(
        rows,
        chosen.out / "views.png",
        titles=titles,
        columns=7,
        title="Ambient occlusion, family never seen; errors: red too dark, blue too light",
    )
    painted = {"truth": mesh.occlusion, **{name: maps[name][0] for name in ON_VERTICES}}
    for name, value in painted.items():
        short = name.partition(",")[0]
        surface(mesh, chosen.out / f"{short}.png", color=(1 - value).clamp(0, 1)[:, None], title=name)


def grey(valid: Tensor, values: Tensor) -> Tensor:
    picture = torch.ones(3, *valid.shape)
    picture[:, valid] = values.clamp(0, 1)
    return picture


def signed(valid: Tensor, error: Tensor) -> Tensor:
    """White where it is right, red where the prediction is too dark, blue where it is too light; full at 0.3."""
    picture = torch.ones(3, *valid.shape)
    strength = (error.abs() / 0.3).clamp(max=1)
    picture[1, valid] = 1 - strength
    picture[2, valid] = torch.where(error > 0, 1 - strength, 1.0)
    picture[0, valid] = torch.where(error > 0, 1.0, 1 - strength)
    return picture


if __name__ == "__main__":
    main()
