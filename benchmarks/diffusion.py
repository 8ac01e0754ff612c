"""DiffusionNet beside the published implementation: `python -m benchmarks.diffusion`.

Eight shapes, the vertices' positions as the signal; what is learned are heat kernel signatures, or the segments of RNA. Ours takes
the shapes as one packed batch, and one after the other with its gradients summed; the peer, which knows no ragged batches, one
after the other, as its authors train it, and all in one graph. All begin with the same weights and take the same steps of Adam, in
turn, without dropout (whose random numbers would differ); the losses of all steps are in the result. The peer is the package
``diffusion_net`` where it can be imported, otherwise its formulas. Times are of the wall and of the processor (``cpu``: of all
threads together, which others on the machine disturb less).
"""

from __future__ import annotations

import argparse
import copy
import importlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.operators.measure import milliseconds, peak_megabytes, return_freed_memory, roof
from benchmarks.operators.sizes import Sizes
from benchmarks.result import command, portable, write_result
from geodl.data import Mesh, UnitArea
from geodl.geometry import Gradient, Spectrum, gradient, heat_kernel_signature, spectrum
from geodl.models import DiffusionNet


@dataclass(frozen=True)
class Shapes:
    """A packed batch: what goes in, what shall come out (``[V, C]``, or classes ``[V]`` with -1 for none), and the operators."""

    x: Tensor
    target: Tensor
    classes: int
    spectra: list[Spectrum]
    gradients: list[Gradient]

    @property
    def sizes(self) -> list[int]:
        return [part.evecs.shape[0] for part in self.spectra]

    def one_by_one(self) -> list[Shapes]:
        x, target = self.x.split(self.sizes), self.target.split(self.sizes)
        return [
            Shapes(*each[:2], self.classes, [each[2]], [each[3]])
            for each in zip(x, target, self.spectra, self.gradients, strict=True)
        ]

    def loss(self, out: Tensor) -> Tensor:
        """The sum over shapes of the mean over vertices of the mean squared error, or of the cross entropy."""
        device = out.device
        if self.target.is_floating_point():
            share = torch.cat([torch.full((size, 1), 1 / (size * out.shape[1])) for size in self.sizes])
            return ((out - self.target.to(device)).square() * share.to(device)).sum()
        parts = zip(out.split(self.sizes), self.target.to(device).split(self.sizes), strict=True)
        return torch.stack([nn.functional.cross_entropy(*part, ignore_index=-1) for part in parts]).sum()


Step = Callable[[], float]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diffusion", description=__doc__)
    parser.add_argument(
        "--root",
        type=Path,
        help="folder of FAUST_r (off/*.off) or RNA (also labels/); procedural bodies if not given",
    )
    parser.add_argument("--shapes", type=int, default=8, help="shapes in a batch")
    parser.add_argument("--k", type=int, default=128, help="eigenvalues")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--steps", type=int, default=20, help="training steps, of which the median counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path, default=Path("runs/diffusion"), help="folder of result.json")
    chosen = parser.parse_args(argv)
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    device = torch.device(chosen.device)

    began = time.perf_counter()
    shapes, name = load(chosen.root, chosen.shapes, chosen.k)
    net, peer_name = published(shapes.classes, chosen.width, chosen.blocks)

    made = ways(net, shapes, device)
    steps = {who: make() for who, make in made.items()}
    losses: dict[str, list[float]] = {who: [] for who in steps}
    wall: dict[str, list[float]] = {who: [] for who in steps}
    processor: dict[str, list[float]] = {who: [] for who in steps}
    for _ in range(chosen.steps):
        for who, step in steps.items():
            start = time.process_time()
            wall[who].append(milliseconds(lambda: losses[who].append(step()), device))  # noqa: B023
            processor[who].append(1e3 * (time.process_time() - start))
    del steps
    memory = apart(peaks, net, shapes, device, chosen.threads)
    flops = least_flops(sum(shapes.sizes), chosen.k, chosen.width) * chosen.blocks
    least = flops / roof(device, Sizes()).flops
    work = (
        f"training step, {chosen.shapes} shapes of {min(shapes.sizes):,} to {max(shapes.sizes):,} vertices, "
        f"k = {chosen.k}, width {chosen.width}, {chosen.blocks} blocks"
    )
    rows = [
        row(work, mine, other, peer_name, wall, processor, memory, losses, least)
        for mine, other in (
            ("ours, shape by shape", "peer, shape by shape"),
            ("ours, packed", "peer, shape by shape"),
            ("ours, packed", "peer, in one graph"),
        )
    ]
    path = write_result(
        chosen.out,
        benchmark="diffusion",
        data=name,
        model="DiffusionNet",
        seconds=time.perf_counter() - began,
        parameters={
            "weights": sum(weight.numel() for weight in net.parameters()),
            "steps": chosen.steps,
            "threads": chosen.threads,
            "dtype": "float32",
        },
        seeds=[chosen.seed],
        command=portable(command(), chosen),
        rows=rows,
    )
    print(f"{work}, {name}, {chosen.threads} thread(s)")
    for found in rows:
        print(
            f"{found['op']} {found['ours_ms']} ms, {found['ours_mb']} MB; {found['peer']} {found['peer_ms']} ms, "
            f"{found['peer_mb']} MB: {found['ratio']} times faster ({found['ratio_cpu']} by processor time), losses apart by "
            f"at most {found['largest_relative_difference_of_losses']:.1e}"
        )
    print(path)


