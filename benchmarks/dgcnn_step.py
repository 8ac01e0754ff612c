"""A training step of DGCNN beside its public implementation and torch_geometric's: `python -m benchmarks.dgcnn_step`.

A batch of procedural clouds; cross entropy with smoothed labels, backward pass, a step of SGD. All begin with the same weights, see
the same clouds and take their steps in turn, without dropout (whose random numbers would differ). The losses of all steps are in
the result. Only the first is of equal weights: from then on a point that is nearer by a rounding error may lead elsewhere. It is
also computed in float64, since two of them differ by the rounding of both: that of PyTorch's batch norm over many rows is large.
On a GPU the public implementation is also timed as PyTorch is set up, with TF32 in its convolutions; and ours and the public one
are also timed as CUDA graphs of a whole step, since a step's launches take the host longer than its work takes the GPU.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.dgcnn_peers import WIDTHS, GeometricDGCNN, PublishedDGCNN
from benchmarks.operators.measure import milliseconds, peak_megabytes, return_freed_memory, roof
from benchmarks.operators.sizes import Sizes
from benchmarks.result import command, portable, write_result
from geodl.datasets import Solids
from geodl.models import DGCNN

CLASSES = 40
SMOOTHING = 0.2


@dataclass
class Trained:
    """One implementation: its training step, and what was measured of it."""

    name: str
    step: Callable[[], float]
    losses: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    megabytes: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.times[2:] or self.times)  # two steps warm up


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dgcnn_step", description=__doc__)
    parser.add_argument("--batch", type=int, default=32, help="clouds in a batch")
    parser.add_argument("--points", type=int, default=1024, help="points of a cloud")
    parser.add_argument("--k", type=int, default=20, help="neighbours of a point")
    parser.add_argument("--steps", type=int, default=5, help="training steps, of which the median counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, default=Path("runs/dgcnn-step"), help="folder of result.json")
    chosen = parser.parse_args(argv)
    if chosen.batch < 2 or chosen.points < chosen.k or chosen.steps < 1:
        parser.error(
            "wanted: a batch of at least 2 clouds, of at least k points each, and at least one step; not "
            f"--batch {chosen.batch} --points {chosen.points} --k {chosen.k} --steps {chosen.steps}"
        )
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    device = torch.device(chosen.device)

    began = time.perf_counter()
    clouds, labels = (tensor.to(device) for tensor in batch(chosen.batch, chosen.points, chosen.seed))
    published = PublishedDGCNN(CLASSES, chosen.k)
    state = {name: tensor.clone() for name, tensor in published.state_dict().items()}
    model = DGCNN.from_published(state, chosen.k, dropout=0.0)
    exact = first_loss(model, clouds, labels)
    geometric = GeometricDGCNN(CLASSES, chosen.k, device)
    geometric.load_published(state)
    packed, ptr = clouds.flatten(0, 1), torch.arange(chosen.batch + 1, device=device) * chosen.points
    ours = Trained("ours", Step(model.to(device), lambda net: net(packed, ptr), labels))
    peers = [
        Trained("AnTao97/dgcnn.pytorch", Step(published.to(device), lambda net: net(clouds), labels)),
        Trained(
            f"torch_geometric EdgeConv, {geometric.finder}",
            Step(geometric.to(device), lambda net: net(clouds), labels),
        ),
    ]
    if device.type == "cuda":
        again = PublishedDGCNN(CLASSES, chosen.k)
        again.load_state_dict(state)
        step = in_tf32(Step(again.to(device), lambda net: net(clouds), labels))
        peers.append(Trained("AnTao97/dgcnn.pytorch, TF32", step))
        torch.backends.cudnn.allow_tf32 = False  # the others compute in float32, as ours
    pairs, graphs = [(ours, peer) for peer in peers], []
    if device.type == "cuda":
        graphs += [
            Trained(f"{one.name}, as a CUDA graph", CapturedStep(net, scores, labels))
            for one, net, scores in (
                (ours, copy.deepcopy(model), lambda net: net(packed, ptr)),
                (peers[0], copy.deepcopy(published), lambda net: net(clouds)),
            )
        ]
        pairs += [(graphs[0], peer) for peer in (*peers, graphs[1])]
    measure(list({id(one): one for pair in pairs for one in pair}.values()), chosen.steps, device)
    for graph in graphs:
        graph.megabytes = (
            None  # a graph keeps its memory: what it needs is not seen from one replay to the next
        )

    edges = f"{chosen.batch} x {chosen.points} points, k = {chosen.k}"
    least = least_flops(chosen.batch, chosen.points, chosen.k) / roof(device, Sizes()).flops
    rows = [
        {
            "op": "DGCNN",
            "work": f"training step, {edges}" + ours.name.removeprefix("ours"),
            "peer": peer.name,
            "ours_ms": round(ours.median, 2),
            "peer_ms": round(peer.median, 2),
            "ratio": round(peer.median / ours.median, 2),
            "roofline": round(least / ours.median, 3),
            "ours_mb": ours.megabytes,
            "peer_mb": peer.megabytes,
            "relative_difference_of_the_first_loss": apart(ours.losses[0], peer.losses[0]),
            "ours_from_float64": apart(ours.losses[0], exact),
            "peer_from_float64": apart(peer.losses[0], exact),
            "largest_relative_difference_of_losses": max(map(apart, ours.losses, peer.losses)),
            "ours_losses": ours.losses,
            "peer_losses": peer.losses,
        }
        for ours, peer in pairs
    ]
    path = write_result(
        chosen.out,
        benchmark="dgcnn-step",
        data="Solids",
        model="DGCNN",
        seconds=time.perf_counter() - began,
        parameters={
            "weights": sum(weight.numel() for weight in model.parameters()),
            "steps": chosen.steps,
            "threads": chosen.threads,
            "device": device.type,
            "dtype": "float32",
        },
        seeds=[chosen.seed],
        command=portable(command(), chosen),
        rows=rows,
    )
    print(f"training step of DGCNN, {edges}, {chosen.threads} thread(s), {device.type}")
    for row in rows:
        memory = f"{row['ours_mb']} MB and {row['peer_mb']} MB"
        print(
            f"{row['work']}: ours {row['ours_ms']} ms, {row['peer']} {row['peer_ms']} ms: {row['ratio']} times faster; {memory}; "
            f"first losses apart by {row['relative_difference_of_the_first_loss']:.1e}, from float64 by "
            f"{row['ours_from_float64']:.1e} and {row['peer_from_float64']:.1e}"
        )
    print(path)


def batch(clouds: int, points: int, seed: int) -> tuple[Tensor, Tensor]:
    """Procedural clouds ``[B, P, 3]`` and their classes ``[B]``."""
    solids = Solids("train", num_per_class=-(-clouds // 12), num_points=points, seed=seed)
    items = [solids[number] for number in range(clouds)]
    return torch.stack([item.pos for item in items]), torch.cat([item.y for item in items])


class Step:
    """A training step of a network; returns the loss."""

    def __init__(self, net: nn.Module, scores: Callable[[nn.Module], Tensor], labels: Tensor) -> None:
        self.net, self.scores, self.labels = net, scores, labels
        self.optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def take(self) -> Tensor:
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.scores(self.net), self.labels, label_smoothing=SMOOTHING)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def __call__(self) -> float:
        return float(self.take())


class CapturedStep(Step):
    """The step as a CUDA graph, from the weights that the network has: warming up changes them, and they are put back.

    The graph reads and writes the memory of the network and the optimiser, which are kept with it.
    """

    def __init__(self, net: nn.Module, scores: Callable[[nn.Module], Tensor], labels: Tensor) -> None:
        super().__init__(net, scores, labels)
        state = copy.deepcopy(net.state_dict())
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.take()
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad()
        with torch.cuda.graph(self.graph):
            self.loss = self.take()
        net.load_state_dict(state)
        for found in self.optimizer.state.values():
            found["momentum_buffer"].zero_()

    def __call__(self) -> float:
        self.graph.replay()
        return float(self.loss)


@torch.no_grad()
def first_loss(model: DGCNN, clouds: Tensor, labels: Tensor) -> float:
    """The loss before the first step, in float64."""
    count, points, _ = clouds.shape
    ptr = torch.arange(count + 1, device=clouds.device) * points
    scores = copy.deepcopy(model).double().to(clouds.device)(clouds.double().flatten(0, 1), ptr)
    return float(functional.cross_entropy(scores, labels, label_smoothing=SMOOTHING))


def in_tf32(step: Callable[[], float]) -> Callable[[], float]:
    """The step with TF32 in convolutions, as PyTorch has it unless told otherwise."""

    def run() -> float:
        torch.backends.cudnn.allow_tf32 = True
        try:
            return step()
        finally:
            torch.backends.cudnn.allow_tf32 = False

    return run


def measure(all_of_them: Sequence[Trained], steps: int, device: torch.device) -> None:
    """Steps in turn, so that what disturbs the machine disturbs all alike; then the peak of memory of one more step of each."""
    for _ in range(steps):
        for one in all_of_them:
            one.times.append(milliseconds(lambda: one.losses.append(one.step()), device))  # noqa: B023
    return_freed_memory()
    for one in all_of_them:
        found = peak_megabytes(one.step, device)
        one.megabytes = None if found is None else round(found, 1)


def apart(ours: float, theirs: float) -> float:
    return abs(ours - theirs) / abs(theirs)


def least_flops(clouds: int, points: int, k: int) -> float:
    """Of a step as ours is done, the least of those known: products by point, maxima by edge, distances of all pairs by feature."""
    rows = clouds * points
    products = sum(2 * 2 * c * d for c, d in WIDTHS) + 2 * 512 * 1024  # forward; twice that backward
    maxima = 4 * k * sum(d for _, d in WIDTHS)
    distances = 2 * points * sum(c for c, _ in WIDTHS[1:]) + 2 * 2 * k * 3  # in space a tree looks at few
    head = 2 * clouds * (2048 * 512 + 512 * 256 + 256 * CLASSES)
    return 3.0 * (rows * products + head) + rows * (maxima + distances)


if __name__ == "__main__":
    main()
