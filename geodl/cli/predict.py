"""geodl predict RUN SHAPES: what a trained network says of shapes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from geodl.cli.inputs import read_shape, users_cache
from geodl.cli.output import new_folder, write
from geodl.cli.runs import Run

__all__ = ["add"]


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser(
        "predict", parents=[common], help="let a trained network classify or segment shapes"
    )
    page.add_argument("training", type=Path, help="folder of `geodl train classify` or `segment`")
    page.add_argument("shapes", type=Path, nargs="+", help="meshes or clouds")
    page.add_argument(
        "-o", "--out", type=Path, help="folder for the labels of a segmentation (labels-RUN if not given)"
    )
    page.add_argument("--cache", type=Path, help="folder of the cache (the user's cache folder if not given)")
    page.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    described = Run.load(chosen.training)
    if described.task == "classify":
        _classify(chosen, described)
    elif described.task == "segment":
        with new_folder(chosen.out or Path(f"labels-{chosen.training.resolve().name}")) as out:
            _segment(chosen, described, out)
    else:
        raise ValueError(f"{chosen.training} holds a network of features: `geodl match --weights` uses it")


def _classify(chosen: argparse.Namespace, described: Run) -> None:
    import torch

    from geodl.data import collate
    from geodl.data.progress import progress
    from geodl.datasets.drawn_points import drawn_points

    model = described.trained(chosen.training)
    for path in progress(chosen.shapes, len(chosen.shapes), "shapes"):
        cloud = drawn_points(read_shape(path), described.num_points, 0, path.name)
        with torch.inference_mode():
            share = _scores(model, collate([cloud])).softmax(1)[0]
        print(f"{path}: {described.classes[int(share.argmax())]} ({float(share.max()):.0%})")


def _segment(chosen: argparse.Namespace, described: Run, out: Path) -> None:
    import torch

    from geodl.data import collate
    from geodl.data.progress import progress

    model, prepare = described.trained(chosen.training), described.prepare(users_cache(chosen.cache))
    names = [f"{path.stem}.txt" for path in chosen.shapes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"several shapes would write {', '.join(twice)}: predict them one by one")
    for path, name in progress(zip(chosen.shapes, names, strict=True), len(names), "shapes"):
        shape = read_shape(path)
        with torch.inference_mode():
            label = _scores(model, collate([prepare(shape.clone())])).argmax(1)
        write(out / name, "".join(f"{number}\n" for number in label.tolist()))
        print(f"{path}: {len(label)} labels of {described.elements} in {out / name}")


def _scores(model: Any, batch: Any) -> Any:
    from geodl.models.on_batch import arguments

    return model(**arguments(model.forward, model, batch))