def ways(net: nn.Module, shapes: Shapes, device: torch.device) -> dict[str, Callable[[], Step]]:
    """The ways to take a step, by name, each from the weights of the published network."""

    def ours() -> DiffusionNet:
        return DiffusionNet.from_published(net.state_dict(), dropout=0.0).to(device)

    def peer() -> nn.Module:
        return copy.deepcopy(net).to(device)

    return {
        "ours, packed": lambda: our_step(ours(), [shapes], device),
        "ours, shape by shape": lambda: our_step(ours(), shapes.one_by_one(), device),
        "peer, shape by shape": lambda: peer_step(peer(), shapes, device),
        "peer, in one graph": lambda: peer_step(peer(), shapes, device, one_graph=True),
    }


def peaks(net: nn.Module, shapes: Shapes, device: torch.device, threads: int) -> dict[str, float | None]:
    """Megabytes that a first step takes, by its way."""
    torch.set_num_threads(threads)
    return_freed_memory()
    return {who: peak_megabytes(make(), device) for who, make in ways(net, shapes, device).items()}


def apart(function: Callable[..., Any], *given: Any) -> Any:
    """Its result in a new process: what was freed in this one lies scattered, is used again in parts and never given back."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *given).result()


def row(
    work: str,
    mine: str,
    other: str,
    peer_name: str,
    wall: Mapping[str, list[float]],
    processor: Mapping[str, list[float]],
    memory: Mapping[str, float | None],
    losses: Mapping[str, list[float]],
    least: float,
) -> dict[str, Any]:
    """One comparison of two ways to take the step."""
    ours_ms, peer_ms = (statistics.median(wall[who][2:] or wall[who]) for who in (mine, other))
    ours_cpu, peer_cpu = (statistics.median(processor[who][2:] or processor[who]) for who in (mine, other))
    ours_mb, peer_mb = (None if memory[who] is None else round(memory[who] or 0, 1) for who in (mine, other))
    return {
        "op": mine.replace("ours", "DiffusionNet"),
        "work": work,
        "peer": other.replace("peer", peer_name),
        "ours_ms": round(ours_ms, 1),
        "peer_ms": round(peer_ms, 1),
        "ratio": round(peer_ms / ours_ms, 2),
        "ours_cpu_ms": round(ours_cpu, 1),
        "peer_cpu_ms": round(peer_cpu, 1),
        "ratio_cpu": round(peer_cpu / ours_cpu, 2),
        "roofline": round(least / ours_ms, 3),
        "ours_mb": ours_mb,
        "peer_mb": peer_mb,
        "largest_relative_difference_of_losses": max(
            abs(a - b) / abs(b) for a, b in zip(losses[mine], losses[other], strict=True)
        ),
        "ours_losses": losses[mine],
        "peer_losses": losses[other],
    }


def load(root: Path | None, count: int, k: int) -> tuple[Shapes, str]:
    meshes: Any
    if root is None:
        from geodl.datasets import Puppets

        meshes, name = Puppets(split="train"), "procedural bodies"
    elif any((folder / "labels").is_dir() for folder in (root, root / "RNA")):
        from geodl.datasets import RNA

        meshes, name = RNA(root, "train", part=True), "RNA"
    else:
        files = sorted((root / "off").glob("*.off"))[:count]
        meshes, name = [Mesh.load(file) for file in files], "FAUST remeshed"
    if len(meshes) < count:
        raise SystemExit(f"{root} holds {len(meshes)} meshes, not {count}")
    # Learned times are fit to shapes of about unit size.
    chosen = [UnitArea()(meshes[number]) for number in range(count)]
    spectra = [spectrum(Mesh(pos=mesh.pos, face=mesh.face), k) for mesh in chosen]
    if name == "RNA":
        target, classes = torch.cat([mesh.y for mesh in chosen]), RNA.num_classes
    else:
        signatures = [heat_kernel_signature(part) for part in spectra]
        target = torch.cat([(each - each.mean(0)) / each.std(0) for each in signatures]).float()
        classes = target.shape[1]
    return Shapes(
        torch.cat([mesh.pos.float() - mesh.pos.float().mean(0) for mesh in chosen]),
        target,
        classes,
        [part.to(torch.float32) for part in spectra],
        [gradient(Mesh(pos=mesh.pos.float(), face=mesh.face)) for mesh in chosen],
    ), name


def our_step(net: DiffusionNet, batches: Sequence[Shapes], device: torch.device) -> Step:
    """A training step on packed batches, whose gradients are summed; it returns the mean over shapes of the loss."""
    count = sum(len(batch.sizes) for batch in batches)
    inputs = [
        (
            batch,
            batch.x.to(device),
            Spectrum.cat(batch.spectra).to(device),
            Gradient.cat(batch.gradients).to(device),
        )
        for batch in batches
    ]
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step() -> float:
        optimizer.zero_grad()
        total = 0.0
        for batch, x, packed, grad in inputs:
            loss = batch.loss(net(x, packed, grad)) / count
            loss.backward()
            total += float(loss.detach())
        optimizer.step()
        return total

    return step


def peer_step(net: nn.Module, shapes: Shapes, device: torch.device, one_graph: bool = False) -> Step:
    """The same step, shape by shape: a backward pass for each, or one for all."""
    inputs = []
    for shape in shapes.one_by_one():
        (part,), (grad,), (size,) = shape.spectra, shape.gradients, shape.sizes
        index = grad.neighbors.to_edge_index().flip(0)
        along = [
            torch.sparse_coo_tensor(index, grad.values[:, k], (size, size)).coalesce().to(device)
            for k in (0, 1)
        ]
        operators = {"evals": part.evals.to(device), "evecs": part.evecs.to(device)}
        operators |= {"gradX": along[0], "gradY": along[1]}
        inputs.append((shape, shape.x.to(device), part.mass.to(device), operators))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step() -> float:
        optimizer.zero_grad()
        found: list[Tensor] = []
        for shape, x, mass, operators in inputs:
            loss = shape.loss(net(x, mass, **operators)) / len(inputs)
            if not one_graph:
                loss.backward()
                loss = loss.detach()
            found.append(loss)
        total = torch.stack(found).sum()
        if one_graph:
            total.backward()
        optimizer.step()
        return float(total.detach())

    return step


def published(
    out_channels: int, width: int, blocks: int, in_channels: int = 3, dropout: bool = False
) -> tuple[nn.Module, str]:
    """The published network, and what it is called."""
    try:
        layers: Any = importlib.import_module("diffusion_net.layers")
    except ImportError:
        from benchmarks.diffusion_peer import PublishedDiffusionNet

        net = PublishedDiffusionNet(in_channels, out_channels, width, blocks, dropout)
        return net, "diffusion_net's formulas"
    made: nn.Module = layers.DiffusionNet(
        in_channels, out_channels, C_width=width, N_block=blocks, dropout=dropout
    )
    return made, "diffusion_net"


def least_flops(vertices: int, k: int, width: int) -> float:
    """Of the matrix products of a block, forward and backward, done as ours are: the least of those known."""
    to_basis, from_basis, at_vertices = 1, 4, 4  # of [V, K] x [K, C], the same, and of [V, C] x [C, C]
    forward = (to_basis + from_basis) * k + at_vertices * width
    backward = (to_basis + from_basis) * k + 2 * at_vertices * width
    return 2.0 * vertices * width * (forward + backward)


if __name__ == "__main__":
    main()
