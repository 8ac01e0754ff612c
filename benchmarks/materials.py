"""Six materials made anew: pictures to look at, by random filters and by the features of a trained network.

    python -m benchmarks.materials                        procedural exemplars and random filters
    python -m benchmarks.materials --exemplars FILE FILE  pictures of one's own
    python -m benchmarks.materials --squeezenet FILE      and by the features of SqueezeNet 1.0, whose weights are not downloaded: a
                                                          safetensors file with torchvision's names

For every exemplar: the sliced Wasserstein distance of patches to it, beside that of another piece of the same material.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.exemplars import six
from benchmarks.result import command, portable, write_result
from benchmarks.texture import crops
from geodl.models import SqueezeNet, load_weights
from geodl.synthesis import NetworkFeatures, sliced_wasserstein, synthesize
from geodl.viz import images

SIDE = 128
# Of SqueezeNet: the first convolution, and what every other module answers up to the second pooling.
LAYERS = ("features.1", "features.3", "features.5", "features.7")
OCTAVES = 3  # at which the network sees a picture


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.materials", description="Make materials.")
    parser.add_argument(
        "--exemplars", type=Path, nargs="+", help="pictures; six procedural ones if not given"
    )
    parser.add_argument("--squeezenet", type=Path, help="weights of SqueezeNet 1.0 (safetensors)")
    parser.add_argument("--steps", type=int, default=80, help="steps at each octave")
    parser.add_argument("--size", type=int, default=SIDE, help="side of the pictures, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("runs") / "materials", help="run folder")
    return parser.parse_args(argv)


def exemplars(chosen: argparse.Namespace) -> dict[str, tuple[Tensor, Tensor]]:
    """By name: a piece of the material, and another one."""
    side, seed = chosen.size, chosen.seed
    if chosen.exemplars:
        return {path.stem: crops(path, side, seed) for path in chosen.exemplars}
    others = six(side, seed + 1)
    return {name: (picture, others[name]) for name, picture in six(side, seed).items()}


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    console = Console()
    chosen.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    banks: dict[str, NetworkFeatures | None] = {"random filters": None}
    if chosen.squeezenet is not None:
        network = SqueezeNet()
        load_weights(network, chosen.squeezenet)
        banks["SqueezeNet"] = NetworkFeatures(network, LAYERS, OCTAVES).to(chosen.device)
    given = exemplars(chosen)
    made: list[Tensor] = [exemplar for exemplar, _ in given.values()]
    rows: list[dict[str, Any]] = []
    for kind, bank in banks.items():
        for name, (exemplar, other) in given.items():
            start = time.perf_counter()
            size = (chosen.size, chosen.size)
            found = synthesize(exemplar.to(chosen.device), size, bank, steps=chosen.steps, seed=chosen.seed)
            x = found.x.cpu()
            rows.append(
                {
                    "exemplar": name,
                    "features": kind,
                    "distance": sliced_wasserstein(exemplar, x),
                    "another_piece": sliced_wasserstein(exemplar, other),
                    "seconds": round(time.perf_counter() - start, 2),
                }
            )
            made.append(x)
            console.print(
                f"{name} by {kind}: distance {rows[-1]['distance']:.5f}, another piece "
                f"{rows[-1]['another_piece']:.5f}; {rows[-1]['seconds']:.0f} s"
            )
    titles = [*given] + [f"by {kind}" for kind in banks for _ in given]
    images(made, chosen.out / "materials.png", titles=titles, columns=len(given))
    path = write_result(
        chosen.out,
        benchmark="materials",
        data=", ".join(given),
        model=", ".join(banks),
        metrics={
            "distance": statistics.mean(row["distance"] for row in rows),
            "another_piece": statistics.mean(row["another_piece"] for row in rows),
            "rows": rows,
        },
        seconds=time.perf_counter() - began,
        parameters={"size": chosen.size, "steps": chosen.steps},
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )
    console.print(f"wrote {path} and pictures beside it")


if __name__ == "__main__":
    main()
