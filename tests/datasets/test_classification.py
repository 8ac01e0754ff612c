"""ClassificationSet: what all sets of labelled shapes promise."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch_geometric.data import Data

from geodl.datasets import ClassificationSet, Puppets, Solids


class Numbers(ClassificationSet):
    """Shape i is one point at i; it remembers how often it was read."""

    read = 0

    def _read(self, index: int) -> Data:
        self.read += 1
        return Data(pos=torch.full((1, 3), float(index)))


def numbers(**options: object) -> Numbers:
    return Numbers(["zero", "one", "two"], [0, 1, 0], ["even", "odd"], **options)  # type: ignore[arg-type]


def test_shapes_have_labels_and_names() -> None:
    data = numbers()
    assert (len(data), data.num_classes, data.labels.tolist()) == (3, 2, [0, 1, 0])
    assert [(item.name, item.y.tolist()) for item in data] == [("zero", [0]), ("one", [1]), ("two", [0])]
    assert data[-1].name == "two"
    with pytest.raises(IndexError):
        data[3]


def test_shapes_are_read_once_and_kept_as_they_were() -> None:
    data = numbers(transform=lambda shape: shape.update({"pos": shape.pos + 1}))
    assert float(data[2].pos[0, 0]) == float(data[2].pos[0, 0]) == 3
    assert data.read == 1


def test_a_set_is_asked_for_one_shape_at_a_time() -> None:
    for shapes in (Solids("train", 1, 16), Puppets(1, 1, num_vertices=1500)):
        with pytest.raises(TypeError, match="'slice' object cannot be interpreted as an integer"):
            shapes[:2]


def test_other_processes_read_what_they_need() -> None:
    data = numbers()
    data[1]
    copied = pickle.loads(pickle.dumps(data))
    assert not copied._shapes and copied[1].name == "one" and data._shapes


def test_sets_of_classes_are_such() -> None:
    assert isinstance(Solids("train", 1, 16), ClassificationSet)
