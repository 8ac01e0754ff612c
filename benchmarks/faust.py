"""Trains the geodesic CNN to match human shapes and evaluates it.

    python -m benchmarks.faust                                            procedural bodies, minutes on two cores
    python -m benchmarks.faust --data registrations --root PATH           the FAUST registrations
    python -m benchmarks.faust --data remeshed --method zoomout --root PATH   the remeshed bodies, nothing learned
    python -m benchmarks.faust --data remeshed --method fmaps-unsupervised --root PATH   or fmaps-supervised

Beside the geodesic CNN is what needs no training: the nearest of the signals that it reads. Everything of a run is in the folder
that it names: result.json, report.txt, curve.png, pictures, logs, checkpoints, weights.
Interrupted, the same command goes on from the last epoch; finished, it prints the result again.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import faust_remeshed
from benchmarks.result import command, portable, write_result
from geodl import viz
from geodl.data import VertexSignal
from geodl.datasets import FAUST, Puppets
from geodl.matching import CorrespondenceReport, MatchedPair, evaluate, match_descriptors
from geodl.models import GCNN, save_weights
from geodl.training import (
    CorrespondenceData,
    DescriptorModule,
    LabellingModule,
    make_trainer,
    resume_point,
    training_seconds,
)


@dataclass(frozen=True)
class Recipe:
    """What trains well on a data set: the network's windows and widths, and how long."""

    patch_size: int
    rings: int
    rays: int
    widths: tuple[int, ...]
    hidden: int
    epochs: int
    batch_size: int
    learning_rate: float
    sample: int | None
    turn: tuple[float, float, float]
    dropout: float
    meshing: bool


RECIPES = {
    "puppets": Recipe(30, 3, 8, (32, 32, 64), 128, 12, 1, 1e-2, None, (5.0, 5.0, 5.0), 0.0, False),
    "registrations": Recipe(60, 3, 8, (64, 64, 64, 64), 256, 24, 1, 1e-2, 1024, (7.0, 12.0, 7.0), 0.2, True),
}
DESCRIPTOR_DIMENSION = 32
EVERY = 10  # one vertex of so many is matched by its signal alone
MAPS = ("zoomout", "fmaps-supervised", "fmaps-unsupervised")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faust", description="Match human shapes.")
    parser.add_argument(
        "--data", choices=["puppets", "remeshed-puppets", "registrations", "remeshed"], default="puppets"
    )
    parser.add_argument("--root", type=Path, help="folder of MPI-FAUST, or of FAUST_r for --data remeshed")
    parser.add_argument(
        "--method",
        choices=["labelling", "descriptor", *MAPS],
        help="labelling if not given; fmaps-unsupervised for --data remeshed",
    )
    parser.add_argument("--epochs", type=int, help="passes over the training shapes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--devices", type=int, default=1, help="how many of them, trained data-parallel")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--cache", type=Path, help="folder of the computed windows (the user's cache folder if not given)"
    )
    parser.add_argument("--out", type=Path, help="run folder (runs/faust-DATA-METHOD-seedSEED if not given)")
    chosen = parser.parse_args(argv)
    remeshed = chosen.data == "remeshed"
    chosen.method = chosen.method or ("fmaps-unsupervised" if remeshed else "labelling")
    if (chosen.method in MAPS) != remeshed:
        parser.error(f"--data {chosen.data} goes with other methods than {chosen.method}")
    if chosen.data in ("registrations", "remeshed") and chosen.root is None:
        parser.error(
            f"--data {chosen.data} needs --root PATH, the folder that holds the data (see datasets/faust/README.md)"
        )
    chosen.out = chosen.out or Path("runs") / f"faust-{chosen.data}-{chosen.method}-seed{chosen.seed}"
    return chosen


def shapes(data: str, root: Path | None) -> tuple[Any, Any]:
    """Training and test shapes."""
    if data == "registrations":
        assert root is not None
        return FAUST(root, split="train"), FAUST(root, split="test")
    variant: Literal["registrations", "remeshed"] = (
        "remeshed" if data == "remeshed-puppets" else "registrations"
    )
    return Puppets(variant=variant, split="train"), Puppets(variant=variant, split="test")


def pictures(
    folder: Path, method: str, test: Any, p2p: list[torch.Tensor], report: CorrespondenceReport
) -> list[Path]:
    """The error curve, and the best and the worst match: colours carried over, errors, lines."""
    written: list[Path | None] = [viz.curve({f"GCNN ({method})": report}, folder / "curve.png")]
    ranked = sorted(range(len(test)), key=lambda k: report.pair_means[k])
    for rank, k in (("best", ranked[0]), ("worst", ranked[-1])):
        shape, reference = test[k], test.reference
        written += [
            viz.correspondence(reference, shape, p2p[k], true=shape.y, path=folder / f"{rank}.png"),
            viz.error_map(shape, report.errors[k], path=folder / f"{rank}-error.png"),
            viz.lines(
                reference, shape, p2p[k], true=shape.y, tolerance=0.02, path=folder / f"{rank}-lines.png"
            ),
        ]
    return [path for path in written if path]


