"""Features of a shape by a trained network, for `match`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from geodl.data import InvariantSignal
from geodl.matching import SpectralShape
from geodl.models.by_name import create_model
from geodl.models.functional_map_net import FunctionalMapNet

__all__ = ["pretrained_features", "shape_features"]

# Of the 60 to 120 eigenpairs that the network was trained with. Each number alone mistakes some bodies, others than the next.
EIGENPAIRS = (70, 90, 110)


def shape_features(
    network: FunctionalMapNet, k: int | Sequence[int] | None = None
) -> Callable[[SpectralShape], Tensor]:
    """``features(shape) -> [V, D]`` for :func:`~geodl.matching.match`, of a network whose input is an
    :class:`~geodl.data.InvariantSignal`.

    Args:
        network: put into evaluation mode.
        k: eigenpairs that it was trained with, at most those of the shape are taken; all of the shape's if not given. Of several
            numbers the mean of the features counts, scaled to unit length.
    """
    network.eval()
    sizes = (k,) if k is None or isinstance(k, int) else tuple(k)

    def features(shape: SpectralShape) -> Tensor:
        found = []
        with torch.inference_mode():
            for size in sorted({min(size or shape.size, shape.size) for size in sizes}):
                spectrum = shape.spectrum.truncate(size)
                signal = InvariantSignal.of(spectrum, shape.gradient)
                found.append(network(signal, spectrum, shape.gradient))
            mean = normalize(torch.stack(found).mean(0), dim=1)
        return mean.clone()

    return features


@lru_cache(maxsize=1)
def pretrained_features() -> Callable[[SpectralShape], Tensor]:
    """Those of the :class:`FunctionalMapNet` that comes with geodl: what ``match(..., features="pretrained")`` takes."""
    network = create_model("FunctionalMapNet", pretrained=True)
    assert isinstance(network, FunctionalMapNet)
    return shape_features(network, EIGENPAIRS)
