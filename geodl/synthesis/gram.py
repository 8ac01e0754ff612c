"""GramStatistics: how strongly features occur, and occur together, whatever the domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from geodl.synthesis.filter_bank import Features

__all__ = ["GramStatistics"]


# A feature that hardly ever answers counts no more than one with this share of the mean variance.
_FLOOR = 0.05


@dataclass(frozen=True)
class GramStatistics:
    r"""Means and Gram matrices of features, over a domain by mass,

    .. math:: \mu_c = \sum_i m_i F_{ic} \Big/ \sum_i m_i, \qquad G_{cd} = \sum_i m_i F_{ic} F_{id} \Big/ \sum_i m_i .

    They depend neither on how many points there are nor on what joins them, so that those of a picture can be matched on a mesh.

    Args:
        mean: of every layer, ``[B, C]``.
        gram: of every layer, ``[B, C, C]``.
        count: of every layer, at how many points they were measured.

    Gatys, Ecker, Bethge, "Texture synthesis using convolutional neural networks", 2015.
    """

    mean: list[Tensor]
    gram: list[Tensor]
    count: list[int]

    @classmethod
    def of(cls, layers: Sequence[Features]) -> GramStatistics:
        """The statistics of features, such as those of a :class:`FilterBank`.

        Raises:
            ValueError: masses that are zero everywhere.
        """
        moments = [_moments(layer) for layer in layers]
        counts = [layer.x.shape[1] if layer.mass is None else int((layer.mass > 0).sum()) for layer in layers]
        return cls([mean for mean, _ in moments], [gram for _, gram in moments], counts)

    def error(self, other: GramStatistics) -> Tensor:
        r"""How far another domain's are from these, ``[B]``: the mean over layers of :math:`\|S' - S\|^2 / \|S\|^2`,
        where a layer with more features than points, whose matrix is mostly chance, counts less.

        S is the Gram matrix of :math:`(F - \mu) / \sigma` with the means and deviations of these, the target's: else the means,
        which all textures share, would hide what tells one from another.
        """
        errors, weights = [], []
        for mean, gram, its_mean, its_gram in zip(self.mean, self.gram, other.mean, other.gram, strict=True):
            target, found = _about(mean, gram, mean), _about(its_mean, its_gram, mean)
            variance = target.diagonal(dim1=1, dim2=2)
            floor = _FLOOR * variance.mean(1, keepdim=True) + 1e-12
            scale = (variance + floor).rsqrt()
            scale = scale[:, :, None] * scale[:, None]
            target, found = target * scale, found * scale
            errors.append((found - target).square().sum((1, 2)) / target.square().sum((1, 2)))
        for mean, count in zip(self.mean, self.count, strict=True):
            weights.append(count / (count + mean.shape[1]))
        total = sum(weight * error for weight, error in zip(weights, errors, strict=True)) / sum(weights)
        assert isinstance(total, Tensor)
        return total


def _about(mean: Tensor, gram: Tensor, center: Tensor) -> Tensor:
    """The Gram matrix of the features less ``center``."""
    cross = mean[:, :, None] * center[:, None]
    return gram - cross - cross.transpose(1, 2) + center[:, :, None] * center[:, None]


def _moments(layer: Features) -> tuple[Tensor, Tensor]:
    x, mass = layer
    if mass is None:
        return x.mean(1), x.transpose(1, 2) @ x / x.shape[1]
    total = mass.sum()
    if not bool(total > 0):
        raise ValueError(
            f"none of the {x.shape[1]} points sees a whole window: the kernel is too large for the surface"
        )
    weighted = x * (mass / total).to(x.dtype)[:, None]
    return weighted.sum(1), x.transpose(1, 2) @ weighted
