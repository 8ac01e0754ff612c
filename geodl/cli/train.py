"""geodl train TASK FOLDER: a network on shapes of one's own."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from geodl.cli.inputs import users_cache
from geodl.cli.mesh_files import MeshFiles
from geodl.cli.output import new_folder, write
from geodl.cli.runs import CLOUD_NETWORKS, WEIGHTS, Run

__all__ = ["add"]

_EPOCHS = {"classify": 60, "segment": 30, "correspond": 20}


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser("train", help="train a network on a folder of shapes")
    tasks = page.add_subparsers(required=True, metavar="TASK", dest="task")
    for task, words in (
        ("classify", "a class a shape: a folder a class, or a csv list"),
        ("segment", "a label a vertex or face: labels in files beside the shapes, or in them"),
        ("correspond", "features for `geodl match --weights`: meshes alone, nothing is labelled"),
    ):
        one = tasks.add_parser(task, parents=[common], help=words, description=words)
        one.add_argument("folder", type=Path, help="of the shapes")
        one.add_argument(
            "-o",
            "--out",
            type=Path,
            help="run folder (runs/TASK-FOLDER if not given); interrupted, it goes on there",
        )
        one.add_argument(
            "--epochs", type=int, default=_EPOCHS[task], help=f"passes over the shapes ({_EPOCHS[task]})"
        )
        one.add_argument(
            "--batch-size", type=int, default=8 if task == "classify" else 4, help="shapes a step"
        )
        one.add_argument("--seed", type=int, default=0, help="of splits, weights and order")
        one.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
        if task == "classify":
            one.add_argument("--network", choices=CLOUD_NETWORKS, default="DGCNN")
            one.add_argument("--points", type=int, default=1024, help="drawn from every shape (1024)")
        else:
            one.add_argument("-k", type=int, default=128, help="eigenpairs of every shape")
            one.add_argument(
                "--cache", type=Path, help="folder of the cache (the user's cache folder if not given)"
            )
        one.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    from geodl.models import save_weights
    from geodl.training import make_trainer, resume_point

    if not chosen.folder.exists():
        raise FileNotFoundError(f"there is no folder {chosen.folder}")
    import lightning as L  # behind geodl.training, which says how to install it

    L.seed_everything(chosen.seed, workers=True, verbose=False)
    described, module, data = {"classify": _classify, "segment": _segment, "correspond": _correspond}[
        chosen.task
    ](chosen)
    described = replace(
        described, folder=str(chosen.folder.resolve()), seed=chosen.seed, batch_size=chosen.batch_size
    )
    out = chosen.out or Path("runs") / f"{chosen.task}-{chosen.folder.resolve().stem}"
    file = out / "run.json"
    if (out / WEIGHTS).exists():
        raise ValueError(f"the training in {out} has ended: name another folder")
    if file.is_file() and file.read_text(encoding="utf-8") == described.dumps():
        print(f"going on in {out}")
    else:
        with new_folder(out):
            data.setup()  # reads all files: one that is no good ends the command before there is a run
            write(file, described.dumps())
        print(f"run folder: {out}")
    trainer = make_trainer(out, chosen.epochs, chosen.device)
    resumed = resume_point(out)
    trainer.fit(module, data, ckpt_path=resumed, weights_only=True if resumed else None)
    result: dict[str, float] = {}
    if chosen.task != "correspond":
        trainer.test(module, data, verbose=False)
        scores = module.scores
        result = {
            "accuracy": scores.accuracy,
            "mean_class_accuracy": scores.mean_class_accuracy,
            "mean_iou": scores.mean_iou,
        }
        print(f"on {len(data.shapes['test'])} shapes that were not trained on: {scores.accuracy:.1%} right")
    write(
        out / "result.json",
        json.dumps({"epochs": chosen.epochs, "seed": chosen.seed, **result}, indent=2) + "\n",
    )
    save_weights(module.model, out / WEIGHTS)
    print(f"wrote {out / WEIGHTS}")


def _classify(chosen: argparse.Namespace) -> tuple[Run, Any, Any]:
    from geodl.datasets import ShapeFolder
    from geodl.training import ClassificationModule, ShapeData

    train: Any
    test: Any
    train, test = (
        ShapeFolder(chosen.folder, split, num_points=chosen.points, seed=chosen.seed)
        for split in ("train", "test")
    )
    described = Run("classify", chosen.network, list(train.classes), num_points=chosen.points)
    module = ClassificationModule(described.build(), train.num_classes)
    return described, module, ShapeData(train, test, batch_size=chosen.batch_size, seed=chosen.seed)


def _segment(chosen: argparse.Namespace) -> tuple[Run, Any, Any]:
    from geodl.datasets import SegmentationFolder
    from geodl.training import SegmentationModule, ShapeData

    train: Any
    test: Any
    train, test = (SegmentationFolder(chosen.folder, split, seed=chosen.seed) for split in ("train", "test"))
    first = train[0]
    if getattr(first, "face", None) is None:
        elements: Any = "points"
    else:
        elements = "vertices" if len(first.y) == len(first.pos) else "faces"
    described = Run(
        "segment", "DiffusionNet", [str(n) for n in range(train.num_classes)], elements, k=chosen.k
    )
    module = SegmentationModule(described.build(), train.num_classes, elements, learning_rate=5e-3)
    prepare = described.prepare(users_cache(chosen.cache))
    return described, module, ShapeData(train, test, prepare, chosen.batch_size, chosen.seed)


def _correspond(chosen: argparse.Namespace) -> tuple[Run, Any, Any]:
    from geodl.training import FunctionalMapData, FunctionalMapModule

    meshes: Any = MeshFiles([chosen.folder])
    if len(meshes) < chosen.batch_size:
        raise ValueError(
            f"{chosen.folder} has {len(meshes)} meshes, but a batch has {chosen.batch_size}: see --batch-size"
        )
    described = Run("correspond", "FunctionalMapNet", [], k=chosen.k)
    data = FunctionalMapData(meshes, [], chosen.k, chosen.batch_size, chosen.seed, chosen.cache)
    module: Any = FunctionalMapModule(described.build(), None)  # type: ignore[arg-type]
    return described, module, data
