"""Times every operator beside its peers, in one run and on the same inputs.

    python -m benchmarks.operators [--device cpu] [--threads 2] [--seed 0] [--out DIR]

Each pair is run in turn, ours and the peer's, warm (the transpose of the neighbourhoods is cached, as in training), and
the medians are compared. ``roofline`` is the fraction of the machine's speed that ours reaches: the time that the
unavoidable work would take (every input read and every output written once at the rate of a copy, or the arithmetic at the
rate of a matrix product, whichever is longer, both measured here) over the time it took. Memory is the peak during one
call above what was held before it, results included: resident memory on Linux (VmHWM, with every block returned to the
system as it is freed), the allocator's on a GPU.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.spatial import KDTree
from torch import Tensor
from torch_geometric.utils import scatter

from benchmarks.result import command, write_result
from geodl.ops import Neighbors, PolarWindows, aggregate, patch_conv, patch_gather, polar_conv, use_backend

Run = Callable[[], Any]

NODES, DEGREE, CHANNELS = 50_000, 16, 64
VERTICES, PATCH, RINGS, RAYS, WIDTH = 6890, 60, 5, 8, 32
SECONDS = 4.0  # how long one pair is repeated, if that gives enough rounds
ROUNDS = (3, 30)


@dataclass
class Comparison:
    """One row of the table: two functions that do the same work, and the least that it takes (bytes and flops)."""

    op: str
    work: str
    peer: str
    ours: Run
    theirs: Run
    traffic: float
    flops: float


# --- what is compared -----------------------------------------------------------------------------------------


def comparisons(device: torch.device) -> Iterator[Comparison]:
    yield from aggregations(device)
    yield from patches(device)


def aggregations(device: torch.device) -> Iterator[Comparison]:
    """Random graph, against what MessagePassing of PyTorch Geometric does, and against a sparse matrix product."""
    # One neighbour from each of DEGREE ranges of nodes: columns ascend and differ, as torch.sparse asks for.
    ranges = torch.arange(DEGREE, device=device) * (NODES // DEGREE)
    src = (ranges + torch.randint(NODES // DEGREE, (NODES, DEGREE), device=device)).flatten()
    dst = torch.arange(NODES, device=device).repeat_interleave(DEGREE)
    neighbors = Neighbors.from_edge_index(torch.stack([src, dst]), NODES)
    x = torch.randn(NODES, CHANNELS, device=device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        ones = torch.ones_like(src, dtype=x.dtype)
        matrix = torch.sparse_csr_tensor(neighbors.rowptr, neighbors.col, ones, check_invariants=True)
    size = f"{NODES:,} x {DEGREE} x {CHANNELS}"
    signal, structure = 4.0 * x.numel(), 8.0 * (src.numel() + NODES)
    flops = 2.0 * src.numel() * CHANNELS

    for reduce in ("sum", "mean", "max", "min"):

        def ours(x: Tensor, reduce: str = reduce) -> Tensor:
            return aggregate(x, neighbors, reduce=reduce)

        def pyg(x: Tensor, reduce: str = reduce) -> Tensor:
            out: Tensor = scatter(x[src], dst, dim_size=NODES, reduce=reduce)
            return out

        def csr(x: Tensor) -> Tensor:
            return torch.mm(matrix, x)

        # An extremum writes which edge it took and reads it again: as many bytes as the signal.
        selection = signal if reduce in ("max", "min") else 0.0
        peers = {"torch_geometric scatter": pyg} | ({"torch.sparse CSR": csr} if reduce == "sum" else {})
        for peer, theirs in peers.items():
            once = 2 * signal + structure
            for work, least, backward in (("forward", once, False), ("forward + backward", 2 * once, True)):
                yield Comparison(
                    f"aggregate {reduce}",
                    f"{size}, {work}",
                    peer,
                    step(ours, [x], backward),
                    step(theirs, [x], backward),
                    least + selection * (2 if backward else 1),
                    flops * (2 if backward else 1),
                )


def patches(device: torch.device) -> Iterator[Comparison]:
    """Patches of the size of a FAUST mesh, against this library's own definition in PyTorch."""
    windows = RINGS * RAYS
    near = nearest(device)
    x = torch.randn(VERTICES, WIDTH, device=device)
    filters = torch.randn(windows, WIDTH, WIDTH, device=device) / math.sqrt(windows * WIDTH)
    size = f"{VERTICES:,} vertices, {WIDTH} to {WIDTH} channels"

    rows = Neighbors(torch.arange(VERTICES + 1, device=device) * PATCH, near.flatten(), VERTICES)
    weight = torch.rand(rows.num_edges, windows, device=device)
    gathered, signal = 4.0 * VERTICES * windows * WIDTH, 4.0 * x.numel()
    gather_flops, filter_flops = 2.0 * weight.numel() * WIDTH, 2.0 * VERTICES * windows * WIDTH * WIDTH
    dense = f"{size}, {PATCH} neighbours x {windows} windows (dense)"
    yield from against_reference(
        "patch_gather",
        f"{size.split(' to ')[0]} channels, {PATCH} neighbours x {windows} windows (dense)",
        lambda x: patch_gather(x, rows, weight),
        [x],
        signal + 4.0 * weight.numel() + gathered,
        gather_flops,
    )
    yield from against_reference(
        "patch_conv",
        dense,
        lambda x, filters: patch_conv(x, rows, weight, filters),
        [x, filters],
        2 * signal + 4.0 * weight.numel(),
        gather_flops + filter_flops,
    )

    template = barycentric_windows(near)
    edges = template.neighbors.num_edges
    # Over the rays the filters are circulant: a Fourier transform leaves one product for each of the two real
    # frequencies and three for each of the complex ones.
    products = 2 + 3 * (RAYS // 2 - 1)
    yield from against_reference(
        "polar_conv",
        f"{size}, {RINGS} rings x {RAYS} rays, 3 corners a template point, {RAYS} rotations, max",
        lambda x, filters: polar_conv(x, template, filters),
        [x, filters.view(RINGS, RAYS, WIDTH, WIDTH)],
        2 * signal + 20.0 * edges,
        2.0 * edges * WIDTH + 2.0 * VERTICES * RINGS * WIDTH * WIDTH * products,
    )


def against_reference(
    op: str, size: str, call: Callable[..., Tensor], leaves: Sequence[Tensor], traffic: float, flops: float
) -> Iterator[Comparison]:
    # The gradient of each of a product's factors costs as much as the product.
    for work, factor, backward in (("forward", 1, False), ("forward + backward", 1 + len(leaves), True)):
        run = step(call, leaves, backward)

        def theirs(run: Run = run) -> None:
            with use_backend("reference"):
                run()

        yield Comparison(
            op, f"{size}, {work}", "geodl reference", run, theirs, factor * traffic, factor * flops
        )


def step(call: Callable[..., Tensor], inputs: Sequence[Tensor], backward: bool) -> Run:
    """One evaluation, or one evaluation and the gradients of all inputs."""
    leaves = [tensor.detach().requires_grad_(backward) for tensor in inputs]
    with torch.no_grad():
        gradient = torch.randn_like(call(*leaves)) if backward else None

    def run() -> Any:
        out = call(*leaves)
        return torch.autograd.grad(out, leaves, gradient) if backward else out

    return run


def nearest(device: torch.device) -> Tensor:
    """The nearest points of every point of a sphere, evenly covered along a spiral, ``[V, PATCH]``."""
    i = torch.arange(VERTICES, dtype=torch.float64)
    height, turn = 1 - (2 * i + 1) / VERTICES, i * math.pi * (3 - math.sqrt(5))
    radius = (1 - height.square()).sqrt()
    points = torch.stack([radius * turn.cos(), radius * turn.sin(), height], dim=1).numpy()
    return torch.from_numpy(KDTree(points).query(points, k=PATCH)[1]).to(device)


def barycentric_windows(near: Tensor) -> PolarWindows:
    """For every template point the corners of some triangle of the patch, with weights that sum to one."""
    windows = RINGS * RAYS
    corners = torch.randint(PATCH, (VERTICES, windows * 3), device=near.device)
    weight = torch.rand(VERTICES, windows, 3, device=near.device)
    weight = weight / weight.sum(-1, keepdim=True)
    rowptr = torch.arange(VERTICES + 1, device=near.device) * windows * 3
    neighbors = Neighbors(rowptr, near.gather(1, corners).flatten(), VERTICES)
    index = torch.arange(windows, device=near.device).repeat_interleave(3).repeat(VERTICES)
    return PolarWindows(neighbors, weight.view(-1, 1), index.view(-1, 1), RINGS, RAYS)


# --- how it is measured ---------------------------------------------------------------------------------------


def milliseconds(run: Run, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1e3 * (time.perf_counter() - start)


def interleaved(runs: Sequence[Run], device: torch.device) -> list[float]:
    """Median time of each, run in turn, so that what disturbs the machine disturbs all alike."""
    for run in runs:
        milliseconds(run, device)
    times: list[list[float]] = [[] for _ in runs]
    start = time.perf_counter()
    while len(times[0]) < ROUNDS[0] or (len(times[0]) < ROUNDS[1] and time.perf_counter() - start < SECONDS):
        for run, found in zip(runs, times, strict=True):
            found.append(milliseconds(run, device))
    return [statistics.median(found) for found in times]


def roof(device: torch.device) -> tuple[float, float]:
    """Bytes a millisecond of a copy, and flops a millisecond of a matrix product in float32."""
    source = torch.zeros(1 << 26, device=device)
    target = torch.empty_like(source)
    square = torch.randn(2048, 2048, device=device)
    copy, product = interleaved([lambda: target.copy_(source), lambda: square @ square], device)
    return 8.0 * source.numel() / copy, 2.0 * 2048**3 / product


def return_freed_memory() -> None:
    """From now on glibc returns every freed block to the system, so that resident memory is what is in use."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mmap_threshold, trim_threshold = -3, -1
    mallopt(mmap_threshold, 1 << 16)
    mallopt(trim_threshold, 1 << 16)


def peak_megabytes(run: Run, device: torch.device) -> float | None:
    """Peak of memory during one call above what is held before it; None where the system does not say."""
    if device.type == "cuda":
        held = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - held) / 1e6
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to what is resident now
        held = _peak_resident()
        run()
        return (_peak_resident() - held) / 1e6
    except OSError:
        return None


def _peak_resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


# --- the script -----------------------------------------------------------------------------------------------


def measure(device: torch.device, seed: int) -> list[dict[str, Any]]:
    bandwidth, rate = roof(device)
    print(f"copy {bandwidth / 1e6:.1f} GB/s, matrix product {rate / 1e6:.1f} GFLOP/s")
    torch.manual_seed(seed)
    rows: list[dict[str, Any]] = []
    for pair in comparisons(device):
        ours, theirs = interleaved([pair.ours, pair.theirs], device)
        least = max(pair.traffic / bandwidth, pair.flops / rate)
        rows.append(
            {
                "op": pair.op,
                "work": pair.work,
                "peer": pair.peer,
                "ours_ms": round(ours, 3),
                "peer_ms": round(theirs, 3),
                "ratio": round(theirs / ours, 2),
                "roofline": round(least / ours, 3),
            }
        )
        print(".", end="", flush=True)
    print()
    # Memory comes second: giving every block back makes the next call slower.
    return_freed_memory()
    torch.manual_seed(seed)
    for row, pair in zip(rows, comparisons(device), strict=True):
        for name, run in (("ours_mb", pair.ours), ("peer_mb", pair.theirs)):
            run()
            megabytes = peak_megabytes(run, device)
            row[name] = None if megabytes is None else round(megabytes, 1)
    return rows


def show(rows: Sequence[dict[str, Any]]) -> None:
    header = ["op", "work", "peer", "ours ms", "peer ms", "ratio", "roofline", "ours MB", "peer MB"]
    lines = [
        [
            row["op"],
            row["work"],
            row["peer"],
            f"{row['ours_ms']:.2f}",
            f"{row['peer_ms']:.2f}",
            f"{row['ratio']:.1f}",
            f"{100 * row['roofline']:.0f} %",
            *("-" if row[name] is None else f"{row[name]:.0f}" for name in ("ours_mb", "peer_mb")),
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
        table.add_column(name, justify="left" if i < 3 else "right")
    for line in lines:
        table.add_row(*line)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder (default: benchmarks/results/operators-<device>)")
    chosen = parser.parse_args()
    if chosen.threads < 1:
        parser.error(f"--threads must be at least 1, not {chosen.threads}")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no CUDA device")
    torch.set_num_threads(chosen.threads)
    start = time.perf_counter()
    rows = measure(torch.device(chosen.device), chosen.seed)
    show(rows)
    path = write_result(
        chosen.out or Path(__file__).parent / "results" / f"operators-{chosen.device}",
        benchmark="operators",
        data="random graph; synthetic patches of the size of a FAUST registration",
        model="geodl.ops",
        rows=rows,
        seconds=time.perf_counter() - start,
        parameters={
            "nodes": NODES,
            "degree": DEGREE,
            "channels": CHANNELS,
            "vertices": VERTICES,
            "dtype": "float32",
        },
        seeds=[chosen.seed],
        command=command(),
    )
    print(path)


if __name__ == "__main__":
    main()
