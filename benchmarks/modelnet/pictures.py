"""Pictures of a run: the confusion of classes, and clouds that were taken for something else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.modelnet.data import Part
from geodl import viz
from geodl.viz.picture import save_figure

IN_A_ROW, PICTURES = 6, 3


def confusion_picture(table: Tensor, classes: Sequence[str], path: Path, title: str) -> Path:
    """Rows are the classes, columns what they were taken for, in percent of the row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    share = 100 * table / table.sum(1, keepdim=True).clamp(min=1)
    side = 2.5 + 0.42 * len(classes)
    figure = Figure(figsize=(side, side), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=100)
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=90)
    axes.set_yticks(places, classes)
    axes.set(xlabel="taken for", ylabel="is", title=title)
    for row, column in (share >= 0.5).nonzero().tolist():
        value = float(share[row, column])
        color = "white" if value > 50 else "black"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", size=7, color=color)
    return save_figure(figure, path)


def misclassified_pictures(part: Part, predicted: Tensor, folder: Path) -> list[Path]:
    """Clouds that were taken for something else, evenly from all of them, six in a picture."""
    wrong = ((predicted != part.y.cpu()) & part.there).nonzero()[:, 0]
    count = min(len(wrong), IN_A_ROW * PICTURES)
    chosen = wrong[torch.arange(count) * len(wrong) // max(1, count)].tolist()
    written = []
    for number in range(0, count, IN_A_ROW):
        some = chosen[number : number + IN_A_ROW]
        path = viz.point_clouds(
            [part.pos[k] for k in some],
            folder / f"misclassified-{number // IN_A_ROW + 1}.png",
            labels=[f"{part.classes[int(part.y[k])]}\nas {part.classes[int(predicted[k])]}" for k in some],
            up=part.up,
        )
        written.append(path)
    return written
