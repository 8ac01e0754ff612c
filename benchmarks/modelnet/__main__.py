"""Trains classifiers of point clouds.

    python -m benchmarks.modelnet                                             DGCNN on procedural solids, minutes on two cores
    python -m benchmarks.modelnet --model pointnet2                           PointNet++ on them
    python -m benchmarks.modelnet --data occupancy10 --root PATH              ModelNet10 from its occupancy grids
    python -m benchmarks.modelnet --data modelnet40 --root PATH --model dgcnn    ModelNet40 in any official form

Accuracy is that after the last epoch, for every seed; beside it stands logistic regression on histograms of heights and distances.
Everything of a run is in the folder that it names: result.json, the
confusion of classes, pictures of clouds that were taken for something else, checkpoints. Interrupted, the same command goes on
from the last epoch; seeds that are finished are not trained again.
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

from benchmarks.modelnet.data import SETTINGS, Part, augmentation, read
from benchmarks.modelnet.evaluation import accuracies, confusion, corrupted_accuracies, linear, timed
from benchmarks.modelnet.networks import NETWORKS
from benchmarks.modelnet.pictures import confusion_picture, misclassified_pictures
from benchmarks.modelnet.training import check_settings, step, train
from benchmarks.operators.measure import keep_freed_memory, peak_megabytes, return_freed_memory
from benchmarks.result import command, portable, write_result
from geodl.data.whole_file import whole_file


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.modelnet", description="Classify point clouds."
    )
    parser.add_argument("--model", choices=list(NETWORKS), default="dgcnn")
    parser.add_argument("--data", choices=list(SETTINGS), default="solids")
    parser.add_argument("--root", type=Path, help="folder of ModelNet")
    parser.add_argument("--points", type=int, help="points of a cloud that the network reads")
    parser.add_argument("--epochs", type=int, help="passes over the training clouds")
    parser.add_argument("--batch", type=int, help="clouds in a batch")
    parser.add_argument(
        "--corrupted", type=int, default=120, help="test clouds that are corrupted; 0 for none"
    )
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many there are")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="run folder (runs/modelnet-DATA-MODEL if not given)")
    chosen = parser.parse_args(argv)
    if chosen.data != "solids" and chosen.root is None:
        parser.error(f"--data {chosen.data} needs --root PATH (see datasets/modelnet/README.md)")
    if chosen.data == "solids" and chosen.root is not None:
        parser.error("--data solids is made on the spot and takes no --root")
    chosen.points = SETTINGS[chosen.data].points if chosen.points is None else chosen.points
    if chosen.epochs is None:
        chosen.epochs = round(NETWORKS[chosen.model].patience * SETTINGS[chosen.data].epochs)
    chosen.batch = NETWORKS[chosen.model].batch if chosen.batch is None else chosen.batch
    for name, least in (("points", 1), ("epochs", 1), ("batch", 2), ("corrupted", 0), ("seeds", 1)):
        if getattr(chosen, name) < least:
            parser.error(f"--{name} must be at least {least}, not {getattr(chosen, name)}")
    chosen.out = chosen.out or Path("runs") / f"modelnet-{chosen.data}-{chosen.model}"
    return chosen


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()
    console = Console()
    began = time.perf_counter()
    device = torch.device(chosen.device)
    train_part, test_part = read(chosen.data, chosen.root, chosen.points)
    preparation = time.perf_counter() - began
    console.print(
        f"{SETTINGS[chosen.data].title}: {len(train_part.y)} training and {len(test_part.y)} test clouds "
        f"in {preparation:.0f} s"
    )
    simplest = linear(train_part, test_part, chosen.points)
    console.print(f"logistic regression: {100 * simplest:.2f} %")
    train_part, test_part = train_part.to(device), test_part.to(device)
    seeds = list(range(chosen.seed, chosen.seed + chosen.seeds))
    found: list[dict[str, Any]] = []
    for seed in seeds:
        path = chosen.out / f"seed-{seed}.json"
        if path.is_file():
            found.append(json.loads(path.read_text()))
            check_settings(path, found[-1]["settings"], settings(chosen))
        else:
            found.append(one_seed(chosen, seed, train_part, test_part, console))
            write(path, found[-1])
        console.print(f"seed {seed}: {100 * found[-1]['overall_accuracy']:.2f} %")
        # After every seed, so that a run that is cut short keeps what it has.
        write_result(
            chosen.out,
            benchmark="modelnet",
            data=SETTINGS[chosen.data].title,
            model=NETWORKS[chosen.model].title,
            metrics=summary(chosen, found, preparation) | {"linear_accuracy": simplest},
            seconds=preparation + sum(one["seconds"] for one in found),
            parameters=found[0]["parameters"],
            seeds=seeds[: len(found)],
            command=portable(command(), chosen),
        )
    tell(console, chosen, found, draw(chosen, found[0], test_part, console))


def draw(chosen: argparse.Namespace, found: dict[str, Any], part: Part, console: Console) -> list[Path]:
    """The pictures of one seed; none where matplotlib is missing."""
    predicted = torch.tensor(found["predicted"])
    title = f"{NETWORKS[chosen.model].title} on {chosen.data}, seed {found['seed']}"
    matrix = confusion(predicted, part.y.cpu(), len(part.classes))
    try:
        drawn = confusion_picture(matrix, part.classes, chosen.out / "confusion.png", title)
        return [drawn, *misclassified_pictures(part, predicted, chosen.out)]
    except ImportError as error:
        console.print(f"no pictures: {error}")
        return []


def settings(chosen: argparse.Namespace) -> dict[str, Any]:
    """What a training depends on, beside its seed; of one that goes on or is not repeated, it must be the same."""
    return {name: getattr(chosen, name) for name in ("data", "model", "points", "epochs", "batch")}


def one_seed(
    chosen: argparse.Namespace, seed: int, train_part: Part, test_part: Part, console: Console
) -> dict[str, Any]:
    """Trains and evaluates one network."""
    network = NETWORKS[chosen.model]
    torch.manual_seed(seed)
    model = network.make(len(train_part.classes), "xyz".index(train_part.up)).to(train_part.pos.device)
    augment = augmentation(chosen.data, chosen.points, train_part.up)
    training_seconds = train(
        model, network, train_part, augment, seed, chosen.epochs, chosen.batch,
        chosen.out / f"seed-{seed}.pt", settings(chosen) | {"seed": seed},
        lambda epoch, loss: console.print(f"epoch {epoch + 1} of {chosen.epochs}: loss {loss:.4f}"),
    )  # fmt: skip
    predicted, inference_seconds = timed(model, test_part)
    overall, mean_class = accuracies(confusion(predicted, test_part.y.cpu(), len(test_part.classes)))
    began = time.perf_counter()
    count = min(chosen.corrupted, int(test_part.there.sum())) if seed == chosen.seed else 0
    corrupted = corrupted_accuracies(model, test_part, count, seed) if count else None
    seconds = training_seconds + inference_seconds + time.perf_counter() - began
    steps = max(1, len(train_part.y) // chosen.batch)
    clouds = min(steps * chosen.batch, len(train_part.y))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    some, y = train_part.pos[: chosen.batch], train_part.y[: chosen.batch]
    model.train()
    return_freed_memory()
    peak = peak_megabytes(lambda: step(model, optimizer, augment, some, y), some.device)
    keep_freed_memory()
    return {
        "settings": settings(chosen),
        "seed": seed,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "overall_accuracy": overall,
        "mean_class_accuracy": mean_class,
        "seconds": seconds,
        "training_seconds": training_seconds,
        "training_samples_per_second": chosen.epochs * clouds / training_seconds,
        "inference_samples_per_second": len(test_part.y) / inference_seconds,
        "peak_mb": peak,
        "corrupted": corrupted,
        "corrupted_clouds": count,
        "predicted": predicted.tolist(),
    }


def write(path: Path, found: dict[str, Any]) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(found))


def summary(chosen: argparse.Namespace, found: list[dict[str, Any]], preparation: float) -> dict[str, Any]:
    overall = [one["overall_accuracy"] for one in found]
    mean_class = [one["mean_class_accuracy"] for one in found]
    peak = found[0]["peak_mb"]
    return {
        "overall_accuracy": statistics.mean(overall),
        "deviation": statistics.stdev(overall) if len(found) > 1 else None,
        "mean_class_accuracy": statistics.mean(mean_class),
        "mean_class_deviation": statistics.stdev(mean_class) if len(found) > 1 else None,
        "overall_accuracies": overall,
        "points": chosen.points,
        "epochs": chosen.epochs,
        "training_samples_per_second": round(
            statistics.median(one["training_samples_per_second"] for one in found), 1
        ),
        "inference_samples_per_second": round(
            statistics.median(one["inference_samples_per_second"] for one in found), 1
        ),
        "training_step_peak_mb": None if peak is None else round(peak, 1),
        "training_seconds": round(sum(one["training_seconds"] for one in found), 2),
        "preparation_seconds": round(preparation, 2),
        "corrupted_accuracy_at_severities": found[0]["corrupted"],
        "corrupted_clouds": found[0]["corrupted_clouds"],
    }


def tell(
    console: Console, chosen: argparse.Namespace, found: list[dict[str, Any]], pictures: list[Path]
) -> None:
    if corrupted := found[0]["corrupted"]:
        table = Table(title=f"overall accuracy on {found[0]['corrupted_clouds']} corrupted clouds, %")
        table.add_column("corruption")
        for severity in (*"12345", "mean"):
            table.add_column(severity, justify="right")
        for kind, values in corrupted.items():
            cells = [f"{100 * value:.1f}" for value in (*values, statistics.mean(values))]
            table.add_row(kind.replace("_", " "), *cells)
        console.print(table)
    overall = [100 * one["overall_accuracy"] for one in found]
    spread = f" +- {statistics.stdev(overall):.2f}" if len(overall) > 1 else ""
    mean_class = 100 * statistics.mean(one["mean_class_accuracy"] for one in found)
    console.print(
        f"{NETWORKS[chosen.model].title} on {chosen.data}: {statistics.mean(overall):.2f}{spread} % overall, "
        f"{mean_class:.2f} % mean of the classes; {found[0]['parameters']:,} parameters; "
        f"{found[0]['training_samples_per_second']:.0f} clouds a second in training, "
        f"{found[0]['inference_samples_per_second']:.0f} in inference"
    )
    console.print("wrote " + ", ".join([str(chosen.out / "result.json"), *(path.name for path in pictures)]))


if __name__ == "__main__":
    main()
