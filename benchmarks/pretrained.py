"""The network that geodl brings along: trained on varied procedural bodies alone, tested on bodies that it never saw.

python -m benchmarks.pretrained --faust PATH          trains (resumes a run that was interrupted), then evaluates
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from benchmarks import varied_bodies
from geodl.data import DataLoader, InvariantSignal, Mesh
from geodl.models import FunctionalMapNet, save_weights
from geodl.training import FunctionalMapModule, make_trainer, resume_point, training_seconds

PUPPETS, ANIMALS, EPOCHS, BATCH_SIZE = 480, 51, 7, 4
# Share of the input's channels that a training step does not see.
HIDDEN = 0.1


class Signals(torch.utils.data.Dataset[Mesh]):
    """Bodies with their input signal, which takes less time to make than memory to keep."""

    def __init__(self, bodies: Sequence[Mesh]) -> None:
        self.bodies = bodies

    def __len__(self) -> int:
        return len(self.bodies)

    def __getitem__(self, index: int) -> Mesh:
        made: Mesh = InvariantSignal()(self.bodies[index].clone())
        return made


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


class Bodies(L.LightningDataModule):
    """Varied Puppets and Quadrupeds of the training species."""

    def __init__(self, puppets: int, animals: int, seed: int) -> None:
        super().__init__()
        self.puppets, self.animals, self.seed = puppets, animals, seed
        self.kinds: list[list[Mesh]] = []

    def setup(self, stage: str | None = None) -> None:
        if not self.kinds:
            self.kinds = [
                varied_bodies.puppets(self.puppets, self.seed),
                varied_bodies.quadrupeds(self.animals, self.seed, "train"),
            ]

    def train_dataloader(self) -> DataLoader:
        batches = OneKindBatches([len(kind) for kind in self.kinds], self.seed)
        batches.set_epoch(self.trainer.current_epoch if self.trainer else 0)
        return DataLoader(Signals([body for kind in self.kinds for body in kind]), batch_sampler=batches)


class HiddenChannels(FunctionalMapModule):
    """Some channels of the signal are hidden in every step, so that no single one is relied on."""

    def training_step(self, batch: Any, number: int) -> Tensor:
        seen = F.dropout(torch.ones(batch.x.shape[1]), HIDDEN).to(batch.x)
        batch.x = batch.x * seen
        return super().training_step(batch, number)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pretrained", description=__doc__)
    parser.add_argument("--faust", type=Path, help="folder of the remeshed FAUST bodies; left out if not given")
    parser.add_argument("--pairs", type=int, default=60, help="of every set, evenly chosen, to be matched")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--puppets", type=int, default=PUPPETS, help="that are trained on")
    parser.add_argument("--animals", type=int, default=ANIMALS, help="of every species, that are trained on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("runs/pretrained"), help="folder of weights and result")
    return parser.parse_args(argv)


def train(chosen: argparse.Namespace, console: Console) -> tuple[FunctionalMapNet, float]:
    """The network after the last epoch, and the seconds of its training."""
    L.seed_everything(chosen.seed, workers=True, verbose=False)
    module = HiddenChannels(FunctionalMapNet(InvariantSignal.channels), "points")
    trainer = make_trainer(chosen.out, chosen.epochs, chosen.device)
    resumed = resume_point(chosen.out)
    console.print(f"Resuming from {resumed}." if resumed else f"Run folder: {chosen.out}")
    data = Bodies(chosen.puppets, chosen.animals, chosen.seed)
    trainer.fit(module, data, ckpt_path=resumed, weights_only=True if resumed else None)
    save_weights(module.model, chosen.out / "weights.safetensors")
    return module.model.cpu().eval(), training_seconds(trainer)
