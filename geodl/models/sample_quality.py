"""How good generated samples are, beside real ones: precision, recall and Frechet distances."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.models.inception import InceptionV3
from geodl.models.lenet5 import LeNet5
from geodl.nn import Level

__all__ = [
    "PrecisionRecall",
    "frechet_distance",
    "frechet_inception_distance",
    "lenet_features",
    "lenet_frechet_distance",
    "precision_recall",
]

# Samples that go through a network, or are compared with all others, at once.
_CHUNK = 256


class PrecisionRecall(NamedTuple):
    precision: float
    recall: float


def precision_recall(real: Tensor, generated: Tensor, k: int = 3) -> PrecisionRecall:
    r"""How many generated samples lie where real ones are, and how many real ones where generated ones are.

    .. math:: \text{precision} = \frac{1}{|G|} \sum_{g \in G} \bigl[ \exists r \in R : \|g - r\| \le \rho_k(r) \bigr]

    where :math:`\rho_k(r)` is the distance of r to its k-th nearest other sample of R; recall is the same with R and G exchanged.

    Args:
        real: ``[N, D]`` features.
        generated: ``[M, D]`` features. The larger the sets, the smaller the balls: compare figures of equal sizes only.
        k: neighbours that a ball holds.

    Raises:
        ValueError: shapes that do not fit, features that are not finite, or a set of k samples or fewer.

    Kynkaanniemi, Karras, Laine, Lehtinen, Aila, "Improved precision and recall metric for assessing generative models", 2019.
    """
    _check(real, generated, k + 1)
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    real, generated = real.detach().double(), generated.detach().double()
    return PrecisionRecall(_covered(generated, real, k), _covered(real, generated, k))


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    r"""The squared Frechet (Wasserstein-2) distance of the Gaussians that have the means and covariances of two sets of samples.

    .. math:: \|\mu_1 - \mu_2\|^2 + \operatorname{tr} \bigl( C_1 + C_2 - 2 (C_1^{1/2} C_2 C_1^{1/2})^{1/2} \bigr)

    Both roots are of symmetric matrices, so that singular covariances (fewer samples than features) do no harm.

    Args:
        real: ``[N, D]`` features.
        generated: ``[M, D]`` features.

    Raises:
        ValueError: shapes that do not fit, features that are not finite, or a set of fewer than 2 samples.

    Dowson, Landau, "The Frechet distance between multivariate normal distributions", 1982; Heusel et al., "GANs trained by a two
    time-scale update rule converge to a local Nash equilibrium", 2017.
    """
    _check(real, generated, 2)
    real, generated = real.detach().double(), generated.detach().double()
    one, two = torch.cov(real.t()), torch.cov(generated.t())
    one, two = one.view(real.shape[1], -1), two.view(real.shape[1], -1)  # of one feature cov is a number
    values, vectors = torch.linalg.eigh(one)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.t()
    inner = torch.linalg.eigvalsh(root @ two @ root).clamp(min=0).sqrt().sum()
    apart = (real.mean(0) - generated.mean(0)).square().sum()
    return max(float(apart + one.trace() + two.trace() - 2 * inner), 0.0)


@torch.no_grad()
def lenet_features(model: LeNet5, x: Tensor, level: Level | None = None) -> Tensor:
    """The last hidden layer of a trained LeNet-5, F6, ``[N, 84]``.

    Args:
        model: trained; it is asked in evaluation.
        x: what it was trained on, ``[N, C, 32, 32]``, or ``[N, C, V]`` with a level.
        level: as of the model.
    """
    return _before(model, model.output, x, level)


def lenet_frechet_distance(
    model: LeNet5, real: Tensor, generated: Tensor, level: Level | None = None
) -> float:
    """:func:`frechet_distance` of :func:`lenet_features`: to compare generators of digits that were measured with one LeNet-5.

    It is not the FID, and its figures compare only under the same weights.
    """
    return frechet_distance(lenet_features(model, real, level), lenet_features(model, generated, level))


@torch.no_grad()
def frechet_inception_distance(model: InceptionV3, real: Tensor, generated: Tensor) -> float:
    """FID: :func:`frechet_distance` of the 2,048 features before the last layer of an Inception that knows ImageNet.

    Args:
        model: with the weights of ImageNet, which geodl does not ship: torchvision's fit. Published figures are of the weights of
            TensorFlow, which give other numbers.
        real, generated: ``[N, 3, H, W]`` or ``[N, 1, H, W]``, from -1 to 1; scaled to 299 x 299.

    Raises:
        ValueError: as :func:`frechet_distance`, or images of other channels.
    """
    features = []
    for images in (real, generated):
        if images.dim() != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"images must have shape [N, 3, H, W] or [N, 1, H, W], not {list(images.shape)}")
        parts = [
            _before(model, model.fc, F.interpolate(some.expand(-1, 3, -1, -1), size=299, mode="bilinear"))
            for some in images.split(_CHUNK)
        ]
        features.append(torch.cat(parts))
    return frechet_distance(*features)


def _before(model: nn.Module, last: nn.Module, x: Tensor, *level: Level | None) -> Tensor:
    """What goes into the last layer of a model, in evaluation."""
    found: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    training = model.training
    model.eval()
    try:
        for some in x.split(_CHUNK):
            model(some, *level)
    finally:
        hook.remove()
        model.train(training)
    return torch.cat(found)


def _covered(points: Tensor, centers: Tensor, k: int) -> float:
    """The part of the points that lie in a ball about a center that reaches to its k-th nearest other center."""
    exact = "donot_use_mm_for_euclid_dist"
    radius = torch.cat(
        # The nearest of all is the center itself.
        [
            torch.cdist(some, centers, compute_mode=exact).kthvalue(k + 1, dim=1).values
            for some in centers.split(_CHUNK)
        ]
    )
    inside = [
        (torch.cdist(some, centers, compute_mode=exact) <= radius).any(1) for some in points.split(_CHUNK)
    ]
    return float(torch.cat(inside).double().mean())


def _check(real: Tensor, generated: Tensor, least: int) -> None:
    if real.dim() != 2 or generated.dim() != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(
            f"features must have shapes [N, D] and [M, D], not {list(real.shape)} and {list(generated.shape)}"
        )
    for name, features in (("real", real), ("generated", generated)):
        if len(features) < least:
            raise ValueError(f"there are {len(features)} {name} samples, but at least {least} are needed")
        if not bool(features.isfinite().all()):
            raise ValueError(f"features of {name} samples are not finite")
