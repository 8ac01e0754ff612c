"""The siamese loss against its closed form."""

import pytest
import torch

from geodl.nn import contrastive_loss


def test_closed_form() -> None:
    anchor = torch.zeros(2, 3, dtype=torch.float64)
    positive = torch.tensor([[1.0, 0, 0], [0, 0, 0]], dtype=torch.float64)
    negative = torch.tensor([[0.25, 0, 0], [5.0, 0, 0]], dtype=torch.float64)
    expected = 0.5 * (1 + 0) / 2 + 0.5 * (0.75**2 + 0) / 2
    assert float(contrastive_loss(anchor, positive, negative)) == pytest.approx(expected)


def test_gradient_is_finite_where_descriptors_coincide() -> None:
    anchor = torch.zeros(4, 3, requires_grad=True)
    contrastive_loss(anchor, torch.zeros(4, 3), torch.zeros(4, 3)).backward()
    assert anchor.grad is not None and bool(anchor.grad.isfinite().all())


def test_gradient_matches_finite_differences() -> None:
    tensors = [torch.randn(5, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    assert torch.autograd.gradcheck(contrastive_loss, tensors)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\[2, 3\], \[2, 3\], \[3, 3\]"):
        contrastive_loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3, 3))
