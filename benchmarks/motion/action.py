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
from geodl.data import Motion, heading, motion_signal
from geodl.data.locomotion import about_y
from geodl.models import STGCN
from geodl.training import ClassificationModule

FRAMES, EVERY, HOP = 16, 4, 16  # of a window: frames, one of how many is read, and how far windows are apart
WIDTHS, KERNEL, DROPOUT = (24, 24, 48, 48), 5, 0.05
BATCH, RATE, DECAY, SMOOTHING = 16, 4e-3, 0.05, 0.1
SLOWEST, FASTEST, SHAKEN = 0.94, 1.075, 0.005  # of what is trained on; the last in metres
Label = Literal["gait", "action", "style"]
STEPS: dict[Label, int] = {"gait": 300, "action": 300, "style": 600}
# Of people's sizes. All of Bandai-Namco's motions are of one skeleton.
SIZES: dict[Label, float] = {"gait": 0.1, "action": 0.02, "style": 0.02}
# Channels of a window that the network reads: a style is in the poses, wherever one goes.
READ: dict[Label, slice] = {"gait": slice(9), "action": slice(22), "style": slice(9, 22)}
_OTHER: dict[Label, Literal["action", "style"]] = {"action": "style", "style": "action"}
RIDGE = (0.001, 0.01, 0.1, 1.0, 10.0)
ONE_HANDED = ("bye", "byebye", "guide")  # always with the right hand


class Windows(NamedTuple):
    x: Tensor  # [N, 22, J, FRAMES]
    motion: Tensor  # [N], which motion it is of
    y: Tensor  # [N]
    beside: Tensor  # [N]


class Scores(NamedTuple):
    """Accuracy of clips, which are windows each by itself, and of whole takes, by the sum of the scores of their windows."""

    clips: float
    takes: float


class Take(NamedTuple):
    motion: Motion
    positions: Tensor
    y: int
    beside: int  # what else is known of it: of an action the style, of a style the action


def run(chosen: argparse.Namespace, seeds: list[int], console: Console) -> dict[str, Any]:
    labels: tuple[Label, ...] = ("gait",) if chosen.root is None else ("action", "style")
    rows: list[dict[str, Any]] = []
    seconds = parameters = 0.0
    hips = names(chosen.root).hips
    for label in labels:
        scores: dict[str, list[Scores]] = {}
        for seed in seeds:
            # Every seed has its own fifth of the takes, or people, to be tested on.
            parts = {split: takes(chosen.root, split, label, seed % 5) for split in ("train", "val", "test")}
            cut = {split: cut_up(found, hips) for split, found in parts.items()}
            mirrors = {
                split: cut_up(in_mirrors(chosen.root, label, found), hips) for split, found in parts.items()
            }
            for name, signal in LINEAR.items():
                scores.setdefault(name, []).append(ridge(cut, signal))
            for name, signal in LINEAR.items() if label != "gait" else ():
                more = {split: joined(cut[split], mirrors[split]) for split in ("train", "val")}
                found = ridge(more | {"test": cut["test"]}, signal, among_seen=True)
                scores.setdefault(f"{name}, among what was seen, also in mirrors", []).append(found)
            torch.manual_seed(seed)
            trained = [*parts["train"], *parts["val"]]
            trained += in_mirrors(chosen.root, label, trained)
            number = int(max(take.y for take in trained)) + 1
            read = READ[label]
            skeleton = trained[0].motion.skeleton
            model = STGCN(
                len(range(*read.indices(22))), number, skeleton, WIDTHS, KERNEL, DROPOUT, True, True
            )
            module = AmongSeen(model, seen(trained), RATE, DECAY, SMOOTHING)
            spent = fit(
                module, partial(draw, trained, hips, read, SIZES[label]), chosen.steps or STEPS[label]
            )
            seconds += spent
            predicted = told(model, cut["test"].x[:, read])
            if label == "style":  # a style is the same in a mirror
                predicted = predicted + told(model, mirrors["test"].x[:, read])
            scores.setdefault("ST-GCN", []).append(judged(predicted, cut["test"]))
            parameters = size(model)
            line = ", ".join(f"{k} {v[-1].clips:.3f} {v[-1].takes:.3f}" for k, v in scores.items())
            console.print(f"{label}, seed {seed}: {line}; {seconds:.0f} s")
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


