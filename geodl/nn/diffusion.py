"""The block of DiffusionNet: heat for a learned time, gradient features, and a small network at every vertex."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn

from geodl.geometry import Gradient, Laplacian, Spectrum
from geodl.nn.diffusion_direct import implicit_diffuse
from geodl.nn.diffusion_features import SpatialGradientFeatures, Variant
from geodl.nn.diffusion_fused import fused_block
from geodl.nn.dtype_of import dtype_of
from geodl.nn.plain import is_plain
from geodl.ops import heat_diffuse
from geodl.ops.core.dispatch import select
from geodl.ops.core.watch import watched
from geodl.ops.recycled import Recycled

__all__ = ["DiffusionBlock", "LearnedTimeDiffusion"]

Method = Literal["spectral", "direct"]

# Times are kept above it: heat that runs backwards grows without bound.
_SHORTEST = 1e-8


class LearnedTimeDiffusion(nn.Module):
    r"""Lets every channel diffuse as heat on its shape, for a time that is learned.

    - ``"spectral"``: :math:`\Phi \, e^{-\Lambda t_c} \, \Phi^\top M \, x_{\cdot,c}`, see :func:`~geodl.ops.heat_diffuse`;
    - ``"direct"``: :math:`(M + t_c L)^{-1} M \, x_{\cdot,c}`, see :func:`~geodl.nn.implicit_diffuse`; slow, but without spectrum.

    The time is in the squared unit of length. In training it is projected to at least 1e-8 before it is used.

    Args:
        channels: ``C``.
        method: "spectral" or "direct".

    Shapes:
        x ``[V, C]`` and the spectrum of the shapes, V vertices together, or with "direct" their Laplacians -> ``[V, C]``.

    Raises:
        ValueError: no such method; a spectrum that does not fit x.
        TypeError: a spectrum where Laplacians are needed, or the other way round.

    Sharp et al., "DiffusionNet: discretization agnostic learning on surfaces", ACM TOG 2022, section 3.1.
    """

    def __init__(self, channels: int, method: Method = "spectral") -> None:
        super().__init__()
        if method not in ("spectral", "direct"):
            raise ValueError(f"method must be spectral or direct, not {method!r}")
        self.method = method
        self.time = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, spectrum: Spectrum | Sequence[Laplacian]) -> Tensor:
        """``x [V, C]``, after every channel's own time, ``[V, C]``."""
        time = self.positive_time()
        if self.method == "direct":
            if isinstance(spectrum, Spectrum):
                raise TypeError("direct diffusion needs the Laplacians of the shapes, not their spectrum")
            return implicit_diffuse(x, time, spectrum)
        if not isinstance(spectrum, Spectrum):
            raise TypeError(f"spectral diffusion needs a Spectrum, not {type(spectrum).__name__}")
        vertices = spectrum.evecs.shape[0]
        if x.shape[0] != vertices:
            raise ValueError(f"spectrum has {vertices} vertices but x has {x.shape[0]} rows")
        here = spectrum.to(x.dtype)
        ptr = torch.tensor([0, vertices], device=x.device) if here.ptr is None else here.ptr
        return heat_diffuse(x, here.evals, here.evecs, here.mass, time, ptr)

    def positive_time(self) -> Tensor:
        if self.training:
            # By .data, so that a second shape of the same training step may still be differentiated.
            self.time.data.clamp_(min=_SHORTEST)
        return self.time.clamp(min=_SHORTEST)

    def extra_repr(self) -> str:
        return f"{self.time.shape[0]}, method={self.method!r}"


