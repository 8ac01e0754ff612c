"""Stack: layers one after the other, on a grid or a level, and what the signal is between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from geodl.nn import GlobalMeanPool, Level, SignalBatchNorm

__all__ = ["AdaptiveMean", "ResponseNorm", "Stack", "run"]


class ResponseNorm(nn.LocalResponseNorm):
    """Local response normalisation over the channels, of signals on any domain."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if input.dim() > 2 else super().forward(input[:, :, None])[:, :, 0]


# What reads every point alone, so that it need not know where points lie.
_POINTWISE = (nn.ReLU, nn.Dropout, ResponseNorm, SignalBatchNorm)


class AdaptiveMean(nn.AdaptiveAvgPool2d):
    """The means over ``size`` of parts of an image, flat, ``[B, C size[0] size[1]]``.

    A level has no such parts: there each is the mean over the whole shape, as it is of an image of one pixel.
    """

    def forward(self, input: Tensor, level: Level | None = None) -> Tensor:
        if level is None:
            return super().forward(input).flatten(1)
        mean: Tensor = GlobalMeanPool()(input, level)
        high, wide = self.output_size  # type: ignore[misc]
        return mean[:, :, None].expand(-1, -1, high * wide).flatten(1)  # type: ignore[operator]


def run(
    layers: Iterable[tuple[Sequence[str], nn.Module]],
    x: Tensor,
    level: Level | None,
    names: Sequence[str] | None = None,
) -> tuple[Tensor, Level | None, dict[str, Tensor]]:
    """Runs layers one after the other; those with a stride lead to the next coarser level.

    Args:
        layers: each with the names of what it gives.
        x: ``[B, C, H, W]``, or ``[V, C]`` or ``[B, C, V]`` on a level.
        level: None for a grid.
        names: what to keep. Nothing is run beyond the last of them; all is, if there are none.

    Returns:
        What the last layer gave, the level that it lies on, and what was to be kept.

    Raises:
        ValueError: no such name.
    """
    layers = list(layers)
    known = [name for given, _ in layers for name in given]
    for name in names or ():
        if name not in known:
            raise ValueError(f"there is no layer {name!r}: choose among {', '.join(known)}")
    kept: dict[str, Tensor] = {}
    last = None
    for given, layer in layers:
        if names is not None and len(kept) == len(set(names)):
            break
        if last is x and isinstance(layer, nn.ReLU):
            x = x.clone()  # ReLU works in place, and what is kept must stay
        x = layer(x) if level is None or isinstance(layer, _POINTWISE) else layer(x, level)
        if level is not None:
            level = level.after(largest_stride(layer))
        for name in given:
            if names is not None and name in names:
                kept[name] = last = x
    return x, level, kept if names is None else {name: kept[name] for name in names}


def largest_stride(layer: nn.Module) -> int:
    stride = getattr(layer, "stride", 1)
    return stride if isinstance(stride, int) else max(stride)


class Stack(nn.Sequential):
    """Layers one after the other, named ``features.0``, ``features.1`` and so on, as torchvision's are.

    Without names it gives what the last of them does, with names a dictionary of what these do. Nothing beyond is run, and an image
    that is too small for the layers after them is not refused.

    Raises:
        ValueError: no such name; a level without enough coarser ones.
    """

    def forward(
        self, x: Tensor, names: Sequence[str] | None = None, level: Level | None = None
    ) -> Tensor | dict[str, Tensor]:
        layers = [([f"features.{number}"], layer) for number, layer in enumerate(self)]
        x, _, kept = run(layers, x, level, names)
        return x if names is None else kept

    def after(self, level: Level | None) -> Level | None:
        """The level that it leads to."""
        for layer in self if level is not None else ():
            assert level is not None
            level = level.after(largest_stride(layer))
        return level