class AmongSeen(ClassificationModule):
    """Cross entropy among the classes that training saw beside what else is known of a clip.

    Tested are pairs of action and style of which training saw none. Against all classes a network that knows the action learns
    which styles it never had in it, and these are the ones that are tested.
    """

    def __init__(self, model: STGCN, seen: Tensor, rate: float, decay: float, smoothing: float) -> None:
        super().__init__(model, seen.shape[1], rate, decay, smoothing)
        self.register_buffer("seen", seen, persistent=False)

    def training_step(self, batch: Any, _: int) -> Tensor:
        batch, scores, penalty = self.training_scores(batch)
        among = self.get_buffer("seen")[batch.beside]
        told = scores.masked_fill(~among, -torch.inf).log_softmax(1)
        right = F.nll_loss(told, batch.y)
        smooth = -(told.masked_fill(~among, 0).sum(1) / among.sum(1)).mean()
        return (1 - self.smoothing) * right + self.smoothing * smooth + penalty


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
    beside = "action" if label == "style" else "style"
    others = classes(root, beside)
    return [Take(m, m.positions(), int(m.y), others.index(m[beside])) for m in found]


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


def window(
    positions: Tensor, motion: Motion, hips: tuple[str, str], start: float, speed: float = 1
) -> Tensor:
    """``[22, J, FRAMES]``: places, steps and bones as seen from the first frame, and again from every frame, with how the root
    moves and turns; beyond the ends of a motion it stands still."""
    time = (start + speed * EVERY * torch.arange(FRAMES).float()).clamp(0, len(positions) - 1)
    before = time.long()
    after = (before + 1).clamp(max=len(positions) - 1)
    now = torch.lerp(positions[before], positions[after], (time - before)[:, None, None])
    x = motion_signal(now, *(motion.skeleton.number(name) for name in hips))
    above = motion.skeleton.parents
    above, inner = above.clamp(min=0), (above > 0)[:, None]
    bones = torch.where(inner, x[:3] - x[:3, above], x[:3])
    here = from_every_frame(now, *(motion.skeleton.number(name) for name in hips))
    return torch.cat([x, bones, here, torch.where(inner, here[:3] - here[:3, above], here[:3])])


def from_every_frame(positions: Tensor, left: int, right: int) -> Tensor:
    """``[10, J, T]``: places about the root and ten times their steps, where every frame is seen along its own heading; ten times
    the step of the root, and five times its turn, the same for all joints."""
    facing = heading(positions, left, right)
    turn = about_y(-facing)
    place = (positions - positions[:, :1] * positions.new_tensor([1.0, 0.0, 1.0])) @ turn.mT
    step = 10 * torch.diff(place, dim=0)
    root = 10 * (turn[:-1] @ torch.diff(positions[:, 0], dim=0)[..., None])[..., 0]
    turned = torch.diff(facing)
    turned = 5 * torch.atan2(turned.sin(), turned.cos())[:, None]
    moved = torch.cat([root, turned], 1)[:, None].expand(-1, positions.shape[1], -1)
    moved = torch.cat([step, moved], 2)
    return torch.cat([place, torch.cat([moved, moved[-1:]])], 2).permute(2, 1, 0)


def cut_up(found: Sequence[Take], hips: tuple[str, str]) -> Windows:
    x: list[Tensor] = []
    whose: list[int] = []
    for number, take in enumerate(found):
        for start in range(0, max(len(take.positions) - EVERY * FRAMES, 0) + 1, HOP):
            x.append(window(take.positions, take.motion, hips, start))
            whose.append(number)
    y, beside = (torch.tensor([found[k][n] for k in whose]) for n in (2, 3))
    return Windows(torch.stack(x), torch.tensor(whose), y, beside)


