"""Every derivative that an operator promises, against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck


def check_derivatives(call: Callable[..., Any], given: Sequence[Tensor | None]) -> None:
    """Reverse and forward, batched, and the second ones as reverse over reverse and forward over reverse."""
    places = [k for k, leaf in enumerate(given) if leaf is not None]
    leaves = [leaf for leaf in given if leaf is not None]

    def function(*values: Tensor) -> Any:
        found: list[Tensor | None] = [None] * len(given)
        for k, value in zip(places, values, strict=True):
            found[k] = value
        return call(*found)

    assert gradcheck(function, leaves, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, leaves, check_fwd_over_rev=True)
