"""Trains LeNet on handwritten digits: on the grid, on the graph of pixels, on a sphere.

    python -m benchmarks.mnist                                  scikit-learn's 1,797 digits, on the grid, a minute
    python -m benchmarks.mnist --root PATH                      MNIST
    python -m benchmarks.mnist --root PATH --model graph        the same network on the graph of pixels
    python -m benchmarks.mnist --root PATH --model sphere       the same network on digits projected onto a sphere

The network is always LeNet-5 in its dense form (convolution, pooling, convolution, pooling, three fully connected layers), with
5 x 5 kernels whose taps are laid into the charts of the domain. Accuracy is that after the last epoch, for every seed. Beside it
stands logistic regression on what the network reads.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data

from benchmarks.baseline import accuracy as linear_accuracy
from benchmarks.baseline import chosen_logistic
from benchmarks.packed_weights import pack
from benchmarks.result import command, portable, write_result
from geodl.data import Grid, Mesh
from geodl.datasets import MNIST, Digits
from geodl.models import LeNet5
from geodl.nn import Level, graph_levels, mesh_levels

SIDE = 28  # of an image, in pixels
BATCH = 100
LEARNING_RATE = 3e-3
SHIFT = 2  # in training images are shifted by so many pixels at most
EPOCHS = {"digits": 40, "MNIST": 8}
NAMES = {"grid": "grid", "graph": "graph of pixels", "sphere": "sphere"}
# The cap of the sphere that the middle of an image to the middle of its sides covers, in degrees from the digit's centre.
CAP = 120.0


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mnist", description="Recognise digits.")
    parser.add_argument("--root", type=Path, help="folder of MNIST; scikit-learn's digits if not given")
    parser.add_argument("--model", choices=list(NAMES), default="grid", help="domain of the network")
    parser.add_argument("--epochs", type=int, help="passes over the training images")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=3, help="how many there are")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="run folder (runs/mnist-MODEL if not given)")
    chosen = parser.parse_args(argv)
    if chosen.seeds < 1:
        parser.error(f"--seeds must be at least 1, not {chosen.seeds}")
    chosen.out = chosen.out or Path("runs") / f"mnist-{chosen.model}"
    return chosen


def images(root: Path | None, split: str) -> tuple[Tensor, Tensor]:
    """Images ``[N, 1, 28, 28]``, of mean 0 and deviation 1 over the pixels of MNIST, and digits ``[N]``."""
    found = Digits(split) if root is None else MNIST(root, split)  # type: ignore[arg-type]
    x = found.x if root else F.pad(F.interpolate(found.x, size=20, mode="bilinear"), (4, 4, 4, 4))
    return (x - 0.1307) / 0.3081, found.y


def domain(name: str) -> tuple[Level | None, Callable[[Tensor], Tensor], int]:
    """Where the network lives, what brings images ``[B, 1, 28, 28]`` there, and the points left after both poolings."""
    blank = (0 - 0.1307) / 0.3081
    if name == "grid":
        return None, lambda x: F.pad(x, (2, 2, 2, 2), value=blank), 25
    if name == "graph":
        graph: Data = Grid(torch.zeros(1, SIDE, SIDE)).to_graph(radius=1.5)
        level = graph_levels(graph, (196, 49), kernel_size=5)
        return level, lambda x: x.flatten(2), 49
    sphere = icosphere(3)
    level = mesh_levels(sphere, (162, 42), kernel_size=5, direction=carried_down(sphere.pos))
    places = projection(sphere.pos)

    def onto_sphere(x: Tensor) -> Tensor:
        where = places.to(x).expand(len(x), 1, -1, -1)
        return F.grid_sample(x - blank, where, align_corners=False)[:, :, 0] + blank

    return level, onto_sphere, 42


def icosphere(subdivisions: int) -> Mesh:
    """The unit sphere of 20 times 4^subdivisions triangles."""
    import trimesh

    return Mesh.from_trimesh(trimesh.creation.icosphere(subdivisions))


def projection(pos: Tensor) -> Tensor:
    """Where each point of the sphere lies in the image, by Lambert's azimuthal equal-area projection about +x, ``[1, V, 2]``.

    As ``grid_sample`` counts: x to the right and y down, from -1 to 1.
    """
    radius = 2 * torch.sin(torch.acos(pos[:, 0].clamp(-1, 1)) / 2) / (2 * math.sin(math.radians(CAP / 2)))
    across = torch.stack([pos[:, 1], -pos[:, 2]], dim=1)
    length = torch.linalg.vector_norm(across, dim=1, keepdim=True)
    # The point opposite to the middle has no direction; any one leads out of the picture.
    across = torch.where(length > 1e-6, across / length, across.new_tensor([1, 0]))
    where: Tensor = radius[:, None] * across
    return where[None]


def carried_down(pos: Tensor) -> Tensor:
    """The image's direction down, carried from the middle of the digit along great circles to every point, ``[V, 3]``."""
    down, centre = pos.new_tensor([0.0, 0.0, -1.0]), pos.new_tensor([1.0, 0.0, 0.0])
    along = (pos @ down) / (1 + pos @ centre).clamp(min=1e-6)
    return down - along[:, None] * (pos + centre)


