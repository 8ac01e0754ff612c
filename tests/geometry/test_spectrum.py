"""Spectra against scipy, closed forms, and what a packed batch must keep."""

from __future__ import annotations

import copy
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse.linalg
import torch
from torch_geometric.data import Data

from geodl.data import Mesh, collate
from geodl.geometry import Laplacian, SparseFactor, Spectrum, grid_laplacian, laplacian, spectrum
from geodl.geometry.blas import _switches, single_threaded_blas

from .shapes import Shape, bumpy, flat_random, icosphere, join


@pytest.mark.parametrize(
    "make", [lambda: bumpy(4), lambda: flat_random(900, stretch=3)], ids=["closed", "boundary"]
)
@pytest.mark.parametrize("k", [1, 40])
def test_agrees_with_scipy(make, k) -> None:
    operator = laplacian(make())
    found = spectrum(operator, k)
    mass = operator.mass.numpy()
    expected = scipy.linalg.eigh(operator.matrix().toarray(), np.diag(mass), eigvals_only=True)[:k]
    np.testing.assert_allclose(found.evals, expected, rtol=1e-8, atol=1e-9 * max(expected[-1], 1))
    assert found.reports[0].method == "block Lanczos" and found.reports[0].residual < 1e-6
    gram = found.evecs.T @ (found.mass[:, None] * found.evecs)
    torch.testing.assert_close(gram, torch.eye(k, dtype=torch.float64), atol=1e-10, rtol=0)
    assert (found.evals >= 0).all() and (found.evals.diff() >= -1e-9).all()
    largest = found.evecs.abs().argmax(0)
    assert (found.evecs[largest, torch.arange(k)] > 0).all()


def test_sphere_has_the_eigenvalues_of_spherical_harmonics() -> None:
    found = spectrum(icosphere(4), 16).evals
    expected = torch.tensor(
        [float(n * (n + 1)) for n in range(4) for _ in range(2 * n + 1)], dtype=torch.float64
    )
    torch.testing.assert_close(found, expected, rtol=0.01, atol=1e-8)


def test_every_copy_of_a_multiple_eigenvalue_is_found() -> None:
    """A periodic grid has eigenvalues four and eight times over; forty copies of one shape have all forty times."""
    n = 30
    found = spectrum(grid_laplacian([n, n], periodic=True), 60).evals
    wave = 2 - 2 * np.cos(2 * np.pi * np.arange(n) / n)
    np.testing.assert_allclose(found, np.sort((wave[:, None] + wave).ravel())[:60], atol=1e-9)
    ball = icosphere(2)
    copies = [ball.pos + 5 * number for number in range(40)]
    faces = [ball.face + ball.size * number for number in range(40)]
    many = spectrum(Shape(torch.cat(copies), torch.cat(faces, 1)), 80).evals
    one = spectrum(ball, 2).evals
    np.testing.assert_allclose(many, one.repeat_interleave(40), rtol=1e-8, atol=1e-8)


def test_points_without_mass_take_no_part() -> None:
    whole = icosphere(3)
    lonely = Shape(torch.cat([whole.pos, whole.pos[:3] * 2]), whole.face)
    found, expected = spectrum(lonely, 5), spectrum(whole, 5)
    assert found.reports[0].without_mass == 3 and not found.evecs[-3:].any()
    torch.testing.assert_close(found.evals, expected.evals, atol=1e-9, rtol=1e-9)


def test_a_batch_is_the_spectra_of_its_shapes() -> None:
    meshes = [Mesh(made.pos, made.face) for made in (icosphere(2), bumpy(3))]
    packed = spectrum(collate(meshes), 6)
    alone = [spectrum(mesh, 6) for mesh in meshes]
    assert packed.ptr.tolist() == [0, 162, 162 + 642]
    torch.testing.assert_close(packed.evals, torch.stack([part.evals for part in alone]))
    torch.testing.assert_close(packed.evecs, torch.cat([part.evecs for part in alone]))
    again = Spectrum.cat([Spectrum.cat(alone), alone[0]])
    assert again.ptr.tolist() == [0, 162, 804, 966] and again.evals.shape == (3, 6)


def test_truncate_and_dtype() -> None:
    found = spectrum(icosphere(2), 9)
    short = found.truncate(4).to(torch.float32)
    assert short.evecs.shape == (162, 4) and short.evecs.dtype == torch.float32
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.9, got 10"):
        found.truncate(10)


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.42, .* got 43"):
        spectrum(icosphere(1), 43)
    with pytest.raises(ValueError, match="evals have shape"):
        Spectrum(torch.zeros(3), torch.zeros(5, 4), torch.ones(5))
    with pytest.raises(ValueError, match="at least one part"):
        Spectrum.cat([])


