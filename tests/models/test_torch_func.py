"""torch.func through every network, by its first and its last parameter; and every network under autocast in half precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jvp, vjp

from .networks import NETWORKS


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_derivatives_of_torch_func_agree(name: str) -> None:
    """Forward mode against reverse mode, and the Hessian by the last parameter against autograd's."""
    torch.manual_seed(0)
    network = NETWORKS[name]
    model, arguments = network.make().double().eval(), network.arguments(torch.float64)
    fixed = {key: value.detach() for key, value in [*model.named_parameters(), *model.named_buffers()]}
    first, *_, last = (key for key, _ in model.named_parameters())
    for key in (first, last):

        def loss(value: Tensor, key: str = key) -> Tensor:
            out: Tensor = functional_call(model, {**fixed, key: value}, arguments).square().mean()
            return out

        by_key, tangent = grad(loss)(fixed[key]), torch.randn_like(fixed[key])
        torch.testing.assert_close(jvp(loss, (fixed[key],), (tangent,))[1], (by_key * tangent).sum())
        torch.testing.assert_close(vjp(loss, fixed[key])[1](torch.ones((), dtype=torch.float64))[0], by_key)
    wanted = torch.autograd.functional.hessian(loss, fixed[last])
    torch.testing.assert_close(hessian(loss)(fixed[last]), wanted)


@pytest.mark.parametrize("name", NETWORKS)
def test_autocast_is_within_two_percent_of_float32(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]
    model, arguments = network.make().float().eval(), network.arguments(torch.float32)
    with torch.no_grad():
        wanted = model(*arguments)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model(*arguments)
    assert (found.float() - wanted).norm() <= 0.02 * wanted.norm()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.train()(*arguments).float().square().mean()
    loss.backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
