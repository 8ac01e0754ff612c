"""Classifies the non-rigid shapes of SHREC11: with networks on the meshes, and with networks on points sampled from them.

    python -m benchmarks.shrec11 --root SHREC11                       DiffusionNet on heat kernel signatures
    python -m benchmarks.shrec11 --root SHREC11 --model gcnn          the geodesic CNN on the same
    python -m benchmarks.shrec11 --root SHREC11 --model diffusionnet-points    DiffusionNet on points, by their robust Laplacian
    python -m benchmarks.shrec11 --root SHREC11 --model pointnet2     PointNet++ (or dgcnn) on points

Every seed draws a split of its own, 16 shapes of each class to train on and 4 to test, as published averages do; with
``--split folders`` it is always that of the folders. Accuracy is that after the last epoch, for every seed.

The shapes lie in any orientation and have been bent. DiffusionNet and the geodesic CNN read an intrinsic signal, which neither
changes. For the point networks, points are drawn from the surface anew in every epoch and turned about any axis; test clouds lie as
they lie. Beside every network stands logistic regression: on the logarithms of the eigenvalues (ShapeDNA, Reuter 2006) where the
network has a spectrum, and else on the histogram of the distances between the points.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset, Subset
from torch_geometric.data import Data
from torch_geometric.transforms import Compose

from benchmarks.baseline import accuracy as linear_accuracy
from benchmarks.baseline import chosen_logistic, standardised
from benchmarks.cloud_statistics import statistics_of
from benchmarks.result import command, portable, write_result
from geodl.data import (
    DataLoader,
    GeodesicOperators,
    Mesh,
    OperatorCache,
    RandomRotate,
    RandomScale,
    SpectralOperators,
    UnitArea,
)
from geodl.datasets import SHREC11
from geodl.datasets.surface_samples import cloud, sample_surface, unit_ball
from geodl.geometry import heat_kernel_signature
from geodl.models import DGCNN, GCNN, DiffusionNet, PointNet2

NAMES = {
    "diffusionnet": "DiffusionNet on meshes",
    "diffusionnet-points": "DiffusionNet on points",
    "gcnn": "GCNN on meshes",
    "dgcnn": "DGCNN on points",
    "pointnet2": "PointNet2 on points",
}
POINT_NETWORKS = ("dgcnn", "pointnet2")
TRAIN_PER_CLASS = 16
EIGENVALUES, SIGNATURES = 128, 16
RINGS, RAYS = 3, 8
BATCH = 16
SMOOTHING = 0.2
LEARNING_RATE = {
    "diffusionnet": 5e-3,
    "diffusionnet-points": 5e-3,
    "gcnn": 5e-3,
    "dgcnn": 2e-3,
    "pointnet2": 2e-3,
}
EPOCHS = {"diffusionnet": 20, "diffusionnet-points": 20, "gcnn": 20, "dgcnn": 50, "pointnet2": 50}


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shrec11", description="Classify SHREC11.")
    parser.add_argument("--root", type=Path, required=True, help="folder of SHREC11")
    parser.add_argument("--model", choices=list(NAMES), default="diffusionnet")
    parser.add_argument("--split", choices=["random", "folders"], default="random")
    parser.add_argument("--points", type=int, default=256, help="of a cloud, for networks on points")
    parser.add_argument("--epochs", type=int, help="passes over the training shapes")
    parser.add_argument("--cache", type=Path, help="where operators are kept (the user's cache if not given)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=3, help="how many there are")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="run folder (runs/shrec11-MODEL if not given)")
    chosen = parser.parse_args(argv)
    if chosen.seeds < 1:
        parser.error(f"--seeds must be at least 1, not {chosen.seeds}")
    chosen.epochs = chosen.epochs or EPOCHS[chosen.model]
    chosen.out = chosen.out or Path("runs") / f"shrec11-{chosen.model}"
    return chosen


def network(name: str, classes: int) -> nn.Module:
    if name.startswith("diffusionnet"):
        return DiffusionNet(SIGNATURES, classes, width=32, outputs="global", dropout=0.0)
    if name == "gcnn":
        return GCNN(SIGNATURES, classes, RINGS, RAYS, widths=(32, 64, 64), outputs="global", dropout=0.3)
    return DGCNN(0, classes) if name == "dgcnn" else PointNet2(0, classes)


def scores(model: nn.Module, batch: Any) -> Tensor:
    """Of every shape of a batch and class."""
    found: Tensor
    if isinstance(model, DiffusionNet):
        found = model(batch.x, batch.spectrum, batch.gradient)
    elif isinstance(model, GCNN):
        found = model(batch.x, batch.windows, area=batch.area, ptr=batch.ptr)
    else:
        found = model(batch.pos, batch.ptr)
    return found


class Signature:
    """``x [V, 16]``: heat kernel signatures of a shape of area 1."""

    def __call__(self, shape: Any) -> Any:
        shape.x = heat_kernel_signature(shape.spectrum, SIGNATURES)
        return shape


class Sample:
    """Points drawn evenly from a mesh, as many as asked for, the same for the same mesh."""

    def __init__(self, points: int) -> None:
        self.points = points

    def __call__(self, mesh: Mesh) -> Data:
        pos, face = mesh.pos.double().numpy(), mesh.face.t().numpy()
        points, normals = sample_surface(pos, face, self.points, np.random.default_rng(0))
        sampled = cloud(points, normals)
        sampled.y = mesh.y
        return sampled


def with_operators(meshes: SHREC11, name: str, points: int, cache: OperatorCache) -> list[Data]:
    """Every shape with what an intrinsic network reads of it."""
    steps: list[Any] = [UnitArea()]
    if name == "diffusionnet-points":
        steps.append(Sample(points))
    steps += [SpectralOperators(cache, EIGENVALUES), Signature()]
    if name == "gcnn":
        steps.append(GeodesicOperators(cache, RINGS, RAYS))
    prepare = Compose(steps)
    return [prepare(meshes[k]) for k in range(len(meshes))]


class Clouds(Dataset[Data]):
    """Points drawn evenly from the surfaces of meshes, anew at every access."""

    def __init__(self, meshes: Sequence[Mesh], points: int, random: Generator) -> None:
        self.meshes = [(mesh.pos.double().numpy(), mesh.face.t().numpy(), mesh.y) for mesh in meshes]
        self.points, self.random = points, random

    def __len__(self) -> int:
        return len(self.meshes)

    def __getitem__(self, index: int) -> Data:
        pos, face, label = self.meshes[index]
        points, _ = sample_surface(pos, face, self.points, self.random)
        found = cloud(unit_ball(points))
        found.y = label
        return found


class Changed(Dataset[Data]):
    """Items after a transform, drawn anew at every access."""

    def __init__(self, items: Dataset[Data], transform: Callable[[Any], Any]) -> None:
        self.items, self.transform = items, transform

    def __len__(self) -> int:
        return len(self.items)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Data:
        changed: Data = self.transform(self.items[index])
        return changed


def split(meshes: SHREC11, how: str, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the shapes to train on and to test on."""
    if how == "folders":
        count = TRAIN_PER_CLASS * meshes.num_classes  # the set has its training shapes first
        return list(range(count)), list(range(count, len(meshes)))
    random = np.random.default_rng(seed)
    train, test = [], []
    for label in range(meshes.num_classes):
        of_class = random.permutation((meshes.labels == label).nonzero().squeeze(1).numpy()).tolist()
        train += of_class[:TRAIN_PER_CLASS]
        test += of_class[TRAIN_PER_CLASS:]
    return train, test