def test_a_bad_residual_is_reported_and_another_method_asked(monkeypatch) -> None:
    module = sys.modules["geodl.geometry.spectrum"]
    exact = module._block_lanczos

    def spoilt(*arguments):
        evals, vectors, products = exact(*arguments)
        return evals * 1.01, vectors, products

    operator = laplacian(bumpy(4))
    expected = spectrum(operator, 8)
    monkeypatch.setattr(module, "_block_lanczos", spoilt)
    with pytest.warns(RuntimeWarning, match="block Lanczos left a residual of .*: ARPACK is asked instead"):
        found = spectrum(operator, 8)
    assert found.reports[0].method == "ARPACK"
    torch.testing.assert_close(found.evals, expected.evals, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("share", [1e-6, 1e-9, 1e-15])
@pytest.mark.parametrize("size", [2, 3])
def test_points_of_nearly_no_mass_cost_nothing(size, share) -> None:
    """Their diagonal entries of the scaled problem are huge; neither the shift nor the residuals may follow them."""
    operator = laplacian(bumpy(size))
    even = spectrum(operator, 20).reports[0]
    mass = operator.mass.clone()
    mass[::41] *= share
    found = spectrum(replace(operator, mass=mass), 20)
    report = found.reports[0]
    assert report.method == even.method and report.products <= even.products + 20 and report.residual < 1e-6
    assert report.floored == (len(mass[::41]) if share < 1e-10 else 0)
    # Of the inverse the eigenvalues that are asked for are the largest: an oracle that no small mass disturbs.
    root = mass.sqrt().numpy()
    inverse = root[:, None] * np.linalg.inv(operator.matrix().toarray() + np.diag(mass)) * root
    expected = 1 / np.linalg.eigvalsh((inverse + inverse.T) / 2)[::-1][:20] - 1
    # A solver of dense matrices is off by the rounding of the largest entry, on some processors, but by no more than the residual.
    rounding = np.finfo(np.float64).eps * float((operator.matrix().diagonal() / found.mass.numpy()).max())
    largest = 1e-6 * expected[-1] if report.method == "dense" else 1e-9
    np.testing.assert_allclose(found.evals, expected, rtol=1e-8, atol=min(max(rounding, 1e-9), largest))


@pytest.mark.parametrize("kind", ["tufted", "cotangent"])
def test_rounding_at_pinched_vertices_is_no_residual(kind) -> None:
    """Slivers and areas of 1e-10 at once, in two parts: the product itself is off by more than the residual may be."""
    mesh, draw = bumpy(3), torch.Generator().manual_seed(0)
    pos = mesh.pos.clone()
    for vertex in torch.randint(mesh.size, (10,), generator=draw).tolist():
        ring = mesh.face[:, (mesh.face == vertex).any(dim=0)].unique()
        pos[ring] = pos[vertex] + 1e-5 * (pos[ring] - pos[vertex])
    operator = laplacian(join(mesh.with_pos(pos), mesh.with_pos(0.4 * pos + 5)), kind)
    found = spectrum(operator, 40)
    assert found.reports[0].method == "block Lanczos" and found.reports[0].floored > 0
    root = found.mass.sqrt().numpy()
    inverse = root[:, None] * np.linalg.inv(operator.matrix().toarray() + np.diag(found.mass)) * root
    expected = 1 / np.linalg.eigvalsh((inverse + inverse.T) / 2)[::-1][:40] - 1
    np.testing.assert_allclose(found.evals, expected, rtol=1e-7, atol=1e-8)
    gram = found.evecs.T @ (found.mass[:, None] * found.evecs)
    np.testing.assert_allclose(gram, np.eye(40), atol=1e-8)


def test_a_shift_that_is_far_off_is_chosen_anew() -> None:
    """A path of which two thirds are much stiffer: the median says nothing about the smallest eigenvalues."""
    weight = torch.ones(899, dtype=torch.float64)
    weight[:600] = 1e5
    ends = torch.stack([torch.arange(899), torch.arange(1, 900)])
    operator = laplacian(Data(edge_index=ends, edge_weight=weight, num_nodes=900))
    found = spectrum(operator, 12)
    assert found.reports[0].method == "block Lanczos"
    inverse = np.linalg.inv(operator.matrix().toarray() + 1e-4 * np.eye(900))
    expected = 1 / np.linalg.eigvalsh((inverse + inverse.T) / 2)[::-1][:12] - 1e-4
    np.testing.assert_allclose(found.evals, expected, rtol=1e-8, atol=1e-10)


def test_a_spectrum_that_nobody_finds_is_an_error(monkeypatch) -> None:
    module = sys.modules["geodl.geometry.spectrum"]
    exact = module._block_lanczos

    def spoilt(*arguments):
        evals, vectors, products = exact(*arguments)
        return evals * 1.01, vectors, products

    def never(*_, **__):
        raise scipy.sparse.linalg.ArpackNoConvergence("No convergence (100 iterations)", None, None)

    monkeypatch.setattr(module, "_block_lanczos", spoilt)
    monkeypatch.setattr(module, "eigsh", never)
    with (
        pytest.warns(RuntimeWarning, match="ARPACK is asked"),
        pytest.raises(RuntimeError, match=r"of 642 points was found by neither .*100 iterations"),
    ):
        spectrum(bumpy(3), 8)


def test_molecular_surfaces_with_slivers(shared_data) -> None:
    """Of the meshes of RNA, the one that never came to an end."""
    operator = laplacian(Mesh.load(shared_data / "RNA" / "off" / "5DGF_3.off"))
    found = spectrum(operator, 24)
    assert found.reports[0].method == "block Lanczos" and found.reports[0].products < 500
    scale = 1 / found.mass.sqrt().numpy()
    scaled = operator.matrix().multiply(scale[:, None]).multiply(scale[None, :]).tocsc()
    expected = np.sort(scipy.sparse.linalg.eigsh(scaled, 24, sigma=-1e-4, return_eigenvectors=False))
    np.testing.assert_allclose(found.evals, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("columns", [1, 16, 37])
def test_factor_solves(columns) -> None:
    operator: Laplacian = laplacian(bumpy(3))
    matrix = copy.deepcopy(operator.matrix())
    matrix.setdiag(matrix.diagonal() + operator.mass.numpy())
    right = np.random.default_rng(0).standard_normal((642, columns))
    x = SparseFactor(matrix).solve(right)
    np.testing.assert_allclose(x, np.linalg.solve(matrix.toarray(), right), rtol=1e-9, atol=1e-9)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert np.array_equal(SparseFactor(matrix).solve(right), x)
    torch.set_num_threads(threads)


def test_a_singular_matrix_is_named() -> None:
    import scipy.sparse

    with pytest.raises(ValueError, match="the matrix of size 3 cannot be factored"):
        SparseFactor(scipy.sparse.csr_array((3, 3)))
    assert math.isfinite(spectrum(icosphere(1), 3).evals.sum())


@pytest.mark.parametrize("points", [5, 96, 1003])
@pytest.mark.parametrize("slabs", [1, 7])
def test_orthogonalize(points, slabs) -> None:
    """The kernel of the Lanczos basis: overlaps and what is left, the same with any number of threads."""
    from geodl.geometry.native import native

    rng = np.random.default_rng(0)
    basis, x = rng.standard_normal((slabs, points, 8)), rng.standard_normal((points, 8))
    overlap = np.einsum("sna,nb->sab", basis, x)
    left = x - np.einsum("sna,sab->nb", basis, overlap)
    results = []
    for threads in (1, 3):
        found, rest = np.ones_like(overlap), x.copy()
        native().orthogonalize(basis, rest, found, threads)
        np.testing.assert_allclose(found, overlap, rtol=1e-12, atol=1e-11)
        np.testing.assert_allclose(rest, left, rtol=1e-10, atol=1e-9)
        results.append((found, rest))
    assert all(np.array_equal(*pair) for pair in zip(*results, strict=True))


def test_dependent_vectors_are_orthonormalized_too() -> None:
    module = sys.modules["geodl.geometry.spectrum"]
    slabs = np.random.default_rng(0).standard_normal((2, 50, 8))
    slabs[1, :, 3] = slabs[0, :, 2]
    before = slabs.transpose(1, 0, 2).reshape(50, 16)
    triangle = module._orthonormalize(slabs)
    after = slabs.transpose(1, 0, 2).reshape(50, 16)
    np.testing.assert_allclose(after.T @ after, np.eye(16), atol=1e-12)
    np.testing.assert_allclose(after @ triangle, before, atol=1e-12)


def test_blas_has_its_threads_back() -> None:
    before = blas_threads()
    with single_threaded_blas():
        with single_threaded_blas():
            assert set(blas_threads()) <= {1}
        assert set(blas_threads()) <= {1}
    assert blas_threads() == before
    with pytest.raises(ValueError, match="k must lie in"):
        spectrum(icosphere(1), 0)
    assert blas_threads() == before


def blas_threads() -> list[int]:
    return [count() for count, _ in _switches()]
