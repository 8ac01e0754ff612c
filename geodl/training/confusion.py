"""Measures of labels that are told: from a table of what every class was taken for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LabelScores", "confusion", "label_scores"]


def confusion(predicted: Tensor, y: Tensor, num_classes: int, weight: Tensor | None = None) -> Tensor:
    """How much of every class (row) is taken for every class (column), ``[C, C]``.

    Args:
        predicted, y: ``[N]`` int64 in ``[0, C)``.
        num_classes: ``C``.
        weight: ``[N]``, what each counts, such as its area; 1 if not given.

    Returns:
        int64 counts, or float64 sums of weights.

    Raises:
        ValueError: lengths that differ.
        IndexError: a class out of range.
    """
    if predicted.shape != y.shape or y.dim() != 1 or (weight is not None and weight.shape != y.shape):
        told = f", weight {list(weight.shape)}" if weight is not None else ""
        raise ValueError(f"predicted has shape {list(predicted.shape)} but y {list(y.shape)}{told}")
    for name, values in (("predicted", predicted), ("y", y)):
        if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < num_classes:
            raise IndexError(
                f"{name} holds {int(values.min())}..{int(values.max())}, but there are {num_classes} classes"
            )
    pairs = y * num_classes + predicted
    heavy = None if weight is None else weight.double()
    return torch.bincount(pairs, heavy, num_classes * num_classes).view(num_classes, num_classes)


@dataclass(frozen=True, eq=False)
class LabelScores:
    r"""What a table of true classes (rows) and predicted ones (columns) says.

    With T what is of class c and taken for it, A what is of class c, and B what is taken for it, the intersection over union is
    :math:`T / (A + B - T)` and the accuracy of the class :math:`T / A`.

    Attributes:
        accuracy: the share that is right.
        mean_class_accuracy: the mean over the classes that occur.
        mean_iou: mean intersection over union, over the classes that occur or are predicted.
        iou: ``[C]`` float64; NaN for a class that neither occurs nor is predicted.
        class_accuracy: ``[C]`` float64; NaN for a class that does not occur.
    """

    accuracy: float
    mean_class_accuracy: float
    mean_iou: float
    iou: Tensor
    class_accuracy: Tensor


def label_scores(table: Tensor) -> LabelScores:
    """The measures of a table ``[C, C]``, see :func:`confusion`.

    Raises:
        ValueError: a table that is not square, or has nothing in it.
    """
    if table.dim() != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"table must have shape [C, C], not {list(table.shape)}")
    table = table.double().cpu()
    total = float(table.sum())
    if not total > 0:
        raise ValueError("table is empty: nothing that is labelled was predicted")
    right, true, told = table.diagonal(), table.sum(1), table.sum(0)
    iou, of_class = right / (true + told - right), right / true
    return LabelScores(
        float(right.sum()) / total, float(of_class.nanmean()), float(iou.nanmean()), iou, of_class
    )