def joined(*parts: Windows) -> Windows:
    """The motions of all, one after the other."""
    begins = [0]
    for part in parts:
        begins.append(begins[-1] + int(part.motion.max()) + 1)
    whose = [part.motion + begin for part, begin in zip(parts, begins, strict=False)]
    x, y, beside = (torch.cat([part[k] for part in parts]) for k in (0, 2, 3))
    return Windows(x, torch.cat(whose), y, beside)


def draw(found: Sequence[Take], hips: tuple[str, str], read: slice, sizes: float) -> Data:
    """Windows anywhere in the motions, people of other sizes, who are faster or slower, and joints that are not quite there."""
    x, y, others = [], [], []
    for number in torch.randint(len(found), (BATCH,)).tolist():
        motion, positions, label, beside = found[number]
        speed = float(torch.empty(()).uniform_(SLOWEST, FASTEST))
        start = int(torch.randint(-8, max(int(len(positions) - speed * EVERY * FRAMES), 0) + 9, ()))
        positions = positions * (1 + sizes * torch.randn(())) + SHAKEN * torch.randn(positions.shape[1:])
        x.append(window(positions, motion, hips, start, speed)[read])
        y.append(label)
        others.append(beside)
    return Data(x=torch.stack(x), y=torch.tensor(y), beside=torch.tensor(others))


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


def extremes_from_every_frame(x: Tensor) -> Tensor:
    """The same as seen from every frame, with how the root moves and turns."""
    x = x[:, 9:19]
    return torch.cat([x.mean(3), x.std(3), x.amin(3), x.amax(3)], 1).flatten(1)


LINEAR = {
    "ridge on all numbers": flat,
    "ridge on mean and deviation of places": moments,
    "ridge on mean, deviation and extremes of places and velocities": extremes,
    "the same along the heading of every frame": extremes_from_every_frame,
}


def ridge(cut: dict[str, Windows], signal: Any, among_seen: bool = False) -> Scores:
    """Of ridge regression on the classes: the weight is the one that is best on validation, and then learns from that too.

    ``among_seen``: every class is told from the others by those clips alone that it could be of, for training saw it beside what
    else is known of them.
    """
    features = {split: signal(part.x) for split, part in cut.items()}
    scores = {w: solved(features["train"], cut["train"], features["val"], w, among_seen) for w in RIDGE}
    best = max(RIDGE, key=lambda w: judged(scores[w], cut["val"]).clips)
    both = torch.cat([features["train"], features["val"]])
    return judged(
        solved(both, joined(cut["train"], cut["val"]), features["test"], best, among_seen), cut["test"]
    )


def solved(a: Tensor, part: Windows, b: Tensor, weight: float, among_seen: bool) -> Tensor:
    """The scores ``[M, C]`` of features ``b [M, F]`` by those ``a [N, F]`` of a part."""
    mean, deviation = a.mean(0), a.std(0) + 1e-6
    a, b = (F.pad((one - mean) / deviation, (0, 1), value=1) for one in (a, b))
    target = F.one_hot(part.y).float()
    if not among_seen:
        return _solved(a, target, b, weight)
    pairs = torch.zeros(int(part.beside.max()) + 1, target.shape[1], dtype=torch.bool)
    pairs[part.beside, part.y] = True
    columns = []
    for number in range(target.shape[1]):
        of = pairs[part.beside, number]
        columns.append(_solved(a[of], target[of, number : number + 1], b, weight))
    return torch.cat(columns, 1)


def _solved(a: Tensor, target: Tensor, b: Tensor, weight: float) -> Tensor:
    wide = a.shape[1] > len(a)
    gram, given = (a @ a.T, target) if wide else (a.T @ a, a.T @ target)
    found = torch.linalg.solve(gram + weight * a.shape[1] * torch.eye(len(gram)), given)
    return b @ (a.T @ found if wide else found)
