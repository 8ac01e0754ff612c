"""The simplest baselines, which stand beside whatever is learned: linear maps of what a network reads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.training import confusion, label_scores

PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
ITERATIONS = 100  # of L-BFGS
EVERY = 5  # one row of so many of a class is held out to choose the penalty


def ridge(x: Tensor, y: Tensor, penalty: float = 1e-4) -> nn.Linear:
    """The linear map of ``x [N, C]`` that is nearest to ``y [N]``, with a penalty on the weights of standardised columns."""
    y = y.double()
    return _nearest(x.double(), lambda z: (z.T @ (y - y.mean()))[:, None], y.mean()[None], penalty)


def ridge_classifier(x: Tensor, y: Tensor, classes: int, penalty: float = 1e-3) -> nn.Linear:
    """As :func:`ridge`, nearest to the one-hot labels of ``y [N]``: a score of every class."""

    def products(
        z: Tensor,
    ) -> Tensor:  # one-hot labels would not fit in memory where there are hundreds of classes
        return z.new_zeros(classes, z.shape[1]).index_add_(0, y, z).T

    return _nearest(x.double(), products, y.bincount(minlength=classes).double() / len(y), penalty)


def _nearest(x: Tensor, products: Callable[[Tensor], Tensor], middle: Tensor, penalty: float) -> nn.Linear:
    """By the normal equations; ``products`` of the standardised columns and what is to be met, whose mean is ``middle``."""
    mean, deviation = x.mean(dim=0), x.std(dim=0).clamp(min=1e-9)
    z = (x - mean) / deviation
    gram = z.T @ z / len(z) + penalty * torch.eye(z.shape[1], dtype=z.dtype)
    weight = torch.linalg.solve(gram, products(z) / len(z)) / deviation[:, None]
    linear = nn.Linear(*weight.shape)
    with torch.no_grad():
        linear.weight.copy_(weight.T)
        linear.bias.copy_(middle - mean @ weight)
    return linear


def logistic(x: Tensor, y: Tensor, classes: int, penalty: float) -> nn.Linear:
    r"""Multinomial logistic regression, by L-BFGS from zero.

    .. math:: \min_{W, b} \; -\frac1N \sum_i \log \operatorname{softmax}(W x_i + b)_{y_i} + \frac{\lambda}{2} \| W \|^2
    """
    linear = nn.Linear(x.shape[1], classes).to(x)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(
        linear.parameters(), max_iter=ITERATIONS, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(linear(x), y) + penalty / 2 * linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return linear.requires_grad_(False)


def accuracy(linear: nn.Linear, x: Tensor, y: Tensor) -> float:
    return label_scores(confusion(linear(x).argmax(1), y, linear.out_features)).accuracy


def chosen_logistic(x: Tensor, y: Tensor, classes: int) -> nn.Linear:
    """Logistic regression with the penalty that is best for every fifth row of a class, learned from all rows."""
    order = y.argsort(stable=True)
    aside = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    aside[order[::EVERY]] = True
    return logistic(x, y, classes, best_penalty(x[~aside], y[~aside], x[aside], y[aside], classes))


def best_penalty(x: Tensor, y: Tensor, other_x: Tensor, other_y: Tensor, classes: int) -> float:
    """The penalty of :func:`logistic` whose answer is right most often on other rows; of equals the greatest."""
    found = {penalty: accuracy(logistic(x, y, classes, penalty), other_x, other_y) for penalty in PENALTIES}
    return max(found, key=lambda penalty: (found[penalty], penalty))


def standardised(x: Tensor, *others: Tensor) -> list[Tensor]:
    """Columns made of mean 0 and deviation 1 over the rows of the first, those of others by the same numbers."""
    mean, deviation = x.mean(0), x.std(0).clamp(min=1e-6)
    return [(some - mean) / deviation for some in (x, *others)]
