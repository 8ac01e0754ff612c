"""Retargeting to a skeleton with other bones: a network, and rotations copied as they are."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.motion.data import Names, kind, motions, names, random_windows, title, windows
from benchmarks.motion.pictures import strips
from benchmarks.motion.training import fit, size
from geodl.data import Skeleton, bone_length_error, forward_kinematics
from geodl.geometry import matrix_to_rotation_6d, rotation_6d_to_matrix
from geodl.models import RetargetingNetwork
from geodl.training import Limbs, RetargetingModule

FRAMES, BATCH, STEPS = 32, 8, 600


def run(chosen: argparse.Namespace, seeds: list[int], console: Console) -> dict[str, Any]:
    joints = names(chosen.root)
    source = motions(chosen.root, "train")[0].skeleton
    target, moved = changed(source, joints)
    train = [matrix_to_rotation_6d(motion.rotation) for motion in motions(chosen.root, "train")]
    # The motions of one skeleton are not those of the other.
    clips = [train[::2], [copied(clip, target, moved) for clip in train[1::2]]]
    tests = windows(
        [matrix_to_rotation_6d(motion.rotation) for motion in motions(chosen.root, "test")], FRAMES, FRAMES
    )
    limbs = [Limbs.of(skeleton, joints.limbs) for skeleton in (source, target)]
    true = limbs[0].ends(placed(tests, source))
    copy = limbs[1].ends(placed(copied(tests, target, moved), target))
    rows = [{"method": "rotations copied", **errors(copy, true)}]
    console.print(rows[0])
    straight = RetargetingModule(RetargetingNetwork([source, target], 1, 1), [source, target], limbs)
    near = straight.reach(copied(tests, target, moved), tests, 0, 1)
    rows.append(
        {"method": "rotations copied, then ends moved", **errors(limbs[1].ends(placed(near, target)), true)}
    )
    console.print(rows[1])
    found, seconds, parameters = [], 0.0, 0
    for seed in seeds:
        torch.manual_seed(seed)
        network = RetargetingNetwork([source, target], width=32, channels=32, kernel_size=3)
        module = RetargetingModule(network, [source, target], limbs)
        seconds += fit(module, partial(draw, clips), chosen.steps or STEPS)
        parameters = size(network)
        with torch.no_grad():
            made = module(tests, 0, 1)
        positions = placed(module.reach(made, tests, 0, 1), target)
        found.append(errors(limbs[1].ends(placed(made, target)), true))
        found[-1] |= {f"moved_{key}": value for key, value in errors(limbs[1].ends(positions), true).items()}
        found[-1]["bones"] = float((bone_length_error(positions, target)).max())
        console.print(f"seed {seed}: {found[-1]}, {seconds:.0f} s")
    mean = {key: sum(one[key] for one in found) / len(found) for key in found[0]}
    rows.append({"method": "RetargetingNetwork", **mean, "parameters": parameters})
    ends = {key.removeprefix("moved_"): value for key, value in mean.items() if key.startswith("moved_")}
    rows.append({"method": "RetargetingNetwork, then ends moved", **ends, "parameters": parameters})
    worst = int((copy - true).norm(dim=-1).sum((1, 2)).argmax())
    shown = {
        "source": (placed(tests[worst], source), source),
        "rotations copied": (placed(copied(tests[worst], target, moved), target), target),
        "RetargetingNetwork": (positions[worst], target),
    }
    strips(shown, chosen.out / "retargeted.png", console)
    return {
        "data": f"{title(chosen.root)}; {source.num_joints} joints to {target.num_joints}, bones 0.8 to 1.25 times as long",
        "model": "RetargetingNetwork",
        "parameters": parameters,
        "metrics": {**mean, "rows": rows, "training_cpu_seconds": round(seconds, 1), "seeds_found": found},
    }


def draw(clips: list[list[Tensor]]) -> list[Tensor]:
    return [random_windows(one, FRAMES, BATCH) for one in clips]


def changed(skeleton: Skeleton, joints: Names) -> tuple[Skeleton, list[int]]:
    """A skeleton with other bones, some of them in two parts, and where in it the joints of the first one are."""
    known: list[str] = []
    parents: list[int] = []
    offsets: list[Tensor] = []
    new: list[int] = []
    for name, parent, offset in zip(skeleton.names, skeleton.parents.tolist(), skeleton.offsets, strict=True):
        above = -1 if parent < 0 else new[parent]
        offset = offset * joints.scales.get(kind(name), 1.0)
        if kind(name) in joints.halved:
            offset = offset / 2
            known, parents, offsets = [*known, f"{name} half"], [*parents, above], [*offsets, offset]
            above = len(known) - 1
        new.append(len(known))
        known, parents, offsets = [*known, name], [*parents, above], [*offsets, offset]
    return Skeleton(tuple(known), torch.tensor(parents), torch.stack(offsets)), new


def copied(rotation: Tensor, target: Skeleton, moved: list[int]) -> Tensor:
    """The same rotations ``[..., J, 6]`` on the other skeleton, whose halves do not turn."""
    still = matrix_to_rotation_6d(torch.eye(3)).expand(*rotation.shape[:-2], target.num_joints, 6).clone()
    still[..., moved, :] = rotation
    return still


def placed(rotation: Tensor, skeleton: Skeleton) -> Tensor:
    """Positions about the root."""
    root = rotation.new_zeros(*rotation.shape[:-2], 1, 3)
    return forward_kinematics(rotation_6d_to_matrix(rotation), root, skeleton)


def errors(made: Tensor, true: Tensor) -> dict[str, float]:
    """How far ends of limbs are from where they should be, in lengths of the limb."""
    distance = (made - true).norm(dim=-1).flatten()
    return {
        "mean": float(distance.mean()),
        "within_5_percent": float((distance < 0.05).float().mean()),
        "percentile_95": float(distance.quantile(0.95)),
    }
