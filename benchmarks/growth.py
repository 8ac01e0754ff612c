"""How time and memory of the operators on graphs grow with the number of edges.

    python -m benchmarks.growth [--device cpu] [--threads 2] [--seed 0] [--out DIR]

Forward, and forward + backward, on graphs of degree 16 with 64 channels, from ten thousand edges to ten million: nanoseconds an
edge, which stay the same where the time is proportional to the edges, and the ratio of the greatest to the least of them. Twice:
with neighbours that are near in memory, as on a mesh, and with neighbours drawn from all nodes, where a large graph waits
for memory at every edge, whoever computes. Two functions of PyTorch show what neither grows by less nor costs less: a product by 1,
whose gradient costs what autograd does, and the reading of all neighbours' rows and nothing else.
Then the peak of memory of one forward + backward over ten million edges with 64 channels, each in a process of its own,
all of whose resident memory counts (VmHWM; on a GPU the peak of the allocator). Writes result.json and growth.png.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.operators.graphs import near_graph, random_graph
from benchmarks.operators.measure import Call, Run, keep_freed_memory, milliseconds, peak_resident, step
from benchmarks.result import command, portable, write_result
from geodl.ops import BatchNorm, Neighbors, aggregate, attention, chebyshev, edge_conv, patch_conv

DEGREE, CHANNELS, WINDOWS, POWERS, HEADS = 16, 64, 4, 4, 8
EDGES = tuple(round(10 ** (4 + step / 2)) for step in range(7))
PASSES = 9  # through all sizes, so that a time in which the machine is slow is no size's alone
SECONDS = 0.1  # how long one size of one operator is repeated in one pass


@dataclass(frozen=True)
class Sizes:
    edges: Sequence[int] = EDGES
    peak_edges: int = EDGES[-1]
    seconds: float = SECONDS


def aggregation(reduce: str) -> Callable[[Neighbors, int], Call]:
    def call(neighbors: Neighbors, channels: int) -> Call:
        x = torch.randn(neighbors.num_src, channels, device=neighbors.device)
        return Call(lambda x: aggregate(x, neighbors, reduce=reduce), [x])

    return call


def edge_convolution(neighbors: Neighbors, channels: int) -> Call:
    x = torch.randn(neighbors.num_src, channels, device=neighbors.device)
    weight = torch.randn(2 * channels, channels, device=x.device)
    scale, shift = torch.ones(channels, device=x.device), torch.zeros(channels, device=x.device)

    def ours(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return edge_conv(x, neighbors, weight, norm=BatchNorm(weight=scale, bias=shift, training=True))

    return Call(ours, [x, weight, scale, shift])


def attended(neighbors: Neighbors, channels: int) -> Call:
    nodes, device = neighbors.num_src, neighbors.device
    heads = min(HEADS, channels)
    x = torch.randn(nodes, heads, channels // heads, device=device)
    scores = [torch.randn(nodes, heads, device=device) for _ in range(2)]
    return Call(lambda x, source, target: attention(x, neighbors, source, target), [x, *scores])


def patch_convolution(neighbors: Neighbors, channels: int) -> Call:
    x = torch.randn(neighbors.num_src, channels, device=neighbors.device)
    weight = torch.rand(neighbors.num_edges, WINDOWS, device=x.device)
    filters = torch.randn(WINDOWS, channels, channels, device=x.device)
    return Call(lambda x, weight, filters: patch_conv(x, neighbors, weight, filters), [x, weight, filters])


def polynomial(neighbors: Neighbors, channels: int) -> Call:
    x = torch.randn(neighbors.num_src, channels, device=neighbors.device)
    laplacian = torch.full((neighbors.num_edges,), -1 / DEGREE, device=x.device)
    filters = torch.randn(POWERS, channels, channels, device=x.device)
    return Call(lambda x, filters: chebyshev(x, neighbors, laplacian, filters), [x, filters])


OPERATORS: dict[str, Callable[[Neighbors, int], Call]] = {
    "aggregate sum": aggregation("sum"),
    "aggregate max": aggregation("max"),
    "edge_conv": edge_convolution,
    "attention": attended,
    "patch_conv": patch_convolution,
    "chebyshev": polynomial,
}


def product_by_one(neighbors: Neighbors, channels: int) -> Run:
    x = torch.randn(neighbors.num_dst, channels, device=neighbors.device)
    return step(Call(lambda x: x * 1.0, [x]), backward=True)


def reading(neighbors: Neighbors, channels: int) -> Run:
    x = torch.randn(neighbors.num_src, channels, device=neighbors.device)
    rows = x.new_empty(neighbors.num_edges, channels)
    return lambda: torch.index_select(x, 0, neighbors.col, out=rows)


CONTROLS: dict[str, Callable[[Neighbors, int], Run]] = {
    "PyTorch: x * 1.0": product_by_one,
    "PyTorch: index_select, forward": reading,
}
# What patch_conv is given is larger than all that it computes: a weight an edge and window.
MEASURED = ("aggregate sum", "aggregate max", "edge_conv", "attention")


GRAPHS = {"near": near_graph, "random": random_graph}


def nanoseconds(
    name: str, graph: str, edges: Sequence[int], seconds: float, device: torch.device
) -> list[list[float]]:
    """Times an edge for every number of edges, of forward and of forward + backward; of a control, its one.

    Each is the median of its quietest pass: what else a machine does, or the host of a virtual one, delays short calls
    more than long ones.
    """
    graphs = [GRAPHS[graph](size // DEGREE, DEGREE, device) for size in edges]
    ways: list[list[Run]] = []
    for neighbors in graphs:
        if name in CONTROLS:
            ways.append([CONTROLS[name](neighbors, CHANNELS)])
        else:
            call = OPERATORS[name](neighbors, CHANNELS)
            # Forward is not a `step`: the inputs ask for no gradient, so it need not pay for no_grad.
            ways.append([partial(call.function, *call.inputs), step(call, backward=True)])
    quietest = {run: math.inf for runs in ways for run in runs}
    for _ in range(PASSES):
        for run in quietest:
            run()  # brings what the size before drove out of the caches
            start, times = time.perf_counter(), [milliseconds(run, device)]
            while time.perf_counter() - start < seconds:
                times.append(milliseconds(run, device))
            quietest[run] = min(quietest[run], statistics.median(times))
    return [
        [1e6 * quietest[run] / neighbors.num_edges for run in runs]
        for runs, neighbors in zip(ways, graphs, strict=True)
    ]


def of_edges(edges: Sequence[int], times: Sequence[float]) -> dict[str, Any]:
    """Times an edge by the number of edges, and how much they differ."""
    return {
        "ns_per_edge": {str(size): round(taken, 3) for size, taken in zip(edges, times, strict=True)},
        "max_over_min": round(max(times) / min(times), 2),
    }


def peak(name: str, edges: int, device: torch.device) -> dict[str, float]:
    """Megabytes: what is resident before a forward + backward, inputs included, and at its peak."""
    neighbors = random_graph(edges // DEGREE, DEGREE, device)
    run = step(OPERATORS[name](neighbors, CHANNELS), backward=True)
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        run()
        return {"inputs_mb": before / 1e6, "peak_mb": torch.cuda.max_memory_allocated(device) / 1e6}
    before = _resident()
    run()
    return {"inputs_mb": before / 1e6, "peak_mb": peak_resident() / 1e6}


def peak_in_a_process(name: str, edges: int, chosen: argparse.Namespace) -> dict[str, float]:
    options = ["--peak", name, "--edges", str(edges), "--threads", str(chosen.threads)]
    options += ["--device", chosen.device, "--seed", str(chosen.seed)]
    line = [sys.executable, "-m", "benchmarks.growth", *options]
    root = Path(__file__).parents[1]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} over {edges:,} edges failed: {done.stderr}")
    inputs, most = done.stdout.split()[-2:]
    return {"inputs_mb": round(float(inputs), 1), "peak_mb": round(float(most), 1)}


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def draw(growth: dict[str, dict[str, Any]], path: Path) -> None:
    """Nanoseconds an edge over the number of edges, forward and forward + backward."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, way in zip(figure.subplots(1, 2, sharey=True), ("forward", "forward + backward"), strict=True):
        for number, name in enumerate(OPERATORS):
            for graph, style in zip(GRAPHS, ("-", ":"), strict=True):
                found = growth[name][graph]
                times = (found["forward"] if way == "forward" else found)["ns_per_edge"]
                edges = [int(size) for size in times]
                label = name if style == "-" else None
                axes.loglog(edges, list(times.values()), style, color=f"C{number}", label=label)
        axes.set(xlabel="edges", title=way)
        axes.grid(alpha=0.3, which="both")
    figure.axes[0].set_ylabel("ns an edge")
    figure.axes[0].legend(fontsize="small")
    figure.suptitle(f"Degree {DEGREE}, {CHANNELS} channels; dotted: neighbours drawn from all nodes")
    figure.savefig(path, dpi=150)


