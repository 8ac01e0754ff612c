"""StyleGenerator: StyleGAN's generator, on images and on surfaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.nn import Level, ModulatedConv, NoiseInjection, Upsample, equalize

__all__ = ["StyleGenerator"]


def activated(x: Tensor) -> Tensor:
    """Leaky ReLU, scaled so that deviations stay about 1 from layer to layer."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def coarsest_size(widths: Sequence[int], size: Sequence[int] | int) -> tuple[int, ...]:
    """The points along each axis at the coarsest resolution of a network of these widths.

    Raises:
        ValueError: no widths.
    """
    if not widths:
        raise ValueError("widths must name the channels of at least one resolution")
    return (size,) if isinstance(size, int) else tuple(size)


def resolutions(level: Level | None, steps: int, size: tuple[int, ...], dim: int) -> list[Level | None]:
    """A level and those below it, the coarsest first; on a grid nothing, as often.

    Raises:
        ValueError: the coarsest one has another number of points than ``size``, or a grid another number of axes.
    """
    if level is None and len(size) != dim:
        raise ValueError(
            f"images have {dim} axes: size must be the points along each, such as {size[:1] * dim}, not {size}"
        )
    found = [level]
    for _ in range(steps):
        level = None if level is None else level.after()
        found.append(level)
    if level is not None and (level.num_nodes,) != size:
        raise ValueError(
            f"the coarsest level has {level.num_nodes} points, but the network was made for {size}"
        )
    return found[::-1]


class MappingNetwork(nn.Module):
    """From z on a sphere to styles w: fully connected layers that learn a hundred times slower than the others."""

    def __init__(self, latent_channels: int, layers: int) -> None:
        super().__init__()
        made = (nn.Linear(latent_channels, latent_channels) for _ in range(layers))
        self.layers = nn.ModuleList(equalize(layer, lr_multiplier=0.01) for layer in made)

    def forward(self, z: Tensor) -> Tensor:
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            w = activated(layer(w))
        return w


