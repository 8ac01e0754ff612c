"""The simplest baseline: a linear map of what the network reads at a vertex, by ridge regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.baseline import ridge_classifier
from geodl.training import LabelScores, confusion, label_scores


class Ridge:
    """Of the labelled vertices of shapes."""

    def __init__(self, shapes: Sequence[Any], classes: int) -> None:
        x, y = (torch.cat(parts) for parts in zip(*map(labelled, shapes), strict=True))
        self.linear = ridge_classifier(x, y, classes).double()

    def scores(self, shapes: Sequence[Any]) -> tuple[LabelScores, LabelScores]:
        """Measures on test shapes: every vertex the same, and by area."""
        classes = self.linear.out_features
        table = torch.zeros(classes, classes, dtype=torch.float64)
        by_area = torch.zeros_like(table)
        for shape in shapes:
            x, y = labelled(shape)
            told = self.linear(x).argmax(1)
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
