"""Spectra: the smoothest functions on a shape, and how fast they vary."""

from __future__ import annotations

import math
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import scipy.linalg
import scipy.sparse
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from torch import Tensor

from geodl.geometry.blas import single_threaded_blas
from geodl.geometry.laplacian import Laplacian, laplacian
from geodl.geometry.native import native, num_threads
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.sparse_factor import SparseFactor
from geodl.ops.core.structure import Fixed, Layout, Pointer, Rows, Structure

__all__ = ["Spectrum", "SpectrumReport", "spectrum"]

# Residual of the scaled problem, relative to the largest eigenvalue asked for, that is accepted; and that is iterated for.
_ACCEPTED, _WANTED = 1e-6, 1e-8
# Beyond this, between the two, eigenvectors are polished.
_POLISHED = 1e-7
# What a product of a row with a vector may be off by, in units in the last place of its terms; not counted as residual.
_ROUNDINGS = 4
# Up to so many points, all eigenvectors together cost no more than the few that are asked for.
_DENSE = 500
# Vectors side by side in memory: what the compiled kernels take at a time.
_SLAB = 8
# A point's mass, over the mean, that is counted at least. Less would change no eigenvalue and costs the residuals their digits.
_LEAST_MASS = 1e-10
# How often the shift is chosen anew, each time nearer to the eigenvalues; and restarts of ARPACK, which takes ten.
_SHIFTS, _RESTARTS = 3, 100

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SpectrumReport:
    """How a spectrum was found.

    Attributes:
        method: "dense", "block Lanczos" or "ARPACK" (the fallback).
        residual: the largest of :math:`\\|M^{-1/2} (L \\phi - \\lambda M \\phi)\\|`, over the largest eigenvalue,
            less what rounding of that product explains.
        products: how many times the inverse was applied to a vector.
        without_mass: points that have no mass and take no part: their eigenvectors' entries are zero.
        floored: points whose mass was below 1e-10 of the mean and counts as that much.
    """

    method: str
    residual: float
    products: int = 0
    without_mass: int = 0
    floored: int = 0


@dataclass(frozen=True, eq=False)
class Spectrum(Structure):
    r"""The K smallest eigenvalues of :math:`L \phi = \lambda M \phi` and their eigenvectors, :math:`\Phi^\top M \Phi = I`.

    Args:
        evals: ``[K]``, ascending; of a batch ``[B, K]``.
        evecs: ``[V, K]``; of a batch, the shapes one below the other.
        mass: ``[V]``, the diagonal of M, after its floor.
        ptr: of a batch ``[B + 1]`` int64, where shapes begin; None for one shape.
        reports: how each was found.
    """

    evals: Tensor
    evecs: Tensor
    mass: Tensor
    ptr: Tensor | None = None
    reports: tuple[SpectrumReport, ...] = field(default=(), repr=False)

    layout: ClassVar[Layout] = {
        "evals": Rows("shapes"),
        "evecs": Rows("points"),
        "mass": Rows("points"),
        "ptr": Pointer("shapes", into="points"),
        "reports": Fixed(lambda reports: tuple(chain(*reports)), read=False, type=SpectrumReport),
    }

    def check(self) -> None:
        points, k = self.evecs.shape
        batch = () if self.ptr is None else (self.ptr.numel() - 1,)
        if tuple(self.evals.shape) != (*batch, k):
            raise ValueError(f"evecs have {k} columns but evals have shape {list(self.evals.shape)}")
        if tuple(self.mass.shape) != (points,):
            raise ValueError(f"evecs have {points} rows but mass has shape {list(self.mass.shape)}")

    def truncate(self, k: int) -> Spectrum:
        """The first k eigenpairs."""
        if not 0 < k <= self.evecs.shape[1]:
            raise ValueError(f"k must lie in 1..{self.evecs.shape[1]}, got {k}")
        return replace(self, evals=self.evals[..., :k], evecs=self.evecs[:, :k])

    def as_batch(self) -> Spectrum:
        if self.ptr is not None:
            return self
        ptr = torch.tensor([0, self.evecs.shape[0]], device=self.device)
        return Spectrum(self.evals[None], self.evecs, self.mass, ptr, self.reports)

    def as_single(self) -> Spectrum:
        return Spectrum(self.evals[0], self.evecs, self.mass, reports=self.reports)


