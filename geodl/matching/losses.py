"""What an unsupervised functional map network minimises."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bijectivity_loss", "coupling_loss", "orthogonality_loss"]


def bijectivity_loss(c_12: Tensor, c_21: Tensor) -> Tensor:
    r"""There and back is the identity: :math:`\|C_{12} C_{21} - I\|_F^2 + \|C_{21} C_{12} - I\|_F^2`, the mean of a batch.

    Args:
        c_12: ``[..., K2, K1]``.
        c_21: ``[..., K1, K2]``.

    Raises:
        ValueError: shapes that do not fit.
    """
    if c_12.shape != c_21.mT.shape:
        raise ValueError(f"c_12 has shape {list(c_12.shape)}, so c_21 cannot have shape {list(c_21.shape)}")
    return _from_identity(c_12 @ c_21) + _from_identity(c_21 @ c_12)


def orthogonality_loss(c: Tensor) -> Tensor:
    r"""The map preserves areas locally: :math:`\|C^\top C - I\|_F^2`, the mean of a batch.

    Args:
        c: ``[..., K2, K1]``.
    """
    return _from_identity(c.mT @ c)


def coupling_loss(c: Tensor, of_points: Tensor) -> Tensor:
    r"""The functional map is the pull-back by a point map.

    .. math:: \|C_{12} - \Phi_2^\dagger \Pi_{21} \Phi_1\|_F^2, \text{ the mean of a batch}

    Args:
        c: ``[..., K2, K1]``, from descriptors.
        of_points: ``[..., K2, K1]``, of the (soft) point map, as :func:`soft_p2p_to_fmap` or :func:`p2p_to_fmap` give it.

    Raises:
        ValueError: the two differ in shape.

    Cao, Roetzer & Bernard, "Unsupervised learning of robust spectral shape matching", ACM TOG 2023, equation 9.
    """
    if c.shape != of_points.shape:
        raise ValueError(f"c has shape {list(c.shape)} but of_points has shape {list(of_points.shape)}")
    return (c - of_points).square().sum((-2, -1)).mean()


def _from_identity(product: Tensor) -> Tensor:
    eye = torch.eye(product.shape[-1], dtype=product.dtype, device=product.device)
    return (product - eye).square().sum((-2, -1)).mean()
