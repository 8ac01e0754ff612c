"""Truth, prediction and error: in one view of some shapes, and on the first shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.shading.data import View
from geodl.data import Mesh
from geodl.viz import images, surface

ON_VERTICES = "surface, DiffusionNet of balls", "cloud, gathered"
ON_PIXELS = "screen, gathered"


def draw(
    folder: Path,
    meshes: list[Mesh],
    views: list[View],
    on_vertices: Mapping[str, list[Tensor]],
    on_pixels: list[Tensor],
) -> None:
    """``views`` are as many of every mesh, ``on_vertices`` the answers at the vertices of every mesh by method, ``on_pixels``
    those at the valid pixels of every view."""
    each = len(views) // len(meshes)
    rows, titles = [], []
    for k in range(0, len(views), 2 * each):
        view = views[k]
        truth = view.occlusion[view.valid]
        drawn = {name: view.of_vertices(on_vertices[name][k // each]) for name in ON_VERTICES}
        drawn[ON_PIXELS] = on_pixels[k]
        for name, values in {"truth": truth, **drawn}.items():
            rows.append(grey(view.valid, 1 - values))
            titles.append(name)
        for name, values in drawn.items():
            rows.append(signed(view.valid, values - truth))
            titles.append(f"error: {name.partition(',')[0]}")
    title = "Ambient occlusion, family never seen; errors: red too dark, blue too light"
    images(rows, folder / "views.png", titles=titles, columns=7, title=title)
    painted = {"truth": meshes[0].occlusion, **{name: on_vertices[name][0] for name in ON_VERTICES}}
    for name, value in painted.items():
        path = folder / f"{name.partition(',')[0]}.png"
        surface(meshes[0], path, color=(1 - value).clamp(0, 1)[:, None], title=name)


def grey(valid: Tensor, values: Tensor) -> Tensor:
    picture = torch.ones(3, *valid.shape)
    picture[:, valid] = values.clamp(0, 1)
    return picture


def signed(valid: Tensor, error: Tensor) -> Tensor:
    """White where it is right, red where the prediction is too dark, blue where it is too light; full at 0.3."""
    picture = torch.ones(3, *valid.shape)
    strength = (error.abs() / 0.3).clamp(max=1)
    picture[1, valid] = 1 - strength
    picture[2, valid] = torch.where(error > 0, 1 - strength, 1.0)
    picture[0, valid] = torch.where(error > 0, 1.0, 1 - strength)
    return picture
