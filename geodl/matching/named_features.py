"""Features by name, for `match`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch import Tensor

from geodl.matching.spectral_shape import SpectralShape

# Where they are made. Networks stand above this room, so they are looked up by name, as entry points are, when first asked for.
_MADE_BY = {"pretrained": ("geodl.models", "pretrained_features")}


def named_features(features: Any) -> Callable[[SpectralShape], Tensor]:
    """The features of a name, or those given.

    Raises:
        ValueError: no such name.
    """
    if callable(features):
        given: Callable[[SpectralShape], Tensor] = features
        return given
    if features not in _MADE_BY:
        raise ValueError(
            f"features must be a function of a shape or {', '.join(map(repr, _MADE_BY))}, not {features!r}"
        )
    room, name = _MADE_BY[features]
    made: Callable[[SpectralShape], Tensor] = getattr(import_module(room), name)()
    return made
