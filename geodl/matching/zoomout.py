"""ZoomOut: a functional map grows by turning it into a point map and back, a few more frequencies each time."""

from __future__ import annotations

import torch
from torch import Tensor

from geodl.geometry import Spectrum
from geodl.matching.point_map import fit, nearest, soft_p2p_to_fmap
from geodl.ops import farthest_points

__all__ = ["bijective_zoomout", "soft_zoomout", "zoomout"]


def zoomout(
    c_12: Tensor,
    spectrum_1: Spectrum,
    spectrum_2: Spectrum,
    k: int | None = None,
    step: int = 5,
    samples: tuple[Tensor | None, Tensor | None] | None = None,
) -> Tensor:
    r"""Refines a functional map until it has ``k`` x ``k`` entries.

    .. math:: p2p_{21}(j) = \arg\min_i \| \Phi_1(i) - C_{12}^\top \Phi_2(j) \|, \qquad
              C_{12} \leftarrow \Phi_2^\dagger \, \Phi_1 (p2p_{21})

    with ``step`` eigenvectors more of both shapes at every turn.

    Args:
        c_12: ``[K2, K1]``, with K1 and K2 up to k.
        spectrum_1, spectrum_2: of one shape each, at least k eigenpairs.
        k: size of the result; all eigenpairs that both spectra have if not given.
        step: eigenvectors that are added at a turn.
        samples: vertices of shape 1 and of shape 2 that the turns look at, int64; all where it is None. A few hundred of shape 2,
            spread evenly (:func:`farthest_vertices`), give nearly the same map in a fraction of the time.

    Returns:
        ``[k, k]`` in the dtype of ``c_12``.

    Raises:
        ValueError: k is smaller than the map or larger than a spectrum, or step is not positive.

    Melzi, Ren, Rodola, Sharma, Wonka & Ovsjanikov, "ZoomOut: spectral upsampling for efficient shape correspondence", SIGGRAPH
    Asia 2019.
    """
    one, two = (_Sampled(s, part, c_12.dtype) for s, part in _both(spectrum_1, spectrum_2, samples))
    for size_2, size_1 in _sizes(c_12, one, two, k, step):
        p2p = nearest(one.evecs[:, : c_12.shape[1]], two.evecs[:, : c_12.shape[0]] @ c_12)
        c_12 = two.fit(one.evecs[p2p, :size_1], size_2)
    return c_12


def bijective_zoomout(
    c_12: Tensor,
    c_21: Tensor,
    spectrum_1: Spectrum,
    spectrum_2: Spectrum,
    k: int | None = None,
    step: int = 5,
    samples: tuple[Tensor | None, Tensor | None] | None = None,
) -> tuple[Tensor, Tensor]:
    r"""ZoomOut of both directions at once, each looking at the other, so that there and back is near the identity.

    .. math:: p2p_{21}(j) = \arg\min_i \left\| \begin{pmatrix} \Phi_1(i) \, C_{12}^\top \\ \Phi_1(i) \, C_{21} \end{pmatrix} -
              \begin{pmatrix} \Phi_2(j) \\ \Phi_2(j) \end{pmatrix} \right\|

    and with 1 and 2 exchanged for :math:`p2p_{12}`.

    Args:
        c_12, c_21: ``[K, K]`` each.
        spectrum_1, spectrum_2, k, step, samples: as for :func:`zoomout`.

    Returns:
        :math:`C_{12}` and :math:`C_{21}`, ``[k, k]``.

    Raises:
        ValueError: as :func:`zoomout`; maps that are not square and of one size.

    Ren, Melzi, Wonka & Ovsjanikov, "MapTree: recovering multiple solutions in the space of maps", SIGGRAPH Asia 2020, section 5.
    """
    if c_12.shape != c_21.shape or c_12.shape[0] != c_12.shape[1]:
        raise ValueError(
            f"c_12 {list(c_12.shape)} and c_21 {list(c_21.shape)} must be square and of one size"
        )
    one, two = (_Sampled(s, part, c_12.dtype) for s, part in _both(spectrum_1, spectrum_2, samples))
    # Both embeddings as those of shapes of area 1, so that the two halves are compared in one unit.
    roots = [float(s.mass.sum()) ** 0.5 for s in (spectrum_1, spectrum_2)]
    for size, _ in _sizes(c_12, one, two, k, step):
        now = c_12.shape[0]
        phi_1, phi_2 = one.evecs[:, :now] * roots[0], two.evecs[:, :now] * roots[1]
        c_12, c_21 = c_12 * (roots[0] / roots[1]), c_21 * (roots[1] / roots[0])
        p2p_21 = nearest(torch.cat([phi_1 @ c_12.mT, phi_1 @ c_21], 1), torch.cat([phi_2, phi_2], 1))
        p2p_12 = nearest(torch.cat([phi_2 @ c_21.mT, phi_2 @ c_12], 1), torch.cat([phi_1, phi_1], 1))
        c_12 = two.fit(one.evecs[p2p_21, :size], size)
        c_21 = one.fit(two.evecs[p2p_12, :size], size)
    return c_12, c_21


