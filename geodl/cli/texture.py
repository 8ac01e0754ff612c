"""geodl texture IMAGE SHAPE: a surface that wears a texture like that of an image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from geodl.cli.inputs import read_shape
from geodl.cli.output import new_file

__all__ = ["add"]

_SIDE = 128  # pixels of the exemplar's shorter side at most: one vertex stands for one pixel


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser(
        "texture", parents=[common], help="make a texture like an image's, on a mesh or as an image"
    )
    page.add_argument("image", type=Path, help="the exemplar")
    page.add_argument("shape", type=Path, nargs="?", help="mesh; none for an image")
    page.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        help="a mesh (ply) with colours, a page (html), or a png",
    )
    page.add_argument("--size", type=int, default=128, help="pixels of an image's side")
    page.add_argument("--steps", type=int, default=100, help="at every octave")
    page.add_argument("--seed", type=int, default=0)
    page.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    from torch.nn import functional as F

    from geodl import viz
    from geodl.synthesis import as_image, synthesize

    new_file(chosen.out)
    endings = (".png",) if chosen.shape is None else (".ply", ".html", ".off", ".obj")
    if chosen.out.suffix.lower() not in endings:
        raise ValueError(f"{chosen.out} must end in {' or '.join(endings)}")
    exemplar = as_image(chosen.image, str(chosen.image))
    scale = _SIDE / min(exemplar.shape[1:])
    if scale < 1:
        size = [round(side * scale) for side in exemplar.shape[1:]]
        exemplar = F.interpolate(exemplar[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)
    domain: Any = (chosen.size, chosen.size) if chosen.shape is None else read_shape(chosen.shape)
    made = synthesize(exemplar, domain, steps=chosen.steps, seed=chosen.seed, progress=_Told())
    if chosen.shape is None:
        viz.images([made.x], chosen.out)
    elif chosen.out.suffix.lower() == ".html":
        viz.show(domain, color=made.x, title=f"{chosen.shape.stem} in {chosen.image.stem}").save(chosen.out)
    else:
        domain.color = (255 * made.x).round().byte()
        domain.save(chosen.out)
    print(f"wrote {chosen.out}: relative error of the statistics {made.errors[-1]:.4f}")


class _Told:
    """How far it is, by a bar or by lines."""

    def __init__(self) -> None:
        self.steps: Any = None

    def __call__(self, made: Any) -> None:
        from geodl.data.progress import progress

        if self.steps is None:
            self.steps = iter(progress(range(made.steps + 1), made.steps, "steps"))
            next(self.steps)
        next(self.steps, None)
