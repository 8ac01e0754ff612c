"""The geodl command: `geodl match A B`, `geodl precompute SHAPES` and `geodl cache`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geodl import __version__
from geodl.data import InvariantSignal, Mesh, OperatorCache, UnitArea, precompute
from geodl.data.formats import MESHES, is_hidden
from geodl.data.whole_file import whole_file
from geodl.matching import Match, SpectralShape, match
from geodl.models import FunctionalMapNet, load_weights


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; 0 if it succeeded, 1 if an input was no good (the message says which and why)."""
    chosen = arguments(argv)
    try:
        chosen.run(chosen)
    except (OSError, ValueError, IndexError, RuntimeError) as error:
        print(f"geodl: {error}", file=sys.stderr)
        return 1
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="geodl", description="Geometric deep learning on shapes.")
    parser.add_argument("--version", action="version", version=f"geodl {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("match", help="match two meshes, without training")
    one.add_argument("shape_1", type=Path, help="mesh file (off, obj, ply, stl)")
    one.add_argument("shape_2", type=Path, help="mesh file")
    one.add_argument("-o", "--out", type=Path, help="folder of the results (match-A-B if not given)")
    one.add_argument("--weights", type=Path, help="of a FunctionalMapNet, whose features make the first map")
    one.add_argument("-k", type=int, default=120, help="size of the functional map")
    one.add_argument("--cache", type=Path, help="folder of the cache (the user's cache folder if not given)")
    one.add_argument("--up", choices=["x", "y", "z"], default="y", help="axis that points up in the picture")
    one.add_argument("--no-picture", action="store_true", help="write no picture")
    one.set_defaults(run=run_match)

    many = commands.add_parser(
        "precompute",
        help="compute spectra and gradients of mesh files ahead, on all cores; under torchrun on all machines",
    )
    many.add_argument("shapes", type=Path, nargs="+", help="mesh files, or folders of them")
    many.add_argument("--cache", type=Path, help="folder of the cache (the user's cache folder if not given)")
    many.add_argument("-k", type=int, default=128, help="number of eigenpairs")
    many.add_argument("--workers", type=int, help="processes (the cores of this machine if not given)")
    many.set_defaults(run=run_precompute)

    kept = commands.add_parser("cache", help="show, verify or clear what is kept of shapes")
    kept.add_argument("action", choices=["show", "verify", "clear"], nargs="?", default="show")
    kept.add_argument("--cache", type=Path, help="folder of the cache (the user's cache folder if not given)")
    kept.set_defaults(run=run_cache)
    return parser.parse_args(argv)


def run_match(chosen: argparse.Namespace) -> None:
    """Writes the point maps, a picture, and how far they can be trusted."""
    out = chosen.out or Path(f"match-{chosen.shape_1.stem}-{chosen.shape_2.stem}")
    meshes = [Mesh.load(path) for path in (chosen.shape_1, chosen.shape_2)]
    features = None if chosen.weights is None else network_features(chosen.weights)
    found = match(meshes[0], meshes[1], chosen.k, features, users_cache(chosen.cache))
    out.mkdir(parents=True, exist_ok=True)
    for name, p2p in (("p2p_21.txt", found.p2p_21), ("p2p_12.txt", found.p2p_12)):
        write(out / name, "".join(f"{vertex}\n" for vertex in p2p.tolist()))
    write(out / "match.json", json.dumps(summary(chosen, meshes, found), indent=2) + "\n")
    print(f"{chosen.shape_2.name} -> {chosen.shape_1.name}: {found.trust}")
    for note in found.notes:
        print(f"  {note}")
    print(f"{found.seconds[0]:.2f} s to prepare the shapes, {found.seconds[1]:.2f} s to match them")
    if not chosen.no_picture:
        picture(meshes, found.p2p_21, out / "match.png", chosen.up)
    print(
        f"wrote {out}: "
        + ", ".join(sorted(path.name for path in out.iterdir() if not path.name.startswith(".")))
    )


def users_cache(folder: Path | None) -> OperatorCache | None:
    """The cache in a folder; none, which is said, where the user's own cannot be made."""
    try:
        return OperatorCache(folder)
    except OSError as error:
        if folder is not None:
            raise
        print(f"nothing is kept: {error}", file=sys.stderr)
        return None


class MeshFiles:
    """Mesh files as a set of shapes of unit area, as matching and training read them.

    The files of folders are those whose ending is that of a mesh.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = [file for path in paths for file in (self.inside(path) if path.is_dir() else [path])]
        if not self.paths:
            raise ValueError(f"no mesh files in {', '.join(map(str, paths))}: expected {', '.join(MESHES)}")
        self.names = [path.name for path in self.paths]

    @staticmethod
    def inside(folder: Path) -> list[Path]:
        return sorted(p for p in folder.iterdir() if p.suffix.lower() in MESHES and not is_hidden(p))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Mesh:
        unit: Mesh = UnitArea()(Mesh.load(self.paths[index]))
        return unit


def run_precompute(chosen: argparse.Namespace) -> None:
    """Puts the operators of mesh files into the cache; what is there already is not done again."""
    report = precompute(
        MeshFiles(chosen.shapes), OperatorCache(chosen.cache), chosen.k, workers=chosen.workers
    )
    print(report)
    if report.failed:
        raise ValueError(f"{len(report.failed)} of {report.shapes} shapes failed")


def run_cache(chosen: argparse.Namespace) -> None:
    """Tells what the cache holds, removes what is damaged, or everything."""
    cache = OperatorCache(chosen.cache)
    entries = cache.entries()
    if chosen.action == "clear":
        cache.clear()
        print(f"removed {len(entries)} entries from {cache.folder}")
        return
    if chosen.action == "verify":
        damaged = cache.verify()
        print(f"{len(entries) - len(damaged)} of {len(entries)} entries of {cache.folder} are whole")
        for name in damaged:
            print(f"  removed {name}: it was damaged")
        return
    size = sum(entry.bytes for entry in entries)
    print(
        f"{len(entries)} entries of {size / 2**20:.1f} MB in {cache.folder}, at most {cache.max_bytes / 2**20:.0f} MB"
    )
    for kind in sorted({entry.name.rpartition("-")[0] for entry in entries}):
        of = [entry for entry in entries if entry.name.rpartition("-")[0] == kind]
        last = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(entry.used for entry in of)))
        print(f"  {kind}: {len(of)}, {sum(entry.bytes for entry in of) / 2**20:.1f} MB, last used {last}")


def network_features(weights: Path) -> Any:
    """Features of a shape by a trained network."""
    network = FunctionalMapNet(InvariantSignal.channels)
    load_weights(network, weights)
    network.eval()
    signal = InvariantSignal()

    def features(shape: SpectralShape) -> Tensor:
        data = signal(Mesh(shape.mesh.pos, shape.mesh.face, spectrum=shape.spectrum, gradient=shape.gradient))
        with torch.inference_mode():
            made: Tensor = network(data.x, shape.spectrum, shape.gradient)
        return made.clone()

    return features


def summary(chosen: argparse.Namespace, meshes: list[Mesh], found: Match) -> dict[str, Any]:
    return {
        "shape_1": chosen.shape_1.name,
        "shape_2": chosen.shape_2.name,
        "vertices": [mesh.pos.shape[0] for mesh in meshes],
        "meaning": "line j of p2p_21.txt is the vertex of shape 1 that vertex j of shape 2 is matched to, counted from 0",
        "trust": found.trust.to_dict(),
        "notes": list(found.notes),
        "seconds": dict(zip(("preparation", "matching"), found.seconds, strict=True)),
    }


def picture(meshes: list[Mesh], p2p_21: Tensor, path: Path, up: str) -> None:
    """Both shapes, the second in the colours of what it is matched to. Without a renderer the rest still counts."""
    from geodl import viz

    try:
        viz.correspondence(meshes[0], meshes[1], p2p_21, path, up=up)
    except (ImportError, RuntimeError) as error:
        print(f"no picture: {error}", file=sys.stderr)


def write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