def main(argv: Sequence[str] | None = None, sizes: Sizes | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder (default: benchmarks/results/growth-<device>)")
    parser.add_argument(
        "--peak", choices=OPERATORS, help="measure the memory of this operator alone, in this process"
    )
    parser.add_argument("--edges", type=int, default=EDGES[-1], help="with --peak")
    chosen = parser.parse_args(argv)
    if chosen.threads < 1:
        parser.error(f"--threads must be at least 1, not {chosen.threads}")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no CUDA device")
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    device = torch.device(chosen.device)
    if chosen.peak:
        print(*peak(chosen.peak, chosen.edges, device).values())
        return

    keep_freed_memory()  # or results that are large cost what the system takes for new pages, whoever computes
    sizes = sizes or Sizes()
    start = time.perf_counter()
    growth: dict[str, dict[str, Any]] = {}
    for name in (*OPERATORS, *CONTROLS):
        found: dict[str, Any] = {}
        for graph in GRAPHS:
            times = nanoseconds(name, graph, sizes.edges, sizes.seconds, device)
            *forward, both = ([taken[way] for taken in times] for way in range(len(times[0])))
            found[graph] = of_edges(sizes.edges, both)
            if forward:
                found[graph]["forward"] = of_edges(sizes.edges, *forward)
            print(f"{name:30} {graph:7} {min(both):7.2f} to {max(both):7.2f} ns an edge", flush=True)
        if name in MEASURED:
            found |= peak_in_a_process(name, sizes.peak_edges, chosen)
        growth[name] = found
        if name in MEASURED:
            print(f"{name:14} {found['peak_mb']:,.0f} MB at {sizes.peak_edges:,} x {CHANNELS}", flush=True)
    out = chosen.out or Path(__file__).parent / "results" / f"growth-{chosen.device}"
    path = write_result(
        out,
        benchmark="growth",
        data=f"graphs of degree {DEGREE}, neighbours near in memory and random",
        model="geodl.ops",
        metrics=growth,
        seconds=time.perf_counter() - start,
        parameters={
            "degree": DEGREE,
            "channels": CHANNELS,
            "edges_of_memory": sizes.peak_edges,
            "windows": WINDOWS,
            "powers": POWERS,
            "dtype": "float32",
        },
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )
    draw(growth, out / "growth.png")
    print(path)


if __name__ == "__main__":
    main()
