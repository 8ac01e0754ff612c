"""The spectral view: on a periodic grid the Laplacian's eigenbasis is Fourier's, and filters are products there."""

from __future__ import annotations

import math

import pytest
import torch

from geodl.geometry import grid_laplacian, spectrum
from geodl.nn import GridConv
from geodl.ops import chebyshev, from_basis, heat_diffuse, to_basis, use_backend


def frequencies(size: tuple[int, ...]) -> torch.Tensor:
    """The Laplacian's eigenvalue at every frequency of the FFT."""
    total = torch.zeros(size, dtype=torch.float64)
    for axis, length in enumerate(size):
        shape = [1] * len(size)
        shape[axis] = length
        total = total + (2 - 2 * torch.cos(2 * math.pi * torch.arange(length).double() / length)).view(shape)
    return total


@pytest.mark.parametrize("size", [(16,), (9, 12), (4, 5, 6)])
def test_a_spectral_filter_on_a_torus_is_a_product_of_ffts(size: tuple[int, ...]) -> None:
    found = spectrum(grid_laplacian(size, periodic=True), math.prod(size))
    torch.testing.assert_close(found.evals, frequencies(size).flatten().sort().values, rtol=1e-10, atol=1e-10)
    x = torch.randn(math.prod(size), 2, dtype=torch.float64)
    ptr = torch.tensor([0, len(x)])

    def filtered(response: torch.Tensor) -> torch.Tensor:
        signal = torch.fft.fftn(x.t().view(2, *size), dim=tuple(range(1, 1 + len(size))))
        return torch.fft.ifftn(signal * response, dim=tuple(range(1, 1 + len(size)))).real.flatten(1).t()

    coefficients = to_basis(x, found.evecs, found.mass, ptr) * torch.cos(found.evals)[None, :, None]
    torch.testing.assert_close(
        from_basis(coefficients, found.evecs, ptr),
        filtered(torch.cos(frequencies(size))),
        rtol=1e-10,
        atol=1e-10,
    )
    time = torch.tensor([0.7, 0.7], dtype=torch.float64)
    torch.testing.assert_close(
        heat_diffuse(x, found.evals, found.evecs, found.mass, time, ptr), filtered(torch.exp(-0.7 * frequencies(size))),
        rtol=1e-10, atol=1e-10,
    )  # fmt: skip


@pytest.mark.parametrize("size", [(16,), (9, 12), (4, 5, 6)])
def test_a_circular_convolution_is_a_product_of_ffts(size: tuple[int, ...]) -> None:
    dim = len(size)
    axes = tuple(range(2, 2 + dim))
    conv = GridConv(2, 3, 3, padding=1, padding_mode="circular", bias=False, dim=dim).double()
    kernel = torch.zeros(3, 2, *size, dtype=torch.float64)
    kernel[(slice(None), slice(None), *[slice(0, 3)] * dim)] = conv.weight
    kernel = torch.roll(kernel, [-1] * dim, axes)  # the middle tap at the origin
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    product = (torch.fft.fftn(kernel, dim=axes).conj() * torch.fft.fftn(x, dim=axes)).sum(1)
    expected = torch.fft.ifftn(product, dim=tuple(a - 1 for a in axes)).real[None]
    for backend in ("native", "reference"):
        with use_backend(backend):
            torch.testing.assert_close(conv(x), expected, rtol=1e-10, atol=1e-10)


def test_a_polynomial_of_the_grids_laplacian_is_a_product_of_ffts() -> None:
    size = (8, 10)
    grid = grid_laplacian(size, periodic=True)
    x = torch.randn(80, 1, dtype=torch.float64)
    coefficients = torch.randn(5, dtype=torch.float64)
    # Eigenvalues lie in 0..8; Chebyshev's polynomials want -1..1.
    on_diagonal = grid.neighbors.row == grid.neighbors.col
    scaled = grid.values / 4 - on_diagonal.double()
    y = chebyshev(x, grid.neighbors, scaled, coefficients.view(5, 1, 1))
    angle = torch.acos((frequencies(size) / 4 - 1).clamp(-1, 1))
    response = sum(c * torch.cos(k * angle) for k, c in enumerate(coefficients))
    expected = torch.fft.ifft2(torch.fft.fft2(x.view(size)) * response).real.reshape(80, 1)
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-10)