def table(result: dict[str, Any]) -> Table:
    made = Table(title=f"{result['model']} on {result['data']}")
    for name in ("metric", "value"):
        made.add_column(name, justify="right" if name == "value" else "left")
    for name, value in result["metrics"].items():
        if isinstance(value, float | int):
            made.add_row(name.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else f"{value:,}")
    made.add_row("parameters", f"{result['parameters']:,}")
    made.add_row("seconds in all", f"{result['seconds']:.1f}")
    return made


def build(chosen: argparse.Namespace, recipe: Recipe, num_labels: int) -> LabellingModule | DescriptorModule:
    """The network of a method, in its training module."""
    outputs = num_labels if chosen.method == "labelling" else DESCRIPTOR_DIMENSION
    model = GCNN(
        VertexSignal(recipe.meshing).channels,
        outputs,
        recipe.rings,
        recipe.rays,
        widths=recipe.widths,
        hidden=recipe.hidden,
        dropout=recipe.dropout,
    )
    if chosen.method == "labelling":
        return LabellingModule(model, recipe.learning_rate, recipe.sample, recipe.turn)
    return DescriptorModule(model, num_labels, recipe.learning_rate)


def predict(
    module: LabellingModule | DescriptorModule, data: CorrespondenceData, device: str
) -> list[torch.Tensor]:
    """The reference vertex of every vertex of every test shape."""
    module = module.to(device).eval()
    with torch.inference_mode():
        outputs = [
            output.cpu()
            for number, batch in enumerate(data.predict_dataloader())
            for output in module.predict_step(batch.to(device), number)
        ]
    if isinstance(module, LabellingModule):
        return outputs
    *descriptors, reference = outputs  # the last shape is the reference itself
    return [match_descriptors(reference, shape) for shape in descriptors]


def nearest_signals(test: Any, meshing: bool) -> CorrespondenceReport:
    """The simplest baseline: vertices are matched to the reference's of the nearest signal, that which the network reads."""
    signal = VertexSignal(meshing)
    reference = signal(test.reference.clone()).x
    return evaluate(
        MatchedPair(
            test.reference,
            match_descriptors(reference, signal(shape.clone()).x[::EVERY]),
            shape.y[::EVERY],
            shape.name,
        )
        for shape in test
    )


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    console = Console()
    result_file = chosen.out / "result.json"
    if result_file.exists():
        console.print(table(json.loads(result_file.read_text())))
        console.print(f"This run is finished: remove {chosen.out} or name another --out to train again.")
        return
    if chosen.method in MAPS:
        faust_remeshed.run(chosen)
        return
    torch.set_num_threads(chosen.threads)
    L.seed_everything(chosen.seed, workers=True, verbose=False)
    recipe = RECIPES["registrations" if chosen.data == "registrations" else "puppets"]
    began = time.perf_counter()
    train, test = shapes(chosen.data, chosen.root)
    module = build(chosen, recipe, train.num_classes)
    paired = chosen.method == "descriptor"
    data = CorrespondenceData(
        train,
        [*test, test.reference] if paired else test,
        train.reference,
        recipe.rings,
        recipe.rays,
        recipe.patch_size,
        max(recipe.batch_size, 2) if paired else recipe.batch_size,
        chosen.seed,
        chosen.cache,
        VertexSignal(recipe.meshing),
    )
    data.setup()
    seconds = {"preparation": time.perf_counter() - began}

    trainer = make_trainer(
        chosen.out,
        chosen.epochs or recipe.epochs,
        chosen.device,
        chosen.devices,
    )
    resumed = resume_point(chosen.out)
    console.print(f"Resuming from {resumed}." if resumed else f"Run folder: {chosen.out}")
    trainer.fit(module, data, ckpt_path=resumed, weights_only=True if resumed else None)
    if not trainer.is_global_zero:
        return
    seconds["training"] = training_seconds(trainer)

    began = time.perf_counter()
    p2p = predict(module, data, chosen.device)
    seconds["prediction"] = time.perf_counter() - began
    report = evaluate(
        MatchedPair(test.reference, predicted, shape.y, shape.name)
        for predicted, shape in zip(p2p, test, strict=True)
    )
    seconds["evaluation"] = report.seconds
    simplest = nearest_signals(test, recipe.meshing).to_dict()

    save_weights(module.model, chosen.out / "weights.safetensors")
    (chosen.out / "report.txt").write_text(f"{report}\n")
    written = pictures(chosen.out, chosen.method, test, p2p, report)
    write_result(
        chosen.out,
        benchmark="faust",
        data=chosen.data,
        model=f"GCNN ({chosen.method})",
        metrics={
            **report.to_dict(),
            "nearest_signals": {name: simplest[name] for name in ("accuracy", "mean_error_x100", "hit_rate")},
            **{f"{stage}_seconds": round(spent, 2) for stage, spent in seconds.items()},
        },
        seconds=sum(seconds.values()),
        parameters=sum(parameter.numel() for parameter in module.model.parameters()),
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )
    console.print(table(json.loads(result_file.read_text())))
    console.print("\n".join(f"wrote {path}" for path in written))


if __name__ == "__main__":
    main()
