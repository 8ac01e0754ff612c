"""The training of one network, which goes on from its last whole epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.transforms import BaseTransform

from benchmarks.modelnet.data import Part, packed
from benchmarks.modelnet.networks import Network
from geodl.data.whole_file import whole_file
from geodl.training.arguments import apply_with_penalty
from geodl.training.supervised import warm_up_and_cosine as learning_rate

SMOOTHING = 0.2
CLIP = 10.0  # largest norm of a gradient


def train(
    model: nn.Module, network: Network, part: Part, augment: BaseTransform, seed: int, epochs: int, batch: int,
    path: Path, settings: Mapping[str, Any], report: Callable[[int, float], None],
) -> float:  # fmt: skip
    """Trains the model in place and returns the seconds of it, those before an interruption included.

    After every epoch all that the next one depends on is in the file ``path``; random numbers are drawn anew for every epoch, from
    the seed and its number, so that a run that was interrupted ends with the bits of one that was not.

    Raises:
        ValueError: the file is of a run with other settings.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=network.learning_rate, weight_decay=network.weight_decay
    )
    done, seconds = resume(path, model, optimizer, settings)
    steps = max(
        1, len(part.y) // batch
    )  # what is left over waits for the next epoch: batch norm wants whole batches
    for epoch in range(done, epochs):
        began = time.perf_counter()
        torch.manual_seed(1_000_003 * seed + epoch + 1)
        model.train()
        total = 0.0
        order = torch.randperm(len(part.y))
        for number, chosen in enumerate(order[: steps * batch].to(part.y.device).chunk(steps)):
            rate = learning_rate((epoch * steps + number + 0.5) / (epochs * steps)) * network.learning_rate
            for group in optimizer.param_groups:
                group["lr"] = rate
            total += float(step(model, optimizer, augment, part.pos[chosen], part.y[chosen]))
        seconds += time.perf_counter() - began
        save(path, model, optimizer, settings, epoch + 1, seconds)
        report(epoch, total / steps)
    return seconds


def step(
    model: nn.Module, optimizer: torch.optim.Optimizer, augment: BaseTransform, pos: Tensor, y: Tensor
) -> Tensor:
    """One step on clouds ``[B, P, 3]`` of classes ``[B]``; returns the loss."""
    clouds = augment(packed(pos))
    predicted, penalty = apply_with_penalty(model, clouds)
    loss: Tensor = functional.cross_entropy(predicted, y, label_smoothing=SMOOTHING) + penalty
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()
    return loss.detach()


def resume(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: Mapping[str, Any]
) -> tuple[int, float]:
    """Epochs done and seconds spent, with the model as it was then; (0, 0) if there is no file."""
    if not path.is_file():
        return 0, 0.0
    found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    check_settings(path, found["settings"], settings)
    model.load_state_dict(found["model"])
    optimizer.load_state_dict(found["optimizer"])
    return found["epochs"], found["seconds"]


def save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, settings: Mapping[str, Any],
    epochs: int, seconds: float,
) -> None:  # fmt: skip
    held = {
        "settings": dict(settings),
        "epochs": epochs,
        "seconds": seconds,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with whole_file(path) as temporary:
        torch.save(held, temporary)


def check_settings(path: Path, found: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raises ValueError where a file is of a run with other settings, and names them."""
    other = [f"{name} {found.get(name)}" for name, value in settings.items() if found.get(name) != value]
    if other:
        raise ValueError(f"{path} is of a run with {', '.join(other)}; choose another --out")
