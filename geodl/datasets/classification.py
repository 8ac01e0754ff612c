"""Sets of shapes with one label each."""

from __future__ import annotations

import copy
import operator
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset
from torch_geometric.data import Data

__all__ = ["ClassificationSet"]


class ClassificationSet(Dataset[Any]):
    """Shapes of several classes.

    An item is a PyG ``Data`` (a :class:`~geodl.data.Mesh`, where the set has meshes) with ``pos``, ``y [1]`` int64 and ``name``.
    Items are read or made when first asked for and then kept.

    Args:
        names: of the shapes, in their order.
        labels: the class of each.
        classes: their names, in the order of the labels.
        transform: applied to a shallow copy of the shape at every access.
    """

    def __init__(
        self,
        names: Sequence[str],
        labels: Sequence[int],
        classes: Sequence[str],
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self.names, self.classes, self.transform = list(names), list(classes), transform
        self.labels = torch.tensor(labels, dtype=torch.int64)
        self._shapes: dict[int, Data] = {}

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Any:
        number = range(len(self))[operator.index(index)]  # counts from the end, or raises IndexError
        if number not in self._shapes:
            shape = self._read(number)
            shape.y, shape.name = self.labels[number : number + 1].clone(), self.names[number]
            self._shapes[number] = shape
        shape = copy.copy(self._shapes[number])
        return shape if self.transform is None else self.transform(shape)

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads what it needs itself.
        return self.__dict__ | {"_shapes": {}}

    @abstractmethod
    def _read(self, index: int) -> Data:
        """The shape, without label and name."""
