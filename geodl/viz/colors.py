"""Colours that tell positions apart."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from geodl.viz.scene import Direction, View, checked

__all__ = ["label_colors", "position_colors", "ramp"]

# Seen from the front, hues go round a pale middle: left, right, top, bottom and the corners all differ.
_FRONT = (
    ("#2f5bff", "#8a5cf5", "#e13fd0"),
    ("#00b4d8", "#f4f1ea", "#f2364d"),
    ("#009e5c", "#a8cf1d", "#ff9500"),
)
_BACK_LIGHT = 0.6  # the back is the same, darker

# The first labels; those that follow go round the hues by the golden ratio, each far from the last few.
_LABELS = (
    "#4477cc",
    "#ee7733",
    "#33a65c",
    "#cc3355",
    "#8a63c9",
    "#e3b505",
    "#29b3c4",
    "#d76fae",
    "#8b5e3c",
    "#9bbf3b",
)
NO_LABEL = "#c4c6ca"
# From dark to light, as viridis, whose darkest end would look like shade.
SEQUENTIAL = ["#482878", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"]


def ramp(hexes: Sequence[str], place: Tensor) -> Tensor:
    """Colours ``[N, 3]`` at places ``[N]`` between 0 and 1 along evenly spaced ones."""
    stops = rgb(hexes)
    along = place.clamp(0, 1) * (len(hexes) - 1)
    below = along.floor().long().clamp(max=len(hexes) - 2)
    return torch.lerp(stops[below], stops[below + 1], (along - below)[:, None])


def label_colors(label: Tensor) -> Tensor:
    """A colour ``[N, 3]`` for labels ``[N]`` int64, always the same for the same label; grey for negative ones."""
    name, inverse = torch.unique(label, return_inverse=True)
    hexes = [_label_color(number) for number in name.tolist()]
    return rgb(hexes)[inverse]


def _label_color(number: int) -> str:
    if number < 0:
        return NO_LABEL
    if number < len(_LABELS):
        return _LABELS[number]
    hue, light, full = number * 0.6180339887 % 1, (0.42, 0.58, 0.72)[number % 3], (0.85, 0.6)[number // 3 % 2]
    return "#" + "".join(f"{round(255 * value):02x}" for value in colorsys.hls_to_rgb(hue, light, full))


def rgb(hexes: Sequence[str]) -> Tensor:
    return torch.tensor(
        [[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in hexes], dtype=torch.float64
    )


def position_colors(mesh: Any, up: Direction = "y", front: Direction | None = None) -> Tensor:
    """A colour for every vertex by its position: smooth, different left and right, top and bottom, front and back.

    Each coordinate is stretched half linearly and half by the share of vertices below it, so that the legs of a
    body with outstretched arms still differ.

    Args:
        mesh: with ``pos`` ``[V, 3]``; a cloud too.
        up: what points up, an axis such as "y" or "-z", or a direction ``[3]``.
        front: side seen, in the same form; if None, +z where y is up, -y where z, +y where x.

    Returns:
        ``[V, 3]`` float64, sRGB in 0..1.
    """
    is_cloud = isinstance(getattr(mesh, "pos", None), Tensor) and getattr(mesh, "face", None) is None
    pos = mesh.pos.detach().cpu().double() if is_cloud else checked("mesh", mesh).pos
    pos = pos @ torch.from_numpy(View.of(up, front).axes).T
    extent = (pos.amax(0) - pos.amin(0)).clamp(min=torch.finfo(torch.float64).tiny)
    linear = (pos - pos.amin(0)) / extent
    ranks = torch.stack([_rank(column) for column in pos.unbind(1)], dim=1)
    where = (linear + ranks) * torch.tensor([1.0, -1.0, 1.0]) + torch.tensor(
        [-1.0, 1.0, -1.0]
    )  # rows of _FRONT go down
    palette = torch.stack([rgb(row) for row in _FRONT]).permute(2, 0, 1)
    palette = torch.stack([palette * _BACK_LIGHT, palette], dim=1)[
        None
    ]  # [1, 3, back/front, top..bottom, left..right]
    sampled = torch.nn.functional.grid_sample(palette, where[None, None, None], align_corners=True)
    return sampled[0, :, 0, 0].T.contiguous()


def _rank(x: Tensor) -> Tensor:
    """Share of entries below each, counting half of its equals."""
    _, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
    share: Tensor = (counts.cumsum(0) - 0.5 * counts.double()) / x.shape[0]
    return share[inverse]
