"""The corruptions of ModelNet-C: the published numbers, bounds and formulas."""

from __future__ import annotations

import math

import pytest
import torch

from geodl.data import CORRUPTIONS, corrupt


def cloud(points: int = 1024, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """A torus, moved to its mean and scaled to the unit ball."""
    u, v = 2 * math.pi * torch.rand(2, points, dtype=dtype)
    ring = 1 + 0.4 * v.cos()
    pos = torch.stack([ring * u.cos(), 0.8 * ring * u.sin(), 0.4 * v.sin()], dim=1)
    pos = pos - pos.mean(0)
    unit: torch.Tensor = pos / pos.norm(dim=1).max()
    return unit


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(pos: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in pos.tolist()}


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_generator_same_cloud(kind: str, dtype: torch.dtype) -> None:
    pos = cloud(dtype=dtype)
    before = pos.clone()
    one, two, other = (corrupt(pos, kind, 3, seeded(seed)) for seed in (5, 5, 6))
    assert one.dtype == dtype and torch.equal(one, two)
    assert one.shape != other.shape or not torch.equal(one, other)
    assert torch.equal(pos, before)


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_numbers_of_points(severity: int) -> None:
    """Those of the published files, 1024 points each before."""
    sizes = {kind: len(corrupt(cloud(), kind, severity, seeded())) for kind in CORRUPTIONS}
    kept = [768, 640, 512, 384, 256][severity - 1]
    assert sizes == {
        "scale": 1024, "jitter": 1024, "rotate": 1024, "dropout_global": kept, "dropout_local": 1024 - 100 * severity,
        "add_global": 1024 + 10 * severity, "add_local": 1024 + 100 * severity,
    }  # fmt: skip


@pytest.mark.parametrize("severity", [1, 5])
def test_scale(severity: int) -> None:
    pos, most = cloud(), [1.6, 0, 0, 0, 2.0][severity - 1]
    ratios = []
    for seed in range(60):
        scaled = corrupt(pos, "scale", severity, seeded(seed))
        assert float(scaled.norm(dim=1).max()) == pytest.approx(1) and float(scaled.mean(0).norm()) < 1e-12
        factors = scaled.std(0) / pos.std(0)
        torch.testing.assert_close(scaled, (pos - pos.mean(0)) * factors)
        ratios.append(float(factors.max() / factors.min()))
    assert 0.6 * most**2 < max(ratios) <= most**2


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_jitter(severity: int) -> None:
    pos = cloud(20000)
    noise = corrupt(pos, "jitter", severity, seeded()) - pos
    assert float(noise.std()) == pytest.approx(0.01 * severity, rel=0.02)


@pytest.mark.parametrize("severity", [1, 5])
def test_rotate(severity: int) -> None:
    """Row vectors times Rz Ry Rx, angles of at most 6, 12, ..., 30 degrees each."""
    pos = cloud(50)
    angles = []
    for seed in range(80):
        turn = torch.linalg.lstsq(pos, corrupt(pos, "rotate", severity, seeded(seed))).solution
        torch.testing.assert_close(turn @ turn.T, torch.eye(3, dtype=torch.float64))
        assert float(torch.linalg.det(turn)) == pytest.approx(1)
        # The angles of R = Rz Ry Rx, read off its entries.
        angles.append(
            [math.atan2(turn[2, 1], turn[2, 2]), -math.asin(turn[2, 0]), math.atan2(turn[1, 0], turn[0, 0])]
        )
    reached = torch.tensor(angles).abs().amax(0).rad2deg()
    assert bool((reached <= 6 * severity + 1e-4).all()) and bool((reached > 5 * severity).all())


def test_dropout_leaves_points_as_they_are() -> None:
    pos = cloud()
    for kind in ("dropout_global", "dropout_local"):
        left = corrupt(pos, kind, 4, seeded(1))
        assert rows(left) < rows(pos) and len(rows(left)) == len(left)


def test_local_dropout_makes_holes() -> None:
    """The nearest neighbour of a point that is gone is gone as well, but at the rims of at most seven holes."""
    pos = cloud()
    near = torch.cdist(pos, pos).argsort(1)[:, 1]
    shares = {}
    for kind in ("dropout_global", "dropout_local"):
        alone = gone = 0
        for seed in range(20):
            left = rows(corrupt(pos, kind, 2, seeded(seed)))
            missing = torch.tensor([tuple(row) not in left for row in pos.tolist()])
            gone += int(missing.sum())
            alone += int((missing & ~missing[near]).sum())
        shares[kind] = alone / gone
    assert shares["dropout_local"] < 0.15 and shares["dropout_global"] > 0.5


def test_global_additions_fill_the_ball() -> None:
    pos = cloud()
    added = torch.cat([corrupt(pos, "add_global", 5, seeded(seed))[1024:] for seed in range(100)])
    assert torch.equal(corrupt(pos, "add_global", 5, seeded())[:1024], pos)
    radius = added.norm(dim=1)
    assert float(radius.max()) <= 1
    # Evenly: the cube of the radius is uniform, and no direction is favoured.
    for part in (0.2, 0.5, 0.8):
        assert abs(float((radius**3).quantile(part)) - part) < 0.03
    assert float(added.mean(0).abs().max()) < 0.03


def test_local_additions_are_clusters_inside_the_ball() -> None:
    pos = cloud()
    spreads = []
    for seed in range(30):
        whole = corrupt(pos, "add_local", 5, seeded(seed))
        added = whole[1024:]
        assert rows(whole[:1024]) == rows(pos) and len(added) == 500
        assert float(added.norm(dim=1).max()) <= 1 + 1e-9
        # Each lies by the point that it was made of, one of the first seven (unless it was inverted, which moves it inwards).
        spreads.append(torch.cdist(added, whole[:7]).amin(1))
    distance = torch.cat(spreads)
    # In three dimensions a deviation of 0.075 to 0.125 is a mean distance of 1.6 times as much, less where clusters meet.
    assert 0.1 < float(distance.mean()) < 0.2 and float(distance.max()) < 0.7


@pytest.mark.parametrize("points", [1, 2, 7, 300, 2048])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_any_number_of_points(kind: str, points: int) -> None:
    pos = cloud(points) if points > 1 else torch.ones(1, 3, dtype=torch.float64)
    for severity in (1, 5):
        for seed in range(5):
            made = corrupt(pos, kind, severity, seeded(seed))
            assert len(made) >= 1 and bool(made.isfinite().all())
    if points == 2048 and kind == "dropout_local":
        assert len(made) == 2048 - 1000


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ValueError, match="kind must be one of scale, jitter"):
        corrupt(cloud(), "fog", 1)
    for severity in (0, 6):
        with pytest.raises(ValueError, match="severity must be 1 to 5"):
            corrupt(cloud(), "scale", severity)
    with pytest.raises(ValueError, match="point 2 is not finite"):
        corrupt(torch.tensor([[0.0, 0, 0], [1, 0, 0], [math.inf, 0, 0]]), "scale", 1)
    with pytest.raises(ValueError, match="empty"):
        corrupt(torch.zeros(0, 3), "jitter", 1)
