"""geodl evaluate: a trained network on labelled shapes, or a point map against the true one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from geodl.cli.inputs import read_index, read_shape, users_cache
from geodl.cli.output import stage
from geodl.cli.runs import Run

__all__ = ["add"]


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser("evaluate", help="measure a trained network, or a point map")
    what = page.add_subparsers(required=True, metavar="WHAT")
    run = what.add_parser("run", parents=[common], help="a network of `geodl train` on labelled shapes")
    run.add_argument("training", type=Path, help="folder of `geodl train classify` or `segment`")
    run.add_argument(
        "folder", type=Path, help="of labelled shapes, laid out as for training; all of them are measured"
    )
    run.add_argument("--cache", type=Path, help="folder of the cache (the user's cache folder if not given)")
    run.set_defaults(run=_run)
    p2p = what.add_parser("map", parents=[common], help="the geodesic error of a point map")
    p2p.add_argument(
        "map", type=Path, help="p2p_21.txt of `geodl match`: a vertex of shape 1 for every vertex of shape 2"
    )
    p2p.add_argument("shape_1", type=Path, help="the mesh that the map points into")
    p2p.add_argument("true", type=Path, help="the right map, in the same form; -1 where there is none")
    p2p.set_defaults(run=_map)


def _run(chosen: argparse.Namespace) -> None:
    from geodl.datasets import SegmentationFolder, ShapeFolder
    from geodl.training import ClassificationModule, SegmentationModule, ShapeData, make_trainer

    described = Run.load(chosen.training)
    if described.task == "correspond":
        raise ValueError(
            f"{chosen.training} holds a network of features: `geodl evaluate map` measures its maps"
        )
    model, count = described.trained(chosen.training), len(described.classes)
    shapes: Any
    module: Any
    if described.task == "classify":
        shapes = ShapeFolder(chosen.folder, num_points=described.num_points)
        if list(shapes.classes) != described.classes:
            raise ValueError(
                f"the classes of {chosen.folder} are {list(shapes.classes)}, not {described.classes}"
            )
        module = ClassificationModule(model, count)
        prepare = None
    else:
        shapes = SegmentationFolder(chosen.folder)
        elements: Any = described.elements
        module = SegmentationModule(model, count, elements)
        prepare = described.prepare(users_cache(chosen.cache))
    import tempfile

    with tempfile.TemporaryDirectory() as logs, stage(f"{len(shapes)} shapes"):
        trainer = make_trainer(Path(logs), 1, progress=False)
        trainer.test(module, ShapeData([], shapes, prepare), verbose=False)
    scores = module.scores
    print(
        f"{len(shapes)} shapes: {scores.accuracy:.1%} right, {scores.mean_class_accuracy:.1%} in the mean of classes"
    )
    for name, accuracy, iou in zip(
        described.classes, scores.class_accuracy.tolist(), scores.iou.tolist(), strict=True
    ):
        print(f"  {name}: {accuracy:.1%} right, intersection over union {iou:.3f}")


def _map(chosen: argparse.Namespace) -> None:
    from geodl.matching import MatchedPair, evaluate

    shape = read_shape(chosen.shape_1)
    p2p, true = read_index(chosen.map), read_index(chosen.true)
    if p2p.shape != true.shape:
        raise ValueError(f"{chosen.map} has {len(p2p)} lines but {chosen.true} has {len(true)}")
    with stage(f"geodesic errors of {len(p2p)} vertices"):
        report = evaluate([MatchedPair(shape, p2p, true, chosen.map.name)])
    print(report)
