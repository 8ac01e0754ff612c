"""Precision, recall and Frechet distances: closed forms, scipy, and cases whose answer one knows."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from geodl.models import (
    InceptionV3,
    LeNet5,
    PrecisionRecall,
    frechet_distance,
    frechet_inception_distance,
    lenet_features,
    lenet_frechet_distance,
    precision_recall,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def with_moments(x: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """The samples, moved so that they have exactly these."""
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(x.t())), x.t(), upper=False)
    return (torch.linalg.cholesky(covariance) @ white).t() + mean


def test_frechet_distance_of_gaussians_with_diagonal_covariances() -> None:
    one, two = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([4.0, 1.0, 0.25]).double()
    mean = torch.tensor([1.0, -2.0, 0.5]).double()
    real = with_moments(random(50, 3), torch.zeros(3).double(), one.diag())
    made = with_moments(random(70, 3, seed=1), mean, two.diag())
    expected = float(mean.square().sum() + (one.sqrt() - two.sqrt()).square().sum())
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-10)


def test_frechet_distance_by_scipys_square_root() -> None:
    real, made = random(60, 8) @ random(8, 8, seed=2), 1 + random(40, 8, seed=1) @ random(8, 8, seed=3)
    one, two = (np.cov(x.numpy(), rowvar=False) for x in (real, made))
    apart = real.mean(0).numpy() - made.mean(0).numpy()
    expected = apart @ apart + np.trace(one + two - 2 * scipy.linalg.sqrtm(one @ two).real)
    assert frechet_distance(real, made) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(made.float(), real.float()) == pytest.approx(expected, rel=1e-4)


def test_fewer_samples_than_features_and_one_feature() -> None:
    x = random(5, 40)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x, x + 1) == pytest.approx(40, rel=1e-6)
    line = random(30, 1)
    expected = float((line.std() - (3 * line).std()) ** 2 + (2 * line.mean()) ** 2)
    assert frechet_distance(line, 3 * line) == pytest.approx(expected, rel=1e-10)


def test_precision_and_recall_by_their_definition() -> None:
    real, made = random(40, 6), 0.7 * random(30, 6, seed=1) + 0.3
    found = precision_recall(real, made, k=2)

    def covered(points: Tensor, centers: Tensor) -> float:
        inside = 0
        for point in points:
            hits = [
                float((point - center).norm()) <= float((centers - center).norm(dim=1).sort().values[2])
                for center in centers
            ]
            inside += any(hits)
        return inside / len(points)

    assert isinstance(found, PrecisionRecall)
    assert found == (pytest.approx(covered(made, real)), pytest.approx(covered(real, made)))


def test_a_collapsed_generator_has_precision_without_recall_and_noise_the_other_way() -> None:
    real = torch.cat([random(200, 4), 20 + random(200, 4, seed=1)])
    assert precision_recall(real, real) == (1, 1)
    one_mode = precision_recall(real, random(400, 4, seed=2))
    assert one_mode.precision > 0.8 and 0.4 < one_mode.recall < 0.5
    copies = precision_recall(real, real[:1].expand(400, -1))
    assert copies.precision == 1 and copies.recall < 0.01
    assert precision_recall(real, 100 + random(400, 4)) == (0, 0)
    spread = precision_recall(real, 60 * random(400, 4, seed=2))
    assert spread.precision < 0.2 and spread.recall > 0.8


@pytest.mark.parametrize("measure", [precision_recall, frechet_distance])
def test_bad_features_are_named(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match=r"not \[9, 3\] and \[9, 4\]"):
        measure(random(9, 3), random(9, 4))
    with pytest.raises(ValueError, match="1 generated samples, but at least"):
        measure(random(9, 3), random(1, 3))
    broken = random(9, 3)
    broken[4, 1] = torch.nan
    with pytest.raises(ValueError, match="features of real samples are not finite"):
        measure(broken, random(9, 3))
    if measure is precision_recall:
        with pytest.raises(ValueError, match="k must be at least 1"):
            precision_recall(random(9, 3), random(9, 3), k=0)


def test_features_of_lenet() -> None:
    torch.manual_seed(0)
    model, x = LeNet5().train(), torch.randn(300, 1, 32, 32)
    features = lenet_features(model, x)
    assert features.shape == (300, 84) and model.training and not features.requires_grad
    torch.testing.assert_close(model.output(features), model(x), rtol=1e-4, atol=1e-5)
    brighter = x + 1
    assert lenet_frechet_distance(model, x, brighter) == pytest.approx(
        frechet_distance(features, lenet_features(model, brighter))
    )


@pytest.mark.slow
def test_inception_distance() -> None:
    torch.manual_seed(0)
    model = InceptionV3(auxiliary=False)
    x = torch.rand(2, 1, 28, 28) * 2 - 1
    assert frechet_inception_distance(model, x, x.expand(-1, 3, -1, -1)) == pytest.approx(0, abs=1e-3)
    with pytest.raises(ValueError, match=r"not \[2, 2, 28, 28\]"):
        frechet_inception_distance(model, x.expand(-1, 2, -1, -1), x)
