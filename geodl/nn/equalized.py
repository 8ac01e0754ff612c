"""Equalised learning rate: weights are standard normal, and scaled where they are used."""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.utils import parametrize

from geodl.nn.grid_conv import GridConv

__all__ = ["equalize"]

Layer = TypeVar("Layer", bound=nn.Module)


class _Scaled(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale

    def right_inverse(self, x: Tensor) -> Tensor:
        return x / self.scale


def equalize(layer: Layer, gain: float = 1.0, lr_multiplier: float = 1.0) -> Layer:
    r"""Gives a layer an equalised learning rate, in place.

    .. math:: w = c \, \lambda \, v, \qquad v \sim N(0, \lambda^{-2}), \qquad c = g / \sqrt{\text{fan in}}

    What is learned is v, of the same size in every layer, so that Adam, whose steps do not depend on the size of gradients, moves
    every layer equally fast. Biases become zero, and :math:`\lambda` times what is learned. As with torch's ``spectral_norm``,
    ``layer.weight`` remains what the layer computes with; the parameter is ``layer.parametrizations.weight.original``.

    Args:
        layer: a :class:`torch.nn.Linear` or a :class:`~geodl.nn.GridConv`.
        gain: g; :math:`\sqrt{2}` before a ReLU.
        lr_multiplier: :math:`\lambda`, how much slower than others the layer learns.

    Returns:
        The layer.

    Raises:
        ValueError: another kind of layer, or numbers that are not positive.

    Karras, Aila, Laine, Lehtinen, "Progressive growing of GANs for improved quality, stability, and variation", 2018.
    """
    if not isinstance(layer, nn.Linear | GridConv):
        raise ValueError(f"equalize takes Linear and GridConv, not {type(layer).__name__}")
    if not (gain > 0 and lr_multiplier > 0):
        raise ValueError(f"gain and lr_multiplier must be positive, got {gain} and {lr_multiplier}")
    scale = gain / math.sqrt(layer.weight[0].numel())
    nn.init.normal_(layer.weight, std=scale)
    parametrize.register_parametrization(layer, "weight", _Scaled(scale * lr_multiplier))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
        if lr_multiplier != 1:
            parametrize.register_parametrization(layer, "bias", _Scaled(lr_multiplier))
    return layer
