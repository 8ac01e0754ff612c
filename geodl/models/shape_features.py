"""Features of a shape by a trained network, for `match`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from geodl.data import InvariantSignal
from geodl.matching import SpectralShape
from geodl.models.by_name import create_model
from geodl.models.functional_map_net import FunctionalMapNet

__all__ = ["pretrained_features", "shape_features"]

# Eigenpairs that the network was trained with: signatures of more of them are others.
_TRAINED_WITH = 120


def shape_features(network: FunctionalMapNet, k: int | None = None) -> Callable[[SpectralShape], Tensor]:
    """``features(shape) -> [V, D]`` for :func:`~geodl.matching.match`, of a network whose input is an
    :class:`~geodl.data.InvariantSignal`.

    Args:
        network: put into evaluation mode.
        k: eigenpairs that it was trained with, at most those of the shape; all of the shape's if not given.
    """
    network.eval()

    def features(shape: SpectralShape) -> Tensor:
        spectrum = shape.spectrum.truncate(min(k or shape.size, shape.size))
        with torch.inference_mode():
            found: Tensor = network(InvariantSignal.of(spectrum, shape.gradient), spectrum, shape.gradient)
        return found.clone()

    return features


@lru_cache(maxsize=1)
def pretrained_features() -> Callable[[SpectralShape], Tensor]:
    """Those of the :class:`FunctionalMapNet` that comes with geodl: what ``match(..., features="pretrained")`` takes."""
    network = create_model("FunctionalMapNet", pretrained=True)
    assert isinstance(network, FunctionalMapNet)
    return shape_features(network, _TRAINED_WITH)
