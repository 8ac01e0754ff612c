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
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.motion.clips import Take, Windows, cut_up, draw, joined
from benchmarks.motion.data import classes, mirrored, mirrored_labels, motions, names, title
from benchmarks.motion.linear import LINEAR, ridge
from benchmarks.motion.training import fit, size
from geodl.models import STGCN
from geodl.training import ClassificationModule

WIDTHS, KERNEL = (24, 24, 48, 48), 5
BATCH, RATE, DECAY, SMOOTHING = 16, 4e-3, 0.05, 0.1
Label = Literal["gait", "action", "style"]
STEPS: dict[Label, int] = {"gait": 300, "action": 600, "style": 600}
DROPOUT: dict[Label, float] = {"gait": 0.05, "action": 0.15, "style": 0.05}
# Of people's sizes. All of Bandai-Namco's motions are of one skeleton.
SIZES: dict[Label, float] = {"gait": 0.1, "action": 0.02, "style": 0.02}
# Channels of a window that the network reads: a style is in the poses, wherever one goes.
READ: dict[Label, slice] = {"gait": slice(0, 9), "action": slice(0, 22), "style": slice(9, 22)}
AMONG = "among what was seen, also in mirrors"
_OTHER: dict[Label, Literal["action", "style"]] = {"action": "style", "style": "action"}
ONE_HANDED = ("bye", "byebye", "guide")  # always with the right hand


class Scores(NamedTuple):
    """Accuracy of clips, which are windows each by itself, and of whole takes, by the sum of the scores of their windows."""

    clips: float
    takes: float


def run(chosen: argparse.Namespace, seeds: list[int], console: Console) -> dict[str, Any]:
    labels: tuple[Label, ...] = ("gait",) if chosen.root is None else ("action", "style")
    rows: list[dict[str, Any]] = []
    seconds = parameters = 0.0
    hips = names(chosen.root).hips
    for label in labels:
        scores: dict[str, list[Scores]] = {}
        right: dict[str, list[Tensor]] = {}
        tested: list[Windows] = []
        for seed in seeds:
            # Every seed has its own fifth of the takes, or people, to be tested on.
            parts = {split: takes(chosen.root, split, label, seed % 5) for split in ("train", "val", "test")}
            others = {split: in_mirrors(chosen.root, label, found) for split, found in parts.items()}
            cut, mirrors = ({k: cut_up(v, hips) for k, v in found.items()} for found in (parts, others))
            tested.append(cut["test"])
            said = {name: ridge(cut, signal) for name, signal in LINEAR.items()}
            if label != "gait":
                more = cut | {split: joined(cut[split], mirrors[split]) for split in ("train", "val")}
                said |= {f"{name}, {AMONG}": ridge(more, signal, True) for name, signal in LINEAR.items()}
            torch.manual_seed(seed)
            training = [*parts["train"], *others["train"], *parts["val"], *others["val"]]
            read, skeleton = READ[label], training[0].motion.skeleton
            pairs = seen(training)
            model = STGCN(
                read.stop - read.start, pairs.shape[1], skeleton, WIDTHS, KERNEL, DROPOUT[label], True, True
            )
            module = AmongSeen(model, pairs, RATE, DECAY, SMOOTHING)
            drawn = partial(draw, training, hips, read, SIZES[label], BATCH)
            seconds += fit(module, drawn, chosen.steps or STEPS[label])
            said["ST-GCN"] = told(model, cut["test"].x[:, read])
            if label == "style":  # which is the same in a mirror
                said["ST-GCN"] += told(model, mirrors["test"].x[:, read])
            parameters = size(model)
            for name, one in said.items():
                scores.setdefault(name, []).append(judged(one, cut["test"]))
                right.setdefault(name, []).append(one.argmax(1) == cut["test"].y)
            line = ", ".join(f"{k} {v[-1].clips:.3f} {v[-1].takes:.3f}" for k, v in scores.items())
            console.print(f"{label}, seed {seed}: {line}; {seconds:.0f} s")
        for name, found in scores.items():
            row: dict[str, Any] = {"label": label, "model": name}
            for key, values in zip(Scores._fields, zip(*found, strict=True), strict=True):
                spread = statistics.stdev(values) if len(found) > 1 else None
                row |= {key: statistics.mean(values), f"{key}_deviation": spread, f"{key}_of_seeds": values}
            if name != "ST-GCN":
                row |= better(right["ST-GCN"], right[name], tested)._asdict()
            rows.append(row)
            console.print(row)
    return {
        "data": title(chosen.root),
        "model": "ST-GCN",
        "parameters": parameters,
        "metrics": {
            "rows": rows, "test_clips": [len(one.y) for one in tested], "test_takes": [number(one) for one in tested],
            "steps": {label: chosen.steps or STEPS[label] for label in labels},
            "training_cpu_seconds": round(seconds, 1),
        },
    }  # fmt: skip


