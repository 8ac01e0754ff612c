"""Solids: twelve classes of procedural shapes, too hard for a linear model on moments."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
from torch import Tensor

from geodl.data import DataLoader
from geodl.datasets import Solids
from geodl.datasets.sheets import box, lathe, mesh_of, superquadric, tube
from geodl.datasets.surface_samples import sample_surface


def moments(pos: Tensor, order: int = 4) -> Tensor:
    """All central moments up to an order."""
    centred = (pos - pos.mean(0)).double()
    found = []
    for degree in range(2, order + 1):
        found += [
            centred[:, list(axes)].prod(1).mean() for axes in combinations_with_replacement(range(3), degree)
        ]
    return torch.stack(found)


def linear_accuracy(train: Tensor, labels: Tensor, test: Tensor, expected: Tensor) -> float:
    """Of the best of several ridge regressions onto the classes, chosen on the test set: an upper bound."""
    mean, scale = train.mean(0), train.std(0)
    train, test = (torch.cat([(x - mean) / scale, torch.ones(len(x), 1).double()], 1) for x in (train, test))
    targets = torch.nn.functional.one_hot(labels).double()
    best = 0.0
    for ridge in (1e-4, 1e-2, 1.0, 10.0):
        weights = torch.linalg.solve(
            train.t() @ train + ridge * torch.eye(train.shape[1]).double(), train.t() @ targets
        )
        best = max(best, float(((test @ weights).argmax(1) == expected).double().mean()))
    return best


def test_a_linear_model_on_moments_stays_below_80_percent() -> None:
    train, test = Solids("train", 40, 512), Solids("test", 15, 512)
    x, y = (torch.stack([moments(item.pos) for item in part]) for part in (train, test))
    found = linear_accuracy(x, train.labels, y, test.labels)
    assert 0.2 < found < 0.8, found


def test_items() -> None:
    data = Solids(num_per_class=2, num_points=300)
    assert len(data) == 48 and data.num_classes == 12
    assert data.names[:2] == ["train/beam_0000", "train/bottle_0000"] and data.names[24] == "test/beam_0000"
    for item in data:
        assert item.pos.shape == (300, 3) and item.pos.dtype == torch.float32
        assert float(item.pos.norm(dim=1).max()) == pytest.approx(1) and bool(item.pos.isfinite().all())
        assert float(item.pos.mean(0).norm()) < 1e-5
        assert float(torch.linalg.svdvals(item.pos)[2]) > 0.5  # no shape is flat
    batch = next(iter(DataLoader(data, batch_size=5)))
    assert batch.y.tolist() == [0, 1, 2, 3, 4] and batch.pos.shape == (1500, 3)


def test_same_arguments_same_bits() -> None:
    one, other = Solids("test", 3, 100), Solids(None, 5, 100)
    k = other.names.index(one.names[30])
    assert torch.equal(one[30].pos, other[k].pos)
    train = Solids("train", 3, 100)
    assert not torch.equal(train[30].pos, one[30].pos)
    assert not torch.equal(Solids("test", 3, 100, seed=1)[30].pos, one[30].pos)
    smooth = Solids("test", 3, 100, noise=0)
    assert 0 < float((smooth[30].pos - one[30].pos).norm(dim=1).mean()) < 0.05


def test_arguments() -> None:
    for arguments, trouble in (
        ({"split": "val"}, "split must be"),
        ({"num_per_class": 0}, "num_per_class must be at least 1, got 0"),
        ({"num_points": 0}, "num_points must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"noise": -0.1}, "noise must not be negative"),
    ):
        with pytest.raises(ValueError, match=trouble):
            Solids(**arguments)  # type: ignore[arg-type]


def area(sheets: list[np.ndarray]) -> float:
    vertices, faces = mesh_of(sheets)
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_areas_of_the_parts() -> None:
    assert area(box((0, 0, 0), (1, 2, 3))) == pytest.approx(22)
    assert area([superquadric([1, 1], [1, 1, 1], 100)]) == pytest.approx(4 * np.pi, rel=2e-3)
    assert area([lathe(np.array([[0.0, 0.0], [1.0, 2.0]]), 400)]) == pytest.approx(np.pi * 5**0.5, rel=1e-3)
    angle = np.linspace(0, 2 * np.pi, 200)
    ring = np.stack([2 * np.cos(angle), 2 * np.sin(angle), 0 * angle], axis=1)
    assert area([tube(ring, 0.5, 100)]) == pytest.approx(4 * np.pi**2, rel=1e-2)


def test_samples_are_even() -> None:
    vertices, faces = mesh_of(box((-1, -1, -1), (1, 1, 1)))
    points, normals = sample_surface(vertices, faces, 30000, np.random.default_rng(0))
    assert np.allclose(np.abs(points).max(axis=1), 1) and np.allclose(np.linalg.norm(normals, axis=1), 1)
    side = points[(points[:, 2] > 1 - 1e-12)][:, :2]
    counts = np.histogram2d(side[:, 0], side[:, 1], 4)[0]
    assert (
        abs(counts.sum() - 5000) < 300 and (np.abs(counts - counts.mean()) < 5 * counts.mean() ** 0.5).all()
    )
    with pytest.raises(ValueError, match="no area"):
        sample_surface(vertices, faces[:0], 5, np.random.default_rng(0))