class DiffusionBlock(nn.Module):
    r"""One block of DiffusionNet,

    .. math:: \text{out} = x + \text{MLP} \bigl( x, \; H_t x, \; f(\nabla H_t x) \bigr)

    with :math:`H_t` the diffusion of :class:`LearnedTimeDiffusion` and :math:`f` the
    :class:`~geodl.nn.SpatialGradientFeatures`. The MLP acts on every vertex alone, with ReLU between its layers.

    In training on the CPU the block keeps the memory of what its backward pass needs for the next step, 2 numbers a vertex and
    channel with two hidden layers, until it is evaluated or gone.

    Args:
        channels: ``C``.
        hidden: widths of the MLP's hidden layers; C and C if not given.
        dropout: probability of dropping a hidden unit in training.
        features: variant of the gradient features, or None for a block without them.
        method: of the diffusion, "spectral" or "direct".

    Shapes:
        x ``[V, C]``, the spectrum (or with "direct" the Laplacians) and the gradient of the shapes, V vertices together
        -> ``[V, C]``. Shapes of different sizes lie side by side, and each gets what it gets alone.

    Raises:
        ValueError: rows, channels or variants that do not fit; gradient features without a gradient.

    Sharp et al., "DiffusionNet: discretization agnostic learning on surfaces", ACM TOG 2022, section 3.4.
    """

    def __init__(
        self,
        channels: int,
        hidden: Sequence[int] | None = None,
        dropout: float = 0.5,
        features: Variant | None = "complex",
        method: Method = "spectral",
    ) -> None:
        super().__init__()
        self.channels = channels
        self.diffusion = LearnedTimeDiffusion(channels, method)
        self.features = None if features is None else SpatialGradientFeatures(channels, features)
        inputs = channels * (2 if features is None else 3)
        widths = [inputs, *([channels, channels] if hidden is None else hidden), channels]
        self.layers = nn.ModuleList(nn.Linear(c, d) for c, d in pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self._memory = Recycled()

    def forward(
        self, x: Tensor, spectrum: Spectrum | Sequence[Laplacian], gradient: Gradient | None = None
    ) -> Tensor:
        """``x [V, C]`` of one shape or of several, packed, ``[V, C]``."""
        if x.dim() != 2 or x.shape[1] != self.channels:
            raise ValueError(f"x must have shape [V, {self.channels}], not {list(x.shape)}")
        x = x.to(dtype_of(self))  # operators stay in full precision under mixed precision
        if self._runs_fused(x, spectrum, gradient):
            assert isinstance(spectrum, Spectrum) and gradient is not None
            return self._fused(x, spectrum, gradient)
        diffused = self.diffusion(x, spectrum)
        inputs = [x, diffused]
        if self.features is not None:
            if gradient is None:
                raise ValueError("gradient features need a gradient; features=None does without")
            inputs.append(self.features(diffused, gradient))
        y = torch.cat(inputs, dim=1)
        for layer in self.layers[:-1]:
            y = self.dropout(layer(y).relu())
        out: Tensor = x + self.layers[-1](y)
        return out

    def _runs_fused(
        self, x: Tensor, spectrum: Spectrum | Sequence[Laplacian], gradient: Gradient | None
    ) -> bool:
        """Whether this is the block most networks are made of, its layers plain, on the CPU, and no derivative by operators
        is asked for."""
        return (
            not torch.compiler.is_compiling()
            and isinstance(spectrum, Spectrum)
            and gradient is not None
            and is_plain(self.diffusion, LearnedTimeDiffusion)
            and self.diffusion.method == "spectral"
            and self.features is not None
            and is_plain(self.features, SpatialGradientFeatures)
            and self.features.variant == "complex"
            and len(self.layers) > 1
            and all(is_plain(layer, nn.Linear) and layer.bias is not None for layer in self.layers)
            and is_plain(self.dropout, nn.Dropout)
            and self.dropout.p < 1
            and x.shape[0] == spectrum.evecs.shape[0] == gradient.neighbors.num_dst
            and not any(
                tensor.requires_grad
                for tensor in (spectrum.evals, spectrum.evecs, spectrum.mass, gradient.values)
            )
            and select(x) == "native"
            and x.dtype in (torch.float32, torch.float64)
            and not watched()
            and not torch.is_autocast_enabled(x.device.type)
        )

    def _fused(self, x: Tensor, spectrum: Spectrum, gradient: Gradient) -> Tensor:
        assert self.features is not None and self.features.imag is not None
        if spectrum.evecs.dtype != x.dtype:
            spectrum = spectrum.to(x.dtype)
        if gradient.values.dtype != x.dtype:
            gradient = Gradient(gradient.neighbors, gradient.values.to(x.dtype))
        learns = self.training and torch.is_grad_enabled()
        memory = self._memory if learns else Recycled()
        if not self.training:
            self._memory.release()
        return fused_block(
            x,
            self.diffusion.positive_time(),
            self.features.real,
            self.features.imag,
            spectrum,
            gradient,
            [cast(Tensor, tensor) for layer in self.layers for tensor in (layer.weight, layer.bias)],
            self.dropout.p if self.training else 0.0,
            memory,
        )
