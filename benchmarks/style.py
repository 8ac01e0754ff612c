"""Style transfer: photographs, and a body, in the manner of paintings.

    python -m benchmarks.style                                            three photographs, procedural styles, a Puppet
    python -m benchmarks.style --styles FILE FILE --contents FILE FILE    pictures of one's own
    python -m benchmarks.style --styles FILE --mesh FILE                  a mesh of one's own

For every pair: the sliced Wasserstein distance of patches to the style before (the photograph) and after; and how well the content
is still seen, which is the correlation of the strengths of edges with those of the photograph at an eighth of the resolution, where
strokes are too fine to be seen, beside that of a texture that knows the style alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from benchmarks.exemplars import stones, waves, weave
from benchmarks.result import command, portable, write_result
from geodl.data import Mesh
from geodl.datasets import Puppets
from geodl.geometry import vertex_normals
from geodl.synthesis import (
    as_image,
    displace,
    sliced_wasserstein,
    surface_levels,
    synthesize,
    transfer,
)
from geodl.viz import images, surface

SIDE = 192  # of all pictures
OCTAVE = 1  # at which the content is compared
VERTICES = 30_000
SHADE = 0.5  # weight of the light on a body, whose shape is seen without
RELIEF = 0.02  # of the square root of the area
LIGHT = (0.3, 0.8, 0.5)  # that shades the body


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.style", description="Transfer a style.")
    parser.add_argument("--contents", type=Path, nargs="+", help="pictures; three photographs if not given")
    parser.add_argument("--styles", type=Path, nargs="+", help="pictures; three procedural ones if not given")
    parser.add_argument("--mesh", type=Path, help="a mesh; a Puppet if not given")
    parser.add_argument("--steps", type=int, default=30, help="steps at each octave")
    parser.add_argument("--weight", type=float, default=1.5, help="of the content")
    parser.add_argument("--size", type=int, default=SIDE, help="side of the pictures, in pixels")
    parser.add_argument("--vertices", type=int, default=VERTICES, help="of the Puppet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("runs") / "style", help="run folder")
    return parser.parse_args(argv)


def photographs() -> dict[str, Tensor]:
    """Those that scikit-learn and matplotlib bring along."""
    from matplotlib.cbook import get_sample_data
    from sklearn.datasets import load_sample_image

    found = {name: as_image(load_sample_image(f"{name}.jpg")) for name in ("china", "flower")}
    portrait: Any = get_sample_data("grace_hopper.jpg", asfileobj=False)
    found["portrait"] = as_image(portrait)
    return found


def square(picture: Tensor, side: int) -> Tensor:
    """The middle of a picture, ``[C, side, side]``."""
    scale = side / min(picture.shape[1:])
    size = [max(side, round(length * scale)) for length in picture.shape[1:]]
    small = F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return small[:, top : top + side, left : left + side].contiguous()


def edges(picture: Tensor) -> Tensor:
    """How strong edges are at an eighth of the resolution, in order from 0 to 1."""
    grey = F.avg_pool2d(picture.mean(0)[None, None], 8)
    strength = (grey[..., 1:, :-1] - grey[..., :-1, :-1]) ** 2 + (
        grey[..., :-1, 1:] - grey[..., :-1, :-1]
    ) ** 2
    return strength.flatten().argsort().argsort().float() / strength.numel()


def likeness(one: Tensor, two: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([edges(one), edges(two)]))[0, 1])


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    console = Console()
    chosen.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    side, seed = chosen.size, chosen.seed
    given = {path.stem: as_image(path, str(path)) for path in chosen.contents or ()}
    contents = given or photographs()
    if chosen.styles is None:
        styles = {"stones": stones(side, side, seed), "waves": waves(side, seed), "weave": weave(side, seed)}
    else:
        styles = {path.stem: as_image(path, str(path)) for path in chosen.styles}
    contents = {name: square(picture, side) for name, picture in contents.items()}
    styles = {name: square(picture, side) for name, picture in styles.items()}

    alone = {
        name: synthesize(style, (side, side), steps=chosen.steps, seed=seed).x
        for name, style in styles.items()
    }
    shown, titles, rows = [torch.ones(3, side, side), *styles.values()], ["", *styles], []
    for content_name, content in contents.items():
        shown.append(content)
        titles.append(content_name)
        for style_name, style in styles.items():
            start = time.perf_counter()
            made = transfer(
                content, style, weight=chosen.weight, octave=OCTAVE, steps=chosen.steps, seed=seed
            ).x
            spent = time.perf_counter() - start
            before, after = (sliced_wasserstein(style, x) for x in (content, made))
            rows.append(
                {
                    "content": content_name,
                    "style": style_name,
                    "style_distance_before": before,
                    "style_distance": after,
                    "content_edges": likeness(made, content),
                    "content_edges_of_style_alone": likeness(alone[style_name], content),
                    "seconds": round(spent, 2),
                }
            )
            shown.append(made)
            titles.append("")
            console.print(
                f"{content_name} as {style_name}: distance to the style {before:.4f} -> {after:.4f}, "
                f"edges {rows[-1]['content_edges']:.2f} "
                f"(style alone {rows[-1]['content_edges_of_style_alone']:.2f}), {spent:.0f} s"
            )
    images(shown, chosen.out / "images.png", titles=titles, columns=len(styles) + 1)

    mesh = Puppets(num_vertices=chosen.vertices)[0] if chosen.mesh is None else Mesh.load(chosen.mesh)
    level = surface_levels(mesh).to(chosen.device)
    shade = (vertex_normals(mesh).float() @ F.normalize(torch.tensor(LIGHT), dim=0)) / 2 + 0.5
    bodies = {}
    for style_name, style in styles.items():
        start = time.perf_counter()
        painted = transfer(shade.to(chosen.device), style, level, weight=SHADE, steps=chosen.steps, seed=seed)
        spent = time.perf_counter() - start
        distance = sliced_wasserstein(style, painted.x, None, level)
        bodies[style_name] = {"style_distance": distance, "seconds": round(spent, 2)}
        surface(mesh, chosen.out / f"painted-{style_name}.png", color=painted.x.cpu())
        console.print(f"a surface as {style_name}: distance to the style {distance:.4f}, {spent:.0f} s")
    relief = synthesize(next(iter(styles.values())).mean(0), level, steps=chosen.steps, seed=seed).x.cpu()
    size = float(np.sqrt(level.area.sum().item()))
    surface(displace(mesh, relief, RELIEF * size), chosen.out / "relief.png")

    path = write_result(
        chosen.out,
        benchmark="style",
        data=f"{', '.join(contents)} as {', '.join(styles)}; {'a Puppet' if chosen.mesh is None else chosen.mesh.stem}",
        model="random filters, grey levels at half of the resolution",
        metrics={
            "style_distance_before": statistics.mean(row["style_distance_before"] for row in rows),  # type: ignore[type-var]
            "style_distance": statistics.mean(row["style_distance"] for row in rows),  # type: ignore[type-var]
            "content_edges": statistics.mean(row["content_edges"] for row in rows),  # type: ignore[type-var]
            "content_edges_of_style_alone": statistics.mean(
                row["content_edges_of_style_alone"] for row in rows
            ),  # type: ignore[type-var]
            "pairs": rows,
            "surfaces": bodies,
        },
        seconds=time.perf_counter() - began,
        parameters={"size": side, "steps": chosen.steps, "weight": chosen.weight},
        seeds=[seed],
        command=portable(command(), chosen),
    )
    console.print(f"wrote {path} and pictures beside it")


if __name__ == "__main__":
    main()
