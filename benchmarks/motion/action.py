"""What somebody does, and how: ST-GCN beside linear models of the same numbers."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.motion.data import motions, names, title
from benchmarks.motion.training import size
from geodl.data import Motion, motion_signal
from geodl.models import STGCN

FRAMES, EVERY, HOP = 32, 2, 16  # of a window: frames, one of how many is read, and how far windows are apart
WIDTHS, KERNEL, DROPOUT = (24, 24, 48, 48), 5, 0.05
BATCH, STEPS, RATE = 16, 300, 4e-3
RIDGE = (0.001, 0.01, 0.1, 1.0, 10.0)


class Windows(NamedTuple):
    x: Tensor  # [N, 6, J, FRAMES]
    motion: Tensor  # [N], which motion it is of
    y: Tensor  # [M], of motions


def run(chosen: argparse.Namespace, seeds: list[int], console: Console) -> dict[str, Any]:
    labels = ("gait",) if chosen.root is None else ("action", "style")
    rows: list[dict[str, Any]] = []
    seconds = parameters = 0.0
    for label in labels:
        scores: dict[str, list[float]] = {}
        for seed in seeds:
            # Every seed has its own fifth of the takes, or people, to be tested on.
            parts = {
                split: motions(chosen.root, split, "style" if label == "style" else "action", seed % 5)
                for split in ("train", "val", "test")
            }
            hips = names(chosen.root).hips
            cut = {split: cut_up(found, hips) for split, found in parts.items()}
            for name, signal in LINEAR.items():
                scores.setdefault(name, []).append(ridge(cut, signal))
            began = time.process_time()
            torch.manual_seed(seed)
            classes = int(cut["train"].y.max()) + 1
            model = STGCN(6, classes, parts["train"][0].skeleton, WIDTHS, KERNEL, DROPOUT)
            train(model, parts["train"], hips, chosen.steps or STEPS)
            seconds += time.process_time() - began
            with torch.no_grad():
                predicted = torch.cat([model(x).softmax(1) for x in cut["test"].x.split(64)])
            scores.setdefault("ST-GCN", []).append(accuracy(predicted, cut["test"]))
            parameters = size(model)
            console.print(
                f"{label}, seed {seed}: " + ", ".join(f"{k} {v[-1]:.3f}" for k, v in scores.items())
            )
        for name, found in scores.items():
            spread = statistics.stdev(found) if len(found) > 1 else None
            mean = statistics.mean(found)
            rows.append(
                {"label": label, "model": name, "accuracy": mean, "deviation": spread, "accuracies": found}
            )
    for label in labels:
        own = [row for row in rows if row["label"] == label]
        linear = max(row["accuracy"] for row in own[:-1])
        console.print(f"{label}: ST-GCN {own[-1]['accuracy']:.3f}, best linear {linear:.3f}")
    return {
        "data": title(chosen.root),
        "model": "ST-GCN",
        "parameters": parameters,
        "metrics": {
            "rows": rows, "classes": classes, "test_motions": len(cut["test"].y), "steps": chosen.steps or STEPS,
            "training_cpu_seconds": round(seconds, 1),
        },
    }  # fmt: skip


def window(positions: Tensor, hips: tuple[int, int], start: int) -> Tensor:
    """``[6, J, FRAMES]``; beyond the ends of a motion it stands still."""
    frames = (start + EVERY * torch.arange(FRAMES)).clamp(0, len(positions) - 1)
    return motion_signal(positions[frames], *hips)


def numbers(motion: Motion, hips: tuple[str, str]) -> tuple[int, int]:
    return motion.skeleton.number(hips[0]), motion.skeleton.number(hips[1])


def cut_up(found: Sequence[Motion], hips: tuple[str, str]) -> Windows:
    x, whose = [], []
    for number, motion in enumerate(found):
        positions, sides = motion.positions(), numbers(motion, hips)
        for start in range(0, max(len(positions) - EVERY * FRAMES, 0) + 1, HOP):
            x.append(window(positions, sides, start))
            whose.append(number)
    return Windows(torch.stack(x), torch.tensor(whose), torch.tensor([int(motion.y) for motion in found]))


def train(model: nn.Module, found: Sequence[Motion], hips: tuple[str, str], steps: int) -> None:
    """AdamW with one cycle of the learning rate; windows anywhere in the motions, people up to a third smaller or taller."""
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.05)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    clips = [(motion.positions(), numbers(motion, hips), int(motion.y)) for motion in found]
    order: list[int] = []
    for _ in range(steps):
        while len(order) < BATCH:
            order += torch.randperm(len(clips)).tolist()
        batch, order = [clips[k] for k in order[:BATCH]], order[BATCH:]
        x = [window(p, sides, _anywhere(len(p))) for p, sides, _ in batch]
        scale = 1 + 0.1 * torch.randn(BATCH, 1, 1, 1)
        y = torch.tensor([label for _, _, label in batch])
        loss = F.cross_entropy(model(scale * torch.stack(x)), y, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cycle.step()
    model.eval()


def _anywhere(frames: int) -> int:
    return int(torch.randint(-8, max(frames - EVERY * FRAMES, 0) + 9, ()))


def accuracy(scores: Tensor, part: Windows) -> float:
    """Of motions, by the sum of the scores of their windows."""
    total = scores.new_zeros(len(part.y), scores.shape[1]).index_add(0, part.motion, scores)
    return float((total.argmax(1) == part.y).float().mean())


def flat(x: Tensor) -> Tensor:
    return x.flatten(1)


def moments(x: Tensor) -> Tensor:
    """Mean and deviation over the window of every joint's place."""
    return torch.cat([x[:, :3].mean(3), x[:, :3].std(3)], 1).flatten(1)


def extremes(x: Tensor) -> Tensor:
    """Mean, deviation, least and greatest value over the window of every joint's place and velocity."""
    return torch.cat([x.mean(3), x.std(3), x.amin(3), x.amax(3)], 1).flatten(1)


LINEAR = {
    "ridge on all numbers": flat,
    "ridge on mean and deviation of places": moments,
    "ridge on mean, deviation and extremes of places and velocities": extremes,
}


def ridge(cut: dict[str, Windows], signal: Any) -> float:
    """Test accuracy of ridge regression on the classes, with the weight that is best on validation."""
    a = signal(cut["train"].x)
    mean, deviation = a.mean(0), a.std(0) + 1e-6
    a = F.pad((a - mean) / deviation, (0, 1), value=1)
    target = F.one_hot(cut["train"].y)[cut["train"].motion].float()
    gram = a @ a.T
    others = {
        split: F.pad((signal(cut[split].x) - mean) / deviation, (0, 1), value=1) @ a.T
        for split in ("val", "test")
    }
    found = []
    for weight in RIDGE:
        solved = torch.linalg.solve(gram + weight * a.shape[1] * torch.eye(len(a)), target)
        found.append(tuple(accuracy(others[split] @ solved, cut[split]) for split in ("val", "test")))
    return max(found, key=lambda pair: pair[0])[1]
