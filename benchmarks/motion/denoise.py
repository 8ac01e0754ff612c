"""Lost markers and noise: a network, a Gaussian of poses, and interpolation with the smoothing that is best on validation."""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from rich.console import Console
from torch import Tensor, nn

from benchmarks.motion.data import mirrored, moved, names, random_windows, title, windows
from benchmarks.motion.pictures import strips
from benchmarks.motion.training import fit, over_seeds, size
from geodl.data import Skeleton, fill_markers, heading, lose_markers
from geodl.data.locomotion import about_y
from geodl.models import STGCN
from geodl.nn import JointLinear
from geodl.training import MarkerModule

FRAMES, GAP, SHARE = 64, 20, 0.3
NOISE = 0.01  # metres
Form: TypeAlias = Literal["linear", "pchip", "cubic"]
SMOOTHINGS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
PRIORS = (0.01, 0.02, 0.05, 0.1, 0.2)  # metres that an interpolated marker is thought to be wrong by
WIDTHS, KERNEL = (48, 48, 48), 9
BATCH, STEPS, RATE = 8, 600, 4e-3


def run(chosen: argparse.Namespace, seeds: list[int], console: Console) -> dict[str, Any]:
    joints = names(chosen.root)
    parts = {split: moved(chosen.root, split) for split in ("train", "val", "test")}
    skeleton = parts["train"][0].skeleton
    # The ends of bones are no markers of their own where they lie on a joint; here all are.
    clips = {split: [motion.positions() for motion in found] for split, found in parts.items()}
    hips = (skeleton.number(joints.hips[0]), skeleton.number(joints.hips[1]))
    height = float(torch.cat(clips["train"])[:, 0, 1].mean())
    tests = {split: evaluation(clips[split], seed=1) for split in ("val", "test")}
    forms: tuple[Form, ...] = ("linear", "pchip", "cubic")
    tuned: dict[tuple[Form, float], float] = {
        (form, smoothing): errors(fill_markers(*tests["val"][1:], form, smoothing), tests["val"])["lost"]
        for form in forms
        for smoothing in SMOOTHINGS
    }
    best = min(tuned, key=lambda key: tuned[key])
    console.print(f"best interpolation on validation: {best[0]}, smoothed by {best[1]} frames")
    rows = [{"method": "linear interpolation", **errors(fill_markers(*tests["test"][1:]), tests["test"])}]
    rows.append(
        {
            "method": f"interpolation, tuned: {best[0]}, smoothed by {best[1]} frames",
            **errors(fill_markers(*tests["test"][1:], *best), tests["test"]),
        }
    )
    poses = Poses(torch.cat(clips["train"]), hips)
    doubt = min(PRIORS, key=lambda d: errors(poses.fill(*tests["val"][1:], *best, d), tests["val"])["lost"])
    rows.append(
        {
            "method": "Gaussian of poses, given what is seen and the interpolation",
            **errors(poses.fill(*tests["test"][1:], *best, doubt), tests["test"]),
        }
    )
    for row in rows:
        console.print(row)
    # What the network corrects is the Gaussian's answer.
    filled = partial(poses.fill, form=best[0], smoothing=best[1], doubt=doubt)
    training = clips["train"] + [mirrored(clip, skeleton) for clip in clips["train"]]
    found, seconds, parameters = [], 0.0, 0
    for seed in seeds:
        torch.manual_seed(seed)
        model = Corrector(skeleton)
        module = MarkerModule(model, hips, height, NOISE, SHARE, GAP, filled, RATE)
        seconds += fit(module, lambda: random_windows(training, FRAMES, BATCH), chosen.steps or STEPS)
        parameters = size(model)
        with torch.no_grad():
            given = zip(tests["test"][1].split(64), tests["test"][2].split(64), strict=True)
            made = torch.cat([module(noisy, seen) for noisy, seen in given])
        found.append(errors(made, tests["test"]))
        console.print(f"seed {seed}: {found[-1]}, {seconds:.0f} s")
    lost = statistics.mean(one["lost"] for one in found)
    rows.append({"method": "ST-GCN, which corrects it", **over_seeds(found), "parameters": parameters})
    draw(chosen, tests["test"], fill_markers(*tests["test"][1:], *best), made, skeleton, console)
    return {
        "data": title(chosen.root),
        "model": "ST-GCN",
        "parameters": parameters,
        "metrics": {
            "lost_mm": lost,
            "interpolation_lost_mm": rows[1]["lost"],
            "gaussian_lost_mm": rows[2]["lost"],
            "less_error": 1 - lost / rows[1]["lost"],  # type: ignore[operator]
            "less_error_of_seeds": [1 - one["lost"] / rows[1]["lost"] for one in found],  # type: ignore[operator]
            "frames": FRAMES, "gap": GAP, "share": SHARE, "noise_mm": 1000 * NOISE,
            "training_cpu_seconds": round(seconds, 1),
            "rows": rows,
        },
    }  # fmt: skip


