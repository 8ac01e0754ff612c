"""Pictures of a shape: what its parts are, what they were taken for, and where that is wrong."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from geodl import viz
from geodl.data import Mesh

_RIGHT, _WRONG, _NONE = (0.80, 0.81, 0.83), (0.85, 0.15, 0.15), (0.45, 0.46, 0.48)


def pictures(mesh: Mesh, predicted: Tensor, folder: Path, title: str) -> list[Path]:
    """Writes truth.png, predicted.png and errors.png; vertices without label are grey."""
    known = mesh.y >= 0
    wrong = (predicted != mesh.y) & known
    share = 100 * float(wrong.sum() / known.sum())
    color = torch.tensor(_RIGHT).repeat(len(wrong), 1)
    color[~known], color[wrong] = torch.tensor(_NONE), torch.tensor(_WRONG)
    drawn = [
        viz.surface(mesh, folder / "truth.png", label=mesh.y, title=f"{title}: parts"),
        viz.surface(mesh, folder / "predicted.png", label=predicted, title=f"{title}: predicted"),
        viz.surface(
            mesh,
            folder / "errors.png",
            color=color,
            title=f"{title}: {share:.1f} % of the vertices are wrong",
        ),
    ]
    return [path for path in drawn if path is not None]
