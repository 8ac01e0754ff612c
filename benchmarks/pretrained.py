"""The network that geodl brings along: trained on varied procedural bodies alone, tested on bodies that it never saw.

python -m benchmarks.pretrained --root PATH           trains (resumes a run that was interrupted), then evaluates
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from benchmarks import varied_bodies
from benchmarks.packed_weights import pack
from benchmarks.result import command, portable, write_result
from geodl.data import DataLoader, InvariantSignal, Mesh
from geodl.datasets import FAUST, CorrespondenceSet, Puppets, Quadrupeds
from geodl.matching import (
    MatchedPair,
    SpectralShape,
    evaluate,
    match,
    match_both_ways,
    match_descriptors,
    smooth_both_ways,
)
from geodl.models import FunctionalMapNet, shape_features
from geodl.models.shape_features import EIGENPAIRS
from geodl.training import FunctionalMapModule, make_trainer, resume_point, training_seconds

BATCH_SIZE = 4


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Attributes:
        people: how many, and whether they are Puppets or go further than these.
        animals: of every species.
        epochs: passes over the bodies.
        learning_rate: of Adam at the beginning.
        hidden: share of the signal's channels that a step does not see.
        fewest: a step sees so many eigenfunctions, up to all.
    """

    people: int
    puppets: bool
    animals: int
    epochs: int
    learning_rate: float
    hidden: float
    fewest: int


STAGES = (
    Stage(480, True, 51, 7, 2e-3, 0.1, varied_bodies.EIGENFUNCTIONS),
    Stage(480, True, 51, 3, 1e-3, 0.4, varied_bodies.EIGENFUNCTIONS),
    Stage(600, False, 51, 7, 1e-3, 0.3, 60),
)
# Points of a pair at which errors are measured.
POINTS = 500


