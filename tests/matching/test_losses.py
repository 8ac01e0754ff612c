"""Losses are zero where they should be, and the sums that their formulas say elsewhere."""

import numpy as np
import pytest
import torch

from geodl.matching import bijectivity_loss, coupling_loss, orthogonality_loss


def test_a_rotation_and_its_inverse_cost_nothing() -> None:
    turn = torch.linalg.qr(torch.randn(2, 5, 5, dtype=torch.float64)).Q
    assert float(bijectivity_loss(turn, turn.mT)) < 1e-20
    assert float(orthogonality_loss(turn)) < 1e-20
    assert float(coupling_loss(turn, turn)) == 0


def test_formulas() -> None:
    c, d = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    forth, back = torch.from_numpy(c), torch.from_numpy(d.transpose(0, 2, 1).copy())
    there = [
        np.square(c[i] @ d[i].T - np.eye(4)).sum() + np.square(d[i].T @ c[i] - np.eye(5)).sum()
        for i in range(3)
    ]
    assert float(bijectivity_loss(forth, back)) == pytest.approx(np.mean(there))
    assert float(orthogonality_loss(forth)) == pytest.approx(
        np.mean([np.square(x.T @ x - np.eye(5)).sum() for x in c])
    )
    assert float(coupling_loss(forth, torch.from_numpy(d))) == pytest.approx(np.square(c - d).sum() / 3)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="cannot have shape"):
        bijectivity_loss(torch.zeros(3, 4), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="but of_points has shape"):
        coupling_loss(torch.zeros(3, 4), torch.zeros(4, 4))