class Corrector(nn.Module):
    """Blocks of ST-GCN in which all markers read all, and a linear layer for every marker; at first it corrects nothing."""

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.body = STGCN(10, 1, skeleton, WIDTHS, KERNEL, adaptive=True)
        del self.body.output
        self.output = JointLinear(WIDTHS[-1], 3, skeleton.num_joints)
        for weight in self.output.parameters():
            nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.output(self.body.signals(x)[-1])
        return made


def evaluation(clips: list[Tensor], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """True positions, noisy ones, and what is seen."""
    generator = torch.Generator().manual_seed(seed)
    true = windows(clips, FRAMES, FRAMES // 2)
    noisy = true + NOISE * torch.randn(true.shape, generator=generator)
    count, frames, markers, _ = true.shape
    return true, noisy, lose_markers(count, frames, markers, SHARE, GAP, generator)


def errors(made: Tensor, test: tuple[Tensor, Tensor, Tensor]) -> dict[str, float]:
    """Mean distances to the truth in millimetres: of lost markers, and of those that were seen."""
    distance = 1000 * (made - test[0]).norm(dim=-1)
    return {"lost": float(distance[~test[2]].mean()), "seen": float(distance[test[2]].mean())}


class Poses:
    """The Gaussian of all training poses about the root, facing z: the best linear answer."""

    def __init__(self, positions: Tensor, hips: tuple[int, int]) -> None:
        self.hips = hips
        local = self._local(positions[::3][None])[0][0].flatten(1).double()
        self.mean, self.covariance = local.mean(0), torch.cov(local.t())

    def fill(self, positions: Tensor, seen: Tensor, form: Any, smoothing: float, doubt: float) -> Tensor:
        """Conditional means, frame by frame; interpolated markers count as seen with an error of ``doubt`` metres."""
        filled = fill_markers(positions, seen, form, smoothing)
        local, root, turn = self._local(filled)
        off = (local.flatten(2).double() - self.mean).flatten(0, 1)
        made = torch.empty_like(off)
        patterns, which = seen.flatten(0, 1).unique(dim=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            error = torch.where(pattern, NOISE, doubt).repeat_interleave(3).double()
            noisy = self.covariance + torch.diag(error.square())
            gain = torch.linalg.solve(noisy, self.covariance)
            here = which == number
            made[here] = self.mean + off[here] @ gain
        made = made.view(*local.shape).to(local)
        made = (turn.mT[:, :, None] @ made[..., None])[..., 0] + root
        return torch.where(seen[..., None], filled, made)

    def _local(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        turn = about_y(-heading(positions, *self.hips))
        root = positions[:, :, :1] * positions.new_tensor([1.0, 0.0, 1.0])
        return (turn[:, :, None] @ (positions - root)[..., None])[..., 0], root, turn


def draw(
    chosen: argparse.Namespace,
    test: tuple[Tensor, Tensor, Tensor],
    interpolated: Tensor,
    made: Tensor,
    skeleton: Any,
    console: Console,
) -> None:
    """The film of the window in which interpolation is worst."""
    worst = int((interpolated - test[0]).norm(dim=-1).masked_fill(test[2], 0).sum((1, 2)).argmax())
    shown = {"truth": test[0], "interpolation": interpolated, "ST-GCN": made}
    strips(
        {name: (clip[worst], skeleton) for name, clip in shown.items()}, chosen.out / "markers.png", console
    )
