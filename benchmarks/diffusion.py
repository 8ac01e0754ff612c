"""DiffusionNet beside the published implementation: `python -m benchmarks.diffusion`.

Eight shapes, the vertices' positions as the signal, heat kernel signatures as what is learned. Ours takes the shapes as one packed
batch; the peer, which knows no ragged batches, one after the other with its gradients summed, as its authors train it. Both begin
with the same weights and take the same steps of Adam, in turn, without dropout (whose random numbers would differ); the losses of
all steps are in the result. The peer is the package ``diffusion_net`` where it can be imported, otherwise its formulas.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.operators.measure import milliseconds, peak_megabytes, return_freed_memory, roof
from benchmarks.operators.sizes import Sizes
from benchmarks.result import command, portable, write_result
from geodl.data import Mesh
from geodl.geometry import Gradient, Spectrum, gradient, heat_kernel_signature, spectrum
from geodl.models import DiffusionNet


@dataclass(frozen=True)
class Shapes:
    """A packed batch: what goes in, what shall come out, and the operators."""

    x: Tensor
    target: Tensor
    spectra: list[Spectrum]
    gradients: list[Gradient]

    @property
    def sizes(self) -> list[int]:
        return [part.evecs.shape[0] for part in self.spectra]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diffusion", description=__doc__)
    parser.add_argument(
        "--root", type=Path, help="folder of FAUST_r (off/*.off); procedural bodies if not given"
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
    peer, peer_name = published(shapes.target.shape[1], chosen.width, chosen.blocks)
    ours = DiffusionNet.from_published(peer.state_dict(), dropout=0.0)
    steps = {
        "ours": packed_step(ours.to(device), shapes, device),
        "peer": single_steps(peer.to(device), shapes, device),
    }
    losses: dict[str, list[float]] = {name: [] for name in steps}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(chosen.steps):
        for who, step in steps.items():
            times[who].append(milliseconds(lambda: losses[who].append(step()), device))  # noqa: B023
    median = {who: statistics.median(found[2:] or found) for who, found in times.items()}
    return_freed_memory()
    # Blocks hold their memory from step to step; those of a copy begin without any.
    steps["ours"] = packed_step(copy.deepcopy(ours), shapes, device)
    memory = {who: peak_megabytes(step, device) for who, step in steps.items()}
    difference = max(abs(a - b) / abs(b) for a, b in zip(losses["ours"], losses["peer"], strict=True))
    flops = least_flops(sum(shapes.sizes), chosen.k, chosen.width) * chosen.blocks
    row = {
        "op": "DiffusionNet",
        "work": f"training step, {chosen.shapes} shapes of {min(shapes.sizes):,} to {max(shapes.sizes):,} vertices, "
        f"k = {chosen.k}, width {chosen.width}, {chosen.blocks} blocks",
        "peer": f"{peer_name}, shape by shape",
        "ours_ms": round(median["ours"], 1),
        "peer_ms": round(median["peer"], 1),
        "ratio": round(median["peer"] / median["ours"], 2),
        "roofline": round(flops / roof(device, Sizes()).flops / median["ours"], 3),
        "ours_mb": None if memory["ours"] is None else round(memory["ours"], 1),
        "peer_mb": None if memory["peer"] is None else round(memory["peer"], 1),
        "largest_relative_difference_of_losses": difference,
        "ours_losses": losses["ours"],
        "peer_losses": losses["peer"],
    }
    path = write_result(
        chosen.out,
        benchmark="diffusion",
        data=name,
        model="DiffusionNet",
        seconds=time.perf_counter() - began,
        parameters={
            "weights": sum(weight.numel() for weight in ours.parameters()),
            "steps": chosen.steps,
            "threads": chosen.threads,
            "dtype": "float32",
        },
        seeds=[chosen.seed],
        command=portable(command(), chosen),
        rows=[row],
    )
    print(f"{row['work']}, {name}, {chosen.threads} thread(s)")
    print(f"ours {row['ours_ms']} ms, {peer_name} {row['peer_ms']} ms: {row['ratio']} times faster")
    print(
        f"losses from {losses['ours'][0]:.4g} to {losses['ours'][-1]:.4g}, apart by at most {difference:.1e}; {path}"
    )


def load(root: Path | None, count: int, k: int) -> tuple[Shapes, str]:
    if root is None:
        from geodl.datasets import Puppets

        puppets = Puppets(split="train")
        meshes, name = [puppets[number] for number in range(count)], "procedural bodies"
    else:
        files = sorted((root / "off").glob("*.off"))[:count]
        if len(files) < count:
            raise SystemExit(f"{root / 'off'} holds {len(files)} meshes, not {count}")
        meshes, name = [Mesh.load(file) for file in files], "FAUST remeshed"
    spectra = [spectrum(Mesh(pos=mesh.pos, face=mesh.face), k) for mesh in meshes]
    targets = [heat_kernel_signature(part) for part in spectra]
    targets = [(target - target.mean(0)) / target.std(0) for target in targets]
    return Shapes(
        torch.cat([mesh.pos.float() - mesh.pos.float().mean(0) for mesh in meshes]),
        torch.cat(targets).float(),
        [part.to(torch.float32) for part in spectra],
        [gradient(Mesh(pos=mesh.pos.float(), face=mesh.face)) for mesh in meshes],
    ), name


def packed_step(net: DiffusionNet, shapes: Shapes, device: torch.device) -> Callable[[], float]:
    """A training step on the batch, which returns the mean over shapes of the mean squared error."""
    x, target = shapes.x.to(device), shapes.target.to(device)
    packed, grad = Spectrum.cat(shapes.spectra).to(device), Gradient.cat(shapes.gradients).to(device)
    share = torch.cat([torch.full((size, 1), 1 / (len(shapes.sizes) * size)) for size in shapes.sizes]).to(
        device
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step() -> float:
        optimizer.zero_grad()
        loss = ((net(x, packed, grad) - target).square() * share).sum() / target.shape[1]
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def single_steps(net: nn.Module, shapes: Shapes, device: torch.device) -> Callable[[], float]:
    """The same step, shape by shape."""
    bounds = list(pairwise([0, *torch.tensor(shapes.sizes).cumsum(0).tolist()]))
    inputs = []
    for (begin, end), part, grad in zip(bounds, shapes.spectra, shapes.gradients, strict=True):
        index = grad.neighbors.to_edge_index().flip(0)
        along = [
            torch.sparse_coo_tensor(index, grad.values[:, k], (end - begin, end - begin))
            .coalesce()
            .to(device)
            for k in (0, 1)
        ]
        operators = {"evals": part.evals, "evecs": part.evecs}
        operators = {name: tensor.to(device) for name, tensor in operators.items()}
        operators |= {"gradX": along[0], "gradY": along[1]}
        x, target = shapes.x[begin:end].to(device), shapes.target[begin:end].to(device)
        inputs.append((x, part.mass.to(device), operators, target))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def step() -> float:
        optimizer.zero_grad()
        total = 0.0
        for x, mass, operators, target in inputs:
            loss = (net(x, mass, **operators) - target).square().mean() / len(inputs)
            loss.backward()
            total += float(loss.detach())
        optimizer.step()
        return total

    return step


def published(out_channels: int, width: int, blocks: int) -> tuple[nn.Module, str]:
    """The published network, without dropout, and what it is called."""
    try:
        layers: Any = importlib.import_module("diffusion_net.layers")
    except ImportError:
        from benchmarks.diffusion_peer import PublishedDiffusionNet

        return PublishedDiffusionNet(3, out_channels, width, blocks), "diffusion_net's formulas"
    made: nn.Module = layers.DiffusionNet(3, out_channels, C_width=width, N_block=blocks, dropout=False)
    return made, "diffusion_net"


def least_flops(vertices: int, k: int, width: int) -> float:
    """Of the matrix products of a block, forward and backward, done as ours are: the least of those known."""
    to_basis, from_basis, at_vertices = 1, 4, 4  # of [V, K] x [K, C], the same, and of [V, C] x [C, C]
    forward = (to_basis + from_basis) * k + at_vertices * width
    backward = (to_basis + from_basis) * k + 2 * at_vertices * width
    return 2.0 * vertices * width * (forward + backward)


if __name__ == "__main__":
    main()
