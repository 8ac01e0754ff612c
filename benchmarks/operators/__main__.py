"""Times every operator beside its peers, in one run and on the same inputs.

    python -m benchmarks.operators [--device cpu] [--threads 2] [--seed 0] [--out DIR] [--only NAME ...]

An operator and its peers, also as torch.compile fuses them, are run in turn, warm (the transpose of the neighbourhoods is
cached, as in training), and the medians are compared. ``roofline`` is the fraction of the machine's speed that ours reaches: the
time that the unavoidable work would take (every input read and every output written once at the rate of a copy, or the arithmetic
at the rate of a matrix product, whichever is longer, both measured here) over the time it took. Memory is the peak during one
call above what was held before it, results included: resident memory on Linux (VmHWM, with every block returned to the
system as it is freed), the allocator's on a GPU. Peers that are not installed are left out, with a note. On a GPU compiled peers
are recorded as CUDA graphs as well, and ours stands beside itself compiled and recorded; a graph has memory of its own, which is
not counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.operators import aggregate, attention, edge_conv, patches, points, spectral
from benchmarks.operators.measure import Comparison, measure
from benchmarks.operators.sizes import FULL, Sizes
from benchmarks.result import command, portable, write_result

Comparisons = Callable[[torch.device, Sizes], Iterator[Comparison]]

FAMILIES: dict[str, dict[str, Comparisons]] = {
    "Aggregation": {"aggregate": aggregate.comparisons},
    "Patches": {"patch_gather": patches.gather, "patch_conv": patches.conv, "polar_conv": patches.polar},
    "Edge convolution": {"edge_conv": edge_conv.comparisons},
    "Attention": {"attention": attention.comparisons},
    "Filters of a Laplacian": {
        "chebyshev": spectral.polynomial,
        "bernstein": spectral.positive,
        "arma": spectral.moving_average,
    },
    "Points": {
        "knn": points.nearest,
        "radius": points.within,
        "farthest_points": points.farthest,
        "voxel_pool": points.voxels,
    },
}
OPERATORS = {name: comparisons for family in FAMILIES.values() for name, comparisons in family.items()}


def show(rows: Sequence[dict[str, Any]]) -> None:
    header = ["op", "work", "peer", "ours ms", "peer ms", "ratio", "roofline", "ours MB", "peer MB"]
    lines = [
        [
            row["op"],
            row["work"],
            row["peer"],
            f"{row['ours_ms']:.2f}",
            _number(row["peer_ms"], ".2f"),
            _number(row["ratio"], ".1f"),
            f"{100 * row['roofline']:.0f} %",
            _number(row["ours_mb"], ".0f"),
            _number(row["peer_mb"], ".0f"),
        ]
        for row in rows
    ]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        for line in [header, *lines]:
            print("  ".join(line))
        return
    table = Table(title="ratio: how many times faster than the peer")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i < 3 else "right", no_wrap=i > 2)
    for line in lines:
        table.add_row(*line)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def main(argv: Sequence[str] | None = None, sizes: Sizes = FULL) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder (default: benchmarks/results/operators-<device>)")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=OPERATORS, help=", ".join(OPERATORS))
    chosen = parser.parse_args(argv)
    if chosen.threads < 1:
        parser.error(f"--threads must be at least 1, not {chosen.threads}")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no CUDA device")
    torch.set_num_threads(chosen.threads)
    start = time.perf_counter()
    operators = {name: OPERATORS[name] for name in chosen.only or OPERATORS}
    families = {name: family for family, members in FAMILIES.items() for name in members}

    def keep(rows: list[dict[str, Any]]) -> Path:
        for row in rows:
            row["family"] = families[row["op"].split()[0]]
        return write_result(
            chosen.out or Path(__file__).parents[1] / "results" / f"operators-{chosen.device}",
            benchmark="operators",
            data="random graphs and clouds; a sphere of the size of a FAUST registration; a graph of Cora's shape",
            model="geodl.ops",
            rows=rows,
            seconds=time.perf_counter() - start,
            parameters={**asdict(sizes), "dtype": "float32"},
            seeds=[chosen.seed],
            command=portable(command(), chosen),
        )

    rows = measure(operators, torch.device(chosen.device), sizes, chosen.seed, keep)
    path = keep(rows)
    show(rows)
    print(path)


if __name__ == "__main__":
    main()
