"""The linear baselines beside other solvers, and what they read of clouds."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks import baseline
from benchmarks.cloud_statistics import BINS, statistics_of


def blobs(seed: int, rows: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % 3
    centre = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    return centre[y] + torch.randn(rows, 2, generator=draw), y


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = blobs(0)
    penalty = 1e-2
    found = baseline.logistic(x.double(), y, 3, penalty)
    peer = linear_model.LogisticRegression(C=1 / (penalty * len(y)), tol=1e-8, max_iter=1000).fit(
        x.numpy(), y.numpy()
    )
    expected = torch.from_numpy(peer.coef_).double()
    torch.testing.assert_close(found.weight, expected, atol=1e-3, rtol=1e-3)
    assert baseline.accuracy(found, x.double(), y) == pytest.approx(peer.score(x.numpy(), y.numpy()))


def test_the_penalty_is_chosen_by_other_rows() -> None:
    x, y = blobs(0, 30)
    noise = torch.randn(60, 40, generator=torch.Generator().manual_seed(1))
    other, other_y = blobs(2, 30)
    seen, unseen = torch.cat([x, noise[:30]], 1), torch.cat([other, noise[30:]], 1)
    found = baseline.best_penalty(seen, y, unseen, other_y, 3)
    scores = {
        penalty: baseline.accuracy(baseline.logistic(seen, y, 3, penalty), unseen, other_y)
        for penalty in baseline.PENALTIES
    }
    assert scores[found] == max(scores.values()) and found == max(
        p for p in scores if scores[p] == scores[found]
    )
    assert baseline.accuracy(baseline.chosen_logistic(x, y, 3), other, other_y) > 0.6


def test_columns_are_standardised_by_the_first() -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0, 0.0]) + 5
    first, second = baseline.standardised(x, x + 1)
    torch.testing.assert_close(first.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(first.std(0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close((second - first)[:, 0], (1 / x[:, 0].std()).expand(50), atol=1e-4, rtol=1e-4)


def test_histograms_of_clouds_know_neither_order_nor_turn() -> None:
    draw = torch.Generator().manual_seed(0)
    cloud = torch.nn.functional.normalize(torch.randn(200, 3, generator=draw), dim=1)
    c, s = math.cos(0.7), math.sin(0.7)
    turned = cloud[torch.randperm(200, generator=draw)] @ torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
    found = statistics_of(torch.stack([cloud, turned]), "z")
    assert found.shape == (2, 3 * BINS) and statistics_of(cloud[None]).shape == (1, BINS)
    torch.testing.assert_close(found.view(2, 3, BINS).sum(2), torch.ones(2, 3))
    assert (found[0] - found[1]).abs().max() < 0.02  # a value at the edge of a bin may change sides
    # Distances between points of a sphere have the density d / 2 from 0 to 2, and heights are even.
    middle = (torch.arange(BINS) + 0.5) / BINS
    assert (found[0, :BINS] - 2 * middle / BINS).abs().max() < 0.02
    assert (found[0, BINS : 2 * BINS] - 1 / BINS).abs().max() < 0.05
