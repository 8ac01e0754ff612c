"""What every shape of a batch has one of, at every point of the shapes."""

from __future__ import annotations

from torch import Tensor

from geodl.nn.level import Level


def at_points(value: Tensor, x: Tensor, level: Level | None = None) -> Tensor:
    """``value [B, C]``, one row a shape, so that it can be added to or multiplied with the signal ``x``.

    Args:
        value: ``[B, C]``.
        x: ``[B, C', *size]`` or ``[B, C', V]``; or ``[V, C']``, the points of B packed shapes.
        level: where the shapes of ``[V, C']`` begin; one shape without.

    Raises:
        ValueError: another number of shapes than x has.
    """
    packed = x.dim() == 2
    shapes = x.shape[0]
    if packed:
        shapes = 1 if level is None or level.ptr is None else level.ptr.numel() - 1
    if value.shape[0] not in (1, shapes):
        raise ValueError(f"there are {value.shape[0]} rows for {shapes} shapes")
    if not packed:
        return value.reshape(*value.shape, *[1] * (x.dim() - 2))
    if value.shape[0] == 1:
        return value
    assert level is not None and level.ptr is not None
    return value.repeat_interleave(level.ptr.diff(), 0, output_size=x.shape[0])