def spectrum(shape: ShapeLike, k: int, kind: str | None = None) -> Spectrum:
    r"""The k smallest eigenvalues and eigenvectors of a shape's Laplacian.

    By shift-invert block Lanczos with full reorthogonalisation, in float64: the Krylov space of
    :math:`(M^{-1/2} L M^{-1/2} + \sigma)^{-1}` grows, 8 vectors at a time, until the residuals that it predicts are small.
    A packed batch has its shapes solved side by side, as many as torch has threads.
    The shift is the median of L's diagonal over the sum of the masses, about the first eigenvalue of a surface: points of nearly no
    mass don't move it. Where it does not separate the eigenvalues it is chosen anew, from those that were found. Residuals are
    checked at the end. Should they exceed 1e-6, ARPACK is asked instead, with a warning. Masses below 1e-10 of their mean count as
    that much.

    A component that is apart from the others adds an eigenvalue 0. Signs are fixed: an eigenvector's entry of largest size is
    positive. On one machine a spectrum is the same to the last bit for any number of threads, of torch, OpenMP or BLAS; between
    processors it differs by rounding.

    Args:
        shape: anything that :func:`laplacian` takes, a :class:`Laplacian`, or a packed batch of meshes with ``ptr``.
        k: number of eigenvalues.
        kind: of the Laplacian, if the shape is none.

    Returns:
        Spectrum in float64 on the device of the shape, packed where the shape is a batch.

    Raises:
        ValueError: k is not positive or exceeds the number of points with a mass; what :func:`laplacian` raises.
        RuntimeError: neither method came to a residual of 1e-6 within its bounded number of steps.
    """
    if isinstance(shape, Laplacian):
        return _solve(shape, k, num_threads())
    shape = as_shape(shape)
    tensor = shape.pos if getattr(shape, "pos", None) is not None else shape.edge_index
    if getattr(shape, "ptr", None) is not None:
        parts = shape.to_data_list()
        workers = min(num_threads(), len(parts))
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            share = max(num_threads() // max(workers, 1), 1)
            found = pool.map(lambda part: _solve(laplacian(part, kind), k, share), parts)
        return Spectrum.cat(list(found)).to(tensor.device)
    return _solve(laplacian(shape, kind), k, num_threads()).to(tensor.device)


@single_threaded_blas()
def _solve(operator: Laplacian, k: int, threads: int) -> Spectrum:
    mass = operator.mass.cpu().numpy().copy()
    heavy = np.flatnonzero(mass > 0)
    if not 1 <= k <= len(heavy):
        raise ValueError(f"k must lie in 1..{len(heavy)}, the number of points with a mass, got {k}")
    least = _LEAST_MASS * mass[heavy].mean()
    floored = int((mass[heavy] < least).sum())
    mass[heavy] = np.maximum(mass[heavy], least)
    weak = operator.matrix()[heavy][:, heavy]
    diagonal = weak.diagonal()
    # The size of the largest eigenvalues of an even mesh; over the number of points, of the first.
    unit = float(np.median(diagonal[diagonal > 0])) / mass[heavy].mean() if (diagonal > 0).any() else 1.0
    scale = 1 / np.sqrt(mass[heavy] * unit)
    scaled = weak.multiply(scale[:, None]).multiply(scale[None, :]).tocsr()
    shift, products = 1 / len(heavy), 0
    if len(heavy) <= max(_DENSE, 5 * k):
        method = "dense"
        evals, vectors = scipy.linalg.eigh(scaled.toarray(), subset_by_index=(0, k - 1))
        if not _residual(scaled, evals, vectors) <= _POLISHED:
            evals, vectors = _polish(scaled, _shifted(scaled, shift), vectors)
        residual = _residual(scaled, evals, vectors)
    else:
        method = "block Lanczos"
        for _ in range(_SHIFTS):
            evals, vectors, more = _block_lanczos(scaled, k, shift, threads)
            residual, products = _residual(scaled, evals, vectors), products + more
            if residual <= _ACCEPTED:
                break
            # Eigenvalues of a surface grow evenly, so this is about the first.
            shift = float(evals[-1]) / k if evals[-1] > 0 else shift
    if not residual <= _ACCEPTED:
        warnings.warn(
            f"{method} left a residual of {residual:.1e} on a shape of {len(heavy)} points: ARPACK is asked instead",
            RuntimeWarning,
            stacklevel=3,
        )
        method = "ARPACK"
        try:
            # Its own start is another one every time.
            start = np.random.default_rng(0).standard_normal(len(heavy))
            evals, vectors = eigsh(scaled, k, sigma=-shift, v0=start, tol=1e-12, maxiter=_RESTARTS)
        except ArpackNoConvergence as error:
            raise RuntimeError(
                f"the spectrum of {len(heavy)} points was found by neither block Lanczos nor ARPACK ({error})"
            ) from error
        residual = _residual(scaled, evals, vectors)
        if not residual <= _ACCEPTED:
            raise RuntimeError(
                f"the spectrum of {len(heavy)} points has a residual of {residual:.1e} by ARPACK too"
            )
    evecs = np.zeros((len(mass), k))
    evecs[heavy] = vectors / np.sqrt(mass[heavy])[:, None]
    largest = np.abs(evecs).argmax(axis=0)
    evecs *= np.sign(evecs[largest, np.arange(k)])
    report = SpectrumReport(method, residual, products, len(mass) - len(heavy), floored)
    # Rounding leaves a zero eigenvalue on either side of zero.
    evals = torch.from_numpy(np.maximum(evals * unit, 0))
    return Spectrum(evals, torch.from_numpy(evecs), torch.from_numpy(mass), reports=(report,))


def _block_lanczos(matrix: Any, k: int, shift: float, threads: int) -> tuple[Array, Array, int]:
    """The k smallest eigenpairs of a positive semidefinite matrix, and how many solves they took.

    Where the shift does not separate them, what twice the usual number of solves has found.
    """
    size = matrix.shape[0]
    factor = _shifted(matrix, shift)
    components = scipy.sparse.csgraph.connected_components(matrix, directed=False, return_labels=False)
    # A block finds as many copies of an eigenvalue as it has vectors, and every component has an eigenvalue 0.
    slabs = -(-min(components, k) // _SLAB)
    block = slabs * _SLAB
    kernels = native()
    # The basis, eight vectors side by side, its rows in the order of the factors.
    basis = np.empty((-(-(5 * k // 2 + 20 * block) // _SLAB), size, _SLAB))
    basis[:slabs] = np.random.default_rng(0).standard_normal((slabs, size, _SLAB))
    _orthonormalize(basis[:slabs])
    projected = np.zeros((len(basis) * _SLAB,) * 2)
    used = 0  # slabs whose image is known
    # When to look whether the space suffices: a look costs as much as several blocks.
    ask = 5 * k // 2 + 13 * block
    most = 2 * ask + 10 * block
    while True:
        known = used + slabs
        if known + slabs > len(basis):
            more = max(k // (2 * _SLAB), slabs)
            basis = np.concatenate([basis, np.empty((more, size, _SLAB))])
            projected = np.pad(projected, (0, more * _SLAB))
        image = basis[known : known + slabs]
        image[:] = basis[used:known]
        overlap = np.zeros((slabs, known, _SLAB, _SLAB))
        recent = max(used - slabs, 0)
        for x, h in zip(image, overlap, strict=True):
            factor.solve_ordered(x)
            # In exact arithmetic the image has parts along the last two blocks alone; the others are what rounding adds.
            kernels.orthogonalize(basis[recent:known], x, h[recent:], threads)
            local = h[recent:].copy()
            kernels.orthogonalize(basis[:known], x, h, threads)
            h[recent:] += local
        column = slice(used * _SLAB, known * _SLAB)
        within = overlap.transpose(1, 2, 0, 3).reshape(known * _SLAB, block)
        projected[: known * _SLAB, column] = within
        projected[column, : known * _SLAB] = within.T
        coupling = _orthonormalize(image)
        used = known
        total = used * _SLAB
        full = total + block > most or total + 2 * block > size
        if total >= ask or full:
            inverse, vectors = np.linalg.eigh(projected[:total, :total])
            inverse, vectors = inverse[total - k :], vectors[:, total - k :]
            beyond = coupling @ vectors[-block:]
            error = np.linalg.norm(beyond, axis=0)
            # An error e of 1 / (lambda + shift) is one of e (lambda + shift)^2 of lambda.
            evals = 1 / inverse - shift
            worst = (error / inverse**2).max() / max(evals.max(), shift)
            if worst <= _WANTED or full:
                # One more product with the inverse costs nothing, as it is known, and smooths what the basis left rough.
                weights = np.concatenate([vectors * inverse, beyond]) / inverse
                ritz = np.empty((size, k))
                ritz[factor.order] = _combine(basis[: used + slabs], weights)
                evals, ritz = evals[::-1], ritz[:, ::-1]
                if not _residual(matrix, evals, ritz) <= _POLISHED:
                    return *_polish(matrix, factor, ritz), total + k
                return evals, ritz, total
            # The error falls tenfold with every two blocks, or somewhat slower where k is large.
            decades = max(1, math.ceil(math.log10(worst / _WANTED)))
            ask = total + decades * block * max(1, k // (12 * block))


def _shifted(matrix: Any, shift: float) -> SparseFactor:
    return SparseFactor(matrix + shift * scipy.sparse.eye_array(matrix.shape[0]))


def _polish(matrix: Any, factor: SparseFactor, vectors: Array) -> tuple[Array, Array]:
    """Eigenpairs after one more product with the inverse.

    A sum of many vectors is rough, by rounding, where a point has nearly no mass: there the matrix is huge. A solve is not. What
    follows must keep rows small that are small, so it is Cholesky, not Householder.
    """
    image = factor.solve(vectors)
    image /= np.linalg.norm(image, axis=0)
    image = image @ np.linalg.inv(np.linalg.cholesky(image.T @ image).T)
    small = image.T @ (matrix @ image)
    evals, turn = np.linalg.eigh((small + small.T) / 2)
    return evals, image @ turn


def _orthonormalize(slabs: Array) -> Array:
    """Replaces the vectors of ``slabs [s, n, 8]`` by an orthonormal basis Q, and returns R of ``[n, 8 s] = Q R``."""
    count, size, _ = slabs.shape
    vectors = slabs.transpose(1, 0, 2).reshape(size, -1)
    whole = np.eye(vectors.shape[1])
    try:
        # Cholesky twice is as good as Householder, unless the vectors are nearly dependent.
        for _ in range(2):
            triangle = np.linalg.cholesky(vectors.T @ vectors).T
            if triangle.diagonal().min() < 1e-6 * triangle.diagonal().max():
                raise np.linalg.LinAlgError
            vectors = vectors @ np.linalg.inv(triangle)
            whole = triangle @ whole
    except np.linalg.LinAlgError:
        vectors, whole = np.linalg.qr(slabs.transpose(1, 0, 2).reshape(size, -1))
    slabs[:] = vectors.reshape(size, count, -1).transpose(1, 0, 2)
    return whole


def _combine(basis: Array, weights: Array) -> Array:
    """``[n, k]``, the combinations of the vectors of ``basis [s, n, 8]`` with weights ``[8 s, k]``."""
    count, size, _ = basis.shape
    out = np.empty((size, weights.shape[1]))
    for begin in range(0, size, 512):
        rows = basis[:, begin : begin + 512].transpose(1, 0, 2).reshape(-1, count * _SLAB)
        np.matmul(rows, weights, out=out[begin : begin + 512])
    return out


def _residual(matrix: Any, evals: Array, vectors: Array) -> float:
    left = np.abs(matrix @ vectors - vectors * evals)
    # Weights are large at slivers and inverse masses at points of nearly no area: there the product itself is off by more than the
    # residual that is asked for, though the eigenvectors are those of a matrix whose entries differ in the last digit.
    rounding = _ROUNDINGS * np.finfo(np.float64).eps * (abs(matrix) @ np.abs(vectors))
    left = np.linalg.norm(np.maximum(left - rounding, 0), axis=0)
    # Every component has an eigenvalue zero: where there is no other, the size that the next one has on a surface counts.
    components = scipy.sparse.csgraph.connected_components(matrix, directed=False, return_labels=False)
    size = float(np.abs(evals).max()) if len(evals) > components else 1 / len(vectors)
    return float(left.max() / size) if size > 0 else math.inf