class AmongSeen(ClassificationModule):
    """Cross entropy among the classes that training saw beside what else is known of a clip.

    Tested are pairs of action and style of which training saw none. Against all classes a network that knows the action learns
    which styles it never had in it, and these are the ones that are tested.
    """

    def __init__(self, model: nn.Module, seen: Tensor, rate: float, decay: float, smoothing: float) -> None:
        super().__init__(model, seen.shape[1], rate, decay, smoothing)
        self.register_buffer("seen", seen, persistent=False)

    def training_step(self, batch: Any, _: int) -> Tensor:
        batch, scores, penalty = self.training_scores(batch)
        among = self.get_buffer("seen")[batch.beside]
        told = scores.masked_fill(~among, -torch.inf).log_softmax(1)
        right = F.nll_loss(told, batch.y)
        smooth = -(told.masked_fill(~among, 0).sum(1) / among.sum(1)).mean()
        loss: Tensor = (1 - self.smoothing) * right + self.smoothing * smooth + penalty
        return loss


def seen(found: Sequence[Take]) -> Tensor:
    """``[B, C]``: the classes of which there are takes beside each of the others."""
    made = torch.zeros(max(t.beside for t in found) + 1, max(t.y for t in found) + 1, dtype=torch.bool)
    for take in found:
        made[take.beside, take.y] = True
    return made


@torch.no_grad()
def told(model: STGCN, x: Tensor) -> Tensor:
    return torch.cat([model(part).softmax(1) for part in x.split(64)])


def takes(root: Path | None, split: Any, label: Label, fold: int) -> list[Take]:
    found = motions(root, split, "style" if label == "style" else "action", fold)
    if label == "gait":
        return [Take(motion, motion.positions(), int(motion.y), 0) for motion in found]
    others = classes(root, _OTHER[label])
    return [Take(m, m.positions(), int(m.y), others.index(m[_OTHER[label]])) for m in found]


def in_mirrors(root: Path | None, label: Label, found: Sequence[Take]) -> list[Take]:
    """The same with left and right changed, but that the right hand waves."""
    if label == "gait":
        after, beside = mirrored_labels(classes(root)), [0]
    else:
        after, beside = mirrored_labels(classes(root, label)), mirrored_labels(classes(root, _OTHER[label]))
    return [
        Take(m, mirrored(positions, m.skeleton), after[y], beside[z])
        for m, positions, y, z in found
        if label != "action" or m.action not in ONE_HANDED
    ]


def number(part: Windows) -> int:
    """How many takes there are."""
    return int(part.motion.max()) + 1


def judged(scores: Tensor, part: Windows) -> Scores:
    total = scores.new_zeros(number(part), scores.shape[1]).index_add(0, part.motion, scores)
    whole = part.y.new_zeros(len(total)).scatter(0, part.motion, part.y)
    right = (scores.argmax(1) == part.y, total.argmax(1) == whole)
    return Scores(*(float(one.float().mean()) for one in right))


class Better(NamedTuple):
    """How many more of all clips are right, and its standard error, where takes, not clips, are independent."""

    better: float
    better_error: float


def better(one: Sequence[Tensor], other: Sequence[Tensor], tested: Sequence[Windows]) -> Better:
    more = []
    for a, b, part in zip(one, other, tested, strict=True):
        gained = torch.stack([a.double() - b.double(), torch.ones(len(a)).double()])
        more.append(gained.new_zeros(2, number(part)).index_add(1, part.motion, gained))
    gain, clips = torch.cat(more, 1)
    mean = gain.sum() / clips.sum()
    error = (gain - mean * clips).square().sum().sqrt() / clips.sum()
    return Better(float(mean), float(error))