class OneKindBatches(torch.utils.data.Sampler[list[int]]):
    """Batches of one kind of body, in an order that follows from the seed and the epoch."""

    def __init__(self, sizes: Sequence[int], seed: int) -> None:
        self.sizes, self.seed, self.epoch = sizes, seed, 0
        self.sampler = self  # whose epoch Lightning sets

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(size // BATCH_SIZE for size in self.sizes)

    def __iter__(self) -> Iterator[list[int]]:
        random = torch.Generator().manual_seed(self.seed * 1000 + self.epoch)
        batches, start = [], 0
        for size in self.sizes:
            order = start + torch.randperm(size, generator=random)
            batches += order[: size - size % BATCH_SIZE].view(-1, BATCH_SIZE).tolist()
            start += size
        return iter([batches[k] for k in torch.randperm(len(batches), generator=random)])


@lru_cache(maxsize=1)
def bodies(people: int, puppets: bool, animals: int, seed: int) -> list[list[Mesh]]:
    """So many people, Puppets or those that go further, and animals of every species; kept for the next stage."""
    make = varied_bodies.puppets if puppets else varied_bodies.people
    return [make(people, seed), varied_bodies.quadrupeds(animals, seed, "train")]


class Bodies(L.LightningDataModule):
    """Varied people and Quadrupeds of the training species."""

    def __init__(self, people: int, puppets: bool, animals: int, seed: int) -> None:
        super().__init__()
        self.asked, self.seed = (people, puppets, animals, seed), seed
        self.kinds: list[list[Mesh]] = []
        self.spent = 0.0

    def setup(self, stage: str | None = None) -> None:
        if not self.kinds:
            began = time.perf_counter()
            self.kinds = bodies(*self.asked)
            self.spent = time.perf_counter() - began

    def train_dataloader(self) -> DataLoader:
        batches = OneKindBatches([len(kind) for kind in self.kinds], self.seed)
        batches.set_epoch(self.trainer.current_epoch if self.trainer else 0)
        return DataLoader([body for kind in self.kinds for body in kind], batch_sampler=batches)


class SeenInPart(FunctionalMapModule):
    """Every step sees some channels of the signal and some eigenfunctions, so that no single one is relied on.

    The two tell of the eigenfunctions, whose number moves all signatures: a network that always had as many took some bodies for
    their mirror image, and was right about them with fewer.

    Args:
        model: the network.
        learning_rate: of Adam at the beginning.
        hidden: share of the channels that are not seen.
        fewest: eigenfunctions that are seen.
    """

    def __init__(self, model: FunctionalMapNet, learning_rate: float, hidden: float, fewest: int) -> None:
        super().__init__(model, "points", learning_rate)
        self.hidden, self.fewest = hidden, fewest

    def training_step(self, batch: Any, number: int) -> Tensor:
        most = varied_bodies.EIGENFUNCTIONS
        drawn = int(torch.randint(self.fewest, most + 1, (), generator=self.step_generator()))
        batch.seen = batch.spectrum.truncate(drawn)
        signal = InvariantSignal.of(batch.seen, batch.gradient)
        batch.x = signal * F.dropout(torch.ones(signal.shape[1]), self.hidden).to(signal)
        return super().training_step(batch, number)

    def forward(self, batch: Any) -> Tensor:
        features: Tensor = self.model(batch.x, batch.seen, batch.gradient)
        return features


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pretrained", description=__doc__)
    parser.add_argument("--root", type=Path, help="folder of the remeshed FAUST; left out if not given")
    parser.add_argument("--validation", action="store_true", help="evaluate on what choices are made by")
    parser.add_argument("--pairs", type=int, default=60, help="of every set, evenly chosen; a third by match")
    parser.add_argument("--bodies", type=float, default=1.0, help="share of those that are trained on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--out", type=Path, default=Path("runs/pretrained"), help="folder of weights and result"
    )
    return parser.parse_args(argv)


def train(chosen: argparse.Namespace, console: Console) -> tuple[FunctionalMapNet, dict[str, float]]:
    """The network after the last epoch, and the seconds of its bodies and of its training."""
    L.seed_everything(chosen.seed, workers=True, verbose=False)
    network = FunctionalMapNet(InvariantSignal.channels)
    seconds = {"preparation": 0.0, "training": 0.0}
    for number, stage in enumerate(STAGES):
        folder = chosen.out / f"stage-{number}"
        people, animals = (max(BATCH_SIZE, round(chosen.bodies * n)) for n in (stage.people, stage.animals))
        data = Bodies(people, stage.puppets, animals, chosen.seed)
        module = SeenInPart(network, stage.learning_rate, stage.hidden, stage.fewest)
        trainer = make_trainer(folder, stage.epochs, chosen.device)
        resumed = resume_point(folder)
        console.print(f"Resuming from {resumed}." if resumed else f"Run folder: {folder}")
        trainer.fit(module, data, ckpt_path=resumed, weights_only=True if resumed else None)
        seconds["preparation"] += data.spent
        seconds["training"] += training_seconds(trainer)
    network = network.cpu().eval()
    pack(network, {"in_channels": InvariantSignal.channels}, chosen.out / "FunctionalMapNet.safetensors")
    return network, seconds


def sets(faust: Path | None, validation: bool) -> dict[str, CorrespondenceSet]:
    """What the network is judged on; for choices other people of Puppets and other animals of the training species."""
    if validation:
        return {
            "Puppets, validation": Puppets(4, 5, 1001, "remeshed"),
            "Quadrupeds, validation": Quadrupeds(1, 3, 1001, split="train"),
        }
    found: dict[str, CorrespondenceSet] = {
        "Puppets, other people": Puppets(3, 5, 1002, "remeshed"),
        "Quadrupeds, other species": Quadrupeds(2, 5, 1002, split="test"),
    }
    if faust is not None:
        found["FAUST remeshed, test"] = FAUST(faust, "remeshed", "test")
    return found


Ready = tuple[SpectralShape, Tensor, Tensor]


class Shapes:
    """The shapes of a set, prepared when first asked for, with their features."""

    def __init__(self, shapes: CorrespondenceSet, network: FunctionalMapNet) -> None:
        self.shapes, self.seconds = shapes, 0.0
        self.features = shape_features(network, EIGENPAIRS)
        self.made: dict[int, Ready] = {}

    def __getitem__(self, number: int) -> Ready:
        """The prepared shape, its input signal and its features."""
        if number not in self.made:
            shape = SpectralShape.of(self.shapes[number], varied_bodies.EIGENFUNCTIONS)
            began = time.perf_counter()
            features = self.features(shape)
            self.seconds += time.perf_counter() - began
            self.made[number] = shape, InvariantSignal.of(shape.spectrum, shape.gradient), features
        return self.made[number]


def as_a_map(shape_1: Ready, shape_2: Ready) -> Tensor:
    """Nearest features both ways, once through a functional map; nothing is iterated."""
    both = match_both_ways(shape_1[2], shape_2[2])
    spectra = shape_1[0].spectrum, shape_2[0].spectrum
    return smooth_both_ways(*both, *spectra, varied_bodies.EIGENFUNCTIONS)[0]


def judged(
    name: str, shapes: CorrespondenceSet, network: FunctionalMapNet, count: int
) -> list[dict[str, Any]]:
    """A row a method: the nearest signals, features and maps on so many pairs, evenly chosen; `match` on every third of them."""
    ready, every = Shapes(shapes, network), shapes.pairs()
    chosen = range(0, len(every), max(1, len(every) // count))[:count]
    few = set(chosen[::3])
    found: dict[str, list[MatchedPair]] = {}
    seconds: dict[str, float] = {}
    methods: dict[str, Any] = {
        "nearest input signals, no network": lambda a, b: match_descriptors(a[1], b[1]),
        "nearest features": lambda a, b: match_descriptors(a[2], b[2]),
        "nearest features, as a map": as_a_map,
        "match, pretrained": lambda a, b: match(a[0], b[0], features=ready.features).p2p_21,
        "match": lambda a, b: match(a[0], b[0]).p2p_21,
    }
    for number in track(chosen, name):
        source, target = every.indices[number]
        random = torch.Generator().manual_seed(number)
        at_source, at_target = shapes.common_points(source, target)
        drawn = torch.randperm(len(at_source), generator=random)[:POINTS]
        shape_1, shape_2 = ready[target], ready[source]
        for method, solve in methods.items():
            if method.startswith("match") and number not in few:
                continue
            began = time.perf_counter()
            p2p = solve(shape_1, shape_2)
            seconds[method] = seconds.get(method, 0.0) + time.perf_counter() - began
            pair = MatchedPair(shapes[target], p2p[at_source[drawn]], at_target[drawn], f"{source}-{target}")
            found.setdefault(method, []).append(pair)
            if number in few and not method.startswith("match"):
                found.setdefault(f"{method}, the same pairs", []).append(pair)
    rows = []
    for method, pairs in sorted(found.items()):
        report = evaluate(pairs)
        rows.append(
            {
                "data": name,
                "method": method,
                "pairs": len(pairs),
                "mean_error_x100": report.mean_error,
                "median_error_x100": report.median_error,
                "worst_pair_x100": max(report.pair_means),
                "within 5 %": report.hit_rate(0.05),
                "seconds_a_pair": seconds[method] / len(pairs) if method in seconds else None,
            }
        )
    return rows


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    console, began = Console(), time.perf_counter()
    network, spent = train(chosen, console)
    rows = []
    for name, shapes in sets(chosen.root, chosen.validation).items():
        found = judged(name, shapes, network, chosen.pairs)
        rows += found
        console.print(*found, sep="\n")
    write_result(
        chosen.out,
        benchmark="pretrained",
        data="People and Quadrupeds, varied",
        model="FunctionalMapNet",
        metrics={
            "matched": rows,
            "points_a_pair": POINTS,
            **{f"{stage}_seconds": round(taken, 1) for stage, taken in spent.items()},
        },
        seconds=time.perf_counter() - began,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )
    console.print(f"wrote {chosen.out}")


if __name__ == "__main__":
    main()