def soft_zoomout(
    c_12: Tensor,
    spectrum_1: Spectrum,
    spectrum_2: Spectrum,
    k: int | None = None,
    step: int = 5,
    temperature: float = 0.07,
    top_k: int | None = None,
    samples: tuple[Tensor | None, Tensor | None] | None = None,
) -> Tensor:
    r"""ZoomOut with soft point maps, so that the result has a gradient with respect to the first map.

    .. math:: C_{12} \leftarrow \Phi_2^\dagger \,
              \mathrm{softmax}_i \bigl( -\| \Phi_1(i) - C_{12}^\top \Phi_2(j) \|^2 / 2 \tau \bigr) \, \Phi_1

    where distances squared are divided by the mean square of :math:`\Phi_1`'s rows. As tau goes to 0 this becomes :func:`zoomout`.

    Args:
        c_12, spectrum_1, spectrum_2, k, step, samples: as for :func:`zoomout`.
        temperature, top_k: of the soft map, see :func:`soft_p2p_to_fmap`.

    Returns:
        ``[k, k]``, differentiable in ``c_12``.

    Raises:
        ValueError: as :func:`zoomout` and :func:`soft_p2p_to_fmap`.

    Magnet & Ovsjanikov, "Memory-scalable and simplified functional map learning", CVPR 2024.
    """
    one, two = (_Sampled(s, part, c_12.dtype) for s, part in _both(spectrum_1, spectrum_2, samples))
    for size_2, size_1 in _sizes(c_12, one, two, k, step):
        phi_1, phi_2 = one.evecs[:, : c_12.shape[1]], two.evecs[:, : c_12.shape[0]] @ c_12
        unit = phi_1.square().sum(1).mean().sqrt()
        seen = soft_p2p_to_fmap(phi_1 / unit, phi_2 / unit, one.evecs[:, :size_1], temperature, top_k)
        c_12 = two.fit(seen, size_2)
    return c_12


def farthest_vertices(pos: Tensor, count: int) -> Tensor:
    """Vertices spread evenly over a shape, by farthest-point sampling: ``[min(count, V)]`` int64."""
    return farthest_points(pos, count)[0]


class _Sampled:
    """A spectrum at some of a shape's vertices."""

    def __init__(self, spectrum: Spectrum, vertices: Tensor | None, dtype: torch.dtype) -> None:
        self.evecs = (spectrum.evecs if vertices is None else spectrum.evecs[vertices]).to(dtype)
        self.mass = spectrum.mass.to(dtype) if vertices is None else None

    def fit(self, x: Tensor, size: int) -> Tensor:
        """Coefficients ``[size, C]`` of the signal x in the first eigenvectors; by least squares where there are samples only."""
        basis = self.evecs[:, :size]
        if self.mass is not None:
            return (basis * self.mass[:, None]).mT @ x
        return fit(basis, x)


def _both(
    spectrum_1: Spectrum, spectrum_2: Spectrum, samples: tuple[Tensor | None, Tensor | None] | None
) -> list[tuple[Spectrum, Tensor | None]]:
    for name, spectrum in (("spectrum_1", spectrum_1), ("spectrum_2", spectrum_2)):
        if spectrum.ptr is not None and spectrum.ptr.numel() != 2:
            raise ValueError(f"{name} holds {spectrum.ptr.numel() - 1} shapes, it must be that of one")
    return list(zip((spectrum_1, spectrum_2), samples or (None, None), strict=True))


def _sizes(c_12: Tensor, one: _Sampled, two: _Sampled, k: int | None, step: int) -> list[tuple[int, int]]:
    """The sizes (K2, K1) that the map takes, one a turn."""
    if step < 1:
        raise ValueError(f"step must be positive, got {step}")
    most = min(one.evecs.shape[1], two.evecs.shape[1])
    k = most if k is None else k
    if not max(c_12.shape) <= k <= most:
        raise ValueError(
            f"k must lie between {max(c_12.shape)}, the map's size, and {most}, that of the spectra, got {k}"
        )
    size_2, size_1 = c_12.shape
    sizes = []
    while min(size_2, size_1) < k:
        size_2, size_1 = min(size_2 + step, k), min(size_1 + step, k)
        sizes.append((size_2, size_1))
    return sizes