def shifted(x: Tensor) -> Tensor:
    """The images of a batch, moved by one random number of pixels."""
    across, down = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
    return torch.roll(x, (down, across), (2, 3))  # the margin of the images is blank


def train(
    model: LeNet5, level: Level | None, project: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, epochs: int,
    report: Callable[[int, float], None],
) -> None:  # fmt: skip
    steps = epochs * math.ceil(len(y) / BATCH)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.2)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(y)).to(x.device).split(BATCH):
            loss = F.cross_entropy(model(project(shifted(x[chosen])), level), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        report(epoch, total / len(y))


@torch.no_grad()
def accuracy(
    model: LeNet5, level: Level | None, project: Callable[[Tensor], Tensor], x: Tensor, y: Tensor
) -> float:
    model.eval()
    right = sum(
        int((model(project(some), level).argmax(1) == digits).sum())
        for some, digits in zip(x.split(500), y.split(500), strict=True)
    )
    return right / len(y)


def linear(
    project: Callable[[Tensor], Tensor], train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]
) -> float:
    """Accuracy of logistic regression on the points of the domain."""
    (x, y), (x_test, y_test) = ((project(images).flatten(1), digits) for images, digits in (train, test))
    return linear_accuracy(chosen_logistic(x, y, 10), x_test, y_test)


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    console = Console()
    data = "MNIST" if chosen.root else "digits"
    epochs = chosen.epochs or EPOCHS[data]
    began = time.perf_counter()
    level, project, points = domain(chosen.model)
    level = None if level is None else level.to(chosen.device)
    (x, y), (x_test, y_test) = (
        [tensor.to(chosen.device) for tensor in images(chosen.root, split)] for split in ("train", "test")
    )
    preparation = time.perf_counter() - began
    simplest = linear(project, (x, y), (x_test, y_test))
    console.print(f"logistic regression: {100 * simplest:.2f} %")
    seeds = list(range(chosen.seed, chosen.seed + chosen.seeds))
    scores, spent = [], []
    for seed in seeds:
        torch.manual_seed(seed)
        model = LeNet5(points=points).to(chosen.device)
        start = time.perf_counter()
        train(
            model, level, project, x, y, epochs,
            lambda epoch, loss: console.print(f"epoch {epoch + 1} of {epochs}: loss {loss:.4f}"),
        )  # fmt: skip
        spent.append(time.perf_counter() - start)
        scores.append(accuracy(model, level, project, x_test, y_test))
        console.print(
            f"seed {seed}: {100 * scores[-1]:.2f} % of {len(y_test)} test images in {spent[-1]:.0f} s"
        )
        if seed == chosen.seed:
            chosen.out.mkdir(parents=True, exist_ok=True)
            pack(model, {"points": points}, chosen.out / "LeNet5.safetensors")
        # After every seed, so that a run that is cut short keeps what it has.
        path = write_result(
            chosen.out,
            benchmark="mnist",
            data=data,
            model=f"LeNet5 on the {NAMES[chosen.model]}",
            metrics={
                "test_accuracy": statistics.mean(scores),
                "deviation": statistics.stdev(scores) if len(scores) > 1 else None,
                "accuracies": scores,
                "linear_accuracy": simplest,
                "epochs": epochs,
                "points": SIDE**2 if level is None else level.num_nodes,
                "training_seconds": round(sum(spent), 2),
                "preparation_seconds": round(preparation, 2),
            },
            seconds=time.perf_counter() - began,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            seeds=seeds[: len(scores)],
            command=portable(command(), chosen),
        )
    console.print(f"{100 * statistics.mean(scores):.2f} % on the {NAMES[chosen.model]}; wrote {path}")


if __name__ == "__main__":
    main()
