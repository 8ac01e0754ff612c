"""Descent: a signal is changed, step by step, until an objective is small; it can stop and go on."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = ["Descent", "Objective", "Optimizer"]

Optimizer = Literal["lbfgs", "adam"]
Objective = Callable[[Tensor], tuple[Tensor, Tensor]]

_MEMORY = 20  # steps that L-BFGS remembers
_SEARCH = 12  # evaluations of a line search at most
_RATE = 0.05  # of Adam, in deviations of the exemplar's colours


class Descent:
    """Steps of L-BFGS with line search, or of Adam, on one signal.

    Args:
        objective: of the signal: what is minimised, and the error to report.
        z: where it starts.
        optimizer: "lbfgs" or "adam".
        state: goes on from there, as if it had not stopped.

    Raises:
        ValueError: no such optimizer.
    """

    def __init__(
        self, objective: Objective, z: Tensor, optimizer: Optimizer, state: dict[str, Any] | None = None
    ) -> None:
        self.objective = objective
        self.z = (
            (z if state is None else state["z"])
            .detach()
            .clone(memory_format=torch.contiguous_format)
            .requires_grad_()
        )
        if optimizer == "lbfgs":
            self._optimizer: torch.optim.Optimizer = torch.optim.LBFGS(
                [self.z], max_iter=1, max_eval=_SEARCH, history_size=_MEMORY, line_search_fn="strong_wolfe",
                tolerance_grad=0, tolerance_change=0,
            )  # fmt: skip
        elif optimizer == "adam":
            self._optimizer = torch.optim.Adam([self.z], lr=_RATE)
        else:
            raise ValueError(f'optimizer must be "lbfgs" or "adam", not {optimizer!r}')
        if state is not None:
            self._optimizer.load_state_dict(deepcopy(state["optimizer"]))
        self._known: list[tuple[Tensor, Tensor, Tensor, float]] = []

    def state(self) -> dict[str, Any]:
        return {"z": self.z.detach().clone(), "optimizer": deepcopy(self._optimizer.state_dict())}

    def step(self) -> float:
        """One step; the error where it began."""
        first: list[float] = []

        def closure() -> float:
            loss, gradient, error = self._evaluate()
            self.z.grad = gradient.clone(memory_format=torch.contiguous_format)
            first.append(error)
            return float(loss)

        self._optimizer.step(closure)
        return first[0]

    def _evaluate(self) -> tuple[Tensor, Tensor, float]:
        """Loss, gradient and error. A line search ends where the next step begins, and is not asked there again."""
        for place, loss, gradient, error in self._known:
            if torch.equal(place, self.z.detach()):
                return loss, gradient, error
        with torch.enable_grad():
            value, reported = self.objective(self.z)
            (gradient,) = torch.autograd.grad(value, self.z)
        found = value.detach(), gradient, float(reported.detach())
        self._known = [*self._known[-1:], (self.z.detach().clone(), *found)]
        return found
