"""The simplest baseline: a linear map of what the network reads at a vertex, by ridge regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.training import LabelScores, confusion, label_scores

RIDGE = 1e-3


class Ridge:
    r"""Scores :math:`W^\top [z, 1]` that are nearest to the one-hot labels, with z the channels made of mean 0 and deviation 1.

    .. math:: \min_W \frac1N \sum_i \| W^\top [z_i, 1] - e_{y_i} \|^2 + \lambda \| W \|^2
    """

    def __init__(self, shapes: Sequence[Any], classes: int) -> None:
        x, y = (torch.cat(parts) for parts in zip(*map(labelled, shapes), strict=True))
        self.mean, self.deviation = x.mean(0), x.std(0).clamp(min=1e-9)
        z = self._rows(x)
        gram = z.T @ z / len(z) + RIDGE * torch.eye(z.shape[1], dtype=z.dtype)
        # The one-hot labels of all vertices would not fit in memory where there are hundreds of classes: rows are summed by class.
        sums = z.new_zeros(classes, z.shape[1]).index_add_(0, y, z)
        self.weight = torch.linalg.solve(gram, sums.T / len(z))

    def _rows(self, x: Tensor) -> Tensor:
        return F.pad((x - self.mean) / self.deviation, (0, 1), value=1.0)

    def scores(self, shapes: Sequence[Any]) -> tuple[LabelScores, LabelScores]:
        """Measures on test shapes: every vertex the same, and by area."""
        classes = self.weight.shape[1]
        table = torch.zeros(classes, classes, dtype=torch.float64)
        by_area = torch.zeros_like(table)
        for shape in shapes:
            x, y = labelled(shape)
            told = (self._rows(x) @ self.weight).argmax(1)
            share = (shape.area / shape.area.sum())[shape.y >= 0]
            table += confusion(told, y, classes)
            by_area += confusion(told, y, classes, share)
        return label_scores(table), label_scores(by_area)


def labelled(shape: Any) -> tuple[Tensor, Tensor]:
    """What is known of the labelled vertices: the signal, of clouds the positions and the signal; and labels."""
    read = [shape.x] if "x" in shape else []
    if "spectrum" not in shape and "windows" not in shape:
        read.append(shape.pos)
    known = shape.y >= 0
    return torch.cat(read, 1)[known].double(), shape.y[known]
