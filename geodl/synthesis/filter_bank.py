"""FilterBank: random filters at several octaves, on a grid and on every level."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.nn import Level
from geodl.synthesis.palette import Palette
from geodl.synthesis.stencil import halve
from geodl.synthesis.windows import seen_taps, surface_windows

__all__ = ["Features", "FilterBank", "whole_windows"]

# A point is not counted where less than this share of its window's taps lie on the surface.
_WHOLE = 0.5

# One filter of so many reads colours alone: at the point, no differences.
_COLORS = 4


# Directions in which colours differ less than this share of the most are not scaled up to the others.
_FAINTEST = 0.1


class Features(NamedTuple):
    """What one layer answers: ``x [B, N, C]``, and what each of the N points counts, ``mass [N]`` (None: all the same)."""

    x: Tensor
    mass: Tensor | None = None


class FilterBank(nn.Module):
    r"""Random filters with rectifiers at several octaves, whose statistics say what a texture looks like.

    .. math:: F_o = \max(0, g_o * x_o + b_o), \qquad x_0 = x, \quad x_{o + 1} = \downarrow (h * x_o)

    with filters :math:`g_o` of k x k taps, drawn once, and the binomial filter h; nothing is learned. Every fourth filter reads
    the colours of the point itself, the others have the sum zero. Beside :math:`F_o` stands what the octave before answered there,
    :math:`\downarrow (h * F_{o - 1})`, so that statistics see what occurs together across octaves: without, stones are
    clouds (measured). The same filters run on a grid and on every :class:`~geodl.nn.Level`.

    Args:
        in_channels: of the signal.
        filters: at each octave.
        kernel_size: taps along an axis, odd.
        octaves: how many; each reads at half the resolution of the one before.
        seed: of the filters.

    Shapes:
        - ``[C, H, W]`` or ``[B, C, H, W]`` -> at each octave features ``[B, N, C']``, where filters lie wholly inside of the grid;
          a ``circular`` grid goes on at its other side. C' is ``filters``, and twice that from the second octave on.
        - ``[V, C]`` with a Level that has a coarser one for every octave but the first -> ``[1, V', C']``, which count by area
          where most of the window lies on the surface, see :func:`surface_windows`.

    Raises:
        ValueError: an even kernel; a signal with other channels, or too small; a level without enough coarser ones.

    Ustyuzhaninov, Brendel, Gatys, Bethge, "What does it take to generate natural textures?", 2017; across octaves as Portilla,
    Simoncelli, "A parametric texture model based on joint statistics of complex wavelet coefficients", 2000.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, in_channels: int = 3, filters: int = 64, kernel_size: int = 5, octaves: int = 4, seed: int = 0
    ) -> None:
        super().__init__()
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and at least 3, got {kernel_size}")
        if min(in_channels, filters, octaves) < 1:
            raise ValueError(
                f"in_channels, filters and octaves must be positive, got {in_channels}, {filters}, {octaves}"
            )
        self.in_channels, self.kernel_size, self.octaves = in_channels, kernel_size, octaves
        draw = torch.Generator().manual_seed(seed)
        weight = torch.randn(octaves, filters, in_channels, kernel_size, kernel_size, generator=draw)
        weight = weight - weight.mean((3, 4), keepdim=True)
        middle = torch.zeros(kernel_size, kernel_size)
        middle[kernel_size // 2, kernel_size // 2] = 1
        color = torch.randn(octaves, filters, in_channels, generator=draw)[..., None, None] * middle
        weight[:, ::_COLORS] = color[:, ::_COLORS]
        # Thresholds are spread over the deviations of a filter's answers, in no order.
        spread = torch.special.ndtri((torch.arange(filters) + 0.5) / filters)
        bias = torch.stack([spread[torch.randperm(filters, generator=draw)] for _ in range(octaves)])
        self.register_buffer("weight", weight / weight.flatten(2).norm(dim=2)[..., None, None, None])
        self.register_buffer("bias", bias)

    @property
    def smallest(self) -> int:
        """Points that a grid needs along each axis, for at the last octave a few windows must fit."""
        return smallest_grid(self.kernel_size, self.octaves)

    def forward(
        self, x: Tensor, level: Level | None = None, circular: bool = False, first: int = 0
    ) -> list[Features]:
        """Features of ``x`` at every octave from ``first``, at which it is given."""
        x = self._checked(x, level, first)
        found: list[Features] = []
        before = None
        for octave in range(first, self.octaves):
            if octave > first:
                x = halve(x, level, circular)
                before = None if before is None else halve(before, level, circular)
                level = None if level is None else level.after()
            answer = F.relu(self.respond(x, octave, level, circular))
            both = answer if before is None else torch.cat([answer, before], 1)
            before = answer
            found.append(self._features(both, level, circular))
        return found

    def respond(self, x: Tensor, octave: int, level: Level | None = None, circular: bool = False) -> Tensor:
        """What the filters of one octave answer before the rectifier, ``[B, F, H, W]`` or ``[V, F]``."""
        weight, bias = self.weight[octave].to(x), self.bias[octave].to(x)
        if level is None:
            x = F.pad(x, (self.kernel_size // 2,) * 4, mode="circular" if circular else "reflect")
            return F.conv2d(x, weight, bias)
        windows = surface_windows(level, self.kernel_size)
        return windows.convolve(x, weight.flatten(2).permute(2, 1, 0)) + bias

    @torch.no_grad()
    def fit(self, exemplar: Tensor) -> FilterBank:
        """Makes the filters see an exemplar ``[C, H, W]`` well: all directions of its colours alike, with answers of mean 0 and
        deviation 1 before the thresholds.

        Raises:
            ValueError: an exemplar that is constant, or too small.
        """
        x = self._checked(exemplar, None, 0)
        palette = Palette.of(exemplar, "the exemplar")
        length = palette.basis.norm(dim=1, keepdim=True)
        # Colours that hardly occur in the exemplar must not count beyond all measure elsewhere.
        inverse = (palette.basis / (length * length.clamp(min=_FAINTEST * float(length.max())))).to(
            x
        )  # [r, C]
        turn = torch.linalg.qr(
            torch.randn(self.in_channels, inverse.shape[0], generator=torch.Generator().manual_seed(0))
        )[0]
        self.weight.copy_(torch.einsum("ofdkl,dr,rc->ofckl", self.weight, turn.to(x), inverse))
        margin = self.kernel_size // 2
        for octave in range(self.octaves):
            x = halve(x) if octave else x
            spread = self.bias[octave].clone()
            answer = self.respond(x, octave)[..., margin:-margin, margin:-margin] - spread[:, None, None]
            deviation, mean = torch.std_mean(answer, (0, 2, 3))
            deviation = deviation.clamp(min=1e-3 * float(deviation.max()))
            self.weight[octave] /= deviation[:, None, None, None]
            self.bias[octave] -= mean / deviation
        return self

    def _features(self, x: Tensor, level: Level | None, circular: bool) -> Features:
        if level is not None:
            return Features(x[None], whole_windows(level, self.kernel_size))
        margin = 0 if circular else self.kernel_size // 2
        x = x[..., margin : x.shape[2] - margin, margin : x.shape[3] - margin]
        return Features(x.flatten(2).transpose(1, 2))

    def _checked(self, x: Tensor, level: Level | None, first: int) -> Tensor:
        if level is not None:
            depth, deeper = 1, level
            while deeper.coarser is not None:
                depth, deeper = depth + 1, deeper.coarser
            if depth < self.octaves - first:
                raise ValueError(f"{self.octaves} octaves need as many levels, but there are {depth}")
            if x.shape != (level.num_nodes, self.in_channels):
                raise ValueError(
                    f"x must have shape [{level.num_nodes}, {self.in_channels}], not {list(x.shape)}"
                )
            return x
        x = x[None] if x.dim() == 3 else x
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"x must have shape [B, {self.in_channels}, H, W], not {list(x.shape)}")
        needed = smallest_grid(self.kernel_size, self.octaves - first)
        if min(x.shape[2:]) < needed:
            raise ValueError(
                f"a grid of {x.shape[2]} x {x.shape[3]} is too small for {self.octaves - first} octaves of "
                f"{self.kernel_size} x {self.kernel_size} taps: it needs {needed} x {needed}"
            )
        return x


def smallest_grid(kernel_size: int, octaves: int) -> int:
    """Points along each axis of which the last octave leaves four windows along an axis."""
    return int((kernel_size + 3) * 2 ** (octaves - 1))


def whole_windows(level: Level, kernel_size: int) -> Tensor:
    """The areas of the points ``[V]``, zero where most of the window lies beyond the surface."""
    return level.area * (seen_taps(level, kernel_size) > _WHOLE)
