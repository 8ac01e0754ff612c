"""What a call costs before it computes: operators on eight points, beside `x * 1.0`.

    python -m benchmarks.host [--device cpu] [--launches] [--threads 1] [--seed 0] [--out DIR]

A graph of eight points is as good as no work: what is timed is the way to the kernel and back. Operators are run in turn, in
seven passes; a pass takes the median of its calls, and the least of the seven counts. Ratios are to PyTorch's `x * 1.0`, run in
the same way and the same turn: forward without gradients, and forward + backward (`torch.autograd.grad`, the gradient of the
result given). On a GPU nobody waits for the device until a pass has ended, so that the time is the host's alone. With --launches
operators take their way to a GPU where there is none, up to launches that do nothing. They are run twice more, without launches
and with Triton's own, `kernel[grid](...)`: what the first run takes less is what launches cost (`launches_us`, and of Triton's own
`triton_us`).
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.launches import by_triton, doing_nothing, left_out
from benchmarks.operators.measure import Call, Run, step
from benchmarks.result import command, portable, write_result
from geodl.ops import (
    BatchNorm,
    Neighbors,
    PolarWindows,
    aggregate,
    arma,
    attention,
    bernstein,
    cayley,
    chebyshev,
    edge_conv,
    farthest_points,
    from_basis,
    heat_diffuse,
    knn,
    patch_conv,
    patch_gather,
    polar_conv,
    radius,
    to_basis,
    voxel_pool,
)

POINTS, DEGREE, CHANNELS, WINDOWS, POWERS, HEADS = 8, 4, 8, 4, 3, 2
PASSES, CALLS = 7, 500
WAYS = ("forward", "forward + backward")
CONTROL = "PyTorch: x * 1.0"


def ring(device: torch.device) -> Neighbors:
    """Eight points in a circle, each of which reads two on either side: its own transpose, as a Laplacian is."""
    points = torch.arange(POINTS, device=device)
    offsets = torch.tensor([-2, -1, 1, 2], device=device)
    col = (points[:, None] + offsets).remainder(POINTS).flatten()
    return Neighbors(torch.arange(POINTS + 1, device=device) * DEGREE, col, POINTS)


def differentiable(device: torch.device) -> dict[str, Call]:
    """Operators with gradients, and what they are called with."""

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, device=device)

    neighbors = ring(device)
    edges = neighbors.num_edges
    x, evecs = random(POINTS, CHANNELS), random(POINTS, WINDOWS)
    ptr, mass, evals = torch.tensor([0, POINTS], device=device), random(POINTS).exp(), random(WINDOWS).abs()
    laplacian = torch.full((edges,), -1 / DEGREE, device=device)
    filters = random(POWERS, CHANNELS, CHANNELS)
    zoom, weight = torch.ones((), device=device), random(edges, WINDOWS)
    scores = (random(POINTS, HEADS), random(POINTS, HEADS))
    turning = PolarWindows(neighbors, weight, None, rings=1, rays=WINDOWS)

    def normalised(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        return edge_conv(x, neighbors, weight, norm=BatchNorm(weight=scale, bias=shift, training=True))

    def filtered(operator: Callable[..., Tensor]) -> Call:
        return Call(
            lambda x, filters: operator(x, neighbors, laplacian, filters, symmetric=True), [x, filters]
        )

    return {
        "aggregate sum": Call(lambda x: aggregate(x, neighbors), [x]),
        "aggregate sum, weighted": Call(lambda x, w: aggregate(x, neighbors, w), [x, random(edges)]),
        "aggregate mean": Call(lambda x: aggregate(x, neighbors, reduce="mean"), [x]),
        "aggregate max": Call(lambda x: aggregate(x, neighbors, reduce="max"), [x]),
        "attention": Call(
            lambda x, *scores: attention(x, neighbors, *scores),
            [random(POINTS, HEADS, CHANNELS // HEADS), *scores],
        ),
        "edge_conv": Call(
            lambda x, weight: edge_conv(x, neighbors, weight), [x, random(2 * CHANNELS, CHANNELS)]
        ),
        "edge_conv, batch norm": Call(
            normalised,
            [x, random(2 * CHANNELS, CHANNELS), torch.ones(CHANNELS, device=device), random(CHANNELS)],
        ),
        "chebyshev": filtered(chebyshev),
        "bernstein": filtered(bernstein),
        "arma": Call(
            lambda x, a, w, v: arma(x, neighbors, laplacian, a, w, v, 2, torch.relu, symmetric=True),
            [x, *(random(1, CHANNELS, CHANNELS) for _ in range(3))],
        ),
        "cayley": Call(
            lambda x, filters: cayley(x, neighbors, laplacian, filters, zoom, symmetric=True),
            [x, filters],
        ),
        "patch_gather": Call(lambda x, weight: patch_gather(x, neighbors, weight), [x, weight]),
        "patch_conv": Call(
            lambda x, weight, filters: patch_conv(x, neighbors, weight, filters),
            [x, weight, random(WINDOWS, CHANNELS, CHANNELS)],
        ),
        "polar_conv": Call(
            lambda x, filters: polar_conv(x, turning, filters), [x, random(1, WINDOWS, CHANNELS, CHANNELS)]
        ),
        "to_basis": Call(lambda x: to_basis(x, evecs, mass, ptr), [x]),
        "from_basis": Call(lambda c: from_basis(c, evecs, ptr), [random(1, WINDOWS, CHANNELS)]),
        "heat_diffuse": Call(
            lambda x, time: heat_diffuse(x, evals, evecs, mass, time, ptr), [x, random(CHANNELS).exp()]
        ),
        CONTROL: Call(lambda x: x * 1.0, [x]),
    }


def discrete(device: torch.device) -> dict[str, Run]:
    """Operators that find points, and have no gradient."""
    x, pos = torch.randn(POINTS, CHANNELS, device=device), torch.rand(POINTS, 3, device=device)
    return {
        "knn": lambda: knn(pos, DEGREE),
        "radius": lambda: radius(pos, 0.5),
        "farthest_points": lambda: farthest_points(pos, POINTS // 2),
        "voxel_pool": lambda: voxel_pool(x, pos, 0.5),
    }


def microseconds(runs: Sequence[Run], device: torch.device, calls: int) -> list[float]:
    """Of the host, for a call of each: the least of the medians of all passes."""
    least = [math.inf] * len(runs)
    for _ in range(PASSES):
        for number, run in enumerate(runs):
            run()  # brings what the run before drove out of the caches
            times = []
            for _ in range(calls):
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
            least[number] = min(least[number], 1e6 * statistics.median(times))
            if device.type == "cuda":
                torch.cuda.synchronize(device)  # or the queue would fill, and the host wait
    return least


def measure(
    device: torch.device, calls: int, discretely: bool = True
) -> dict[str, dict[str, dict[str, float]]]:
    """Of every operator and way the microseconds of a call, and the ratio to the control's."""
    runs: dict[tuple[str, str], Run] = {}
    for name, call in differentiable(device).items():
        # Forward is not a `step`: the inputs ask for no gradient, so it need not pay for no_grad.
        runs |= {
            (name, WAYS[0]): partial(call.function, *call.inputs),
            (name, WAYS[1]): step(call, backward=True),
        }
    if discretely:
        runs |= {(name, WAYS[0]): run for name, run in discrete(device).items()}
    taken = dict(zip(runs, microseconds(list(runs.values()), device, calls), strict=True))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for (name, way), time_of_call in taken.items():
        ratio = time_of_call / taken[CONTROL, way]
        found.setdefault(name, {})[way] = {"us": round(time_of_call, 2), "ratio": round(ratio, 2)}
    return found


