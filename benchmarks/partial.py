"""Parts of procedural bodies or animals matched to wholes and to other parts: without training, and by PartialFunctionalMapNet.

    python -m benchmarks.partial --out runs/partial-puppets
    python -m benchmarks.partial --shapes quadrupeds --out runs/partial-quadrupeds

People and poses of the test are new, and so are the species of animals; every shape has a mesh of its own. A part is what a plane
leaves of a shape, or a shape with holes, at its natural size; it has at least half of the area. Of two parts at least half of
either is on the other. Errors are distances over the square root of the whole's area, x100, from the vertex that is nearest on the
resting body, at the vertices of the part whose match is known and that the method matches, the share of which stands beside. The
overlap's intersection over union is that of the shape that is matched to.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor

from benchmarks.result import command, portable, write_result
from geodl.data import CutByPlane, DataLoader, Mesh, RandomHoles
from geodl.datasets import Puppets, Quadrupeds
from geodl.geometry import surface_area, vertex_areas
from geodl.matching import MatchedPair, PartialShape, evaluate, match, match_descriptors, partial_match
from geodl.matching.point_map import nearest
from geodl.models import PartialFunctionalMapNet
from geodl.training import PartialMapModule, make_trainer, resume_point, training_seconds

EIGENPAIRS = 80
KINDS = ("plane to whole", "holes to whole", "plane to plane", "holes to holes")
# The least share of a shape's area that a part has, and of a part that another one has as well.
LEAST = 0.5


class Part(NamedTuple):
    """A part or a whole, ready for the network, and the mesh that it is cut from."""

    mesh: Mesh
    shape: PartialShape
    kept: Tensor  # [V of the uncut mesh] bool
    uncut: Mesh

    def ready(self) -> Mesh:
        return Mesh(
            self.mesh.pos, self.mesh.face, x=self.shape.signal(), spectrum=self.shape.spectrum,
            gradient=self.shape.gradient, y=self.mesh.y, corres=self.mesh.corres,
        )  # fmt: skip


def part_of(body: Mesh, unit: float, transform: Any = None) -> Part:
    if transform is None:
        return Part(body, PartialShape.of(body, unit, EIGENPAIRS), torch.ones(len(body.pos)).bool(), body)
    area = vertex_areas(body)
    while True:
        cut = transform(body.clone())
        kept = torch.zeros(len(body.pos)).bool().index_fill(0, cut.whole, True)
        # Holes may cut limbs off: what is left is drawn again if it is too little.
        if float(area[kept].sum() / area.sum()) >= LEAST:
            return Part(cut, PartialShape.of(cut, unit, EIGENPAIRS), kept, body)


class Pairs:
    """Numbers of a shape and of a part of another body, a pair a batch, drawn anew every epoch."""

    def __init__(self, groups: list[tuple[list[int], list[int]]], steps: int, seed: int) -> None:
        self.groups, self.steps, self.seed, self.epoch = groups, steps, seed, 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        random = torch.Generator().manual_seed(self.seed + self.epoch)
        self.epoch += 1
        for step in range(self.steps):
            wholes, parts = self.groups[int(torch.randint(len(self.groups), (1,), generator=random))]
            # Every second pair is of two parts.
            first = parts if step % 2 else wholes
            a = first[int(torch.randint(len(first), (1,), generator=random))]
            b = parts[int(torch.randint(len(parts), (1,), generator=random))]
            yield [a, b]


class Family(NamedTuple):
    """Shapes with the place of every vertex on the resting one, in groups that correspond."""

    bodies: list[Mesh]
    rest: Tensor  # [T, 3] of the reference
    groups: list[list[int]]

    def unit(self, number: int) -> float:
        """The square root of the mean area of its group: what is known of its size."""
        group = next(group for group in self.groups if number in group)
        return float(np.mean([float(surface_area(self.bodies[k])) for k in group]) ** 0.5)

    def places(self, mesh: Mesh) -> Tensor:
        corners: Tensor = self.rest[mesh.barycentric_vertices]
        places: Tensor = (corners * mesh.barycentric_weights[..., None]).sum(1)
        return places

    def truth(self, a: Part, b: Part) -> tuple[Tensor, Tensor]:
        """The vertex of a ``[V of b]`` that each of b's has, -1 where it is gone; and what of a is on b."""
        row = torch.full((len(a.kept),), -1)
        row[a.kept] = torch.arange(int(a.kept.sum()))
        true = row[nearest(self.places(a.uncut), self.places(b.mesh))]
        return true, b.kept[nearest(self.places(b.uncut), self.places(a.mesh))]


