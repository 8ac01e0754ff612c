"""Augmentations: what stays as it was, the bounds of what is drawn, and the same again from the same generator."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import trimesh
from torch_geometric.data import Data
from torch_geometric.transforms import Compose

from geodl.data import (
    FixedPoints,
    Mesh,
    RandomDropout,
    RandomJitter,
    RandomRotate,
    RandomScale,
    RandomTranslate,
    RSMix,
    collate,
)


def cloud(points: int, label: int = 0, dtype: torch.dtype = torch.float32) -> Data:
    """Points of an ellipsoid with its normals, numbered in ``x``."""
    axes = torch.tensor([1.0, 0.7, 0.4], dtype=dtype)
    ball = torch.nn.functional.normalize(torch.randn(points, 3, dtype=dtype), dim=1)
    normal = torch.nn.functional.normalize(ball / axes, dim=1)
    number = torch.arange(points, dtype=dtype)[:, None]
    return Data(pos=ball * axes, normal=normal, x=number, y=torch.tensor([label]), name=f"cloud{points}")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


ALL: dict[str, Callable[[torch.Generator | None], Any]] = {
    "scale": lambda g: RandomScale(0.5, 2.0, True, generator=g),
    "translate": lambda g: RandomTranslate(0.2, generator=g),
    "turn": lambda g: RandomRotate("any", generator=g),
    "jitter": lambda g: RandomJitter(0.02, 0.05, generator=g),
    "dropout": lambda g: RandomDropout(0.8, generator=g),
    "sample": lambda g: FixedPoints(20, generator=g),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("packed", [False, True])
def test_same_generator_same_cloud_and_the_given_one_stays(name: str, packed: bool) -> None:
    shape = collate([cloud(50), cloud(7), cloud(31)]) if packed else cloud(50)
    before = shape.pos.clone()
    one, two, other = (ALL[name](seeded(seed))(shape) for seed in (1, 1, 2))
    assert torch.equal(one.pos, two.pos) and torch.equal(one.normal, two.normal)
    assert one.pos.shape != other.pos.shape or not torch.equal(one.pos, other.pos)
    assert torch.equal(shape.pos, before) and len(shape.x) == len(before)
    assert one.pos.dtype == torch.float32 and one.normal.shape == one.pos.shape
    assert one.y.tolist() == shape.y.tolist() and one.name == shape.name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scale(dtype: torch.dtype) -> None:
    shape = cloud(60, dtype=dtype)
    batch = collate([shape] * 300)
    whole = RandomScale(0.5, 2.0, generator=seeded())(batch)
    factor = (whole.pos.view(300, -1, 3) / shape.pos).double()
    assert float(factor.amax((1, 2)).sub(factor.amin((1, 2))).max()) < 1e-3
    drawn = factor[:, 0, 0]
    assert 0.5 <= float(drawn.min()) < 0.52 and 1.98 < float(drawn.max()) <= 2.0
    assert abs(float(drawn.mean()) - 1.25) < 0.08 and torch.equal(whole.normal, batch.normal)

    stretched = RandomScale(0.5, 2.0, anisotropic=True, generator=seeded())(batch)
    factor = (stretched.pos.view(300, -1, 3) / shape.pos)[:, :1]
    assert float((factor.amax(2) - factor.amin(2)).min()) > 0.01
    # The normals are those of the stretched ellipsoid: n ~ p / axes^2.
    axes = torch.tensor([1.0, 0.7, 0.4], dtype=dtype) * factor
    expected = torch.nn.functional.normalize(stretched.pos.view(300, -1, 3) / axes**2, dim=2)
    torch.testing.assert_close(stretched.normal.view(300, -1, 3), expected, atol=2e-5, rtol=0)


def test_translate() -> None:
    batch = collate([cloud(9), cloud(40)] * 200)
    moved = RandomTranslate(0.3, generator=seeded())(batch)
    shift = moved.pos - batch.pos
    for begin, end in zip(batch.ptr[:4].tolist(), batch.ptr[1:5].tolist(), strict=True):
        torch.testing.assert_close(shift[begin:end], shift[begin].expand(end - begin, 3), atol=1e-6, rtol=0)
    first = shift[batch.ptr[:-1]]
    assert 0.29 < float(first.max()) <= 0.3 + 1e-6 and -0.3 - 1e-6 <= float(first.min()) < -0.29
    assert float(first.mean(0).abs().max()) < 0.03 and torch.equal(moved.normal, batch.normal)


@pytest.mark.parametrize("axis", ["x", "y", "z", "any"])
@pytest.mark.parametrize("degrees", [20.0, 180.0])
def test_turn(axis: str, degrees: float) -> None:
    shape = cloud(12, dtype=torch.float64)
    shape.x = torch.cat([shape.normal, shape.pos, torch.randn(12, 2, dtype=torch.float64)], dim=1)
    batch = collate([shape] * 400)
    turned = RandomRotate(axis, degrees, vectors=2, generator=seeded())(batch)  # type: ignore[arg-type]
    pos = turned.pos.view(400, 12, 3)
    turns = torch.linalg.lstsq(shape.pos.expand(400, -1, -1), pos).solution.transpose(1, 2)
    identity = torch.eye(3, dtype=torch.float64).expand(400, 3, 3)
    torch.testing.assert_close(turns @ turns.transpose(1, 2), identity)
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(400, dtype=torch.float64))
    torch.testing.assert_close(turned.normal.view(400, 12, 3), shape.normal @ turns.transpose(1, 2))
    torch.testing.assert_close(turned.x[:, :6], torch.cat([turned.normal, turned.pos], 1))
    assert torch.equal(turned.x[:, 6:], batch.x[:, 6:])
    angle = ((turns.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).acos()
    most = math.radians(degrees)
    assert 0.95 * most < float(angle.max()) <= most + 1e-6
    if axis == "any":
        # Their distribution is (t - sin t) / (most - sin most).
        for part in (0.25, 0.5, 0.75):
            t = float(angle.quantile(part))
            assert abs((t - math.sin(t)) / (most - math.sin(most)) - part) < 0.08
        assert float(turns.mean(0).sub(turns.mean(0).diagonal().mean() * identity[0]).abs().max()) < 0.08
    else:
        number = "xyz".index(axis)
        torch.testing.assert_close(turned.pos[:, number], batch.pos[:, number])
        assert abs(float(angle.mean()) - most / 2) < 0.08 * most


def test_jitter() -> None:
    shape = cloud(20000)
    noise = RandomJitter(0.01, 0.05, generator=seeded())(shape).pos - shape.pos
    assert abs(float(noise.std()) - 0.01) < 2e-4 and float(noise.mean().abs()) < 2e-4
    clipped = RandomJitter(0.1, 0.05, generator=seeded())(shape).pos - shape.pos
    assert float(clipped.abs().max()) == pytest.approx(0.05, abs=1e-6)
    # P(|e| > 0.05) of a normal number of deviation 0.1 is 0.617.
    assert abs(float((clipped.abs() > 0.0499).double().mean()) - 0.617) < 0.01


def test_dropout_removes_points() -> None:
    batch = collate([cloud(1000), cloud(400), cloud(1)] * 60)
    thinned = RandomDropout(0.875, generator=seeded())(batch)
    sizes, before = thinned.ptr.diff(), batch.ptr.diff()
    assert bool((sizes >= 1).all()) and int(thinned.ptr[-1]) == len(thinned.pos) == len(thinned.batch)
    assert torch.equal(thinned.batch.bincount(), sizes) and bool((thinned.batch.diff() >= 0).all())
    share = 1 - (sizes / before)[before == 1000]
    assert float(share.max()) < 0.875 + 0.05 and abs(float(share.mean()) - 0.4375) < 0.1
    # What is left is what was there, row by row, and nothing twice.
    for k in range(6):
        rows = slice(int(thinned.ptr[k]), int(thinned.ptr[k + 1]))
        number = thinned.x[rows, 0].long()
        assert len(number.unique()) == len(number) and bool((number.diff() > 0).all())
        origin = batch.pos[batch.ptr[k] :][number]
        assert torch.equal(thinned.pos[rows], origin)
    one = RandomDropout(0.5, generator=seeded())(cloud(100))
    assert 40 < one.num_nodes < 100 and len(one.normal) == one.num_nodes
    assert RandomDropout(0.0)(cloud(100)).num_nodes == 100


def test_sample() -> None:
    batch = collate([cloud(100), cloud(30), cloud(8)])
    taken = FixedPoints(30, generator=seeded())(batch)
    assert taken.ptr.tolist() == [0, 30, 60, 68]
    for k in range(3):
        number = taken.x[taken.ptr[k] : taken.ptr[k + 1], 0].long()
        assert len(number.unique()) == len(number)
        assert torch.equal(taken.pos[taken.ptr[k] : taken.ptr[k + 1]], batch.pos[batch.ptr[k] :][number])
    assert taken.x[60:, 0].tolist() != list(range(8))
    # Every point as often as every other.
    counts = torch.zeros(20)
    generator = seeded()
    for _ in range(500):
        counts[FixedPoints(5, generator)(cloud(20)).x[:, 0].long()] += 1
    assert float((counts / 500 - 0.25).abs().max()) < 0.09


def test_composed_on_one_point() -> None:
    generator = seeded()
    every = Compose([make(generator) for make in ALL.values()])
    assert every(cloud(1)).pos.shape == (1, 3) and every(cloud(1)).y.tolist() == [0]


def test_mix_exchanges_pieces() -> None:
    batch = collate([cloud(100 + 10 * k, label=k) for k in range(8)])
    batch.x = torch.cat([batch.batch[:, None], batch.x, batch.pos], dim=1)  # where a point was
    mixed = RSMix(p=1.0, generator=seeded())(batch)
    assert torch.equal(mixed.ptr, batch.ptr) and torch.equal(mixed.y, batch.y)
    assert sorted(mixed.y_mixed.tolist()) == list(range(8)) and 0 < float(mixed.mixed.max()) <= 0.5 + 0.01
    for k in range(8):
        rows = slice(int(mixed.ptr[k]), int(mixed.ptr[k + 1]))
        source, number, before, now = (
            mixed.x[rows, 0].long(),
            mixed.x[rows, 1].long(),
            mixed.x[rows, 2:],
            mixed.pos[rows],
        )
        foreign = torch.zeros(len(source), dtype=torch.bool) if mixed.y_mixed[k] == k else source != k
        own = ~foreign
        assert set(source[foreign].tolist()) <= {int(mixed.y_mixed[k])}
        if mixed.y_mixed[k] != k:
            assert int(foreign.sum()) == round(float(mixed.mixed[k]) * len(source)) > 0
            # Rigid: the piece is moved as a whole, and what stays has not moved.
            assert torch.equal(now[own], before[own])
            shift = now[foreign] - before[foreign]
            torch.testing.assert_close(shift, shift[:1].expand_as(shift), atol=1e-6, rtol=0)
            # It is a ball of the partner: no other of its points is nearer to some point of it than the farthest that came.
            whole = batch[int(mixed.y_mixed[k])].pos
            far = torch.cdist(whole, whole).sort(1).values
            reach = torch.cdist(before[foreign], before[foreign]).amax(1)
            count = int(foreign.sum())
            assert bool((reach <= far[number[foreign], count - 1] + 1e-6).any())
    assert torch.equal(mixed.pos, RSMix(p=1.0, generator=seeded())(batch).pos)


def test_mix_leaves_some_alone() -> None:
    batch = collate([cloud(64, label=k) for k in range(200)])
    mixed = RSMix(p=0.5, generator=seeded())(batch)
    alone = mixed.mixed == 0
    assert 70 < int(alone.sum()) < 130
    same = (mixed.pos == batch.pos).view(200, -1).all(1)
    assert bool(same[alone].all())
    assert float(mixed.mixed[~alone].mean()) == pytest.approx(0.25, abs=0.05)


def test_mix_of_unequal_clouds_takes_no_more_than_there_is() -> None:
    batch = collate([cloud(1, 0), cloud(500, 1)])
    for seed in range(20):
        mixed = RSMix(p=1.0, max_ratio=1.0, generator=seeded(seed))(batch)
        assert mixed.ptr.tolist() == [0, 1, 501] and bool(mixed.pos.isfinite().all())
        if mixed.y_mixed.tolist() == [1, 0]:
            assert float(mixed.mixed[1]) == pytest.approx(1 / 500)


def test_what_cannot_be_is_said() -> None:
    sphere = Mesh.from_trimesh(trimesh.creation.icosphere(1))
    for remove in (RandomDropout(), FixedPoints(3)):
        with pytest.raises(ValueError, match="a shape with face"):
            remove(sphere)
    assert RandomRotate("any")(sphere).face.shape == sphere.face.shape
    with pytest.raises(ValueError, match="needs a batch"):
        RSMix()(cloud(5))
    broken = cloud(5)
    broken.pos = broken.pos.clone()
    broken.pos[3, 1] = math.nan
    for make in ALL.values():
        with pytest.raises(ValueError, match="point 3 is not finite"):
            make(None)(broken)
    with pytest.raises(ValueError, match="x must begin with 2 vectors"):
        RandomRotate(vectors=2)(cloud(5))
    batch = collate([cloud(5), cloud(6)])
    batch.y = None
    with pytest.raises(ValueError, match=r"needs y \[2\]"):
        RSMix()(batch)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RandomScale(0.0, 1.0),
        lambda: RandomScale(2.0, 1.0),
        lambda: RandomTranslate(-1.0),
        lambda: RandomTranslate(math.nan),
        lambda: RandomRotate("w"),  # type: ignore[arg-type]
        lambda: RandomRotate("z", 200),
        lambda: RandomRotate(vectors=-1),
        lambda: RandomJitter(-0.1),
        lambda: RandomJitter(0.1, math.nan),
        lambda: RandomDropout(1.0),
        lambda: FixedPoints(0),
        lambda: RSMix(p=1.5),
        lambda: RSMix(max_ratio=-0.1),
    ],
)
def test_wrong_numbers_are_refused(wrong: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        wrong()


def test_workers_can_be_sent_them() -> None:
    assert pickle.loads(pickle.dumps(RandomRotate("any", 30))).degrees == 30