def _launches(taken: dict[str, float]) -> str:
    return f" ({taken['launches_us']:.1f}, {taken['triton_us']:.1f})" if "launches_us" in taken else ""


def measure_launches(calls: int) -> dict[str, dict[str, dict[str, float]]]:
    """Of operators whose launches do nothing; but for those that find points by values, which nobody writes."""

    def measured() -> dict[str, dict[str, dict[str, float]]]:
        return measure(torch.device("cpu"), calls, discretely=False)

    with doing_nothing():
        found = measured()
        with by_triton():
            triton = measured()
        with left_out():
            rest = measured()
    for name, ways in found.items():
        if name != CONTROL:
            for way, taken in ways.items():
                taken["launches_us"] = round(taken["us"] - rest[name][way]["us"], 2)
                taken["triton_us"] = round(triton[name][way]["us"] - rest[name][way]["us"], 2)
    return found


def main(argv: Sequence[str] | None = None, calls: int = CALLS) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--launches", action="store_true", help="as on a GPU, by launches that do nothing")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder (default: benchmarks/results/host-<device>)")
    chosen = parser.parse_args(argv)
    if chosen.threads < 1:
        parser.error(f"--threads must be at least 1, not {chosen.threads}")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no CUDA device")
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    start = time.perf_counter()
    found = measure_launches(calls) if chosen.launches else measure(torch.device(chosen.device), calls)
    for name, ways in found.items():
        print(
            f"{name:26}"
            + "".join(f"{t['us']:9.1f} us {t['ratio']:6.2f}{_launches(t)}" for t in ways.values())
        )
    parameters: dict[str, Any] = {
        "points": POINTS, "degree": DEGREE, "channels": CHANNELS, "windows": WINDOWS, "powers": POWERS,
        "heads": HEADS, "passes": PASSES, "calls": calls, "dtype": "float32",
    }  # fmt: skip
    path = write_result(
        chosen.out
        or Path(__file__).parent
        / "results"
        / ("host-launches" if chosen.launches else f"host-{chosen.device}"),
        benchmark="host",
        data=f"a ring of {POINTS} points",
        model="geodl.ops",
        metrics=found,
        seconds=time.perf_counter() - start,
        parameters=parameters,
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )
    print(path)


if __name__ == "__main__":
    main()
