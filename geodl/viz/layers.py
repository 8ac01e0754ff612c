"""What a shape wears: colours, a function, labels, checked against its vertices."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from geodl.geometry.shapes import SignalLike, as_index, as_signal
from geodl.viz.colors import SEQUENTIAL, label_colors, ramp
from geodl.viz.picture import ColorBar, Legend
from geodl.viz.pixels import unit_interval

__all__ = [
    "checked_color",
    "checked_label",
    "checked_scalar",
    "ends_of_scale",
    "legend_of",
    "one_layer",
    "worn",
]

_BODY = (0.80, 0.81, 0.83)
# So many labels have their names beside the picture.
_MOST_NAMES = 24


def worn(
    vertices: int,
    color: SignalLike | None,
    scalar: SignalLike | None,
    label: SignalLike | None,
    limits: tuple[float, float] | None = None,
) -> tuple[Tensor, ColorBar | Legend | None]:
    """Colours ``[V, 3]`` of one of the layers, grey if there is none, and what explains them."""
    one_layer(color=color, scalar=scalar, label=label)
    if limits is not None and scalar is None:
        raise ValueError("limits are those of scalar, which is not given")
    if color is not None:
        return checked_color("color", color, vertices), None
    if scalar is not None:
        values = checked_scalar("scalar", scalar, vertices)
        if values.dim() != 1:
            raise ValueError(f"scalar must have shape [{vertices}], not {list(values.shape)}")
        low, high = ends_of_scale([values], limits)
        below, above = bool((values < low).any()), bool((values > high).any())
        extend = "both" if below and above else "min" if below else "max" if above else "neither"
        return ramp(SEQUENTIAL, (values - low) / (high - low)), ColorBar(SEQUENTIAL, high, "", low, extend)
    if label is not None:
        number = checked_label("label", label, vertices)
        return label_colors(number), legend_of(number)
    return torch.tensor(_BODY, dtype=torch.float64).expand(vertices, 3), None


def legend_of(label: Tensor) -> Legend | None:
    """What the colours of labels mean; None if there are too many to name."""
    names = torch.unique(label)
    if len(names) > _MOST_NAMES:
        return None
    colors = [(r, g, b) for r, g, b in label_colors(names).tolist()]
    return Legend(colors, [str(name) for name in names.tolist()])


def one_layer(**layers: Any) -> None:
    """A ValueError if more than one is given."""
    given = [name for name, layer in layers.items() if layer is not None]
    if len(given) > 1:
        *others, last = layers
        raise ValueError(f"a shape wears one of {', '.join(others)} and {last}, not {' and '.join(given)}")


def checked_color(argument: str, color: SignalLike, vertices: int) -> Tensor:
    """sRGB ``[..., V, 3]`` float64 in 0..1 of floats or bytes, of greys ``[..., V, 1]`` too."""
    values = as_signal(argument, color).detach().cpu()
    if values.dim() < 2 or values.shape[-2] != vertices:
        raise ValueError(f"mesh has {vertices} vertices but {argument} has shape {list(values.shape)}")
    if values.shape[-1] not in (1, 3):
        raise ValueError(
            f"{argument} must have shape [{vertices}, 3] or [{vertices}, 1], not {list(values.shape)}"
        )
    return unit_interval(argument, values).expand(*values.shape[:-1], 3)


def checked_scalar(argument: str, scalar: SignalLike, vertices: int) -> Tensor:
    """Numbers ``[V]`` or ``[V, C]`` as float64, all finite."""
    values = as_signal(argument, scalar).detach().cpu()
    if values.dim() not in (1, 2) or values.shape[0] != vertices or not values.numel():
        raise ValueError(f"mesh has {vertices} vertices but {argument} has shape {list(values.shape)}")
    values = values.double()
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        raise ValueError(f"{argument}: {int((~finite).sum())} entries are NaN or infinite")
    return values


def checked_label(argument: str, label: SignalLike, vertices: int) -> Tensor:
    """Labels ``[V]`` int64."""
    number = as_index(argument, label).detach().cpu()
    if list(number.shape) != [vertices]:
        raise ValueError(f"mesh has {vertices} vertices but {argument} has shape {list(number.shape)}")
    return number


def ends_of_scale(values: list[Tensor], limits: tuple[float, float] | None) -> tuple[float, float]:
    """The limits, or the smallest and the largest value; a constant lies in the middle of its scale."""
    low, high = limits or (min(float(v.min()) for v in values), max(float(v.max()) for v in values))
    if not (math.isfinite(low) and math.isfinite(high) and low <= high) or (limits and low == high):
        raise ValueError(f"limits must be finite and ascending, not {limits}")
    if low == high:
        margin = max(abs(low), 1.0) / 2
        low, high = low - margin, high + margin
    return low, high
