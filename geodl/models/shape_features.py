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
# Of the largest eigenvalue: what lies below is that of a constant.
_ZERO = 1e-6


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
        # The eigenvalues of a shape of many components begin with as many zeros, which tell nothing.
        zeros = int((shape.spectrum.evals <= _ZERO * shape.spectrum.evals[-1]).sum())
        cut = {min(size or shape.size, shape.size) for size in sizes}
        with torch.inference_mode():
            for size in sorted({size for size in cut if size > zeros} or {shape.size}):
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