def family(name: str, split: str, vertices: int, seed: int) -> Family:
    """Few bodies for training; for the test people with numbers and poses that training never has, or other species."""
    made: Puppets | Quadrupeds
    if name == "puppets":
        people, poses = (10, 8) if split == "train" else (30, 10)
        made = Puppets(
            people, poses, seed, "remeshed", "train" if split == "train" else "test",
            num_vertices=vertices, new_poses=True,
        )  # fmt: skip
    else:
        made = Quadrupeds(2, 4, seed, "remeshed", "train" if split == "train" else "test", vertices)
    kinds = [made.category(n) if isinstance(made, Quadrupeds) else "" for n in made.names]
    groups = [[k for k, kind in enumerate(kinds) if kind == one] for one in dict.fromkeys(kinds)]
    return Family([made[k] for k in range(len(made))], made.reference.pos, groups)


def cuts(seed: int) -> tuple[dict[str, Any], torch.Generator]:
    random = torch.Generator().manual_seed(seed)
    return {"plane": CutByPlane(0.5, 0.9, random), "holes": RandomHoles(0.7, 0.9, 5, random)}, random


def judged(
    a: Part, true: Tensor, inside: Tensor, p2p: Tensor, overlap_1: Tensor
) -> tuple[float, float, float]:
    """Error x100 on what is matched of the true overlap (NaN: none), its share, and intersection over union of shape 1's."""
    known = (true >= 0) & (p2p >= 0)
    error = torch.nan
    if bool(known.any()):
        at = a.kept.nonzero().flatten()
        error = evaluate([MatchedPair(a.uncut, at[p2p[known]], at[true[known]])]).mean_error
    union = (inside | overlap_1).sum()
    return error, float(known.sum() / (true >= 0).sum()), float((inside & overlap_1).sum() / union)


