"""What a trained network gets right: on the test clouds, and on corrupted ones."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmarks.baseline import chosen_logistic, standardised
from benchmarks.cloud_statistics import statistics_of
from benchmarks.modelnet.data import Part, packed
from geodl.data import CORRUPTIONS, corrupt
from geodl.training import confusion, label_scores

__all__ = ["accuracies", "confusion", "corrupted_accuracies", "linear", "predict", "timed"]

BATCH = 64


@torch.no_grad()
def predict(model: nn.Module, clouds: Tensor | Sequence[Tensor]) -> Tensor:
    """The class of every cloud, ``[N]`` on the CPU."""
    model.eval()
    found = []
    for begin in range(0, len(clouds), BATCH):
        some = packed(clouds[begin : begin + BATCH])
        found.append(model(some.pos, some.ptr).argmax(1).cpu())
    return torch.cat(found)


def timed(model: nn.Module, part: Part) -> tuple[Tensor, float]:
    """Classes of the test clouds, and seconds."""
    began = time.perf_counter()
    predicted = predict(model, part.pos)
    seconds = time.perf_counter() - began
    wrong = (part.y.cpu() + 1) % len(part.classes)
    return predicted.where(part.there, wrong), seconds


def linear(train: Part, test: Part, points: int) -> float:
    """Accuracy of logistic regression on histograms of the clouds; test shapes without a surface count as wrong."""
    read = [statistics_of(part.pos[:, :points], part.up) for part in (train, test)]
    seen, unseen = standardised(*read)
    right = chosen_logistic(seen, train.y, len(train.classes))(unseen).argmax(1) == test.y
    return float((right & test.there).double().mean())


def accuracies(table: Tensor) -> tuple[float, float]:
    """The share of right answers over all clouds, and the mean over the classes that occur."""
    found = label_scores(table)
    return found.accuracy, found.mean_class_accuracy


def corrupted_accuracies(model: nn.Module, part: Part, count: int, seed: int) -> dict[str, list[float]]:
    """Overall accuracy on ``count`` test clouds, evenly from all, under every corruption at severities 1 to 5."""
    chosen = part.there.nonzero()[:, 0]
    chosen = chosen[torch.arange(count) * len(chosen) // count]
    clouds, y = part.pos[chosen.to(part.pos.device)].cpu(), part.y.cpu()[chosen]
    found: dict[str, list[float]] = {}
    for kind in CORRUPTIONS:
        found[kind] = []
        for severity in range(1, 6):
            generator = torch.Generator().manual_seed(seed)
            changed = [corrupt(cloud, kind, severity, generator).to(part.pos.device) for cloud in clouds]
            found[kind].append(float((predict(model, changed) == y).double().mean()))
    return found
