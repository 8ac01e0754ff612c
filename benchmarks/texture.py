"""Texture synthesis: one exemplar on an image and on a surface, and a cellular automaton that grows it.

    python -m benchmarks.texture                                  procedural stones, on an image and on a Puppet; half of the
                                                                  time an automaton learns to grow a labyrinth
    python -m benchmarks.texture --exemplar FILE --mesh FILE      a picture and a mesh of one's own
    python -m benchmarks.texture --automaton 0                    without the automaton

How near a texture is to the exemplar is said by the sliced Wasserstein distance of patches, which nothing here minimises, beside
that of another crop of the same picture and of noise with the exemplar's colours. The gap between domains is what the statistics
differ by where the same picture lies on the grid and on an irregular flat mesh.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from scipy.spatial import Delaunay
from torch import Tensor
from torch.nn import functional as F

from benchmarks.exemplars import labyrinth, stones
from benchmarks.result import command, portable, write_result
from geodl.data import Mesh
from geodl.datasets import Puppets
from geodl.nn import Level
from geodl.synthesis import (
    FilterBank,
    GramStatistics,
    NeuralAutomaton,
    as_image,
    sliced_wasserstein,
    surface_levels,
    synthesize,
)
from geodl.viz import film, images, surface

SIDE = 128  # of the exemplar and of the picture that is made
VERTICES = 10_000
LONG = 2000  # steps after which the automaton is looked at again


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.texture", description="Make a texture.")
    parser.add_argument("--exemplar", type=Path, help="a picture; procedural stones if not given")
    parser.add_argument("--mesh", type=Path, help="a mesh; a Puppet if not given")
    parser.add_argument("--steps", type=int, default=80, help="steps at each octave")
    parser.add_argument(
        "--automaton", type=int, default=1500, help="iterations of the automaton's training; 0 leaves it out"
    )
    parser.add_argument("--size", type=int, default=SIDE, help="side of the pictures, in pixels")
    parser.add_argument("--vertices", type=int, default=VERTICES, help="of the Puppet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("runs") / "texture", help="run folder")
    return parser.parse_args(argv)


def crops(path: Path | None, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """The exemplar and another piece of the same picture, ``[3, side, side]`` each."""
    if path is None:
        picture = stones(side, 2 * side, seed)
    else:
        picture = as_image(path, str(path))
        scale = max(side / min(picture.shape[1:]), min(1.0, 2 * side / max(picture.shape[1:])))
        size = [max(side, round(length * scale)) for length in picture.shape[1:]]
        picture = F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)
    return picture[:, :side, :side].contiguous(), picture[:, -side:, -side:].contiguous()


def flat(side: int, seed: int, jitter: float = 0.4) -> Mesh:
    """A square of ``side`` x ``side`` pixels as a mesh of as many points; inner ones are moved by up to ``jitter`` of a pixel."""
    draw = np.random.default_rng(seed)
    place = (
        np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1)
        .reshape(-1, 2)
        .astype(float)
    )
    inner = ((place > 0) & (place < side - 1)).all(1)
    place[inner] += draw.uniform(-jitter, jitter, (int(inner.sum()), 2))
    pos = np.stack([place[:, 1], -place[:, 0], np.zeros(len(place))], 1)
    face = Delaunay(pos[:, :2]).simplices.astype(np.int64)
    one, two = pos[face[:, 1]] - pos[face[:, 0]], pos[face[:, 2]] - pos[face[:, 0]]
    turned = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    face[turned < 0] = face[turned < 0][:, ::-1]
    face = face[np.abs(turned) > 1e-3]
    return Mesh(torch.tensor(pos, dtype=torch.float32), torch.tensor(face.T.copy()))


def at_vertices(picture: Tensor, mesh: Mesh) -> Tensor:
    """What a picture shows at the vertices of the square, ``[V, C]``."""
    at = torch.stack([mesh.pos[:, 0], -mesh.pos[:, 1]], 1) * 2 / (picture.shape[1] - 1) - 1
    read = F.grid_sample(picture[None], at[None, None], mode="bicubic", align_corners=True)[0, :, 0]
    return read.T.contiguous()


def gap(exemplar: Tensor, other: Tensor, seed: int) -> dict[str, float]:
    """Errors of the statistics: the exemplar on the flat mesh, and the other crop, against the exemplar on the grid."""
    mesh = flat(exemplar.shape[1], seed)
    level = surface_levels(mesh, 3, direction=torch.tensor([0.0, 1.0, 0.0]))
    bank = FilterBank(exemplar.shape[0], octaves=3, seed=seed).fit(exemplar)
    target = GramStatistics.of(bank(exemplar))
    return {
        "gap_between_domains": float(
            target.error(GramStatistics.of(bank(at_vertices(exemplar, mesh), level)))
        ),
        "gap_between_crops": float(target.error(GramStatistics.of(bank(other)))),
    }


def opened(mesh: Mesh, share: float = 0.06) -> Mesh:
    """A mesh with a hole: without the vertices, so large a share of all, that are nearest to its middle in front."""
    middle = mesh.pos.mean(0)
    front = mesh.pos[:, 2] > middle[2]
    away = (mesh.pos[:, :2] - middle[:2]).norm(dim=1).masked_fill(~front, torch.inf)
    kept = torch.ones(len(mesh.pos), dtype=torch.bool)
    kept[away.argsort()[: round(share * len(kept))]] = False
    face = mesh.face[:, kept[mesh.face].all(0)]
    used, renumbered = face.unique(return_inverse=True)
    return Mesh(mesh.pos[used], renumbered)


def around(mesh: Mesh) -> Tensor:
    """The angle of every vertex about the upright axis through the middle, ``[V]``; the seam from pi to -pi is at the back."""
    off = mesh.pos - mesh.pos.mean(0)
    return torch.atan2(off[:, 0], off[:, 2])


def unrolled(exemplar: Tensor, mesh: Mesh) -> Tensor:
    """The exemplar on a mesh by cylindrical coordinates, as UV coordinates lay it, ``[V, C]``."""
    height = mesh.pos[:, 1]
    row = (height - height.min()) / (height.max() - height.min()) * 2 - 1
    at = torch.stack([around(mesh) / torch.pi, row], 1)[None, None]
    return F.grid_sample(exemplar[None], at, align_corners=True)[0, :, 0].T.contiguous()


def seam(mesh: Mesh, colors: Tensor) -> float:
    """How much colours differ along edges across the seam of cylindrical coordinates, over how much they do along all edges."""
    edge = torch.cat([mesh.face[[0, 1]], mesh.face[[1, 2]], mesh.face[[2, 0]]], 1)
    differ = (colors[edge[0]] - colors[edge[1]]).abs().mean(1)
    across = (around(mesh)[edge[0]] - around(mesh)[edge[1]]).abs() > torch.pi
    return float(differ[across].mean() / differ.mean())


def peak_memory() -> float:
    """The most that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def grow(
    exemplar: Tensor, mesh: Mesh, level: Level, iterations: int, seed: int, out: Path, console: Console
) -> dict[str, Any]:
    """Trains the automaton on a grid, and lets it run there and on the mesh; a film shows how it grows."""
    torch.manual_seed(seed)
    net = NeuralAutomaton(exemplar.shape[0])
    begin = time.perf_counter()

    def told(step: int, error: float) -> None:
        if step % 50 == 0:
            console.print(f"automaton {step}: relative error {error:.3f}")

    errors = net.fit(exemplar, iterations, seed=seed, progress=told)
    trained = time.perf_counter() - begin
    bank = FilterBank(exemplar.shape[0], octaves=3, seed=seed).fit(exemplar)
    target = GramStatistics.of(bank(exemplar))

    def error(state: Tensor) -> float:
        return float(target.error(GramStatistics.of(bank(net.colors(state), circular=True))))

    def on_surface(state: Tensor) -> float:
        return float(target.error(GramStatistics.of(bank(net.colors(state), level))))

    draw = torch.Generator().manual_seed(seed)
    size = (exemplar.shape[1], exemplar.shape[2])
    early, frames = net.seed(size), []
    for _ in range(50):
        early = net.run(early, 4, generator=draw)
        frames.append(net.colors(early)[0].clamp(0, 1).detach())
    film(frames, out / "automaton.gif")
    late = net.run(early, LONG, generator=draw)
    hurt = late.clone()
    hurt[..., size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = 0
    healed = net.run(hurt, 200, generator=draw)
    worn = net.run(net.seed(level), 200, level, draw)
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        net.run(worn, 20, level, draw)
        times.append((time.perf_counter() - begin) / 20)
    long_worn = net.run(worn, LONG, level, draw)
    colors = net.colors(long_worn).clamp(0, 1).detach()
    images(
        [exemplar, *(net.colors(shown)[0].clamp(0, 1).detach() for shown in (early, late, hurt, healed))],
        out / "automaton.png", titles=["exemplar", "200 steps", f"{LONG + 200} steps", "cut", "200 steps later"], columns=5,
    )  # fmt: skip
    surface(mesh, out / "automaton-surface.png", color=colors)
    return {
        "automaton_training_error": float(np.mean(errors[-20:])),
        "automaton_error": error(early),
        f"automaton_error_after_{LONG}_steps": error(late),
        "automaton_error_cut": error(hurt),
        "automaton_error_healed": error(healed),
        "automaton_surface_error": on_surface(worn),
        f"automaton_surface_error_after_{LONG}_steps": on_surface(long_worn),
        "automaton_surface_wasserstein": sliced_wasserstein(exemplar, colors, None, level),
        "automaton_ms_per_step": 1000 * float(np.median(times)),
        "automaton_training_seconds": round(trained, 2),
    }


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    console = Console()
    chosen.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    exemplar, other = crops(chosen.exemplar, chosen.size, chosen.seed)
    draw = torch.Generator().manual_seed(chosen.seed)
    shuffled = exemplar.flatten(1)[:, torch.randperm(chosen.size**2, generator=draw)].view_as(exemplar)
    crop, noise = sliced_wasserstein(exemplar, other), sliced_wasserstein(exemplar, shuffled)

    start = time.perf_counter()
    made = synthesize(
        exemplar,
        (chosen.size, chosen.size),
        steps=chosen.steps,
        tileable=True,
        seed=chosen.seed,
        progress=True,
    )
    on_grid = time.perf_counter() - start
    grid = sliced_wasserstein(exemplar, made.x)
    tiled = made.x.repeat(1, 2, 2)[:, : 3 * chosen.size // 2, : 3 * chosen.size // 2]
    images([exemplar, other, shuffled, made.x, tiled], chosen.out / "grid.png", columns=5,
           titles=["exemplar", "another crop", "noise", "made", "made, tiled"])  # fmt: skip
    console.print(f"grid: distance {grid:.5f}; another crop {crop:.5f}, noise {noise:.5f}; {on_grid:.0f} s")

    mesh = Puppets(num_vertices=chosen.vertices)[0] if chosen.mesh is None else Mesh.load(chosen.mesh)
    start = time.perf_counter()
    level = surface_levels(mesh).to(chosen.device)
    worn = synthesize(exemplar, level, steps=chosen.steps, seed=chosen.seed, progress=True)
    on_mesh, held = time.perf_counter() - start, peak_memory()
    worn_x = worn.x.cpu()
    body = sliced_wasserstein(exemplar, worn.x, None, level, octaves=min(3, len(level.pyramid())))
    surface(mesh, chosen.out / "surface.png", color=worn_x)
    console.print(
        f"surface of {len(worn_x)} vertices: distance {body:.5f}; {on_mesh:.0f} s, {held:.0f} MB; edges across the seam of "
        f"cylindrical coordinates {seam(mesh, worn_x):.2f} of all (UV {seam(mesh, unrolled(exemplar, mesh)):.2f})"
    )
    holed = opened(mesh)
    begin = time.perf_counter()
    around_hole = synthesize(exemplar, holed, steps=chosen.steps, seed=chosen.seed).x
    on_hole = time.perf_counter() - begin
    surface(holed, chosen.out / "hole.png", color=around_hole)

    metrics: dict[str, Any] = {
        "grid": grid,
        "another_crop": crop,
        "noise": noise,
        "grid_to_crop": grid / crop,
        "surface": body,
        "surface_to_grid": body / grid,
        "surface_seam": seam(mesh, worn_x),
        "surface_seam_of_uv": seam(mesh, unrolled(exemplar, mesh)),
        "surface_peak_mb": round(held),
        "hole_seconds": round(on_hole, 2),
        "grid_error": made.errors[-1],
        "surface_error": worn.errors[-1],
        "vertices": len(worn_x),
        "grid_seconds": round(on_grid, 2),
        "surface_seconds": round(on_mesh, 2),
        **gap(exemplar, other, chosen.seed),
    }
    console.print(
        f"between domains {metrics['gap_between_domains']:.4f}, between crops {metrics['gap_between_crops']:.4f}"
    )
    if chosen.automaton:
        pattern = labyrinth(chosen.size, chosen.seed) if chosen.exemplar is None else exemplar
        metrics |= grow(pattern, mesh, level, chosen.automaton, chosen.seed, chosen.out, console)
    path = write_result(
        chosen.out,
        benchmark="texture",
        data=("stones" if chosen.exemplar is None else chosen.exemplar.stem)
        + f" on {'a Puppet' if chosen.mesh is None else chosen.mesh.stem}",
        model="random filters",
        metrics=metrics,
        seconds=time.perf_counter() - began,
        parameters={"size": chosen.size, "steps": chosen.steps, "automaton": chosen.automaton},
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )
    console.print(f"wrote {path} and pictures beside it")


if __name__ == "__main__":
    main()
