"""Walks that go on: networks of as many parameters, which read the same, along paths that they were not trained on."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.motion.data import GAITS, items
from benchmarks.motion.pictures import strips
from benchmarks.motion.training import fit, over_seeds, size, widest
from geodl.data import CharacterMotion, Motion, character_motion, contact_f1, foot_contact, foot_skate, mpjpe
from geodl.datasets import Gaits, Puppets
from geodl.models import ModeAdaptiveNetwork, PhaseFunctionedNetwork
from geodl.training import LocomotionModule
from geodl.viz import mesh_film, position_colors

RUN, START, BEYOND = 600, 10, 60  # frames: of a free run, before it, and of the path after its end
SOON = 60
PARAMETERS = 150_000
BATCH, STEPS, ROLLOUT = 32, 800, 16
PEOPLE, SEED = 15, 100  # of the gaits; nothing was tuned on this seed
CLASSES = Gaits(1, 1, 1).classes
LAG = 25  # frames by which a walk may be before or behind the true one where time is aligned, and how often anew
FIELDS = tuple(CharacterMotion.__dataclass_fields__)


def run(chosen: argparse.Namespace, seeds: list[int], console: Console) -> dict[str, Any]:
    train, test = characters("train", 3, 240), characters("test", 1, START + RUN + BEYOND)
    still = standing(test)
    rows = [
        {"network": "the truth", **judged(truth(test), test)},
        {"network": "first pose, carried along", **judged(still, test)},
    ]
    for row in rows:
        console.print(row)
    joints, contacts = train[0][0].skeleton.num_joints, 4
    sizes = (joints, contacts, len(traits(train[0][0])))
    read, written, gate = LocomotionModule.channels(*sizes)
    everything = together(train)
    networks: dict[str, Callable[[], nn.Module]] = {
        "linear": lambda: nn.Linear(read, written),
        "MLP": lambda: widest(lambda width: mlp(read, width, written), PARAMETERS),
        "PhaseFunctionedNetwork": lambda: widest(
            lambda width: PhaseFunctionedNetwork(read, written, width), PARAMETERS
        ),
        "ModeAdaptiveNetwork": lambda: widest(
            lambda width: ModeAdaptiveNetwork(read, written, gate, width, 4), PARAMETERS
        ),
    }
    shown: dict[str, CharacterMotion] = {"truth": truth(test)}
    seconds = 0.0
    for name, make in networks.items():
        found = []
        for seed in seeds:
            torch.manual_seed(seed)
            network = calm(make())
            module = LocomotionModule(network, *sizes, rollout=ROLLOUT)
            module.normalize(*everything)
            spent = fit(module, lambda: draw(*everything), chosen.steps or STEPS)
            seconds += spent
            made = module.run(*together(test), START, RUN)
            found.append(judged(made, test))
        shown[name] = made
        told = {"parameters": size(network), "training_cpu_seconds": round(spent, 1)}
        rows.append({"network": name, **over_seeds(found), **told})
        console.print(rows[-1])
    walk = next(k for k, (motion, _) in enumerate(test) if motion.name.startswith("walk_"))
    skeleton = test[walk][0].skeleton
    films = {name: (made[walk].positions(skeleton), skeleton) for name, made in shown.items()}
    strips({name: (p[-60:] - p[-60:, :1] * p.new_tensor([1.0, 0.0, 1.0]), s) for name, (p, s) in films.items()},
           chosen.out / "walks.png", console)  # fmt: skip
    film(shown["PhaseFunctionedNetwork"][walk], test[walk][0], chosen.out / "puppet.gif", console)
    return {
        "data": "Gaits, people not trained on",
        "model": ", ".join(networks),
        "parameters": PARAMETERS,
        "metrics": {
            "frames": RUN,
            "rows": rows,
            "training_cpu_seconds": round(seconds, 1),
            "test_motions": len(test),
        },
    }


def characters(split: Any, clips: int, frames: int) -> list[tuple[Motion, CharacterMotion]]:
    return [
        (motion, character_motion(motion, GAITS.hips, motion.contact))
        for motion in items(Gaits(PEOPLE, clips, frames, split=split, seed=SEED))
    ]


def mlp(read: int, width: int, written: int) -> nn.Module:
    layers = [nn.Linear(read, width), nn.ELU(), nn.Linear(width, width), nn.ELU(), nn.Linear(width, written)]
    return nn.Sequential(*layers)


def calm(network: nn.Module) -> nn.Module:
    """The network with a last layer that writes little."""
    last = (
        network
        if isinstance(network, nn.Linear)
        else network[-1]
        if isinstance(network, nn.Sequential)
        else network.third
    )
    with torch.no_grad():
        for weight in last.parameters():  # type: ignore[union-attr]
            weight.mul_(0.01)
    return network


def traits(motion: Motion) -> Tensor:
    """Who walks how: lengths of bones, and the gait."""
    gait = F.one_hot(motion.y[0], len(CLASSES)).float()
    return torch.cat([motion.skeleton.bone_lengths, gait])


def together(walks: list[tuple[Motion, CharacterMotion]]) -> tuple[CharacterMotion, Tensor]:
    return CharacterMotion.stack([walk for _, walk in walks]), torch.stack([traits(m) for m, _ in walks])


def draw(walks: CharacterMotion, of: Tensor) -> tuple[CharacterMotion, Tensor]:
    """Random windows and their traits."""
    chosen = torch.randint(len(of), (BATCH,))
    start = torch.randint(walks.heading.shape[1] - ROLLOUT - 40, (BATCH, 1))
    return walks[chosen[:, None], start + torch.arange(ROLLOUT + 40)], of[chosen]


def truth(test: list[tuple[Motion, CharacterMotion]]) -> CharacterMotion:
    return CharacterMotion.stack([walk[START + 1 : START + 1 + RUN] for _, walk in test])


def standing(test: list[tuple[Motion, CharacterMotion]]) -> CharacterMotion:
    """The pose of the first frame, carried along the true path."""
    true = truth(test)
    first = torch.stack([walk.rotation[START] for _, walk in test])[:, None].expand_as(true.rotation)
    return CharacterMotion(first, true.place, true.heading, true.phase, true.contact)


def film(walk: CharacterMotion, motion: Motion, path: Path, console: Console) -> None:
    """The body of the person, who walks as the network says, in the last two seconds."""
    bodies = Puppets(PEOPLE, 1, SEED, num_vertices=1500)
    last = walk[-60:][::3].motion(motion.skeleton, 3 * motion.frame_time)
    try:
        mesh_film(bodies.perform(motion.subject, last), path, color=position_colors(bodies.reference), fps=10)
    except ImportError as error:
        console.print(f"no film: {error}")


def judged(made: CharacterMotion, test: list[tuple[Motion, CharacterMotion]]) -> dict[str, float]:
    """Means over the test motions.

    mpjpe: mean distance of joints in metres; soon: over the first 60 frames; pose: at the root, facing ahead; aligned: the
    same, where every 25 frames are compared with the true ones up to 25 before or after them, whichever are nearest. drift: of
    the root from the true one, the largest and over the last 100 frames. contact_f1: feet that stand when they should; aligned:
    with those lags. skate: speed of feet near the ground, m/s. cycles: by how many steps' cycles it is before or behind at the
    end.
    """
    found: list[dict[str, float]] = []
    true = truth(test)
    for number, (motion, _) in enumerate(test):
        one, two, skeleton = made[number], true[number], motion.skeleton
        p, q = one.positions(skeleton), two.positions(skeleton)
        a, b = one.on_spot().positions(skeleton), two.on_spot().positions(skeleton)
        away = (one.place - two.place)[:, [0, 2]].norm(dim=1)
        feet = [skeleton.number(name) for name in Gaits.contact_joints]
        stands, should = (foot_contact(x, feet, motion.frame_time) for x in (p, q))
        error, pose = mpjpe(p, q), mpjpe(a, b)
        best, lagged = [], []
        for start in range(LAG, RUN - 2 * LAG, LAG):
            here = slice(start, start + LAG)
            near = torch.stack(
                [mpjpe(a[here], b[start + k : start + k + LAG]).mean() for k in range(-LAG, LAG + 1)]
            )
            best.append(float(near.min()))
            k = int(near.argmin()) - LAG
            lagged.append(float(contact_f1(stands[here], should[start + k : start + k + LAG])))
        found.append(
            {
                "mpjpe_soon": float(error[:SOON].mean()), "mpjpe": float(error.mean()),
                "pose_soon": float(pose[:SOON].mean()), "pose": float(pose.mean()),
                "pose_aligned": sum(best) / len(best),
                "drift_largest": float(away.max()), "drift_last": float(away[-100:].mean()),
                "contact_f1": float(contact_f1(stands, should)), "contact_f1_aligned": sum(lagged) / len(lagged),
                "skate": float(foot_skate(p, feet, motion.frame_time)),
                "cycles": float((one.phase - two.phase)[-1].abs() / (2 * torch.pi)),
            }
        )  # fmt: skip
    return {key: round(sum(one[key] for one in found) / len(found), 4) for key in found[0]}
