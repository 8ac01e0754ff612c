"""The functional map layer against least squares written out, and its derivatives."""

import numpy as np
import pytest
import torch
from torch import Tensor

from geodl.matching import functional_map, resolvent_mask


def evals(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64).cumsum(-1) - 0.3


def test_mask_is_the_distance_of_resolvents() -> None:
    one, two = evals(5).clamp(min=0), evals(7).clamp(min=0)
    scale = float(torch.cat([one, two]).max())
    a, b = (one / scale).numpy() ** 0.7, (two / scale).numpy() ** 0.7
    want = np.abs(1 / (b[:, None] - 1j) - 1 / (a[None, :] - 1j)) ** 2
    torch.testing.assert_close(resolvent_mask(one, two, 0.7), torch.from_numpy(want))
    assert bool((resolvent_mask(one, one).diagonal() == 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)])
def test_rows_solve_their_least_squares(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    k1, k2, d = 6, 5, 9
    a, b = (torch.randn(*batch, k, d, dtype=torch.float64) for k in (k1, k2))
    e1, e2 = evals(*batch, k1), evals(*batch, k2)
    found = functional_map(*(x.to(dtype) for x in (a, b, e1, e2)), weight=2.0)
    mask = resolvent_mask(e1, e2)
    for at in np.ndindex(batch):
        for i in range(k2):
            stacked = np.vstack([a[at].numpy().T, np.diag(np.sqrt(2 * mask[at][i].numpy()))])
            right = np.concatenate([b[at][i].numpy(), np.zeros(k1)])
            want = np.linalg.lstsq(stacked, right, rcond=None)[0]
            np.testing.assert_allclose(
                found[at][i].double(), want, atol=1e-9 if dtype == torch.float64 else 1e-3
            )


def test_derivatives() -> None:
    inputs = [torch.randn(2, 4, 6, dtype=torch.float64), torch.randn(2, 3, 6, dtype=torch.float64)]
    inputs += [evals(2, 4).abs() + 0.1, evals(2, 3).abs() + 0.1]
    for x in inputs:
        x.requires_grad_()
    assert torch.autograd.gradcheck(lambda *x: functional_map(*x, weight=0.5), inputs)
    assert torch.autograd.gradgradcheck(lambda *x: functional_map(*x, weight=0.5), inputs)


def test_what_does_not_fit_is_named() -> None:
    a, b, e1, e2 = torch.randn(4, 2), torch.randn(3, 2), torch.rand(4), torch.rand(3)
    with pytest.raises(ValueError, match="as many descriptors"):
        functional_map(a, b[:, :1], e1, e2)
    with pytest.raises(ValueError, match="weight must not be negative, got -1"):
        functional_map(a, b, e1, e2, weight=-1)
    with pytest.raises(ValueError, match="leave the functional map open"):
        functional_map(a.double(), b.double(), e1.double(), e2.double(), weight=0)
    with pytest.raises(ValueError, match="not finite"):
        functional_map(a * torch.nan, b, e1, e2)
    with pytest.raises(ValueError, match="gamma must be positive"):
        resolvent_mask(e1, e2, 0)
