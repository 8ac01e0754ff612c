"""Spectral ICP: a functional map of fixed size becomes a rotation that aligns the two embeddings."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.geometry import Spectrum
from geodl.matching.point_map import fmap_to_p2p, p2p_to_fmap

__all__ = ["icp"]


def icp(c_12: Tensor, spectrum_1: Spectrum, spectrum_2: Spectrum, iterations: int = 10) -> Tensor:
    r"""Turns a functional map into a point map and back, each time to the nearest orthogonal map.

    .. math:: C_{12} \leftarrow U V^\top \quad \text{with} \quad \Phi_2^\top M_2 \Pi_{21} \Phi_1 = U \Sigma V^\top

    As long as the point map changes, and at most ``iterations`` times. Where the areas of the shapes differ, the result is
    orthogonal up to the square root of their quotient.

    Args:
        c_12: ``[K2, K1]`` float32 or float64.
        spectrum_1, spectrum_2: of one shape each, with at least K1 and K2 eigenpairs.
        iterations: at least 1.

    Returns:
        ``[K2, K1]``.

    Raises:
        ValueError: a spectrum that is too small, or iterations that are not positive.

    Ovsjanikov, Ben-Chen, Solomon, Butscher & Guibas, "Functional maps: a flexible representation of maps between shapes", SIGGRAPH
    2012, section 6.2.
    """
    if iterations < 1:
        raise ValueError(f"iterations must be positive, got {iterations}")
    two, one = c_12.shape
    if spectrum_1.evecs.shape[1] < one or spectrum_2.evecs.shape[1] < two:
        raise ValueError(
            f"c_12 [{two}, {one}] needs that many eigenpairs of shape 2 and 1, "
            f"they have {spectrum_2.evecs.shape[1]} and {spectrum_1.evecs.shape[1]}"
        )
    phi_1 = spectrum_1.evecs[:, :one].to(c_12.dtype)
    phi_2 = spectrum_2.evecs[:, :two].to(c_12.dtype)
    mass = spectrum_2.mass.to(c_12.dtype)
    scale = (spectrum_2.mass.sum() / spectrum_1.mass.sum()).sqrt().to(c_12.dtype)
    before = None
    for _ in range(iterations):
        p2p = fmap_to_p2p(c_12, phi_1, phi_2)
        if before is not None and torch.equal(p2p, before):
            break
        before = p2p
        u, _, vh = torch.linalg.svd(p2p_to_fmap(p2p, phi_1, phi_2, mass), full_matrices=False)
        c_12 = scale * (u @ vh)
    return c_12
