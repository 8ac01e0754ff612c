"""What a classifier of points in the plane answers everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from geodl.geometry.shapes import IndexLike, as_index
from geodl.viz.colors import label_colors
from geodl.viz.picture import Size, save_figure
from geodl.viz.pixels import INSTALL_MATPLOTLIB

__all__ = ["decision_boundary"]

_SIDE = 300  # points along an axis where the model is asked
_MARGIN = 0.15  # of the extent, around the points
_TINT = 0.3


def decision_boundary(
    model: nn.Module | Callable[[Tensor], Tensor],
    x: Tensor,
    y: IndexLike,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    size: Size = (5.0, 5.0),
    dpi: int = 100,
) -> Path:
    r"""The plane, coloured by the class that a model gives each point, with the line between, and the examples on it.

    The class of p is :math:`\arg\max_c f_c(p)`; of a model with one output f, as :class:`~geodl.models.Perceptron`, it is the
    larger label where :math:`f(p) > 0` and the smaller one elsewhere. Examples of the wrong class are crosses. A module is asked in
    evaluation, and left as it was.

    Args:
        model: ``[M, 2]`` -> ``[M, C]`` scores, or ``[M]`` or ``[M, 1]``.
        x: ``[N, 2]`` floating point, examples.
        y: ``[N]`` their classes: 0 to C - 1, or two numbers, such as -1 and 1, where the model has one output.
        path: of the picture to write (atomically): png, pdf or svg.
        title: written above the picture.
        size: width and height in inches.
        dpi: pixels an inch, of a png.

    Returns:
        The path written.

    Raises:
        ValueError: examples or classes of another shape, or not finite; scores of another shape, or not finite; classes that the
            model does not have; a path of another kind.
        ImportError: matplotlib is not installed.
    """
    if x.dim() != 2 or x.shape[1] != 2 or not len(x) or not x.is_floating_point():
        raise ValueError(f"x must have shape [N, 2] and be floating point, not {list(x.shape)} {x.dtype}")
    if not bool(x.isfinite().all()):
        raise ValueError(f"x: {int((~x.isfinite()).sum())} entries are NaN or infinite")
    label = as_index("y", y).detach().cpu()
    if label.shape != x.shape[:1]:
        raise ValueError(f"there are {len(x)} points, but y has shape {list(label.shape)}")
    points = x.detach().cpu()
    low, high = points.amin(0), points.amax(0)
    extent = float((high - low).max()) or 1.0
    middle, half = (low + high) / 2, extent * (0.5 + _MARGIN)
    step = half * ((2 * torch.arange(_SIDE) + 1) / _SIDE - 1)
    across, up = middle[0] + step, middle[1] + step
    plane = torch.stack(torch.meshgrid(across, up, indexing="xy"), -1).flatten(0, 1).to(x)
    margins, names = _margins(_scores(model, plane), label)
    answer = margins.argmax(1)
    right = names[_margins(_scores(model, x.detach()), label)[0].argmax(1)] == label

    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"decision boundaries need matplotlib: {INSTALL_MATPLOTLIB} ({error})") from error
    figure = Figure(figsize=size, dpi=dpi, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    tint = 1 - _TINT * (1 - label_colors(answer)).view(_SIDE, _SIDE, 3)
    ends = (
        float(middle[0] - half),
        float(middle[0] + half),
        float(middle[1] - half),
        float(middle[1] + half),
    )
    axes.imshow(tint.numpy(), origin="lower", extent=ends, interpolation="nearest", aspect="equal")
    for margin in margins.T[: 1 if len(names) == 2 else None]:
        if float(margin.min()) < 0 < float(margin.max()):
            shown = margin.view(_SIDE, _SIDE).double().numpy()
            axes.contour(across.numpy(), up.numpy(), shown, [0.0], colors="#333333", linewidths=1.2)
    colors = label_colors(torch.searchsorted(names, label)).numpy()
    for chosen, marker, line in ((right, "o", 0.5), (~right, "X", 0.8)):
        of = points[chosen].numpy()
        axes.scatter(
            of[:, 0], of[:, 1], s=40 if marker == "o" else 75, c=colors[chosen.numpy()], marker=marker,
            edgecolors="white" if marker == "o" else "black", linewidths=line, zorder=3,
        )  # fmt: skip
    axes.set(xlim=ends[:2], ylim=ends[2:], title=title)
    axes.spines[["top", "right"]].set_visible(False)
    return save_figure(figure, Path(path))


@torch.no_grad()
def _scores(model: nn.Module | Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        scores = model(points).detach().cpu()
    finally:
        if isinstance(model, nn.Module):
            model.train(training)
    scores = scores[:, None] if scores.dim() == 1 else scores
    if scores.dim() != 2 or scores.shape[0] != len(points) or not scores.shape[1]:
        raise ValueError(
            f"the model must give [{len(points)}, C] scores of {len(points)} points, not {list(scores.shape)}"
        )
    if not bool(scores.isfinite().all()):
        raise ValueError(f"the model: {int((~scores.isfinite()).sum())} scores are NaN or infinite")
    return scores


def _margins(scores: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """By how much each class is ahead of the best other one ``[M, C]``, and the classes' names."""
    if scores.shape[1] == 1:
        names = torch.unique(label)
        if len(names) > 2:
            raise ValueError(f"the model has one output, but y holds {len(names)} classes")
        if len(names) == 1:
            names = torch.stack([names[0].clamp(max=0), names[0].clamp(min=1)])
        return torch.cat([-scores, scores], 1), names
    classes = scores.shape[1]
    if not 0 <= int(label.min()) <= int(label.max()) < classes:
        raise ValueError(
            f"y holds {int(label.min())}..{int(label.max())}, but the model has {classes} classes"
        )
    best, where = scores.topk(2, dim=1)
    other = torch.where(torch.arange(classes) == where[:, :1], best[:, 1:], best[:, :1])
    return scores - other, torch.arange(classes)
