"""to_basis, from_basis and heat_diffuse against loops over shapes, their derivatives, the FFT, and what they refuse."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from geodl.ops import from_basis, heat_diffuse, to_basis, use_backend

from .devices import BACKENDS, INTERPRETED, device_of

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
SIZES = [
    ([5, 0, 9, 1], 4, 3),  # vertices of each shape, eigenvectors, channels
    ([70], 33, 17),
    ([3, 40, 2], 5, 20),
    ([], 3, 2),
    ([0], 3, 2),
    ([4, 2], 0, 2),
    ([4, 2], 3, 0),
]

every_backend = pytest.mark.parametrize("backend", BACKENDS)
ARGUMENTS = ("x", "evals", "evecs", "mass", "time")


def random_inputs(vertices, size, channels, dtype=torch.float64):
    ptr = torch.tensor([0, *vertices]).cumsum(0)
    total = int(ptr[-1])
    return {
        "x": torch.randn(total, channels, dtype=torch.float64).to(dtype),
        "evals": torch.rand(len(vertices), size, dtype=torch.float64).to(dtype),
        "evecs": torch.randn(total, size, dtype=torch.float64).to(dtype),
        "mass": torch.rand(total, dtype=torch.float64).to(dtype),
        "time": torch.rand(channels, dtype=torch.float64).to(dtype),
        "ptr": ptr,
    }


def assert_near(actual, expected, dtype):
    assert actual.dtype == dtype and actual.shape == expected.shape
    scale = 1 + np.abs(expected).max(initial=0)
    np.testing.assert_allclose(actual.detach().cpu().numpy(), expected, rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("vertices", "size", "channels"), SIZES)
@every_backend
def test_values(backend, vertices, size, channels, dtype):
    given = random_inputs(vertices, size, channels, dtype)
    x, evals, evecs, mass, time = (given[name].double().cpu().numpy() for name in ARGUMENTS)
    ptr = given["ptr"].cpu().numpy()
    projected = np.zeros((len(vertices), size, channels))
    diffused = np.zeros(x.shape)
    for b in range(len(vertices)):
        for v in range(ptr[b], ptr[b + 1]):
            projected[b] += np.outer(evecs[v], mass[v] * x[v])
        for v in range(ptr[b], ptr[b + 1]):
            for k in range(size):
                diffused[v] += evecs[v, k] * np.exp(-evals[b, k] * time) * projected[b, k]
    with use_backend(backend):
        coefficients = to_basis(given["x"], given["evecs"], given["mass"], given["ptr"])
        assert_near(coefficients, projected, dtype)
        assert_near(heat_diffuse(**given), diffused, dtype)
        given["time"] = torch.zeros_like(given["time"])
        assert_near(
            from_basis(coefficients, given["evecs"], given["ptr"]), heat_diffuse(**given).cpu().numpy(), dtype
        )


@every_backend
def test_derivatives(backend):
    given = random_inputs([2, 0, 3], 2, 2)
    leaves = [given[name].requires_grad_() for name in ARGUMENTS]
    fast = backend == "triton" and INTERPRETED

    def call(*leaves):
        return heat_diffuse(*leaves, given["ptr"])

    with use_backend(backend):
        assert gradcheck(call, leaves, fast_mode=fast, check_forward_ad=not fast, check_batched_grad=not fast)
        assert gradgradcheck(call, leaves, fast_mode=fast, check_fwd_over_rev=not fast)


@every_backend
def test_batch_gives_the_numbers_of_each_shape_alone(backend):
    given = random_inputs([5, 0, 9, 1], 4, 3)
    ptr = given["ptr"].tolist()
    with use_backend(backend):
        together = heat_diffuse(**given)
        for b, (begin, end) in enumerate(pairwise(ptr)):
            part = {name: given[name][begin:end] for name in ("x", "evecs", "mass")}
            alone = heat_diffuse(
                **part, evals=given["evals"][b], time=given["time"], ptr=torch.tensor([0, end - begin])
            )
            torch.testing.assert_close(together[begin:end], alone)


@every_backend
def test_diffusion_on_a_cycle_is_that_of_the_fft(backend):
    points = 12
    k = np.arange(points)
    laplacian = 2 * np.eye(points) - np.eye(points)[(k + 1) % points] - np.eye(points)[(k - 1) % points]
    evals, evecs = (torch.tensor(part) for part in np.linalg.eigh(laplacian))
    x, time = torch.randn(points, 2, dtype=torch.float64), torch.tensor([0.3, 2.0], dtype=torch.float64)
    ones, ptr = torch.ones(points, dtype=torch.float64), torch.tensor([0, points])
    with use_backend(backend):
        ours = heat_diffuse(x, evals, evecs, ones, time, ptr)
    frequencies = torch.tensor(2 - 2 * np.cos(2 * np.pi * k / points))
    spectrum = torch.fft.fft(x, dim=0) * (-frequencies[:, None] * time).exp()
    torch.testing.assert_close(ours, torch.fft.ifft(spectrum, dim=0).real)


@every_backend
def test_repeats_bitwise(backend):
    given = random_inputs([30, 7], 9, 5, torch.float32)
    with use_backend(backend):
        assert torch.equal(heat_diffuse(**given), heat_diffuse(**given))


@pytest.mark.skipif("triton" not in BACKENDS, reason="Triton's interpreter")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-2), (torch.bfloat16, 6e-2)])
def test_half_precision(dtype, tolerance):
    with device_of("triton"):
        given = random_inputs([20, 3], 5, 4, dtype)
    exact = {
        name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in given.items()
    }
    with use_backend("triton"):
        ours = heat_diffuse(**given)
    expected = heat_diffuse(**exact)
    assert ours.dtype == dtype
    torch.testing.assert_close(
        ours.double(), expected, rtol=0, atol=tolerance * float(1 + expected.abs().max())
    )


def test_custom_ops_are_registered_correctly():
    given = random_inputs([3, 2], 2, 2)
    x, evecs = given["x"].requires_grad_(), given["evecs"].requires_grad_()
    coefficients = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(torch.ops.geodl.spectral_project.default, (x, evecs, given["ptr"]))
    torch.library.opcheck(torch.ops.geodl.spectral_expand.default, (coefficients, evecs, given["ptr"]))


def test_compiles_into_one_graph():
    given = random_inputs([6, 4], 3, 2)
    torch._dynamo.reset()
    compiled = torch.compile(heat_diffuse, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(**given), heat_diffuse(**given))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": torch.zeros(4, 3)}, r"x must have shape \[V, C\] = \[5, 3\], not \[4, 3\]"),
        ({"evecs": torch.zeros(5)}, r"evecs must have shape \[V, K\], not \[5\]"),
        ({"mass": torch.zeros(4)}, r"mass must have shape \[V\] = \[5\], not \[4\]"),
        ({"mass": torch.zeros(5).double()}, "evecs is torch.float32 but mass is torch.float64"),
        ({"evals": torch.zeros(2)}, r"evals must have shape \[B, K\] = \[B, 2\], not \[2\]"),
        ({"time": torch.zeros(1)}, r"time must have shape \[C\] = \[3\], not \[1\]"),
        (
            {"ptr": torch.tensor([0, 3, 4])},
            r"ptr must ascend from 0 to the 5 vertices of evecs, not as \[0, 3, 4\]",
        ),
        ({"ptr": torch.tensor([0.0, 3, 5])}, "ptr must be int64"),
    ],
)
def test_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        heat_diffuse(**random_inputs([3, 2], 2, 3, torch.float32) | changes)
    with pytest.raises(ValueError, match=r"ptr must have shape \[B\+1\] = \[3\], not \[2\]"):
        from_basis(torch.zeros(2, 2, 1), torch.zeros(4, 2), torch.tensor([0, 4]))
