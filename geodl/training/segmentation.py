"""Segmentation: a class for every vertex, face or point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.geometry import face_areas, vertex_areas
from geodl.ops import Neighbors, aggregate
from geodl.training.confusion import LabelScores, confusion, label_scores
from geodl.training.supervised import SupervisedModule

__all__ = ["SegmentationModule"]

Elements = Literal["vertices", "faces", "points"]
_ELEMENTS = ("vertices", "faces", "points")


class SegmentationModule(SupervisedModule):
    r"""Cross entropy over the labelled vertices, faces or points of a batch, and its measures.

    .. math:: L = -\frac{\sum_{i : y_i \neq ignored} w_{y_i} \log \operatorname{softmax}(f_i)_{y_i}}
                       {\sum_{i : y_i \neq ignored} w_{y_i}}

    Args:
        model: see :class:`~geodl.training.SupervisedModule`: DiffusionNet, GCNN, the networks of parts of clouds, or one's own.
        num_classes: C, of labels ``y`` in ``[0, C)``.
        elements: what labels are of: "vertices", "faces" (of meshes) or "points" (of clouds).
        learning_rate, weight_decay, smoothing, transform: see :class:`~geodl.training.SupervisedModule`.
        class_weight: ``[C]``, w; 1 if not given.
        ignored: the label of what has none: it takes part in no loss and no measure.

    After a validation or a test, :attr:`scores` and :attr:`scores_by_area` hold the measures (:class:`~geodl.training.LabelScores`)
    of all its shapes together, and ``accuracy``, ``accuracy_by_area`` and ``mean_iou`` are logged. By area, every shape counts the
    same: elements by their share of its surface (the batch's ``area``, or that of its faces), points of clouds and those of a
    shape without area alike.
    ``predict_step`` returns, for every shape of the batch, its classes ``[N]`` int64.

    Raises:
        ValueError: no such elements, or weights that do not fit; on use, scores and labels that differ in number or dtype.
        IndexError: on use, a label that is no class.
    """

    table: Tensor
    table_by_area: Tensor

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        elements: Elements = "vertices",
        learning_rate: float = 2e-3,
        weight_decay: float = 0.01,
        class_weight: Tensor | None = None,
        ignored: int = -1,
        smoothing: float = 0.0,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(model, learning_rate, weight_decay, smoothing, transform)
        if elements not in _ELEMENTS:
            raise ValueError(f"elements must be one of {', '.join(_ELEMENTS)}, not {elements!r}")
        if class_weight is not None and class_weight.shape != (num_classes,):
            raise ValueError(f"class_weight must have shape [{num_classes}], not {list(class_weight.shape)}")
        self.num_classes, self.elements, self.ignored = num_classes, elements, ignored
        self.register_buffer("class_weight", class_weight)
        for name in ("table", "table_by_area"):
            empty = torch.zeros(num_classes, num_classes, dtype=torch.float64)
            self.register_buffer(name, empty, persistent=False)

    @property
    def scores(self) -> LabelScores:
        """Measures of the last validation or test; every element counts the same."""
        return label_scores(self.table)

    @property
    def scores_by_area(self) -> LabelScores:
        """The same; elements count by area."""
        return label_scores(self.table_by_area)

    def training_step(self, batch: Any, _: int) -> Tensor:
        batch, scores, penalty = self.training_scores(batch)
        y = self._labels(batch, scores)
        loss = self.loss(scores, y)
        labelled = y != self.ignored
        right = (scores.detach().argmax(1) == y)[labelled].double().sum() / labelled.sum().clamp(min=1)
        logged = {"loss": loss, "training_accuracy": right}
        self.log_dict(logged, prog_bar=True, batch_size=len(batch.ptr) - 1)
        return loss + penalty

    def loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Of scores ``[N, C]`` and labels ``[N]``; 0 where nothing is labelled."""
        if not bool((y != self.ignored).any()):
            return scores.sum() * 0
        return F.cross_entropy(
            scores, y, self.class_weight, ignore_index=self.ignored, label_smoothing=self.smoothing
        )

    def on_validation_epoch_start(self) -> None:
        self.table.zero_()
        self.table_by_area.zero_()

    def validation_step(self, batch: Any, _: int) -> None:
        scores = self(batch)
        y = self._labels(batch, scores)
        labelled = y != self.ignored
        told, true, share = scores.argmax(1)[labelled], y[labelled], self._shares(batch, len(y))[labelled]
        self.table += confusion(told, true, self.num_classes)
        self.table_by_area += confusion(told, true, self.num_classes, share)

    def on_validation_epoch_end(self) -> None:
        for name in ("table", "table_by_area"):
            setattr(self, name, self.over_processes(getattr(self, name)))
        if not bool(self.table.any()):
            return
        found = self.scores
        self.log_dict(
            {
                "accuracy": found.accuracy,
                "accuracy_by_area": self.scores_by_area.accuracy,
                "mean_iou": found.mean_iou,
            }
        )

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end

    def predict_step(self, batch: Any, _: int) -> list[Tensor]:
        return list(self(batch).argmax(1).split(self._sizes(batch).tolist()))

    def _labels(self, batch: Any, scores: Tensor) -> Tensor:
        y: Tensor = batch.y
        if y.dtype != torch.int64 or y.shape != scores.shape[:1]:
            raise ValueError(
                f"y must be int64 of shape [{scores.shape[0]}], a label for every row of scores, not {y.dtype} {list(y.shape)}"
            )
        if scores.shape[1] != self.num_classes:
            raise ValueError(
                f"the network has {scores.shape[1]} scores, but there are {self.num_classes} classes"
            )
        known = y[y != self.ignored]
        if known.numel() and not 0 <= int(known.min()) <= int(known.max()) < self.num_classes:
            raise IndexError(
                f"y holds {int(known.min())}..{int(known.max())}, but there are {self.num_classes} classes "
                f"(and {self.ignored} for none)"
            )
        return y

    def _sizes(self, batch: Any) -> Tensor:
        """Number of elements of every shape."""
        sizes: Tensor = batch.ptr.diff()
        if self.elements == "faces":
            return torch.bincount(batch.batch[batch.face[0]], minlength=len(sizes))
        return sizes

    def _shares(self, batch: Any, count: int) -> Tensor:
        """The share of every element in the surface of its shape, ``[N]`` float64."""
        area = getattr(batch, "area", None)
        if area is None or area.shape != (count,):
            if self.elements == "points":
                area = batch.pos.new_ones(count)
            else:
                area = (face_areas if self.elements == "faces" else vertex_areas)(batch)
        sizes = self._sizes(batch)
        ends = F.pad(sizes.cumsum(0), (1, 0))
        shapes = Neighbors(ends, torch.arange(count, device=ends.device), count)
        total = aggregate(area.double()[:, None], shapes)[:, 0].repeat_interleave(sizes, output_size=count)
        alike = 1 / sizes.double().repeat_interleave(sizes, output_size=count)
        return torch.where(total > 0, area.double() / total, alike)
