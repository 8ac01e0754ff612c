"""The loss that descriptor networks are trained with."""

from __future__ import annotations

from torch import Tensor


def contrastive_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, balance: float = 0.5
) -> Tensor:
    r"""Corresponding points get near descriptors, other points descriptors at least a margin apart.

    .. math:: (1 - \gamma) \, \overline{\|f_i - f_i^+\|^2} + \gamma \, \overline{\max(0, \mu - \|f_i - f_i^-\|)^2}

    Args:
        anchor, positive, negative: ``[P, D]`` descriptors of points, of the same points on another shape, and of other
            points on it.
        margin: mu, in the unit of the descriptors.
        balance: gamma in [0, 1].

    Raises:
        ValueError: the three have not one shape.

    Masci et al., Geodesic convolutional neural networks on Riemannian manifolds, ICCVW 2015, equation 8.
    """
    if not anchor.shape == positive.shape == negative.shape:
        shapes = ", ".join(str(list(t.shape)) for t in (anchor, positive, negative))
        raise ValueError(f"anchor, positive and negative must have one shape, not {shapes}")
    pull = (anchor - positive).square().sum(-1)
    # The square root's slope is infinite at 0: the floor keeps the gradient of coinciding descriptors finite.
    apart = (anchor - negative).square().sum(-1).clamp_min(1e-12).sqrt()
    push = (margin - apart).clamp_min(0).square()
    return (1 - balance) * pull.mean() + balance * push.mean()
