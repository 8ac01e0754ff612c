"""U-Net, on images and on every other domain that grid convolutions have."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from geodl.nn import GridConv, Level, MaxPool, SignalBatchNorm, Upsample

__all__ = ["UNet"]


class UNet(nn.Module):
    """U-Net: down an octave at a time and back, each octave reading what the way down left at its resolution.

    Every octave has two 3 x 3 convolutions with batch norm and ReLU; between octaves the maximum of four pixels, and back by
    bilinear upsampling. Images keep their size (the paper's shrink by their borders).

    Args:
        in_channels: of the image.
        out_channels: of the result, without activation.
        widths: channels of the octaves, from the finest; a size must be divisible by 2 as many times as there are further octaves.

    Shapes:
        x ``[B, in_channels, H, W]`` -> ``[B, out_channels, H, W]``; with a :class:`~geodl.nn.Level` of V points that has a coarser
        one for every further octave, x ``[V, in_channels]`` -> ``[V, out_channels]``.

    Raises:
        ValueError: no octave; an image whose size cannot be halved as often; a level with too few coarser ones.

    Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015.
    """

    def __init__(
        self, in_channels: int, out_channels: int, widths: Sequence[int] = (64, 128, 256, 512)
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError("widths is empty: a U-Net needs at least one octave")
        self.down = nn.ModuleList(
            _Octave(before, width) for before, width in zip([in_channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(_Octave(coarse + fine, fine) for fine, coarse in pairwise(widths))
        self.pool, self.upsample = MaxPool(2), Upsample(2, "bilinear")
        self.last = GridConv(widths[0], out_channels, 1)

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        """``[B, in_channels, H, W]`` -> ``[B, out_channels, H, W]``; on a level ``[V, in_channels]`` likewise."""
        octaves = len(self.down)
        if level is None and any(size % 2 ** (octaves - 1) for size in x.shape[2:]):
            raise ValueError(f"an image of {list(x.shape[2:])} cannot be halved {octaves - 1} times")
        levels: list[Level | None] = [None] * octaves if level is None else [*level.pyramid()]
        if len(levels) < octaves:
            raise ValueError(f"{octaves} octaves need as many levels, but there are {len(levels)}")
        left: list[Tensor] = []
        for depth, octave in enumerate(self.down):
            x = octave(x if depth == 0 else self.pool(x, levels[depth - 1]), levels[depth])
            left.append(x)
        for depth in reversed(range(octaves - 1)):
            x = torch.cat([left[depth], self.upsample(x, levels[depth])], dim=1)
            x = self.up[depth](x, levels[depth])
        y: Tensor = self.last(x, levels[0])
        return y


class _Octave(nn.Module):
    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(GridConv(c, width, 3, padding=1, bias=False) for c in (in_channels, width))
        self.norms = nn.ModuleList(SignalBatchNorm(width) for _ in range(2))

    def forward(self, x: Tensor, level: Level | None) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x, level)).relu()
        return x
