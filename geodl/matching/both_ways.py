"""Point maps of two shapes both ways at once: the same distances serve both."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.geometry import Spectrum
from geodl.geometry.shapes import IndexLike
from geodl.matching.point_map import p2p_to_fmap

__all__ = ["match_both_ways", "smooth_both_ways"]

# Entries of the block of distances that is held at once.
_BLOCK = 1 << 22


def match_both_ways(features_1: Tensor, features_2: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest features of two shapes, both ways, for little more than the price of one.

    As :func:`match_descriptors` twice, but for features that the rounding of a product cannot tell apart. Of equal ones the first
    counts. Never holds ``V1 x V2`` numbers.

    Args:
        features_1: ``[V1, D]`` float32 or float64.
        features_2: ``[V2, D]``, same dtype and device.

    Returns:
        p2p_21 ``[V2]`` and p2p_12 ``[V1]``, int64.

    Raises:
        ValueError: shapes or dtypes that do not fit, a shape without vertices, or features that are not finite.
    """
    if features_1.dim() != 2 or features_1.shape[1:] != features_2.shape[1:]:
        raise ValueError(
            f"features_1 {list(features_1.shape)} and features_2 {list(features_2.shape)} must be [V1, D] and [V2, D]"
        )
    if features_1.dtype != features_2.dtype or not features_1.is_floating_point():
        raise ValueError(
            f"features must be of one floating dtype, not {features_1.dtype} and {features_2.dtype}"
        )
    if not len(features_1) or not len(features_2):
        raise ValueError("a shape without vertices has no nearest one")
    if not all(bool(torch.isfinite(x).all()) for x in (features_1, features_2)):
        raise ValueError("features are not finite")
    # A common offset would cancel badly in |a|^2 - 2 a.b + |b|^2.
    one, two = (x.detach() - features_1.detach().mean(0) for x in (features_1, features_2))
    half_1, half_2 = one.square().sum(1) / 2, two.square().sum(1) / 2
    p2p_21 = torch.empty(len(two), dtype=torch.int64, device=two.device)
    p2p_12 = torch.zeros(len(one), dtype=torch.int64, device=one.device)
    best = torch.full_like(half_1, -torch.inf)
    rows = max(1, _BLOCK // len(one))
    for start in range(0, len(two), rows):
        block = slice(start, start + rows)
        near = two[block] @ one.mT
        p2p_21[block] = (near - half_1).argmax(1)
        found, where = near.sub_(half_2[block, None]).max(0)
        nearer = found > best
        best[nearer], p2p_12[nearer] = found[nearer], where[nearer] + start
    return p2p_21, p2p_12


def smooth_both_ways(
    p2p_21: IndexLike, p2p_12: IndexLike, spectrum_1: Spectrum, spectrum_2: Spectrum, k: int
) -> tuple[Tensor, Tensor]:
    r"""Point maps both ways as k eigenfunctions see them.

    .. math::
        C_{12} = \Phi_2^\top M_2 \, \Pi_{21} \Phi_1, \quad C_{21} = \Phi_1^\top M_1 \, \Pi_{12} \Phi_2, \quad p2p_{21}(j) =
        \arg\min_i \|\Phi_1(i) - C_{12}^\top \Phi_2(j)\|^2 + \|C_{21}^\top \Phi_1(i) - \Phi_2(j)\|^2

    and p2p_12 by the minimum over j. Errors of single vertices, which are no function of low frequency, go, and each direction
    mends the other. Nothing is iterated.

    Args:
        p2p_21: ``[V2]`` integers, vertices of shape 1; -1 where there is none.
        p2p_12: ``[V1]`` integers, vertices of shape 2.
        spectrum_1, spectrum_2: of the two shapes, with at least k eigenfunctions.
        k: how many are used.

    Returns:
        p2p_21 ``[V2]`` and p2p_12 ``[V1]``, int64.

    Raises:
        ValueError: shapes that do not fit, or a spectrum with fewer eigenfunctions.
        IndexError: a vertex that is not there.
    """
    one, two = spectrum_1.truncate(k), spectrum_2.truncate(k)
    c_12 = p2p_to_fmap(p2p_21, one.evecs, two.evecs, two.mass)
    c_21 = p2p_to_fmap(p2p_12, two.evecs, one.evecs, one.mass)
    return match_both_ways(
        torch.cat([one.evecs, one.evecs @ c_21], 1), torch.cat([two.evecs @ c_12, two.evecs], 1)
    )
