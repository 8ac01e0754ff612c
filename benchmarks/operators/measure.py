"""How two functions that do the same work are compared: median times in turn, the roofline, peaks of memory."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.operators.sizes import Sizes

Run = Callable[[], Any]

ROUNDS = (3, 300)
SLOW = 1000.0  # milliseconds; what takes longer is not warmed up again before its memory is measured


@dataclass(frozen=True)
class Call:
    """A function, and the tensors that it takes and is differentiated by; a module's parameters stay its own.

    ``compiles`` says whether torch.compile makes something of it: not of a loop that it would unroll, nor of other libraries.
    """

    function: Callable[..., Any]
    inputs: Sequence[Tensor]
    compiles: bool = True


@dataclass(frozen=True)
class Work:
    """The least that a computation takes: bytes that are read or written once, and floating point operations."""

    traffic: float
    flops: float


@dataclass(frozen=True)
class Comparison:
    """Rows of the table: an operator beside functions that do the same work.

    ``unlike`` names the peers whose result has another form or order; ``variants`` are the same functions as compilers and graphs
    run them.
    """

    op: str
    work: str
    ours: Run
    peers: Mapping[str, Run]
    least: Work
    unlike: Collection[str] = ()
    variants: Mapping[str, Run] = field(default_factory=dict)


def forward(
    op: str, size: str, ours: Call, peers: Mapping[str, Call], least: Work, unlike: Collection[str] = ()
) -> Comparison:
    return _compared(op, f"{size}, forward", ours, peers, least, unlike, backward=False)


def forward_backward(
    op: str, size: str, ours: Call, peers: Mapping[str, Call], least: Work, unlike: Collection[str] = ()
) -> Comparison:
    return _compared(op, f"{size}, forward + backward", ours, peers, least, unlike, backward=True)


def _compared(
    op: str,
    work: str,
    ours: Call,
    peers: Mapping[str, Call],
    least: Work,
    unlike: Collection[str],
    backward: bool,
) -> Comparison:
    theirs = {name: step(peer, backward) for name, peer in peers.items()}
    others = variants(ours, peers, backward, ours.inputs[0].device)
    return Comparison(op, work, step(ours, backward), theirs, least, unlike, others)


def both(
    op: str, size: str, ours: Call, peers: Mapping[str, Call], one: Work, two: Work
) -> Iterator[Comparison]:
    """Forward, which takes at least ``one``, and forward + backward, which takes at least ``two``."""
    yield forward(op, size, ours, peers, one)
    yield forward_backward(op, size, ours, peers, two)


def variants(ours: Call, peers: Mapping[str, Call], backward: bool, device: torch.device) -> dict[str, Run]:
    """Each peer as torch.compile fuses it; on a GPU that as a CUDA graph too, and ours in both forms."""
    named = {name: peer for name, peer in peers.items() if peer.compiles}
    if device.type == "cuda":
        named["geodl"] = ours
    found: dict[str, Run] = {}
    for name, call in named.items():
        compiled = replace(call, function=torch.compile(call.function))
        found[f"{name}, torch.compile"] = step(compiled, backward)
        if device.type == "cuda":
            found[f"{name}, torch.compile, CUDA graph"] = captured(step(compiled, backward))
    if device.type == "cuda":
        found["geodl, CUDA graph"] = captured(step(ours, backward))
    return found


def captured(run: Run) -> Run:
    """The same work as a CUDA graph, recorded in the first call."""
    recorded: list[Any] = []

    def replay() -> Any:
        if not recorded:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):
                    run()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                out = run()
            recorded.extend((graph, out))
        recorded[0].replay()
        return recorded[1]

    return replay


def step(call: Call, backward: bool) -> Run:
    """One evaluation, or one evaluation and the gradients of all inputs."""
    if not backward:

        def evaluate() -> Any:
            with torch.no_grad():
                return call.function(*call.inputs)

        return evaluate

    leaves = [
        tensor if isinstance(tensor, nn.Parameter) else tensor.detach().requires_grad_()
        for tensor in call.inputs
    ]
    gradient: list[Tensor] = []

    def differentiate() -> Any:
        out = call.function(*leaves)
        if not gradient:
            generator = torch.Generator(out.device).manual_seed(0)
            gradient.append(torch.randn(out.shape, generator=generator, device=out.device))
        return torch.autograd.grad(out, leaves, gradient[0])

    return differentiate


# --- time -----------------------------------------------------------------------------------------------------


def milliseconds(run: Run, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1e3 * (time.perf_counter() - start)


def interleaved(runs: Sequence[Run], device: torch.device, seconds: float) -> list[float]:
    """Median time of each, run in turn, so that what disturbs the machine disturbs all alike.

    All have been called before. A run that has had its rounds and its seconds leaves the turn, so that a
    slow one is repeated a few times and a fast one often.
    """
    times: list[list[float]] = [[] for _ in runs]
    while waiting := [
        (run, found)
        for run, found in zip(runs, times, strict=True)
        if len(found) < ROUNDS[0] or (len(found) < ROUNDS[1] and sum(found) < 1e3 * seconds)
    ]:
        for run, found in waiting:
            found.append(milliseconds(run, device))
    return [statistics.median(found) for found in times]


def roof(device: torch.device, sizes: Sizes) -> Work:
    """What this device does in a millisecond: bytes of a copy, flops of a matrix product in float32."""
    source = torch.zeros(sizes.copied, device=device)
    target = torch.empty_like(source)
    square = torch.randn(sizes.square, sizes.square, device=device)
    runs = [lambda: target.copy_(source), lambda: square @ square]
    for run in runs:
        run()
    copy, product = interleaved(runs, device, 2.0 * sizes.seconds)
    return Work(8.0 * source.numel() / copy, 2.0 * sizes.square**3 / product)


# --- memory ---------------------------------------------------------------------------------------------------


def return_freed_memory() -> None:
    """From now on glibc returns every freed block to the system, so that resident memory is what is in use."""
    if (libc := _libc()) is not None:
        mmap_threshold, trim_threshold = -3, -1
        libc.mallopt(mmap_threshold, 1 << 16)
        libc.mallopt(trim_threshold, 1 << 16)


def keep_freed_memory() -> None:
    """From now on glibc keeps freed blocks for what comes next: to have the large ones again from the system, page by page and as
    zeros, costs a third of a training step on a CPU."""
    if (libc := _libc()) is not None:
        mmap_threshold, trim_threshold = -3, -1
        libc.mallopt(mmap_threshold, 1 << 30)
        libc.mallopt(trim_threshold, 2**31 - 1)


def peak_megabytes(run: Run, device: torch.device) -> float | None:
    """Peak of memory during one call above what is held before it; None where the system does not say."""
    if device.type == "cuda":
        held = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - held) / 1e6
    if (libc := _libc()) is None:
        return None
    libc.malloc_trim(0)  # blocks freed before, which the call would use again without a trace
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to what is resident now
        held = peak_resident()
        run()
        return (peak_resident() - held) / 1e6
    except OSError:
        return None


def peak_resident() -> int:
    """Peak of this process's resident memory (VmHWM), in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _libc() -> Any:
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if libc.mallopt and libc.malloc_trim else None
    except (OSError, AttributeError):
        return None


