"""Trains networks to tell the parts of shapes, and tests them on shapes that training never saw.

    python -m benchmarks.segmentation                              DiffusionNet on procedural bodies, minutes on two cores
    python -m benchmarks.segmentation --signal xyz                 the same from positions, bodies turned at random
    python -m benchmarks.segmentation --model pointnext            a network on points
    python -m benchmarks.segmentation --data faust --root PATH     the 24 parts of SMPL on FAUST, registered and remeshed
    python -m benchmarks.segmentation --data rna --root PATH       the RNA set, or a part of it

Test people (of Puppets also the poses, of RNA the molecules) are none of the training's. Measures are those after the last
epoch, for every seed, beside a linear map of what the network reads (ridge regression); the curve over the epochs is the first
seed's, and nothing is chosen by it. A run's folder holds result.json,
pictures of truth, prediction and errors, logs and checkpoints; interrupted, the same command goes on from the last epoch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.result import command, portable, write_result
from benchmarks.segmentation.baseline import Ridge
from benchmarks.segmentation.curve import Curve
from benchmarks.segmentation.data import SETTINGS, Task, augmentation, prepared, read, turned
from benchmarks.segmentation.networks import NETWORKS
from benchmarks.segmentation.pictures import pictures
from geodl.data import OperatorCache
from geodl.data.whole_file import whole_file
from geodl.training import (
    LabelScores,
    SegmentationModule,
    ShapeData,
    make_trainer,
    resume_point,
)

OFFICIAL = 547  # molecules of RNA's whole training set
MEASURES = ("accuracy", "accuracy_by_area", "mean_iou")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.segmentation", description="Tell the parts of shapes."
    )
    parser.add_argument("--data", choices=list(SETTINGS), default="puppets")
    parser.add_argument(
        "--root", type=Path, help="folder of RNA, or the one that holds MPI-FAUST and SMPL_parts"
    )
    parser.add_argument("--model", choices=list(NETWORKS), default="diffusionnet")
    parser.add_argument("--signal", choices=["hks", "xyz"], help="heat kernel signatures, or positions")
    parser.add_argument("--epochs", type=int, help="passes over the training shapes")
    parser.add_argument("--cache", type=Path, help="where operators are kept (the user's cache if not given)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many there are")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--out", type=Path, help="run folder (runs/segmentation-DATA-MODEL-SIGNAL if not given)"
    )
    chosen = parser.parse_args(argv)
    if chosen.data != "puppets" and chosen.root is None:
        parser.error(f"--data {chosen.data} needs --root PATH (see datasets/{chosen.data}/README.md)")
    if chosen.data == "puppets" and chosen.root is not None:
        parser.error("--data puppets is made on the spot and takes no --root")
    on_points = NETWORKS[chosen.model].kind == "cloud"
    chosen.signal = chosen.signal or ("xyz" if on_points else "hks")
    settings = SETTINGS[chosen.data]
    if chosen.epochs is None:
        chosen.epochs = settings.cloud_epochs if on_points else settings.epochs
    for name in ("epochs", "seeds", "threads"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name} must be at least 1, not {getattr(chosen, name)}")
    chosen.out = chosen.out or Path("runs") / f"segmentation-{chosen.data}-{chosen.model}-{chosen.signal}"
    return chosen


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    console = Console()
    began = time.perf_counter()
    task = read(chosen.data, chosen.root)
    data, tests = shapes(chosen, task)
    # The linear map learns from turned shapes as well, as the network does.
    kind = NETWORKS[chosen.model].kind
    learned = [
        turned(shape.clone(), str(k), kind, chosen.signal) for k, shape in enumerate(data.ready["train"])
    ]
    ridge = Ridge(learned, len(task.classes))
    linear = {name: measures(*ridge.scores(some)) for name, some in tests.items()}
    preparation = time.perf_counter() - began
    console.print(
        f"{SETTINGS[chosen.data].title}: {len(data.ready['train'])} training shapes in {preparation:.0f} s"
    )
    seeds = list(range(chosen.seed, chosen.seed + chosen.seeds))
    found: list[dict[str, Any]] = []
    for seed in seeds:
        path = chosen.out / f"seed-{seed}.json"
        if path.is_file():
            found.append(json.loads(path.read_text()))
            refuse_others(path, found[-1]["settings"], settings(chosen))
        else:
            found.append(one_seed(chosen, seed, task, data, tests))
            with whole_file(path) as temporary:
                temporary.write_text(json.dumps(found[-1]))
        # After every seed, so that a run that is cut short keeps what it has.
        write_result(
            chosen.out,
            benchmark="segmentation",
            data=title(chosen, task),
            model=f"{NETWORKS[chosen.model].title}, {chosen.signal}",
            metrics=summary(chosen, found, linear, preparation, len(data.ready["train"])),
            seconds=preparation + sum(one["training_seconds"] for one in found),
            parameters=found[0]["parameters"],
            seeds=seeds[: len(found)],
            command=portable(command(), chosen),
        )
    tell(console, chosen, found, linear)
    draw(console, chosen, task, found[0])


def title(chosen: argparse.Namespace, task: Task) -> str:
    """The set, and of RNA, which may be a part, how many shapes it has."""
    name = SETTINGS[chosen.data].title
    return f"{name}, {len(task.train)} + {len(task.tests['test'])}" if chosen.data == "rna" else name


def settings(chosen: argparse.Namespace) -> dict[str, Any]:
    """What a training depends on, beside its seed."""
    return {name: getattr(chosen, name) for name in ("data", "model", "signal", "epochs")}


def refuse_others(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raises ValueError where a file is of a run with other settings, and names them."""
    if other := [f"{name} {found.get(name)}" for name, value in wanted.items() if found.get(name) != value]:
        raise ValueError(f"{path} is of a run with {', '.join(other)}; choose another --out")


