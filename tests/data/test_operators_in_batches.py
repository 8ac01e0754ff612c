"""Every operator type in shapes: packed, sent by workers, moved with the data, and taken apart again."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Batch, Data

from geodl.data import DataLoader, Mesh, collate
from geodl.ops.core.structure import Structure

from ..ops.structures import MAKE, difference

every = pytest.mark.parametrize("name", MAKE)


def shape(name: str, points: int, of: Callable[..., Data] = Data) -> Data:
    made = of(pos=torch.rand(points, 3))
    made.operator = MAKE[name](points)
    return made


@every
@pytest.mark.parametrize("of", [Data, Mesh])
def test_a_batch_gives_every_shape_its_operators_back(name: str, of: Callable[..., Data]) -> None:
    shapes = [shape(name, points, of) for points in (10, 7, 12)]
    batch = collate(shapes)
    for parts in (batch.to_data_list(), [batch[i] for i in range(3)], batch[[0, 1, 2]]):
        for part, given in zip(parts, shapes, strict=True):
            assert type(part) is type(given) and torch.equal(part.pos, given.pos)
            assert not difference(part.operator, given.operator)
    for same in (collate(batch.to_data_list()), batch.clone(), copy.deepcopy(batch)):
        assert not difference(same[1].operator, shapes[1].operator)


def test_an_operator_that_took_the_place_of_the_packed_one_is_not_taken_apart() -> None:
    batch = collate([shape("Neighbors", points) for points in (10, 7)])
    batch.operator = MAKE["Neighbors"](17)
    with pytest.raises(IndexError, match="no shape 1 in a Neighbors of 1"):
        batch.to_data_list()


@every
def test_data_moves_operators_whatever_its_class(name: str) -> None:
    for data in (shape(name, 10), shape(name, 10, Mesh), collate([shape(name, 10), shape(name, 7)])):
        before = data.operator
        assert {tensor.device.type for tensor in data.clone().to("meta").operator.tensors()} == {"meta"}
        assert data.cpu().operator is before
        assert data.clone().operator is not before
        assert not difference(data.clone().operator, before)
        assert all(tensor.is_shared() for tensor in data.clone().share_memory_().operator.tensors())
        learned = data.clone()
        for tensor in learned.operator.tensors():
            if tensor.is_floating_point():
                tensor.requires_grad_()
        assert not any(tensor.requires_grad for tensor in learned.detach().operator.tensors())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every
def test_pinned_and_moved_to_a_gpu(name: str) -> None:
    batch = collate([shape(name, 10), shape(name, 7)])
    pinned = batch.clone().pin_memory()
    assert all(tensor.is_pinned() for tensor in pinned.operator.tensors())
    moved = pinned.cuda(non_blocking=True)
    assert all(tensor.is_cuda for tensor in moved.operator.tensors())
    assert not difference(moved[1].operator.cpu(), batch[1].operator)


def test_pinned_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that PyG makes of what it finds, without a GPU to make it for."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.neg)
    data = shape("Spectrum", 10)
    evals = data.operator.evals
    assert torch.equal(data.pin_memory().operator.evals, -evals)


class Shapes(torch.utils.data.Dataset[Data]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> Data:
        torch.manual_seed(number)
        made = Data(pos=torch.rand(10 + number, 3))
        for name, make in MAKE.items():
            made[name] = make(10 + number)
        made["Neighbors"].t()
        return made


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_send_operators(start: str) -> None:
    expected = list(DataLoader(Shapes(), 2))
    loader = DataLoader(Shapes(), 2, num_workers=2, multiprocessing_context=start, persistent_workers=True)
    for _ in range(2):
        for batch, other in zip(loader, expected, strict=True):
            assert isinstance(batch, Batch)
            for name in MAKE:
                assert isinstance(batch[name], Structure)
                assert not difference(batch[name], other[name]), name
                assert not difference(batch[1][name], other[1][name]), name
