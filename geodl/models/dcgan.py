"""DCGAN: a generator and a discriminator of convolutions, on images and on surfaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from geodl.models.stylegan import activated, coarsest_size, resolutions
from geodl.nn import BlurPool, GridConv, Level, MinibatchDeviation, SignalBatchNorm, Upsample, equalize

__all__ = ["DCDiscriminator", "DCGenerator"]


class DCGenerator(nn.Module):
    r"""DCGAN's generator: a linear layer, then at every resolution smooth upsampling, a convolution, a batch norm and a ReLU;
    last a tanh.

    In the place of transposed convolutions, whose taps overlap unevenly and leave a checkerboard, there is upsampling before a
    convolution (Odena 2016), which also every level has.

    Args:
        latent_channels: length of z.
        widths: channels at every resolution, the coarsest first; each has twice the points along an axis of the one before.
        out_channels: channels of the image.
        size: points along each axis of the coarsest grid, or how many points the coarsest level has.
        dim: axes of the kernels: those of the grid, 2 on surfaces.

    Shapes:
        z ``[B, latent_channels]`` -> ``[B, out_channels, *size * 2^k]`` in -1 to 1, or with a level of V points and
        ``len(widths) - 1`` coarser ones ``[B, out_channels, V]``.

    Raises:
        ValueError: no widths; a level whose coarsest one has another number of points.

    Radford, Metz, Chintala, "Unsupervised representation learning with deep convolutional generative adversarial networks", 2016.
    """

    def __init__(
        self,
        latent_channels: int = 64,
        widths: Sequence[int] = (64, 32, 16),
        out_channels: int = 1,
        size: Sequence[int] | int = (7, 7),
        dim: int = 2,
    ) -> None:
        super().__init__()
        self.latent_channels = latent_channels
        self.widths = tuple(widths)
        self.size, self.dim = coarsest_size(widths, size), dim
        self.first = nn.Linear(latent_channels, widths[0] * math.prod(self.size), bias=False)
        self.norms = nn.ModuleList(SignalBatchNorm(width) for width in widths)
        self.convs = nn.ModuleList(
            GridConv(read, width, 3, padding=1, bias=False, dim=dim) for read, width in pairwise(widths)
        )
        self.image = GridConv(widths[-1], out_channels, 3, padding=1, dim=dim)
        self.upsample = Upsample(mode="bilinear")
        for module in self.modules():
            if isinstance(module, GridConv | nn.Linear):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, z: Tensor, level: Level | None = None) -> Tensor:
        """Images, or signals on a level, of ``z [B, latent_channels]``."""
        steps = resolutions(level, len(self.convs), self.size, self.dim)
        x = self.first(z).view(len(z), self.widths[0], *self.size)
        x = F.relu(self.norms[0](x))
        for conv, norm, at in zip(self.convs, self.norms[1:], steps[1:], strict=True):
            x = F.relu(norm(conv(self.upsample(x, at), at)))
        image: Tensor = self.image(x, level).tanh()
        return image


class DCDiscriminator(nn.Module):
    r"""A discriminator: at every resolution a convolution and a leaky ReLU, then half the points; last the deviation of the
    batch, one more convolution and two linear layers. It answers with a number, the larger the more real.

    Args:
        in_channels: channels of the image.
        widths: channels at every resolution, the finest first; each has half the points along an axis of the one before.
        size: points along each axis of the coarsest grid, or how many points the coarsest level has.
        normalization: "equalized" learning rates, which go with the R1 penalty, or "spectral" norm of every weight.
        group: samples among which the deviation is taken.
        dim: axes of the kernels: those of the grid, 2 on surfaces.

    Shapes:
        x ``[B, in_channels, *size * 2^k]``, or with a level of V points and ``len(widths) - 1`` coarser ones
        ``[B, in_channels, V]`` -> ``[B]``.

    Raises:
        ValueError: no widths, no such normalisation; images that do not leave ``size``.

    Radford, Metz, Chintala 2016; Karras, Aila, Laine, Lehtinen, "Progressive growing of GANs", 2018; Miyato, Kataoka, Koyama,
    Yoshida, "Spectral normalization for generative adversarial networks", 2018.
    """

    def __init__(
        self,
        in_channels: int = 1,
        widths: Sequence[int] = (16, 32, 64),
        size: Sequence[int] | int = (7, 7),
        normalization: Literal["equalized", "spectral"] = "equalized",
        group: int = 4,
        dim: int = 2,
    ) -> None:
        super().__init__()
        if normalization not in ("equalized", "spectral"):
            raise ValueError(f'normalization must be "equalized" or "spectral", not {normalization!r}')
        self.size = coarsest_size(widths, size)
        last = widths[-1]
        normalize = equalize if normalization == "equalized" else spectral_norm
        self.convs = nn.ModuleList(
            normalize(GridConv(read, width, 3, padding=1, dim=dim))
            for read, width in pairwise([in_channels, *widths])
        )
        self.pool = BlurPool()
        self.deviation = MinibatchDeviation(group)
        self.last_conv = normalize(GridConv(last + 1, last, 3, padding=1, dim=dim))
        self.linear = normalize(nn.Linear(last * math.prod(self.size), last))
        self.score = normalize(nn.Linear(last, 1))

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        """A number an image or a signal on a level, ``[B]``."""
        for number, conv in enumerate(self.convs):
            if number:
                x = self.pool(x, level)
                level = None if level is None else level.after()
            x = activated(conv(x, level))
        if x.shape[2:] != self.size:
            raise ValueError(
                f"{list(x.shape[2:])} points are left, but the network was made for {list(self.size)}"
            )
        x = activated(self.last_conv(self.deviation(x, level), level))
        scores: Tensor = self.score(activated(self.linear(x.flatten(1)))).squeeze(1)
        return scores
