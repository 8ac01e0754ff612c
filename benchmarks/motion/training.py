"""One way to train for all tasks."""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lightning as L
from torch import nn
from torch.utils.data import DataLoader, IterableDataset


class Draws(IterableDataset[Any]):
    """Batches that are drawn anew for every step."""

    def __init__(self, draw: Callable[[], Any], steps: int) -> None:
        self.draw, self.steps = draw, steps

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.steps):
            yield self.draw()

    def __len__(self) -> int:
        return self.steps


def fit(module: L.LightningModule, draw: Callable[[], Any], steps: int) -> float:
    """Trains for so many steps; the seconds of processor time that it took."""
    began = time.process_time()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        trainer = L.Trainer(
            accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, DataLoader(Draws(draw, steps), batch_size=None))
    module.eval()
    return time.process_time() - began


def over_seeds(found: Sequence[dict[str, float]]) -> dict[str, float | None]:
    """Means of what was found, and beside each ``NAME_deviation`` over the seeds, None of one."""
    row: dict[str, float | None] = {}
    for key in found[0]:
        values = [one[key] for one in found]
        spread = statistics.stdev(values) if len(values) > 1 else None
        row |= {key: statistics.mean(values), f"{key}_deviation": spread}
    return row


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def widest(make: Callable[[int], nn.Module], parameters: int) -> nn.Module:
    """The network whose number of parameters comes nearest to a given one, by its width."""
    low, high = 1, 2
    while size(make(high)) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(make(middle)) < parameters else (low, middle)
    return min((make(low), make(high)), key=lambda model: abs(size(model) - parameters))
