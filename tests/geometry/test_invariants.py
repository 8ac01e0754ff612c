"""Differential invariants: which symmetries they have, and that they are what their formulas say."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from geodl.geometry import (
    Gradient,
    Spectrum,
    differential_invariants,
    gradient,
    spectrum,
    wave_kernel_signature,
)
from tests.geometry.shapes import Shape, bumpy

EVEN, ODD = (0, 1, 4), (2, 3)


def operators(mesh: Shape | SimpleNamespace, k: int = 40) -> tuple[Spectrum, Gradient]:
    return spectrum(mesh, k), gradient(mesh)


def close(found: Tensor, want: Tensor, tolerance: float = 1e-6) -> None:
    assert float((found - want).abs().max()) < tolerance * float(want.abs().max())


def test_turned_frames_change_nothing() -> None:
    made, slope = operators(bumpy())
    turned = slope.rotate(6 * torch.rand(made.mass.shape[0], dtype=torch.float64))
    for one, other in zip(
        differential_invariants(made, slope), differential_invariants(made, turned), strict=True
    ):
        close(one, other)


def test_scale_changes_nothing() -> None:
    mesh = bumpy()
    large = SimpleNamespace(pos=1000 * mesh.pos, face=mesh.face)
    found = zip(
        differential_invariants(*operators(mesh)), differential_invariants(*operators(large)), strict=True
    )
    for one, other in found:
        close(one, other, 1e-4)


def test_a_mirror_image_negates_the_odd_ones() -> None:
    mesh = bumpy()
    mirrored = SimpleNamespace(
        pos=mesh.pos * torch.tensor([-1.0, 1, 1], dtype=mesh.pos.dtype), face=mesh.face.flip(0)
    )
    there = differential_invariants(*operators(mesh))
    here = differential_invariants(*operators(mirrored))
    for family in EVEN:
        close(here[family], there[family], 1e-4)
    for family in ODD:
        close(here[family], -there[family], 1e-4)
        assert float(there[family].abs().max()) > 1


def test_a_batch_gives_what_each_shape_gives() -> None:
    parts = [operators(bumpy(2, seed)) for seed in (0, 1)]
    spectra, slopes = zip(*parts, strict=True)
    packed = differential_invariants(Spectrum.cat(spectra), Gradient.cat(slopes), 5)
    for family, alone in enumerate(zip(*(differential_invariants(*part, 5) for part in parts), strict=True)):
        close(packed[family], torch.cat(alone), 1e-9)


def test_formulas() -> None:
    made, slope = operators(bumpy())
    n, smooth = 4, 30
    found = differential_invariants(made, slope, n, smooth)
    mass = made.mass / made.mass.sum()

    def unit(x: Tensor) -> Tensor:
        return x / (mass[:, None] * x.square()).sum(0).sqrt()

    def centred(x: Tensor) -> Tensor:
        return x - (mass[:, None] * x).sum(0)

    def derive(x: Tensor) -> Tensor:
        phi = made.evecs[:, :smooth]
        return slope(phi @ (phi.T @ (made.mass[:, None] * x)))

    waves = unit(centred(wave_kernel_signature(made)))
    close(found.waves, waves)
    g = derive(waves[:, [0, 33, 66, 99]])
    pairs = [(i, j) for i in range(n) for j in range(i, n)]
    close(found.products, unit(centred(torch.stack([(g[:, i] * g[:, j]).sum(1) for i, j in pairs], 1))))
    cross = [torch.linalg.det(torch.stack([g[:, i], g[:, j]], 1)) for i, j in pairs if i < j]
    brackets = unit(torch.stack(cross, 1))
    close(found.brackets, brackets)
    h = derive(brackets[:, [0, 1, 3, 5]])
    both = [(i, j) for i in range(n) for j in range(n)]
    close(found.second_products, unit(torch.stack([(h[:, i] * g[:, j]).sum(1) for i, j in both], 1)))
    cross = [torch.linalg.det(torch.stack([h[:, i], g[:, j]], 1)) for i, j in both]
    close(found.second_brackets, unit(centred(torch.stack(cross, 1))))


def test_what_does_not_fit_is_named() -> None:
    made, slope = operators(bumpy())
    with pytest.raises(ValueError, match="spectrum has 642 vertices but gradient has 162"):
        differential_invariants(made, gradient(bumpy(2)))
    with pytest.raises(ValueError, match="functions must be at least 2"):
        differential_invariants(made, slope, 1)
