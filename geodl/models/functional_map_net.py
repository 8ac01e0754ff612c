"""Deep functional maps: features by DiffusionNet, maps in closed form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.geometry import Gradient, Spectrum
from geodl.matching import functional_map, match_descriptors
from geodl.models.diffusionnet import DiffusionNet
from geodl.models.on_batch import on_batch
from geodl.ops import to_basis

__all__ = ["FunctionalMapNet"]


class FunctionalMapNet(nn.Module):
    r"""Features of shapes that make their functional maps, and by nearest neighbours their point maps.

    :class:`~geodl.models.DiffusionNet` gives every vertex a feature of unit length; :func:`~geodl.matching.functional_map` gives
    the map that carries the features of one shape to those of another. How it learns, with correspondences or without, is a
    matter of the loss (:class:`~geodl.training.FunctionalMapModule`).

    Args:
        in_channels: channels of the input signal.
        features: dimension of the features.
        width, blocks, dropout: of the DiffusionNet.
        eigenfunctions: K, size of the functional maps.
        weight: of the regularisation of the functional maps.

    Shapes:
        x ``[V, in_channels]``, spectrum and gradient of the shapes, V vertices together -> ``[V, features]``.

    Donati, Sharma & Ovsjanikov, CVPR 2020; Sharp et al., ACM TOG 2022; Cao, Roetzer & Bernard, "Unsupervised learning of robust
    spectral shape matching", ACM TOG 2023.
    """

    def __init__(
        self,
        in_channels: int,
        features: int = 256,
        width: int = 128,
        blocks: int = 4,
        dropout: float = 0.0,
        eigenfunctions: int = 80,
        weight: float = 100.0,
    ) -> None:
        super().__init__()
        self.network = DiffusionNet(in_channels, features, width, blocks, dropout=dropout)
        self.eigenfunctions, self.weight = eigenfunctions, weight

    @on_batch
    def forward(self, x: Tensor, spectrum: Spectrum, gradient: Gradient) -> Tensor:
        """Features ``[V, features]`` of length 1, of ``x [V, in_channels]`` and the operators of the shapes."""
        return nn.functional.normalize(self.network(x, spectrum, gradient), dim=1)

    def functional_maps(
        self, features: Tensor, spectrum: Spectrum, pairs: Tensor, eigenfunctions: int | None = None
    ) -> Tensor:
        """The maps :math:`C_{12}` of pairs of shapes of a batch.

        Args:
            features: ``[V, features]``, of :meth:`forward`.
            spectrum: of the batch.
            pairs: ``[P, 2]`` int64, numbers of shape 1 and shape 2 in the batch.
            eigenfunctions: size of the maps; the network's K if not given.

        Returns:
            ``[P, K, K]``.

        Raises:
            ValueError: the spectrum has fewer than K eigenfunctions.
        """
        size = self.eigenfunctions if eigenfunctions is None else eigenfunctions
        spectrum = spectrum.truncate(size).to(features.dtype)
        vertices = features.shape[0]
        ptr = torch.tensor([0, vertices], device=features.device) if spectrum.ptr is None else spectrum.ptr
        # Features of unit length in units of the shape's area, so that the weight means the same on all shapes.
        coefficients = to_basis(features, spectrum.evecs.contiguous(), spectrum.mass, ptr)
        evals = spectrum.evals.view(-1, size)
        one, two = pairs.unbind(1)
        return functional_map(
            coefficients[one], coefficients[two], evals[one], evals[two], self.weight / features.shape[1]
        )

    @staticmethod
    def point_map(features_1: Tensor, features_2: Tensor) -> Tensor:
        """p2p_21 ``[V2]``: for every vertex of shape 2 the vertex of shape 1 of nearest feature."""
        return match_descriptors(features_1, features_2)
