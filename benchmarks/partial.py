"""Parts of procedural bodies matched to wholes and to other parts: without training, and by PartialFunctionalMapNet.

    python -m benchmarks.partial --out runs/partial

People and poses of the test are new; every body has a mesh of its own. A part is what a plane leaves of a body, or a body with
holes, in the unit of length of all. Errors are distances over the square root of the whole's area, x100, at the vertices of the
part whose match is known and that the method matches, the share of which stands beside. The overlap's intersection over union is
that of the shape that is matched to.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import lightning as L
import torch
from torch import Tensor

from benchmarks.result import command, portable, write_result
from geodl.data import CutByPlane, DataLoader, Mesh, RandomHoles
from geodl.datasets import Puppets
from geodl.geometry import surface_area
from geodl.matching import MatchedPair, PartialShape, evaluate, match_descriptors, partial_match
from geodl.models import PartialFunctionalMapNet
from geodl.training import PartialMapModule, make_trainer, resume_point, training_seconds

EIGENPAIRS = 80


class Part(NamedTuple):
    """A part or a whole, ready for the network, and the mesh that it is cut from."""

    mesh: Mesh
    shape: PartialShape
    kept: Tensor  # [V of the uncut mesh] bool
    uncut: Mesh

    def ready(self) -> Mesh:
        made = self.mesh.clone()
        made.x, made.spectrum, made.gradient = self.shape.signal(), self.shape.spectrum, self.shape.gradient
        return Mesh(
            made.pos, made.face, x=made.x, spectrum=made.spectrum, gradient=made.gradient, y=made.y, corres=made.corres
        )  # fmt: skip


def part_of(body: Mesh, unit: float, transform: Any = None) -> Part:
    cut = body.clone() if transform is None else transform(body.clone())
    kept = torch.ones(body.pos.shape[0], dtype=torch.bool)
    if transform is not None:
        kept = torch.zeros_like(kept).index_fill(0, cut.whole, True)
    return Part(cut, PartialShape.of(cut, unit, EIGENPAIRS), kept, body)


class Pairs:
    """Numbers of a shape and of a part of another body, a pair a batch, drawn anew every epoch."""

    def __init__(self, wholes: list[int], parts: list[int], steps: int, seed: int) -> None:
        self.wholes, self.parts, self.steps = wholes, parts, steps
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        random = torch.Generator().manual_seed(self.seed + self.epoch)
        self.epoch += 1
        for step in range(self.steps):
            # Every third pair is of two parts.
            first = self.parts if step % 3 == 2 else self.wholes
            a = first[int(torch.randint(len(first), (1,), generator=random))]
            b = self.parts[int(torch.randint(len(self.parts), (1,), generator=random))]
            yield [a, b]


def judged(a: Part, b: Part, p2p: Tensor, overlap_1: Tensor) -> tuple[float, float, float]:
    """Error x100 on what is matched of the true overlap (NaN: none), its share, and intersection over union of shape 1's."""
    true = a.mesh.corres[b.mesh.y]
    known = (true >= 0) & (p2p >= 0)
    error = torch.nan
    if bool(known.any()):
        error = evaluate([MatchedPair(a.uncut, _uncut(a, p2p[known]), _uncut(a, true[known]))]).mean_error
    inside = b.kept[b.uncut.corres[a.mesh.y]]
    union = (inside | overlap_1).sum()
    share = float(known.sum() / (true >= 0).sum())
    return error, share, float((inside & overlap_1).sum() / union)


def _cuts(seed: int) -> tuple[dict[str, Any], torch.Generator]:
    random = torch.Generator().manual_seed(seed)
    return {"plane": CutByPlane(0.6, 0.9, random), "holes": RandomHoles(0.7, 0.9, 5, random)}, random