def shapes(chosen: argparse.Namespace, task: Task) -> tuple[ShapeData, dict[str, list[Any]]]:
    """Shapes with what the network reads; test shapes are turned at random."""
    network, own = NETWORKS[chosen.model], SETTINGS[chosen.data]
    prepare = prepared(network.kind, chosen.signal, own.eigenvalues, OperatorCache(chosen.cache))
    data = ShapeData(task.train, [], prepare, own.batch, chosen.seed)
    data.setup()
    tests = {
        name: [
            turned(prepare(some[k].clone()), some[k].name, network.kind, chosen.signal)
            for k in range(len(some))
        ]
        for name, some in task.tests.items()
    }
    return data, tests


def one_seed(
    chosen: argparse.Namespace, seed: int, task: Task, data: ShapeData, tests: dict[str, list[Any]]
) -> dict[str, Any]:
    """Trains and tests one network."""
    L.seed_everything(seed, workers=True, verbose=False)
    network, own, first = NETWORKS[chosen.model], SETTINGS[chosen.data], data.ready["train"][0]
    channels = first.x.shape[1] if "x" in first else 0
    model = network.make(channels, len(task.classes), own.width)
    module = SegmentationModule(
        model,
        len(task.classes),
        "points" if network.kind == "cloud" else "vertices",
        network.learning_rate,
        transform=augmentation(network.kind, chosen.signal),
    )
    data.seed, data.ready["validation"] = seed, tests["test"]
    folder, curve = chosen.out / f"seed-{seed}", Curve()
    trainer = make_trainer(folder, chosen.epochs, chosen.device, precision="32-true")
    trainer.callbacks.append(curve)
    resumed = resume_point(folder)
    trainer.fit(module, data, ckpt_path=resumed, weights_only=True if resumed else None)
    found: dict[str, Any] = {}
    for name, some in tests.items():
        trainer.test(module, ShapeData([], some), verbose=False)
        found[name] = measures(module.scores, module.scores_by_area)
    predicted = trainer.predict(module, ShapeData([], tests["test"]))
    assert predicted is not None
    return {
        "settings": settings(chosen),
        "seed": seed,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "training_seconds": curve.seconds,
        "curve": curve.rows,
        "tests": found,
        "predicted": [shape.tolist() for batch in predicted for shape in batch],
    }