def trained(
    name: str, vertices: int, steps: int, seed: int, out: Path, device: str
) -> tuple[PartialFunctionalMapNet, float]:
    shapes = family(name, "train", vertices, seed)
    transforms, _ = cuts(seed + 1)
    ready: list[Mesh] = []
    groups = []
    for group in shapes.groups:
        unit = shapes.unit(group[0])
        wholes = list(range(len(ready), len(ready) + len(group)))
        ready += [part_of(shapes.bodies[k], unit).ready() for k in group]
        for k in group:
            ready += [part_of(shapes.bodies[k], unit, made).ready() for made in transforms.values()]
        groups.append((wholes, list(range(wholes[-1] + 1, len(ready)))))
    print(f"{len(ready)} shapes ready", flush=True)
    module = PartialMapModule(
        PartialFunctionalMapNet(
            ready[0].x.shape[1], 128, 64, dropout=0.0, eigenfunctions=40, attention_width=64
        )
    )
    trainer = make_trainer(out, max(1, steps // 100), device, progress=False)
    trainer.fit(
        module,
        DataLoader(ready, batch_sampler=Pairs(groups, min(100, steps), seed)),
        ckpt_path=resume_point(out),
        weights_only=True,
    )
    return module.model.cpu().eval(), training_seconds(trainer)


def drawn(
    shapes: Family, kind: str, transforms: dict[str, Any], random: torch.Generator
) -> tuple[Part, Part]:
    """Two shapes of a group, parts of them that have at least half in common."""
    group = shapes.groups[int(torch.randint(len(shapes.groups), (1,), generator=random))]
    a, b = (group[k] for k in torch.randperm(len(group), generator=random)[:2].tolist())
    cut, other = kind.split(" to ")
    while True:
        one = part_of(shapes.bodies[a], shapes.unit(a), transforms.get(other))
        two = part_of(shapes.bodies[b], shapes.unit(b), transforms[cut])
        true, inside = shapes.truth(one, two)
        if other == "whole" or min((true >= 0).double().mean(), inside.double().mean()) >= LEAST:
            return one, two


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/partial"))
    parser.add_argument("--shapes", choices=("puppets", "quadrupeds"), default="puppets")
    parser.add_argument("--vertices", type=int, default=1500)
    parser.add_argument(
        "--steps", type=int, default=1000, help="training pairs; 0 for what learns nothing alone"
    )
    parser.add_argument("--tests", type=int, default=8, help="pairs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    L.seed_everything(chosen.seed, verbose=False)
    began = time.perf_counter()
    network, seconds = None, 0.0
    if chosen.steps:
        network, seconds = trained(
            chosen.shapes, chosen.vertices, chosen.steps, chosen.seed, chosen.out, chosen.device
        )
        print(f"trained after {time.perf_counter() - began:.0f} s", flush=True)
    shapes = family(chosen.shapes, "test", chosen.vertices, chosen.seed)
    # The test is the same whatever was drawn for the training.
    transforms, random = cuts(chosen.seed + 2)
    rows = []
    for kind in KINDS:
        scores: dict[str, list[tuple[float, float, float, float]]] = {}
        for _ in range(chosen.tests):
            one, two = drawn(shapes, kind, transforms, random)
            true, inside = shapes.truth(one, two)
            for name, (p2p, overlap, took) in answers(one, two, network).items():
                scores.setdefault(name, []).append((*judged(one, true, inside, p2p, overlap), took))
        for name, found in scores.items():
            error, share, union, seconds_each = torch.tensor(found, dtype=torch.float64).unbind(1)
            rows.append(
                {
                    "pairs": kind,
                    "method": name,
                    "error": float(error.nanmean()),
                    "median of pairs": float(error.nanmedian()),
                    "errors of pairs": [round(e, 2) for e in error.tolist()],
                    "matched share": float(share.nanmean()),
                    "pairs without a match": int(error.isnan().sum()),
                    "overlap IoU": float(union.mean()),
                    "CPU seconds": float(seconds_each.mean()),
                }
            )
            print(rows[-1], flush=True)
    write_result(
        chosen.out,
        benchmark="partial",
        data=f"{chosen.shapes}, {chosen.tests} pairs of each kind",
        model="PartialFunctionalMapNet" if network else "partial_match",
        metrics={"pairs": rows, "training_seconds": seconds},
        seconds=time.perf_counter() - began,
        parameters=sum(p.numel() for p in network.parameters()) if network else 0,
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )


@torch.no_grad()
def answers(
    one: Part, two: Part, network: PartialFunctionalMapNet | None
) -> dict[str, tuple[Tensor, Tensor, float]]:
    """Point maps, the overlap on shape 1 and CPU seconds, by method."""
    everything = torch.ones(len(one.mesh.pos)).bool()
    contained = bool(one.kept.all())
    found: dict[str, tuple[Tensor, Tensor, float]] = {}
    began = time.process_time()

    def answer(name: str, p2p: Tensor, overlap: Tensor) -> None:
        nonlocal began
        found[name] = p2p, overlap, time.process_time() - began
        began = time.process_time()

    answer("nearest signal", match_descriptors(one.shape.signal(), two.shape.signal()), everything)
    answer("match", match(one.mesh, two.mesh).p2p_21, everything)
    matched = partial_match(one.mesh, two.mesh, contained)
    answer("partial_match", matched.p2p_21, matched.overlap_1)
    if network is not None:
        a, b = (network(s.shape.signal(), s.shape.spectrum, s.shape.gradient) for s in (one, two))
        seen = network.compare(a, b)
        p2p = network.point_map(seen.features_1, seen.features_2)
        answer("network", p2p, seen.overlap_1 > 0)
        matched = partial_match(one.mesh, two.mesh, contained, features=(seen.features_1, seen.features_2))
        answer("partial_match, its features", matched.p2p_21, matched.overlap_1)
    return found


if __name__ == "__main__":
    main()
