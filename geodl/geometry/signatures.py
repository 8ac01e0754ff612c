"""Heat and wave kernel signatures: what a point knows of the shape from its eigenfunctions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geodl.geometry.spectrum import Spectrum
from geodl.ops.graph_filter import matmul

__all__ = ["heat_kernel_signature", "wave_kernel_signature"]

# In standard deviations: how many steps of energy the wave kernel's Gaussian is wide (Aubry et al. 2011, section 4).
_WAVE_WIDTH = 7


def heat_kernel_signature(spectrum: Spectrum, times: Tensor | int = 16) -> Tensor:
    r"""Heat that remains at every point after some times, relative to what remains on the whole shape.

    .. math:: h(x, t) = \frac{\sum_k e^{-\lambda_k t} \phi_k(x)^2}{\sum_k e^{-\lambda_k t}}

    Args:
        spectrum: of one shape or of a packed batch.
        times: ``[T]`` in units of 1 / eigenvalue, or their number: then they are spaced logarithmically from
            :math:`4 \ln 10 / \lambda_{K}` to :math:`4 \ln 10 / \lambda_{2}` of each shape.

    Returns:
        ``[V, T]`` in the dtype of the spectrum.

    Raises:
        ValueError: no times, or eigenvalues that are all zero.

    Sun, Ovsjanikov & Guibas, "A concise and provably informative multi-scale signature based on heat diffusion", SGP 2009.
    """
    evals, first, last = _range(spectrum)
    if isinstance(times, int):
        steps = torch.linspace(0, 1, _positive(times), dtype=evals.dtype, device=evals.device)
        span = (last / first).log()[:, None]
        at = 4 * math.log(10) / last[:, None] * (steps * span).exp()
    else:
        at = times.to(evals).expand(len(evals), -1)
    return _signature(spectrum, (-evals[:, :, None] * at[:, None, :]).exp())


def wave_kernel_signature(spectrum: Spectrum, energies: int = 100) -> Tensor:
    r"""Probability of finding a quantum particle of some energy at every point.

    .. math:: w(x, e) = \frac{\sum_k \phi_k(x)^2 g_k(e)}{\sum_k g_k(e)},
              \qquad g_k(e) = \exp\Bigl(-\frac{(e - \log \lambda_k)^2}{2 \sigma^2}\Bigr)

    Energies e go from :math:`\log \lambda_2 + 2 \sigma` to :math:`\log \lambda_K - 2 \sigma` of each shape, and
    :math:`\sigma` is seven of their steps. Constant functions take no part.

    Args:
        spectrum: of one shape or of a packed batch.
        energies: how many, at least 2.

    Returns:
        ``[V, energies]`` in the dtype of the spectrum.

    Raises:
        ValueError: fewer than 2 energies, or eigenvalues that are all zero.

    Aubry, Schlickewei & Cremers, "The wave kernel signature: a quantum mechanical approach to shape analysis", ICCV-W 2011.
    """
    if energies < 2:
        raise ValueError(f"energies must be at least 2, got {energies}")
    evals, first, last = _range(spectrum)
    low, high = first.log()[:, None], last.log()[:, None]
    # span = (energies - 1) steps + 4 sigma, sigma = width steps
    step = (high - low) / (energies - 1 + 4 * _WAVE_WIDTH)
    sigma = _WAVE_WIDTH * step
    at = low + 2 * sigma + step * torch.arange(energies, dtype=evals.dtype, device=evals.device)
    constant = evals <= _zero(last)[:, None]
    distance = evals.clamp(min=torch.finfo(evals.dtype).tiny).log()[:, :, None] - at[:, None, :]
    weight = (-0.5 * (distance / sigma[:, :, None]).square()).exp()
    return _signature(spectrum, weight.masked_fill(constant[:, :, None], 0))


def _signature(spectrum: Spectrum, weight: Tensor) -> Tensor:
    """Weights ``[B, K, T]``, normalised over K, on the squared eigenfunctions of each shape."""
    weight = weight / weight.sum(dim=1, keepdim=True)
    square = spectrum.evecs.square()
    if spectrum.ptr is None:
        signature: Tensor = matmul(square, weight[0])
        return signature
    parts = square.split(spectrum.ptr.diff().tolist())
    return torch.cat([matmul(part, each) for part, each in zip(parts, weight, strict=True)])


def _range(spectrum: Spectrum) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues ``[B, K]``, and of each shape the smallest that is not zero and the largest."""
    evals = spectrum.evals.reshape(-1, spectrum.evals.shape[-1])
    last = evals[:, -1]
    if not bool((last > 0).all()):
        raise ValueError(
            "all eigenvalues are zero: ask the spectrum for more of them than the shape has components"
        )
    first = evals.where(evals > _zero(last)[:, None], math.inf).amin(dim=1)
    return evals, first, last


def _zero(last: Tensor) -> Tensor:
    """Up to where an eigenvalue is that of a constant function."""
    return 1e-8 * last


def _positive(count: int) -> int:
    if count < 1:
        raise ValueError(f"times must be at least one, got {count}")
    return count
