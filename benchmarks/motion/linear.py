"""Ridge regression on the numbers of clips: what needs no network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.motion.clips import Windows, joined

RIDGE = (0.001, 0.01, 0.1, 1.0, 10.0)


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


def ridge(cut: dict[str, Windows], signal: Any, among_seen: bool = False) -> Tensor:
    """The scores of the tested clips: the weight is the one that is best on validation, and then all learn from that too.

    ``among_seen``: every class is told from the others by those clips alone that it could be of, for training saw it beside what
    else is known of them.
    """
    features = {split: signal(part.x) for split, part in cut.items()}
    scores = {w: solved(features["train"], cut["train"], features["val"], w, among_seen) for w in RIDGE}
    right = {w: (found.argmax(1) == cut["val"].y).float().mean() for w, found in scores.items()}
    best = max(RIDGE, key=lambda w: right[w])
    both = torch.cat([features["train"], features["val"]])
    return solved(both, joined(cut["train"], cut["val"]), features["test"], best, among_seen)


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
    scores: Tensor = b @ (a.T @ found if wide else found)
    return scores
