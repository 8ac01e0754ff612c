"""Evaluates a trained network, or matching without training, on another set than it was trained on.

python -m benchmarks.transfer --data SCAPE --root PATH --weights runs/faust-remeshed-fmaps-unsupervised-seed0/weights.safetensors
python -m benchmarks.transfer --data SHREC19 --root PATH          without training
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from benchmarks.matched_pairs import errors, judged, refine
from benchmarks.result import command, portable, write_result
from geodl import datasets
from geodl.data import InvariantSignal, OperatorCache, SpectralOperators, UnitArea
from geodl.datasets import CorrespondenceSet
from geodl.matching import MatchedPair, SpectralShape, match
from geodl.models import FunctionalMapNet, load_weights

SETS = ("FAUST", "SCAPE", "SHREC19", "TOSCA", "SMAL", "DT4D")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description="Match another set.")
    parser.add_argument("--data", choices=SETS, required=True)
    parser.add_argument("--root", type=Path, required=True, help="folder of the set")
    parser.add_argument(
        "--weights", type=Path, help="of a FunctionalMapNet; matched without training if not given"
    )
    parser.add_argument(
        "--pairs", type=int, help="how many of the set's test pairs, evenly chosen; all if not given"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cache", type=Path, help="folder of the computed spectra")
    parser.add_argument("--out", type=Path, help="folder of the result (runs/transfer-DATA if not given)")
    chosen = parser.parse_args(argv)
    chosen.out = chosen.out or Path("runs") / f"transfer-{chosen.data}"
    return chosen


def shapes(name: str, root: Path) -> CorrespondenceSet:
    """The test shapes of a set."""
    if name == "FAUST":
        return datasets.FAUST(root, "remeshed", "test")
    made = getattr(datasets, name)
    found: CorrespondenceSet = made(root) if name in ("SHREC19", "TOSCA") else made(root, split="test")
    return found


def by_features(
    pairs: list[Any], chosen: argparse.Namespace, count: list[int]
) -> dict[str, list[MatchedPair]]:
    """Nearest neighbours of the network's features, and ZoomOut from there."""
    network = FunctionalMapNet(InvariantSignal.channels)
    load_weights(network, chosen.weights)
    network = network.to(chosen.device).eval()
    count.append(sum(parameter.numel() for parameter in network.parameters()))
    operators, signal = SpectralOperators(OperatorCache(chosen.cache)), InvariantSignal()
    ready: dict[str, Any] = {}
    plain, refined = [], []
    for pair in track(pairs, "matching"):
        for mesh in (pair.source, pair.target):
            if mesh.name not in ready:
                made = signal(operators(UnitArea()(mesh.clone())))
                with torch.inference_mode():
                    made.features = network(
                        made.x.to(chosen.device),
                        made.spectrum.to(chosen.device),
                        made.gradient.to(chosen.device),
                    ).cpu()
                ready[mesh.name] = made
        one, two = ready[pair.target.name], ready[pair.source.name]
        found = network.point_map(one.features.clone(), two.features.clone())
        plain.append(judged(pair, found))
        refined.append(judged(pair, refine(found, one.spectrum, two.spectrum, two.pos)))
    return {"none": plain, "ZoomOut": refined}


def without_training(pairs: list[Any]) -> dict[str, list[MatchedPair]]:
    ready: dict[str, SpectralShape] = {}
    matched = []
    for pair in track(pairs, "matching"):
        for mesh in (pair.source, pair.target):
            if mesh.name not in ready:
                ready[mesh.name] = SpectralShape.of(mesh)
        matched.append(judged(pair, match(ready[pair.target.name], ready[pair.source.name]).p2p_21))
    return {"ZoomOut": matched}


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    began = time.perf_counter()
    every = shapes(chosen.data, chosen.root).pairs()
    step = max(1, len(every) // (chosen.pairs or len(every)))
    pairs = [every[k] for k in range(0, len(every), step)][: chosen.pairs]
    count: list[int] = []
    matched = by_features(pairs, chosen, count) if chosen.weights else without_training(pairs)
    rows, reports = errors(matched)
    first = next(iter(reports.values()))
    write_result(
        chosen.out,
        benchmark="transfer",
        data=chosen.data,
        model="FunctionalMapNet" if chosen.weights else "zoomout",
        metrics={
            "pairs": len(pairs),
            "points": first.points,
            "mean_error_x100": first.mean_error,
            "errors": rows,
        },
        seconds=time.perf_counter() - began,
        parameters=sum(count),
        seeds=[chosen.seed],
        command=portable(command(), chosen).replace(str(chosen.weights), "WEIGHTS"),
    )
    console = Console()
    for row in rows:
        console.print(row)
    console.print(f"wrote {chosen.out}")


if __name__ == "__main__":
    main()
