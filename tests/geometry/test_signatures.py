"""Signatures by their definition, and what they must not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from geodl.data import Mesh, collate
from geodl.geometry import Spectrum, heat_kernel_signature, spectrum, wave_kernel_signature

from .shapes import bumpy, icosphere


def test_heat_by_definition() -> None:
    found = spectrum(bumpy(), 20)
    times = torch.tensor([0.1, 1.0], dtype=torch.float64)
    ours = heat_kernel_signature(found, times).numpy()
    evals, evecs = found.evals.numpy(), found.evecs.numpy()
    for column, t in enumerate(times.tolist()):
        decay = np.exp(-evals * t)
        np.testing.assert_allclose(ours[:, column], (evecs**2 @ decay) / decay.sum(), rtol=1e-12)


def test_wave_by_definition() -> None:
    found = spectrum(bumpy(), 30)
    ours = wave_kernel_signature(found, 20)
    logs = np.log(found.evals.numpy()[1:])
    step = (logs[-1] - logs[0]) / (19 + 28)
    energies = logs[0] + 14 * step + step * np.arange(20)
    weight = np.exp(-((energies - logs[:, None]) ** 2) / (2 * (7 * step) ** 2))
    expected = found.evecs.numpy()[:, 1:] ** 2 @ weight / weight.sum(0)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    assert energies[-1] == pytest.approx(logs[-1] - 14 * step)


@pytest.mark.parametrize("signature", [heat_kernel_signature, wave_kernel_signature])
def test_a_rigid_motion_changes_nothing_and_a_scale_only_the_area(signature) -> None:
    mesh = bumpy()
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q
    moved = mesh.with_pos(3 * mesh.pos @ turn.T + 5)
    ours, theirs = signature(spectrum(mesh, 25), 10), signature(spectrum(moved, 25), 10)
    torch.testing.assert_close(theirs * 9, ours, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("signature", [heat_kernel_signature, wave_kernel_signature])
def test_on_a_sphere_no_point_is_special(signature) -> None:
    """Whole multiplets: 1 + 3 + 5 + 7 eigenvalues."""
    values = signature(spectrum(icosphere(3), 16), 8)
    torch.testing.assert_close(values, torch.full_like(values, 1 / (4 * math.pi)), rtol=0.05, atol=0)


def test_a_batch_is_its_shapes() -> None:
    meshes = [Mesh(made.pos, made.face) for made in (icosphere(2), bumpy())]
    packed = spectrum(collate(meshes), 12)
    for signature in (heat_kernel_signature, wave_kernel_signature):
        alone = torch.cat([signature(spectrum(mesh, 12), 5) for mesh in meshes])
        torch.testing.assert_close(signature(packed, 5), alone)


def test_errors_say_what_is_wrong() -> None:
    constant = Spectrum(torch.zeros(1), torch.ones(4, 1), torch.ones(4))
    with pytest.raises(ValueError, match="all eigenvalues are zero"):
        heat_kernel_signature(constant)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        wave_kernel_signature(constant, 1)
    with pytest.raises(ValueError, match="at least one, got 0"):
        heat_kernel_signature(spectrum(icosphere(1), 5), 0)
