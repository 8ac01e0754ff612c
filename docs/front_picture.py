"""Makes `docs/_static/front.png`: two bodies matched without training, one that wears stones. `python docs/front_picture.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.exemplars import stones
from geodl import viz
from geodl.datasets import Puppets
from geodl.matching import match
from geodl.synthesis import synthesize

OUT = Path(__file__).parent / "_static" / "front.png"


def trimmed(path: Path) -> Image.Image:
    """The picture without its white margins."""
    picture = Image.open(path).convert("RGB")
    ink = np.asarray(picture).min(2) < 250
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return picture.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))


def main() -> None:
    bodies = Puppets(variant="remeshed", num_vertices=5000)
    one, two = bodies[3], bodies[27]
    found = match(one, two)
    print(found.trust)
    with tempfile.TemporaryDirectory() as folder:
        matched, worn = Path(folder) / "matched.png", Path(folder) / "worn.png"
        viz.correspondence(one, two, found.p2p_21, matched)
        body = Puppets(num_vertices=9000)[14]
        viz.surface(body, worn, color=synthesize(stones(128, 128), body).x.clamp(0, 1))
        parts = [trimmed(matched), trimmed(worn)]
    height = 520
    parts = [
        part.resize((round(part.width * height / part.height), height), Image.Resampling.LANCZOS)
        for part in parts
    ]
    gap = 60
    whole = Image.new("RGB", (sum(part.width for part in parts) + gap * (len(parts) - 1), height), "white")
    left = 0
    for part in parts:
        whole.paste(part, (left, 0))
        left += part.width + gap
    whole.quantize(200).save(OUT, optimize=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
