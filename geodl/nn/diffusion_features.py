"""Spatial gradient features: what the gradients of the channels say, whatever the frames they are written in."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from geodl.geometry import Gradient
from geodl.ops import patch_gather

__all__ = ["SpatialGradientFeatures"]

Variant = Literal["complex", "real", "frame-dependent"]
VARIANTS = ("complex", "real", "frame-dependent")


class SpatialGradientFeatures(nn.Module):
    r"""Inner products of every channel's gradient with learned combinations of all gradients,

    .. math:: \text{out}_i = \tanh \operatorname{Re} \bigl( \overline{w_i} \odot A w_i \bigr),
              \qquad w_i = (\nabla x)_i \in \mathbb{C}^C

    A tangent vector is a complex number in the frame of its vertex; turning the frame multiplies all of :math:`w_i` by one phase,
    which cancels. With a complex :math:`A` the combinations also turn gradients by a quarter, to the left as seen from outside, so
    the features know left from right where normals are oriented alike.

    The map is applied to the signal and not to its gradients: it commutes with them, and there are half as many numbers.

    Args:
        channels: ``C``.
        variant: "complex"; "real" for shapes without consistent normals, where a left turn has no meaning; or "frame-dependent",
            :math:`\operatorname{Im} A w` taken as :math:`A_\text{re} w_\text{re} + A_\text{im} w_\text{im}`, a slip of the first
            published version that changes with the frames, for weights which were trained with it.

    Shapes:
        x ``[V, C]``, gradient over V vertices -> ``[V, C]``.

    Raises:
        ValueError: no such variant; x has not a row for every vertex.

    Sharp et al., "DiffusionNet: discretization agnostic learning on surfaces", ACM TOG 2022, section 3.3.
    """

    def __init__(self, channels: int, variant: Variant = "complex") -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, not {variant!r}")
        self.variant = variant
        self.real = nn.Parameter(torch.empty(channels, channels))
        self.imag = nn.Parameter(torch.empty(channels, channels)) if variant != "real" else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The uniform distribution of a linear layer."""
        for weight in self.parameters():
            bound = 1 / math.sqrt(weight.shape[1])
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, x: Tensor, gradient: Gradient) -> Tensor:
        """``x [V, C]`` and the gradient over V vertices -> ``[V, C]``."""
        vertices = gradient.neighbors.num_src
        if x.shape[0] != vertices:
            raise ValueError(f"gradient has {vertices} vertices but x has {x.shape[0]} rows")
        return gradient_features(x, gradient, self.real, self.imag, self.variant)

    def extra_repr(self) -> str:
        return f"{self.real.shape[0]}, variant={self.variant!r}"


def gradient_features(
    x: Tensor, gradient: Gradient, real: Tensor, imag: Tensor | None, variant: Variant = "complex"
) -> Tensor:
    """The features of :class:`SpatialGradientFeatures`, with the matrix given."""
    channels = real.shape[0]
    weights = [real] if imag is None else [real, imag]
    signals = torch.cat([x, *(x @ weight.t() for weight in weights)], dim=1)
    along = patch_gather(signals, gradient.neighbors, gradient.values.to(x.dtype))  # [V, 2, 2 or 3 C]
    (x0, *a0), (x1, *a1) = (part.split(channels, dim=1) for part in along.unbind(1))
    if variant == "real":
        products = x0 * a0[0] + x1 * a1[0]
    elif variant == "frame-dependent":
        products = x0 * (a0[0] - a1[1]) + x1 * (a0[0] + a1[1])
    else:
        products = x0 * (a0[0] - a1[1]) + x1 * (a1[0] + a0[1])
    out: Tensor = products.tanh()
    return out