# --- all of it ------------------------------------------------------------------------------------------------


def measure(
    operators: Mapping[str, Callable[[torch.device, Sizes], Iterator[Comparison]]],
    device: torch.device,
    sizes: Sizes,
    seed: int,
    keep: Callable[[list[dict[str, Any]]], object] = lambda rows: None,
) -> list[dict[str, Any]]:
    """The rows of the result, an operator and a peer each; ``operators`` maps a name to its comparisons.

    On a GPU, where one call compiles for seconds, ``keep`` is given all rows after every comparison.
    """
    rates = roof(device, sizes)
    print(f"copy {rates.traffic / 1e6:.1f} GB/s, matrix product {rates.flops / 1e6:.1f} GFLOP/s")

    def comparisons() -> Iterator[Comparison]:
        for make in operators.values():
            torch.manual_seed(seed)  # an operator has the same inputs, whichever others are run
            yield from make(device, sizes)

    found: list[list[dict[str, Any]]] = []
    for pair in comparisons():
        pair.ours()
        able = {name: run for name, run in {**pair.peers, **pair.variants}.items() if _runs(name, run)}
        ours, *theirs = interleaved([pair.ours, *able.values()], device, sizes.seconds)
        least = max(pair.least.traffic / rates.traffic, pair.least.flops / rates.flops)
        found.append(
            [
                {
                    "op": pair.op,
                    "work": pair.work,
                    "peer": peer,
                    "ours_ms": round(ours, 3),
                    "peer_ms": None if taken is None else round(taken, 3),
                    "ratio": None if taken is None else round(taken / ours, 2),
                    "roofline": round(least / ours, 3),
                }
                for peer, taken in (zip(able, theirs, strict=True) if able else [("none", None)])
            ]
        )
        if device.type == "cuda":
            _add_memory(found[-1], pair, device)
            keep([row for rows in found for row in rows])
        print(".", end="", flush=True)
    print()
    if device.type != "cuda":
        # Memory comes second: giving every block back makes the next call slower.
        return_freed_memory()
        for rows, pair in zip(found, comparisons(), strict=True):
            _add_memory(rows, pair, device)
    return [row for rows in found for row in rows]


def _add_memory(rows: list[dict[str, Any]], pair: Comparison, device: torch.device) -> None:
    ours_mb = _peak_of(pair.ours, rows[0]["ours_ms"], device)
    for row in rows:
        row["ours_mb"] = ours_mb
        run = {**pair.peers, **pair.variants}.get(row["peer"])
        row["peer_mb"] = None if run is None else _peak_of(run, row["peer_ms"], device)


def _runs(name: str, run: Run) -> bool:
    """Whether a peer does what it is asked at all: memory may not suffice, a compiler may give up."""
    try:
        run()
    except RuntimeError as error:
        print(f"\nleft out: {name}: {str(error).splitlines()[0]}")
        return False
    return True


def _peak_of(run: Run, taken: float, device: torch.device) -> float | None:
    if taken < SLOW:
        run()
    megabytes = peak_megabytes(run, device)
    return None if megabytes is None else round(megabytes, 1)