def measures(scores: LabelScores, by_area: LabelScores) -> dict[str, Any]:
    return {
        "accuracy": scores.accuracy,
        "accuracy_by_area": by_area.accuracy,
        "mean_iou": scores.mean_iou,
        "iou": [None if value != value else round(value, 4) for value in scores.iou.tolist()],
    }


def summary(
    chosen: argparse.Namespace,
    found: list[dict[str, Any]],
    linear: dict[str, Any],
    preparation: float,
    shapes: int,
) -> dict[str, Any]:
    def of(name: str, measure: str) -> list[float]:
        return [one["tests"][name][measure] for one in found]

    return {
        "tests": {
            name: {
                measure: {
                    "mean": statistics.mean(of(name, measure)),
                    "deviation": statistics.stdev(of(name, measure)) if len(found) > 1 else None,
                    "seeds": of(name, measure),
                    "ridge": linear[name][measure],
                }
                for measure in MEASURES
            }
            | {"iou": found[0]["tests"][name]["iou"]}
            for name in linear
        },
        "epochs": chosen.epochs,
        "curve": found[0]["curve"],
        **epoch_seconds(chosen, found, shapes),
        "training_seconds": round(sum(one["training_seconds"] for one in found), 2),
        "preparation_seconds": round(preparation, 2),
    }


def epoch_seconds(chosen: argparse.Namespace, found: list[dict[str, Any]], shapes: int) -> dict[str, float]:
    """An epoch of training without its test, and of RNA one of all molecules of the official list."""
    mean = statistics.mean(one["training_seconds"] for one in found) / chosen.epochs
    known = {"epoch_seconds": round(mean, 2)}
    if chosen.data == "rna":
        known[f"epoch_seconds_of_{OFFICIAL}"] = round(mean / shapes * OFFICIAL, 1)
    return known


def tell(
    console: Console, chosen: argparse.Namespace, found: list[dict[str, Any]], linear: dict[str, Any]
) -> None:
    table = Table(
        title=f"{NETWORKS[chosen.model].title} ({chosen.signal}) on {chosen.data}, {len(found)} seeds, %"
    )
    for column in ("test set", "method", *MEASURES):
        table.add_column(
            column.replace("_", " "), justify="left" if column in ("test set", "method") else "right"
        )
    for name, of_ridge in linear.items():
        mean = [100 * statistics.mean(one["tests"][name][m] for one in found) for m in MEASURES]
        table.add_row(name, NETWORKS[chosen.model].title, *(f"{value:.2f}" for value in mean))
        table.add_row("", "ridge", *(f"{100 * of_ridge[m]:.2f}" for m in MEASURES))
    console.print(table)
    seconds = statistics.mean(one["training_seconds"] for one in found)
    console.print(f"{found[0]['parameters']:,} parameters, {seconds:.0f} s of training; wrote {chosen.out}")


def draw(console: Console, chosen: argparse.Namespace, task: Task, found: dict[str, Any]) -> None:
    """The test shape of the median share of errors, by the first seed."""
    meshes = [task.tests["test"][k] for k in range(len(found["predicted"]))]
    predicted = [torch.tensor(each) for each in found["predicted"]]
    wrong = [
        float((told != mesh.y)[mesh.y >= 0].float().mean())
        for told, mesh in zip(predicted, meshes, strict=True)
    ]
    middle = sorted(range(len(wrong)), key=wrong.__getitem__)[len(wrong) // 2]
    title = f"{NETWORKS[chosen.model].title}, {meshes[middle].name}"
    try:
        pictures(meshes[middle], predicted[middle], chosen.out, title)
    except ImportError as error:
        console.print(f"no pictures: {error}")


if __name__ == "__main__":
    main()