class StyleLayer(nn.Module):
    """A modulated convolution, before which or after which resolution doubles or not, noise and a leaky ReLU."""

    def __init__(self, read: int, width: int, style_channels: int, up: bool, dim: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(read, width, 3, style_channels, dim=dim)
        self.noise = NoiseInjection(width)
        self.upsample = Upsample(mode="bilinear") if up else None

    def forward(
        self, x: Tensor, w: Tensor, level: Level | None, finer: Level | None, random: torch.Generator | None
    ) -> Tensor:
        y = self.conv(x, w, level)
        if self.upsample is not None:  # the convolution is where there are fewer points
            y = self.upsample(y, finer)
        return activated(self.noise(y, random))


class StyleGenerator(nn.Module):
    r"""StyleGAN2's generator: a mapping network, and from a learned constant one resolution after the other, styled by w.

    .. math:: w = f(z), \qquad x_0 = \text{const}, \qquad x_{r + 1} = L_{r}(\operatorname{up}(L_{r}'(x_r, w)), w), \qquad
              \text{image} = \sum_r \operatorname{up}^{R - r} T_r(x_r, w)

    Layers L are modulated convolutions with noise and leaky ReLU, T make an image of every resolution. On a
    :class:`~geodl.nn.Level` with ``len(widths) - 1`` coarser ones the same layers run on a mesh, a sphere or a graph.

    Args:
        latent_channels: length of z and of w.
        widths: channels at every resolution, the coarsest first; each has twice the points along an axis of the one before.
        out_channels: channels of the image.
        size: points along each axis of the coarsest grid, or how many points the coarsest level has.
        mapping_layers: fully connected layers of the mapping network.
        dim: axes of the kernels: those of the grid, 2 on surfaces.

    Shapes:
        - ``forward``: z ``[B, latent_channels]`` -> ``[B, out_channels, *size * 2^k]``, or with a level of V points
          ``[B, out_channels, V]``.
        - ``mapping``: z -> w ``[B, latent_channels]``.
        - ``styles``: w for every layer ``[B, layers, latent_channels]``; ``synthesis``: these to images.

    Attributes:
        mean_style: ``[latent_channels]``, the running mean of w in training, which truncation pulls to.
        layers: how many layers have a style.

    Raises:
        ValueError: no widths; a level whose coarsest one has another number of points.

    Karras, Laine, Aila, "A style-based generator architecture for generative adversarial networks", 2019; Karras, Laine, Aittala,
    Hellsten, Lehtinen, Aila, "Analyzing and improving the image quality of StyleGAN", 2020.
    """

    mean_style: Tensor

    def __init__(
        self,
        latent_channels: int = 64,
        widths: Sequence[int] = (64, 32, 16),
        out_channels: int = 1,
        size: Sequence[int] | int = (7, 7),
        mapping_layers: int = 4,
        dim: int = 2,
    ) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.size, self.dim = coarsest_size(widths, size), dim
        self.mapping = MappingNetwork(latent_channels, mapping_layers)
        self.constant = nn.Parameter(torch.randn(1, widths[0], *self.size))
        self.first = StyleLayer(widths[0], widths[0], latent_channels, False, dim)
        self.ups = nn.ModuleList(
            StyleLayer(read, width, latent_channels, True, dim) for read, width in pairwise(widths)
        )
        self.convs = nn.ModuleList(
            StyleLayer(width, width, latent_channels, False, dim) for width in widths[1:]
        )
        self.images = nn.ModuleList(
            ModulatedConv(width, out_channels, 1, latent_channels, demodulate=False, dim=dim)
            for width in widths
        )
        self.upsample = Upsample(mode="bilinear")
        self.layers = 2 * len(widths) - 1
        self.register_buffer("mean_style", torch.zeros(latent_channels))

    def forward(self, z: Tensor, level: Level | None = None, truncation: float = 1.0) -> Tensor:
        """Images of ``z``, with the style of each moved towards the mean: ``mean + truncation (w - mean)``."""
        w = self.mapping(z)
        return self.synthesis(self.styles(self.truncated(w, truncation)), level)

    def truncated(self, w: Tensor, truncation: float) -> Tensor:
        return w if truncation == 1 else torch.lerp(self.mean_style.to(w), w, truncation)

    def styles(self, w: Tensor, other: Tensor | None = None, crossover: Tensor | int = 0) -> Tensor:
        """The style of every layer ``[B, layers, latent_channels]``: w, and from layer ``crossover`` (a number, or ``[B]``) on
        ``other``."""
        all_w = w[:, None].expand(-1, self.layers, -1)
        if other is None:
            return all_w
        layer = torch.arange(self.layers, device=w.device)
        before = layer < torch.as_tensor(crossover, device=w.device).view(-1, 1)
        return torch.where(before[..., None], all_w, other[:, None])

    def synthesis(
        self, styles: Tensor, level: Level | None = None, random: torch.Generator | None = None
    ) -> Tensor:
        """Images of styles; ``random`` draws the noise, torch's global generator if not given."""
        steps = resolutions(level, len(self.ups), self.size, self.dim)
        w = styles.unbind(1)
        x = self.constant.expand(styles.shape[0], *self.constant.shape[1:])
        x = self.first(x, w[0], steps[0], None, random)
        image: Tensor = self.images[0](x, w[0], steps[0])
        for number, (up, conv) in enumerate(zip(self.ups, self.convs, strict=True)):
            at, finer = steps[number], steps[number + 1]
            x = up(x, w[2 * number + 1], at, finer, random)
            x = conv(x, w[2 * number + 2], finer, None, random)
            image = self.upsample(image, finer) + self.images[number + 1](x, w[2 * number + 2], finer)
        return image

    def track(self, w: Tensor, decay: float = 0.995) -> None:
        """Moves the running mean of w to that of a batch."""
        self.mean_style.lerp_(w.detach().mean(0).to(self.mean_style), 1 - decay)
