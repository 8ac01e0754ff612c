"""The perceptron and the multilayer network: networks on a domain of one point."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["MultilayerPerceptron", "Perceptron"]


class Perceptron(nn.Module):
    r"""Rosenblatt's perceptron, :math:`y = \operatorname{sign}(w \cdot x + b)`, with the rule by which it learns.

    If a vector u of length 1 separates the examples (each with a 1 put to it, for b) by a margin :math:`\gamma`, and none is longer
    than R, the rule errs at most :math:`(R / \gamma)^2` times, however often and in whatever order it sees them (Novikoff 1962).

    Args:
        in_features: numbers that it reads.

    Rosenblatt, "The perceptron: a probabilistic model for information storage and organization in the brain", 1958.
    """

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(in_features))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """The potential :math:`w \\cdot x + b` of ``x [N, in_features]``, ``[N]``: positive for one class, else the other."""
        return x @ self.weight + self.bias

    @torch.no_grad()
    def learn(self, x: Tensor, y: Tensor, epochs: int = 100) -> tuple[int, bool]:
        """Corrects the weights by every example that they get wrong, :math:`w \\leftarrow w + y x`, one after the other.

        Args:
            x: ``[N, in_features]``.
            y: ``[N]``, +1 or -1.
            epochs: passes over the examples at most; it stops after one without an error.

        Returns:
            How many corrections there were, and whether a pass was without one, so that the examples are separated.

        Raises:
            ValueError: shapes that do not fit, or classes other than +1 and -1.
        """
        if x.dim() != 2 or x.shape[1] != self.weight.numel() or y.shape != x.shape[:1]:
            raise ValueError(
                f"x must have shape [N, {self.weight.numel()}] and y [N], not {list(x.shape)} and {list(y.shape)}"
            )
        if not bool((y.abs() == 1).all()):
            raise ValueError("y must be +1 or -1")
        mistakes = 0
        for _ in range(epochs):
            before = mistakes
            for example, label in zip(x, y.to(x), strict=True):
                if float(label * self(example)) <= 0:
                    self.weight.add_(label * example)
                    self.bias.add_(label)
                    mistakes += 1
            if mistakes == before:
                return mistakes, True
        return mistakes, False


class MultilayerPerceptron(nn.Sequential):
    """Fully connected layers with an activation between: the patch convolution on one point that is its own neighbour.

    Args:
        widths: of the input, the hidden layers and the output.
        activation: a module class that takes no arguments, such as ``nn.Tanh``.

    Shapes:
        ``[..., widths[0]]`` -> ``[..., widths[-1]]``.

    Raises:
        ValueError: fewer than two widths.
    """

    def __init__(self, widths: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> None:
        if len(widths) < 2:
            raise ValueError(f"widths must hold those of input and output, got {list(widths)}")
        layers: list[nn.Module] = []
        for read, written in pairwise(widths):
            layers += [nn.Linear(read, written), activation()]
        super().__init__(*layers[:-1])

    def __getitem__(self, idx: slice | int) -> Any:
        layers = list(self)[idx]
        return nn.Sequential(*layers) if isinstance(layers, list) else layers
