"""What somebody does, and how: ST-GCN beside linear models of the same numbers."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data

from benchmarks.motion.data import classes, mirrored, mirrored_labels, motions, names, title
from benchmarks.motion.training import fit, size
from geodl.data import Motion, motion_signal
from geodl.models import STGCN
from geodl.training import ClassificationModule

FRAMES, EVERY, HOP = 16, 4, 16  # of a window: frames, one of how many is read, and how far windows are apart
WIDTHS, KERNEL, DROPOUT = (24, 24, 48, 48), 5, 0.05
BATCH, RATE, DECAY = 16, 4e-3, 0.05
SLOWEST, FASTEST, SIZES, SHAKEN = 0.94, 1.075, 0.1, 0.005  # of what is trained on; the last in metres
Label = Literal["gait", "action", "style"]
STEPS: dict[Label, int] = {"gait": 300, "action": 300, "style": 300}
RIDGE = (0.001, 0.01, 0.1, 1.0, 10.0)


class Windows(NamedTuple):
    x: Tensor  # [N, 9, J, FRAMES]
    motion: Tensor  # [N], which motion it is of
    y: Tensor  # [N]


class Scores(NamedTuple):
    """Accuracy of clips, which are windows each by itself, and of whole takes, by the sum of the scores of their windows."""

    clips: float
    takes: float


class Take(NamedTuple):
    motion: Motion
    positions: Tensor
    y: int


def run(chosen: argparse.Namespace, seeds: list[int], console: Console) -> dict[str, Any]:
    labels: tuple[Label, ...] = ("gait",) if chosen.root is None else ("action", "style")
    rows: list[dict[str, Any]] = []
    seconds = parameters = 0.0
    for label in labels:
        scores: dict[str, list[Scores]] = {}
        for seed in seeds:
            # Every seed has its own fifth of the takes, or people, to be tested on.
            parts = {split: takes(chosen.root, split, label, seed % 5) for split in ("train", "val", "test")}
            hips = names(chosen.root).hips
            cut = {split: cut_up(found, hips) for split, found in parts.items()}
            for name, signal in LINEAR.items():
                scores.setdefault(name, []).append(ridge(cut, signal))
            torch.manual_seed(seed)
            number = int(cut["train"].y.max()) + 1
            skeleton = parts["train"][0].motion.skeleton
            model = STGCN(9, number, skeleton, WIDTHS, KERNEL, DROPOUT, adaptive=True, moments=True)
            module = ClassificationModule(model, number, RATE, DECAY, 0.1)
            trained = in_mirrors(chosen.root, label, parts["train"])
            seconds += fit(module, partial(draw, trained, hips), chosen.steps or STEPS[label])
            with torch.no_grad():
                predicted = torch.cat([model(x).softmax(1) for x in cut["test"].x.split(64)])
            scores.setdefault("ST-GCN", []).append(judged(predicted, cut["test"]))
            parameters = size(model)
            told = ", ".join(f"{k} {v[-1].clips:.3f} {v[-1].takes:.3f}" for k, v in scores.items())
            console.print(f"{label}, seed {seed}: {told}; {seconds:.0f} s")
        for name, found in scores.items():
            row: dict[str, Any] = {"label": label, "model": name}
            for key, values in zip(Scores._fields, zip(*found, strict=True), strict=True):
                spread = statistics.stdev(values) if len(found) > 1 else None
                row |= {key: statistics.mean(values), f"{key}_deviation": spread, f"{key}_of_seeds": values}
            rows.append(row)
    for label in labels:
        own = [row for row in rows if row["label"] == label]
        linear = max(row["clips"] for row in own[:-1])
        console.print(f"{label}: ST-GCN {own[-1]['clips']:.3f}, best linear {linear:.3f}")
    return {
        "data": title(chosen.root),
        "model": "ST-GCN",
        "parameters": parameters,
        "metrics": {
            "rows": rows, "test_clips": len(cut["test"].y), "test_takes": int(cut["test"].motion.max()) + 1,
            "steps": {label: chosen.steps or STEPS[label] for label in labels},
            "training_cpu_seconds": round(seconds, 1),
        },
    }  # fmt: skip


def takes(root: Path | None, split: Any, label: Label, fold: int) -> list[Take]:
    found = motions(root, split, "style" if label == "style" else "action", fold)
    return [Take(motion, motion.positions(), int(motion.y)) for motion in found]


def in_mirrors(root: Path | None, label: Label, found: Sequence[Take]) -> list[Take]:
    """Also with left and right changed, where that is better on validation: people wave with the right hand, in any style."""
    if label == "action":
        return list(found)
    other = mirrored_labels(classes(root, "style" if label == "style" else "action"))
    return [*found, *(Take(m, mirrored(positions, m.skeleton), other[y]) for m, positions, y in found)]


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


def cut_up(found: Sequence[Take], hips: tuple[str, str]) -> Windows:
    x, whose = [], []
    for number, take in enumerate(found):
        for start in range(0, max(len(take.positions) - EVERY * FRAMES, 0) + 1, HOP):
            x.append(window(take.positions, take.motion, hips, start))
            whose.append(number)
    return Windows(torch.stack(x), torch.tensor(whose), torch.tensor([found[k].y for k in whose]))


def draw(found: Sequence[Take], hips: tuple[str, str]) -> Data:
    """Windows anywhere in the motions, people of other sizes, who are faster or slower, and joints that are not quite there."""
    x, y = [], []
    for number in torch.randint(len(found), (BATCH,)).tolist():
        motion, positions, label = found[number]
        speed = float(torch.empty(()).uniform_(SLOWEST, FASTEST))
        start = int(torch.randint(-8, max(int(len(positions) - speed * EVERY * FRAMES), 0) + 9, ()))
        positions = positions * (1 + SIZES * torch.randn(())) + SHAKEN * torch.randn(positions.shape[1:])
        x.append(window(positions, motion, hips, start, speed))
        y.append(label)
    return Data(x=torch.stack(x), y=torch.tensor(y))


def judged(scores: Tensor, part: Windows) -> Scores:
    total = scores.new_zeros(int(part.motion.max()) + 1, scores.shape[1]).index_add(0, part.motion, scores)
    whole = part.y.new_zeros(len(total)).scatter(0, part.motion, part.y)
    right = (scores.argmax(1) == part.y, total.argmax(1) == whole)
    return Scores(*(float(one.float().mean()) for one in right))


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


def ridge(cut: dict[str, Windows], signal: Any) -> Scores:
    """Of ridge regression on the classes, with the weight that is best on validation."""
    a = signal(cut["train"].x)
    mean, deviation = a.mean(0), a.std(0) + 1e-6
    a = F.pad((a - mean) / deviation, (0, 1), value=1)
    target = F.one_hot(cut["train"].y).float()
    others = [F.pad((signal(cut[split].x) - mean) / deviation, (0, 1), value=1) for split in ("val", "test")]
    wide = a.shape[1] > len(a)
    gram, given = (a @ a.T, target) if wide else (a.T @ a, a.T @ target)
    found = []
    for weight in RIDGE:
        solved = torch.linalg.solve(gram + weight * a.shape[1] * torch.eye(len(gram)), given)
        solved = a.T @ solved if wide else solved
        found.append(
            [judged(one @ solved, cut[split]) for one, split in zip(others, ("val", "test"), strict=True)]
        )
    return max(found, key=lambda pair: pair[0].clips)[1]
