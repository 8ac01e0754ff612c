"""Small sets in the layouts of the shape-matching literature."""

from __future__ import annotations

from pathlib import Path

import torch
import trimesh

from geodl.data import Mesh


def template(category: int = 0) -> Mesh:
    """42 points of a lopsided ball; the points of another category lie elsewhere, in another order."""
    made = trimesh.creation.icosphere(1)
    stretch = torch.tensor([1.0, 1.3, 0.7]) + 0.1 * category
    pos = torch.tensor(made.vertices).float() * stretch + 0.05 * torch.tensor(made.vertices).float() ** 2
    return Mesh(pos, torch.tensor(made.faces).long().t().contiguous())


def write_shape(off: Path, vts: Path | None, category: int = 0) -> Mesh:
    """Writes the template with its vertices in a random order of their own, and where each of its points went."""
    body = template(category)
    order = torch.randperm(body.pos.shape[0])
    place = order.argsort()  # of template point t
    shape = Mesh(body.pos[order], place[body.face])
    off.parent.mkdir(parents=True, exist_ok=True)
    shape.save(off)
    if vts is not None:
        vts.parent.mkdir(parents=True, exist_ok=True)
        write_vertices(vts, place)
    return shape


def write_vertices(path: Path, vertices: torch.Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{int(vertex) + 1}\n" for vertex in vertices))


def write_set(folder: Path, names: list[str]) -> None:
    for name in names:
        write_shape(folder / "off" / f"{name}.off", folder / "corres" / f"{name}.vts")


def write_rna(
    folder: Path, train: tuple[str, ...] = ("1ABC_A", "2DEF_B"), test: tuple[str, ...] = ("3GHI_9",)
) -> None:
    """A small set in the layout of RNA; a vertex of each shape has no label."""
    for place in ("off", "labels"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for part, names in (("train", train), ("test", test)):
        (folder / f"{part}.txt").write_text("".join(f"{name}.off\n" for name in names))
        for number, name in enumerate(names):
            template(number).save(folder / "off" / f"{name}.off")
            (folder / "labels" / f"{name}.txt").write_text("-1\n" + "258\n" * 41)
