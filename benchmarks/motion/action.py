"""What somebody does, and how: ST-GCN beside linear models of the same numbers."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data

from benchmarks.motion.data import mirrored, motions, names, title
from benchmarks.motion.training import fit, size
from geodl.data import Motion, motion_signal
from geodl.models import STGCN
from geodl.training import ClassificationModule

FRAMES, EVERY, HOP = 32, 2, 16  # of a window: frames, one of how many is read, and how far windows are apart
WIDTHS, KERNEL, DROPOUT = (24, 24, 48, 48), 5, 0.05
BATCH, STEPS, RATE = 16, 300, 4e-3
FASTEST, SLOWEST, SIZES, SHAKEN = (
    0.8,
    1.25,
    0.1,
    0.005,
)  # of the windows that are trained on; the last in metres
RIDGE = (0.001, 0.01, 0.1, 1.0, 10.0)


class Windows(NamedTuple):
    x: Tensor  # [N, 9, J, FRAMES]
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
            torch.manual_seed(seed)
            classes = int(cut["train"].y.max()) + 1
            skeleton = parts["train"][0].skeleton
            model = STGCN(9, classes, skeleton, WIDTHS, KERNEL, DROPOUT, adaptive=True, moments=True)
            module = ClassificationModule(model, classes, RATE, 0.05, 0.1)
            clips = [
                (motion, mirror, int(motion.y)) for motion in parts["train"] for mirror in mirrors(label)
            ]
            seconds += fit(module, partial(draw, clips, hips), chosen.steps or STEPS)
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


def window(
    positions: Tensor, motion: Motion, hips: tuple[str, str], start: float, speed: float = 1
) -> Tensor:
    """``[9, J, FRAMES]``: places, steps and bones; beyond the ends of a motion it stands still."""
    time = (start + speed * EVERY * torch.arange(FRAMES).float()).clamp(0, len(positions) - 1)
    before = time.long()
    after = (before + 1).clamp(max=len(positions) - 1)
    now = torch.lerp(positions[before], positions[after], (time - before)[:, None, None])
    x = motion_signal(now, *(motion.skeleton.number(name) for name in hips))
    above = motion.skeleton.parents
    bones = torch.where((above > 0)[:, None], x[:3] - x[:3, above.clamp(min=0)], x[:3])
    return torch.cat([x, bones])


def cut_up(found: Sequence[Motion], hips: tuple[str, str]) -> Windows:
    x, whose = [], []
    for number, motion in enumerate(found):
        positions = motion.positions()
        for start in range(0, max(len(positions) - EVERY * FRAMES, 0) + 1, HOP):
            x.append(window(positions, motion, hips, start))
            whose.append(number)
    return Windows(torch.stack(x), torch.tensor(whose), torch.tensor([int(motion.y) for motion in found]))


def mirrors(label: str) -> tuple[bool, ...]:
    """Whether motions are also trained on with left and right changed, which makes another gait of some gaits."""
    return (False,) if label == "gait" else (False, True)


def draw(clips: Sequence[tuple[Motion, bool, int]], hips: tuple[str, str]) -> Data:
    """Windows anywhere in the motions, people of other sizes, who are faster or slower, and joints that are not quite there."""
    x, y = [], []
    for number in torch.randint(len(clips), (BATCH,)).tolist():
        motion, mirror, label = clips[number]
        positions = motion.positions()
        positions = mirrored(positions, motion.skeleton) if mirror else positions
        speed = float(torch.empty(()).uniform_(FASTEST, SLOWEST))
        start = int(torch.randint(-8, max(int(len(positions) - speed * EVERY * FRAMES), 0) + 9, ()))
        positions = positions * (1 + SIZES * torch.randn(())) + SHAKEN * torch.randn(positions.shape[1:])
        x.append(window(positions, motion, hips, start, speed))
        y.append(label)
    return Data(x=torch.stack(x), y=torch.tensor(y))


def accuracy(scores: Tensor, part: Windows) -> float:
    """Of motions, by the sum of the scores of their windows."""
    total = scores.new_zeros(len(part.y), scores.shape[1]).index_add(0, part.motion, scores)
    return float((total.argmax(1) == part.y).float().mean())


def flat(x: Tensor) -> Tensor:
    return x[:, :6].flatten(1)


def moments(x: Tensor) -> Tensor:
    """Mean and deviation over the window of every joint's place."""
    return torch.cat([x[:, :3].mean(3), x[:, :3].std(3)], 1).flatten(1)


def extremes(x: Tensor) -> Tensor:
    """Mean, deviation, least and greatest value over the window of every joint's place and velocity."""
    x = x[:, :6]
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