def _uncut(a: Part, vertices: Tensor) -> Tensor:
    return a.kept.nonzero().flatten()[vertices]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/partial"))
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--poses", type=int, default=8)
    parser.add_argument("--vertices", type=int, default=1500)
    parser.add_argument(
        "--steps", type=int, default=1500, help="training pairs; 0 for what learns nothing alone"
    )
    parser.add_argument("--tests", type=int, default=8, help="pairs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    L.seed_everything(chosen.seed, verbose=False)
    began = time.perf_counter()

    def bodies(split: Literal["train", "test"]) -> list[Mesh]:
        made = Puppets(
            chosen.people,
            chosen.poses,
            split=split,
            new_poses=True,
            num_vertices=chosen.vertices,
            variant="remeshed",
            seed=chosen.seed,
        )
        return [made[k] for k in range(len(made))]

    unit = float(surface_area(Puppets(num_vertices=chosen.vertices).reference)) ** 0.5
    cuts, _ = _cuts(chosen.seed + 1)

    network, seconds = None, 0.0
    if chosen.steps:
        people = bodies("train")
        ready = [part_of(body, unit).ready() for body in people]
        wholes = list(range(len(ready)))
        for body in people:
            ready += [part_of(body, unit, cuts[kind]).ready() for kind in ("plane", "holes", "plane")]
        parts = list(range(len(wholes), len(ready)))
        print(f"{len(ready)} shapes ready after {time.perf_counter() - began:.0f} s", flush=True)
        epochs = max(1, chosen.steps // 100)
        pairs = Pairs(wholes, parts, min(100, chosen.steps), chosen.seed)
        module = PartialMapModule(
            PartialFunctionalMapNet(
                ready[0].x.shape[1], 128, 64, dropout=0.0, eigenfunctions=40, attention_width=64
            )
        )
        trainer = make_trainer(chosen.out, epochs, chosen.device, progress=False)
        trainer.fit(
            module,
            DataLoader(ready, batch_sampler=pairs),
            ckpt_path=resume_point(chosen.out),
            weights_only=True,
        )
        network, seconds = module.model.cpu().eval(), training_seconds(trainer)

    rows = []
    people = bodies("test")
    # The test is the same whatever was drawn for the training.
    cuts, random = _cuts(chosen.seed + 2)
    for kind in ("plane to whole", "holes to whole", "plane to plane"):
        scores: dict[str, list[tuple[float, float, float]]] = {}
        for _ in range(chosen.tests):
            a, b = torch.randperm(len(people), generator=random)[:2].tolist()
            one = part_of(people[a], unit, cuts["plane"] if kind.endswith("plane") else None)
            two = part_of(people[b], unit, cuts[kind.split()[0]])
            for name, (p2p, overlap) in answers(one, two, network).items():
                scores.setdefault(name, []).append(judged(one, two, p2p, overlap))
        for name, found in scores.items():
            error, share, overlap = torch.tensor(found, dtype=torch.float64).unbind(1)
            rows.append(
                {
                    "pairs": kind,
                    "method": name,
                    "error": float(error.nanmean()),
                    "median of pairs": float(error.nanmedian()),
                    "matched share": float(share.nanmean()),
                    "pairs without a match": int(error.isnan().sum()),
                    "overlap IoU": float(overlap.mean()),
                }
            )
            print(rows[-1], flush=True)
    parameters = sum(p.numel() for p in network.parameters()) if network else 0
    write_result(
        chosen.out,
        benchmark="partial",
        data=f"puppets, {chosen.tests} pairs of each kind",
        model="PartialFunctionalMapNet" if network else "partial_match",
        metrics={"pairs": rows, "training_seconds": seconds},
        seconds=time.perf_counter() - began,
        parameters=parameters,
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )


@torch.no_grad()
def answers(
    one: Part, two: Part, network: PartialFunctionalMapNet | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """Point maps and the overlap on shape 1, by method."""
    everything = torch.ones(one.mesh.pos.shape[0], dtype=torch.bool)
    a, b = one.shape.signal(), two.shape.signal()
    found = {"nearest signal": (match_descriptors(a, b), everything)}
    contained = bool(one.kept.all())
    matched = partial_match(one.mesh, two.mesh, contained)
    found["partial_match"] = (matched.p2p_21, matched.overlap_1)
    if network is not None:
        features = [network(s.shape.signal(), s.shape.spectrum, s.shape.gradient) for s in (one, two)]
        seen = network.compare(*features)
        p2p = network.point_map(seen.features_1, seen.features_2)
        found["network"] = (p2p, seen.overlap_1 > 0)
        better = partial_match(one.mesh, two.mesh, contained, features=(seen.features_1, seen.features_2))
        found["partial_match with the network's features"] = (better.p2p_21, better.overlap_1)
    return found


if __name__ == "__main__":
    main()
