"""geodl match A B: point maps both ways, a picture, a page, and how far they can be trusted."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from geodl.cli.inputs import read_index, read_repaired, read_shape, read_values, users_cache
from geodl.cli.numbering import Numbering
from geodl.cli.output import free_name, new_folder, stage, write

__all__ = ["add"]


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser("match", parents=[common], help="match two shapes")
    page.add_argument("shape_1", type=Path, help="mesh or cloud (off, obj, ply, stl, xyz, ...)")
    page.add_argument("shape_2", type=Path, help="mesh or cloud")
    page.add_argument(
        "-o", "--out", type=Path, help="folder of the results, new or empty (match-A-B if not given)"
    )
    page.add_argument(
        "--landmarks",
        type=Path,
        help="lines of two numbers: a vertex of shape 1 and the one of shape 2 that it is",
    )
    by = page.add_mutually_exclusive_group()
    by.add_argument(
        "--features",
        choices=["pretrained", "none"],
        default="pretrained",
        help="of the network that comes with geodl, for people and animals (default), or none: finer on other shapes",
    )
    by.add_argument("--weights", type=Path, help="of a FunctionalMapNet, whose features are taken instead")
    page.add_argument(
        "--transfer", type=Path, metavar="FILE", help="numbers at the vertices of shape 1 to carry to shape 2"
    )
    page.add_argument(
        "--kind",
        choices=["nearest", "precise", "functional"],
        help="of the transfer (precise if not given, nearest from a cloud)",
    )
    page.add_argument(
        "--repair",
        action="store_true",
        help="leave out what is wrong with the meshes first; numbers stay those of the files",
    )
    page.add_argument(
        "--html", action="store_true", help="write a page on which both shapes turn, linked under the mouse"
    )
    page.add_argument("-k", type=int, default=120, help="size of the functional map")
    page.add_argument("--cache", type=Path, help="folder of the cache (the user's cache folder if not given)")
    page.add_argument("--up", default="y", help="what points up in the picture: x, y, z, or -x, ...")
    page.add_argument("--no-picture", action="store_true", help="write no picture")
    page.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    from geodl.matching import SpectralShape, match

    out = chosen.out or free_name(Path(f"match-{chosen.shape_1.stem}-{chosen.shape_2.stem}"))
    with new_folder(out):
        paths = (chosen.shape_1, chosen.shape_2)
        numberings: list[Numbering] = []
        shapes: list[Any] = []
        for path in paths:
            shape, numbering = read_repaired(path) if chosen.repair else _as_it_is(path)
            shapes.append(shape)
            numberings.append(numbering)
        kind = _checked_choices(chosen, shapes[0])
        given: dict[str, Any] = {}
        if chosen.weights is not None:
            given["features"] = _network_features(chosen.weights)
        elif chosen.features != "none":
            given["features"] = chosen.features
        if chosen.landmarks is not None:
            given["landmarks"] = _pairs(chosen.landmarks, numberings)
        values = None if chosen.transfer is None else _values(chosen.transfer, numberings[0])
        cache, ready, began = users_cache(chosen.cache), [], time.perf_counter()
        for path, shape in zip(paths, shapes, strict=True):
            with stage(f"spectrum of {path.name}, {shape.pos.shape[0]} vertices"):
                ready.append(SpectralShape.of(shape, chosen.k, cache))
        prepared = time.perf_counter()
        with stage("matching"):
            found = match(ready[0], ready[1], chosen.k, **given)
        seconds = {"preparation": prepared - began, "matching": time.perf_counter() - prepared}
        one, two = numberings
        for name, p2p in (
            ("p2p_21.txt", two.to_file(one.old_of(found.p2p_21))),
            ("p2p_12.txt", one.to_file(two.old_of(found.p2p_12))),
        ):
            write(out / name, "".join(f"{vertex}\n" for vertex in p2p.tolist()))
        write(
            out / "match.json",
            json.dumps(_summary(chosen, numberings, found) | {"seconds": seconds}, indent=2) + "\n",
        )
        print(f"{chosen.shape_2.name} -> {chosen.shape_1.name}: {found.trust}")
        for note in found.notes:
            print(f"  {note}")
        print(
            f"{seconds['preparation']:.2f} s to prepare the shapes, {seconds['matching']:.2f} s to match them"
        )
        if values is not None:
            _transfer(found, values, kind, two, out)
        if chosen.html:
            _page(shapes, found.p2p_21, [path.name for path in paths], out / "match.html", chosen.up)
        if not chosen.no_picture:
            _picture(shapes, found.p2p_21, out / "match.png", chosen.up)
        written = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
        print(f"wrote {out}: {', '.join(written)}")


def _as_it_is(path: Path) -> tuple[Any, Numbering]:
    import torch

    shape = read_shape(path)
    return shape, Numbering(torch.arange(len(shape.pos)))


def _checked_choices(chosen: argparse.Namespace, shape_1: Any) -> str:
    """The kind of the transfer. What cannot be done is said before the minutes that matching takes."""
    cloud = getattr(shape_1, "face", None) is None
    if chosen.transfer is not None and chosen.kind == "precise" and cloud:
        raise ValueError("--kind precise needs faces, but shape 1 is a cloud: use nearest")
    if chosen.html or not chosen.no_picture:
        from geodl.viz.scene import View

        View.of(chosen.up)
    return chosen.kind or ("nearest" if cloud else "precise")


def _pairs(path: Path, numberings: list[Numbering]) -> list[tuple[int, int]]:
    index = read_index(path)
    if index.dim() != 2 or index.shape[1] != 2:
        raise ValueError(
            f"{path} must hold two vertices a line, one of each shape, not {list(index.shape)} numbers"
        )
    first, second = numberings
    return [(first.landmark(one, "shape 1"), second.landmark(two, "shape 2")) for one, two in index.tolist()]


def _values(path: Path, numbering: Numbering) -> Any:
    values = read_values(path)
    if len(values) != len(numbering.new):
        raise ValueError(f"{path} has {len(values)} lines but shape 1 has {len(numbering.new)} vertices")
    return values[numbering.old]


def _transfer(found: Any, values: Any, kind: str, numbering: Numbering, out: Path) -> None:
    import numpy as np

    whole = bool((values == values.round()).all())
    # Whole numbers are labels, and a mean of two labels is none of them.
    carried = found.transfer(values.long() if whole and kind != "functional" else values.double(), kind=kind)
    lines = [" ".join(map(str, np.atleast_1d(row))) + "\n" for row in numbering.to_file(carried).numpy()]
    write(out / "transferred.txt", "".join(lines))


def _page(shapes: list[Any], p2p_21: Any, names: list[str], path: Path, up: str) -> None:
    from geodl import viz

    viz.show(shapes, map=p2p_21, names=names, title=f"{names[1]} matched to {names[0]}", up=up).save(path)


def _picture(shapes: list[Any], p2p_21: Any, path: Path, up: str) -> None:
    """Both shapes, the second in the colours of what it is matched to. Without a renderer the rest still counts."""
    from geodl import viz

    if any(getattr(shape, "face", None) is None for shape in shapes):
        print("no picture: clouds are shown by --html", file=sys.stderr)
        return
    try:
        with stage("picture"):
            viz.correspondence(shapes[0], shapes[1], p2p_21, path, up=up)
    except (ImportError, RuntimeError) as error:
        print(f"no picture: {error}", file=sys.stderr)


def _network_features(weights: Path) -> Any:
    """Features of a shape by a trained network."""
    from geodl.data import InvariantSignal
    from geodl.models import FunctionalMapNet, load_weights, shape_features

    network = FunctionalMapNet(InvariantSignal.channels)
    load_weights(network, weights)
    return shape_features(network)


def _summary(chosen: argparse.Namespace, numberings: list[Numbering], found: Any) -> dict[str, Any]:
    return {
        "shape_1": chosen.shape_1.name,
        "shape_2": chosen.shape_2.name,
        "vertices": [len(numbering.new) for numbering in numberings],
        "meaning": "line j of p2p_21.txt is the vertex of shape 1 that vertex j of shape 2 is matched to, "
        "counted from 0 as in the files, -1 for none",
        "trust": found.trust.to_dict(),
        "notes": list(found.notes),
    }
