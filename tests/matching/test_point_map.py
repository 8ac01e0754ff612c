"""Point maps against brute force; soft maps against the softmax written out, with their derivatives."""

import importlib

import pytest
import torch

from geodl.matching import fmap_to_p2p, p2p_to_fmap, soft_p2p_to_fmap


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_point_map_is_the_nearest_neighbour(dtype: torch.dtype) -> None:
    one, two, c = (torch.randn(*s, dtype=dtype) for s in ((40, 8), (30, 9), (6, 5)))
    away = torch.cdist(two[:, :6].double() @ c.double(), one[:, :5].double())
    torch.testing.assert_close(fmap_to_p2p(c, one, two), away.argmin(1))


def test_pull_back_and_point_map_are_inverse_for_a_renumbered_shape() -> None:
    phi = torch.linalg.qr(torch.randn(50, 50, dtype=torch.float64)).Q
    order = torch.randperm(50)
    mass = torch.ones(50, dtype=torch.float64)
    c = p2p_to_fmap(order, phi, phi[order], mass)
    torch.testing.assert_close(c, torch.eye(50, dtype=torch.float64))
    assert torch.equal(fmap_to_p2p(c[:30, :30], phi, phi[order]), order)


@pytest.mark.parametrize("top_k", [None, 12])
@pytest.mark.parametrize("rows", [1, 7, 1 << 22])
def test_soft_map_is_a_softmax(rows: int, top_k: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    # The module's name is that of its function, too.
    monkeypatch.setattr(importlib.import_module("geodl.matching.point_map"), "_BLOCK", rows * 12)
    f1, f2, x = (torch.randn(*s, dtype=torch.float64) for s in ((12, 4), (15, 4), (12, 3)))
    want = (-torch.cdist(f2, f1).square() / 2 / 0.5).softmax(1) @ x
    torch.testing.assert_close(soft_p2p_to_fmap(f1, f2, x, 0.5, top_k), want)
    for tensor in (f1, f2, x):
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(lambda *t: soft_p2p_to_fmap(*t, 0.5, top_k), (f1, f2, x))
    if top_k:
        assert torch.autograd.gradgradcheck(lambda *t: soft_p2p_to_fmap(*t, 0.5, top_k), (f1, f2, x))


def test_top_k_keeps_the_nearest() -> None:
    f1 = torch.nn.functional.normalize(torch.randn(20, 4, dtype=torch.float64), dim=1)
    f2 = torch.nn.functional.normalize(torch.randn(10, 4, dtype=torch.float64), dim=1)
    x = torch.randn(20, 3, dtype=torch.float64)
    torch.testing.assert_close(soft_p2p_to_fmap(f1, f2, x, top_k=1), x[torch.cdist(f2, f1).argmin(1)])
    score = f2 @ f1.T / 0.1
    best = score.topk(5, 1)
    want = (best.values.softmax(1)[:, :, None] * x[best.indices]).sum(1)
    torch.testing.assert_close(soft_p2p_to_fmap(f1, f2, x, 0.1, 5), want)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="needs that many eigenvectors"):
        fmap_to_p2p(torch.zeros(3, 4), torch.zeros(9, 3), torch.zeros(9, 3))
    with pytest.raises(ValueError, match="no vertices to map to"):
        fmap_to_p2p(torch.zeros(2, 2), torch.zeros(0, 2), torch.zeros(5, 2))
    with pytest.raises(IndexError, match=r"p2p_21 holds 0\.\.7, but shape 1 has 5"):
        p2p_to_fmap(torch.tensor([0, 7]), torch.zeros(5, 2), torch.zeros(2, 2), torch.ones(2))
    with pytest.raises(ValueError, match="temperature must be positive"):
        soft_p2p_to_fmap(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, 1), 0.0)
    with pytest.raises(ValueError, match="a row for each of shape 1's vertices"):
        soft_p2p_to_fmap(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(4, 1))