def train(
    model: nn.Module, items: Any, epochs: int, peak: float, device: str, report: Callable[[int, float], None]
) -> None:
    loader = DataLoader(items, batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), peak)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=epochs * len(loader))
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for batch in loader:
            batch = batch.to(device)
            loss = F.cross_entropy(scores(model, batch), batch.y, label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(batch.y)
        report(epoch, total / len(items))


@torch.no_grad()
def accuracy(model: nn.Module, items: Any, device: str) -> float:
    model.eval()
    right = 0
    for batch in DataLoader(items, batch_size=2 * BATCH):
        batch = batch.to(device)
        right += int((scores(model, batch).argmax(1) == batch.y).sum())
    return right / len(items)


def linear(items: Sequence[Data], train: list[int], test: list[int], classes: int) -> float:
    """Accuracy of logistic regression on what is known of whole shapes."""
    y = torch.cat([item.y for item in items])
    if "spectrum" in items[0]:
        x = torch.stack([item.spectrum.evals[1:].clamp(min=1e-6).log() for item in items]).float()
    else:
        x = statistics_of(torch.stack([item.pos for item in items]))
    seen, unseen = standardised(x[train], x[test])
    return linear_accuracy(chosen_logistic(seen, y[train], classes), unseen, y[test])


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    console = Console()
    began = time.perf_counter()
    meshes = SHREC11(chosen.root)
    resampled = chosen.model in POINT_NETWORKS
    prepared = (
        [] if resampled else with_operators(meshes, chosen.model, chosen.points, OperatorCache(chosen.cache))
    )
    preparation = time.perf_counter() - began
    vertices = chosen.points if resampled else round(sum(item.num_nodes for item in prepared) / len(prepared))
    seeds = list(range(chosen.seed, chosen.seed + chosen.seeds))
    found, spent, simplest = [], [], []
    described = (
        Clouds([meshes[k] for k in range(len(meshes))], chosen.points, np.random.default_rng(0))
        if resampled
        else prepared
    )
    described = [described[k] for k in range(len(meshes))]
    for seed in seeds:
        torch.manual_seed(seed)
        model = network(chosen.model, meshes.num_classes).to(chosen.device)
        train_numbers, test_numbers = split(meshes, chosen.split, seed)
        if resampled:
            sets: list[Any] = [
                Clouds([meshes[k] for k in numbers], chosen.points, np.random.default_rng([seed, part]))
                for part, numbers in enumerate((train_numbers, test_numbers))
            ]
            turn = Compose([RandomRotate("any"), RandomScale(0.8, 1.25, anisotropic=True)])
            sets[0] = Changed(sets[0], turn)
        else:
            sets = [Subset(prepared, numbers) for numbers in (train_numbers, test_numbers)]  # type: ignore[arg-type]
        simplest.append(linear(described, train_numbers, test_numbers, meshes.num_classes))
        start = time.perf_counter()
        train(
            model, sets[0], chosen.epochs, LEARNING_RATE[chosen.model], chosen.device,
            lambda epoch, loss: console.print(f"epoch {epoch + 1} of {chosen.epochs}: loss {loss:.4f}"),
        )  # fmt: skip
        spent.append(time.perf_counter() - start)
        found.append(accuracy(model, sets[1], chosen.device))
        console.print(
            f"seed {seed}: {100 * found[-1]:.2f} % of {len(sets[1])} test shapes in {spent[-1]:.0f} s; "
            f"logistic regression {100 * simplest[-1]:.2f} %"
        )
        # After every seed, so that a run that is cut short keeps what it has.
        path = write_result(
            chosen.out,
            benchmark="shrec11",
            data=f"SHREC11, 16 + 4, {'random splits' if chosen.split == 'random' else 'the folders'}",
            model=NAMES[chosen.model],
            metrics={
                "test_accuracy": statistics.mean(found),
                "deviation": statistics.stdev(found) if len(found) > 1 else None,
                "accuracies": found,
                "linear_accuracy": statistics.mean(simplest),
                "epochs": chosen.epochs,
                "points": vertices,
                "training_seconds": round(sum(spent), 2),
                "preparation_seconds": round(preparation, 2),
            },
            seconds=time.perf_counter() - began,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            seeds=seeds[: len(found)],
            command=portable(command(), chosen),
        )
    console.print(f"{100 * statistics.mean(found):.2f} % by {NAMES[chosen.model]}; wrote {path}")


if __name__ == "__main__":
    main()
