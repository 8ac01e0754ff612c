"""A field of directions on a mesh that is as smooth as can be."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from geodl.geometry.blas import single_threaded_blas
from geodl.geometry.curvature import curvature as curvature_of
from geodl.geometry.frames import frame_angle, oriented, precise_frames
from geodl.geometry.laplacian import LaplacianReport, pack
from geodl.geometry.measures import vertex_areas
from geodl.geometry.native import native
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.sparse_factor import SparseFactor
from geodl.geometry.spectrum import spectrum
from geodl.geometry.surface import Surface, check_surface, surface_arrays

__all__ = ["direction_field"]

# An edge counts at least so much, where the angles across from it make its cotangent weight less; and at most so much, where faces
# of no area make it endless: its ends agree to a thousandth all the same, and rounding stays below what the other edges say.
_LEAST_WEIGHT, _MOST_WEIGHT = 1e-3, 1e3
# A vertex's area, over the mean, that is counted at least.
_LEAST_AREA = 1e-3
# Fields whose energies differ by less than this, in units of 4 pi over the area, are equally smooth.
_EQUALLY_SMOOTH = 1e-4
# How many fields are asked for, with those a quarter turn apart: the smoothest of a sphere are six.
_FIELDS = 12
_MOST_TURNS = 20

Complex = NDArray[np.complex128]


def direction_field(mesh: ShapeLike, strokes: Tensor | None = None, curvature: float = 0.0) -> Tensor:
    r"""Unit vectors that turn as little as possible from vertex to vertex, in the :func:`tangent_frames`.

    With vectors as complex numbers in the frames, :math:`\tau_{ij}` that carries j's frame along the edge to i's, and cotangent
    weights :math:`w_{ij}`, the field is the minimiser, brought to length 1 at every vertex, of

    .. math:: \sum_{ij} w_{ij} |u_i - e^{i \tau_{ij}} u_j|^2 + c \sum_i A_i (|\kappa_1| - |\kappa_2|)_i^2 |u_i - d_i|^2

    among the fields with :math:`\sum_i A_i |u_i|^2 = 1`, where nothing else says what it is: that is the first eigenvector of the
    connection Laplacian. Of fields that are equally smooth, as all those that differ by one angle everywhere, it is the one nearest
    to the first directions of the frames; where these say nothing, as on a torus, the one nearest to a field that the coordinate
    axes define. So it turns with the shape, and no numbering and no choice of frames changes it. It turns around singular
    vertices or faces where it must: their indices sum to the Euler characteristic.

    Args:
        mesh: ``pos [V, 3]``, ``face [3, F]``. Each component has a field of its own; a vertex of no face has its frame's direction.
        strokes: ``[V, 3]``, or ``[V, 2]`` in the frames: directions that the field has where they are not zero (whatever their
            length), such as those drawn by a person. The field continues them as smoothly as it can. Strokes that are normal to
            the surface do not count.
        curvature: c, how much the field follows the direction :math:`d` in which the surface bends least, as along a limb; without
            a unit, 1 for about as much as smoothness counts where the surface bends. d has no sign: that of the field is taken.
            With 0 a field may as well lie across a limb, where that is as smooth; 0.3 to 1 lay it along.

    Returns:
        ``[V, 2]`` in the dtype and on the device of ``pos``, computed in float64. In space it is ``(u[:, :, None] *
        tangent_frames(mesh)[:, :2]).sum(1)``; :meth:`Charts.towards` takes it as it is.

    Raises:
        ValueError: a bad mesh; strokes of another shape or not finite; a curvature that is negative or not finite.
        IndexError: a face refers to a vertex that does not exist.

    Knoeppel, Crane, Pinkall, Schroeder, "Globally optimal direction fields", SIGGRAPH 2013.
    """
    mesh = as_shape(mesh)
    if not 0 <= curvature < float("inf"):
        raise ValueError(f"curvature must be finite and not negative, got {curvature}")
    pos, _ = check_surface(mesh)
    frames = precise_frames(mesh).detach().cpu()
    count = len(pos)
    fixed, drawn = np.zeros(count, dtype=bool), np.ones(count, dtype=np.complex128)
    if strokes is not None:
        angle, there = frame_angle(frames, strokes.detach().cpu())
        fixed, drawn = there.numpy(), np.exp(1j * angle.numpy())
    energy = _connection(mesh, frames)
    area = vertex_areas(SimpleNamespace(pos=pos.detach().cpu().double(), face=mesh.face.cpu())).numpy()
    follow, bend = np.zeros(count), drawn
    if curvature > 0:
        follow, bend = _bending(mesh)
        follow *= curvature * area
    generic = _generic(pos.detach().cpu().double(), frames)
    field = np.ones(count, dtype=np.complex128)
    parts, label = cast(tuple[int, Any], connected_components(abs(energy), directed=False))
    order = np.argsort(label, kind="stable")
    for part in np.split(order, np.cumsum(np.bincount(label, minlength=parts))[:-1]):
        if len(part) > 1:
            own = energy[part][:, part]
            field[part] = _smoothest(
                own, area[part], fixed[part], drawn[part], follow[part], bend[part], generic[part]
            )
    length = np.abs(field)
    field = np.where(length > 0, field / np.where(length > 0, length, 1), 1)
    return torch.view_as_real(torch.from_numpy(field)).to(pos.device, pos.dtype)


def _connection(mesh: Surface, frames: Tensor) -> Any:
    """The matrix of the smoothness energy, complex Hermitian ``[V, V]``."""
    pos, face = surface_arrays(mesh)
    angles, half_cotangent = native().edge_angles(pos, face, frames.numpy())
    turn = np.subtract(*angles.reshape(-1, 2).T)  # carries the frame of the end to that of the start
    corner = oriented(mesh).cpu().numpy()
    start, end = corner.T.ravel(), np.roll(corner, -1, axis=0).T.ravel()
    proper = (corner[0] != corner[1]) & (corner[1] != corner[2]) & (corner[2] != corner[0])
    used = np.repeat(proper, 3)
    start, end, turn, half_cotangent = start[used], end[used], turn[used], half_cotangent[used]
    backwards = start > end
    low, high = np.where(backwards, end, start), np.where(backwards, start, end)
    key, edge = np.unique(low * len(pos) + high, return_inverse=True)
    weight = np.bincount(edge, half_cotangent, minlength=len(key))
    # Faces on either side agree on the turn, up to rounding; where an edge has more of them, the mean is taken.
    turn = np.where(backwards, -turn, turn)
    size = np.abs(half_cotangent) + 1e-12
    turn = np.angle(
        np.bincount(edge, size * np.cos(turn), len(key))
        + 1j * np.bincount(edge, size * np.sin(turn), len(key))
    )
    weight = weight.clip(_LEAST_WEIGHT, _MOST_WEIGHT)
    low, high = key // len(pos), key % len(pos)
    off = scipy.sparse.coo_array((weight * np.exp(1j * turn), (low, high)), shape=(len(pos),) * 2)
    degree = np.bincount(low, weight, len(pos)) + np.bincount(high, weight, len(pos))
    return (scipy.sparse.diags_array(degree.astype(np.complex128)) - off - off.conj().T).tocsr()


def _bending(mesh: Surface) -> tuple[NDArray[np.float64], Complex]:
    """:math:`(|\\kappa_1| - |\\kappa_2|)^2` of every vertex, and the direction of the smaller one."""
    found = curvature_of(mesh)
    size = found.principal.detach().cpu().double().abs()
    directions = found.directions.detach().cpu().double()
    least = directions[torch.arange(len(size)), size.argmin(dim=1)]
    along = np.asarray(torch.view_as_complex(least.contiguous()).numpy())
    return (size[:, 0] - size[:, 1]).square().numpy(), along


def _generic(pos: Tensor, frames: Tensor) -> Complex:
    """A smooth field that no symmetry of a shape leaves alone, in the frames."""
    away = pos - pos.mean(dim=0)
    away = away / away.abs().amax().clamp(min=1e-300)
    lean = torch.tensor([[0.3, -0.8, 0.5], [-0.6, 0.1, 0.9], [0.7, 0.4, -0.2]], dtype=torch.float64)
    vector = torch.tensor([0.36, 0.48, 0.8], dtype=torch.float64) + away @ lean
    flat = (frames[:, :2] @ vector[:, :, None]).squeeze(2).contiguous()
    return np.asarray(torch.view_as_complex(flat).numpy())


def _smoothest(
    energy: Any,
    area: NDArray[np.float64],
    fixed: NDArray[np.bool_],
    drawn: Complex,
    follow: NDArray[np.float64],
    bend: Complex,
    generic: Complex,
) -> Complex:
    """The field of one component, of any length."""
    free = ~fixed
    field = drawn.copy()
    if not free.any():
        return field
    right = -(energy[free][:, fixed] @ drawn[fixed])
    inner = energy[free][:, free]
    if fixed.any():
        field[free] = _solve(SparseFactor(_real(inner)), right)
    else:
        field = _eigenfield(energy, area, generic)
    # Less than that is the rounding of a plane's curvature.
    if not follow.mean() > 1e-9 * energy.diagonal().real.mean():
        return field
    factor = SparseFactor(_real(inner + scipy.sparse.diags_array(follow[free])))
    sign = np.zeros(int(free.sum()))
    for _ in range(_MOST_TURNS):
        towards = np.where((field[free].conj() * bend[free]).real < 0, -1.0, 1.0)
        if (towards == sign).all():
            break
        sign = towards
        field[free] = _solve(factor, right + follow[free] * sign * bend[free])
    return field


@single_threaded_blas()
def _eigenfield(energy: Any, area: NDArray[np.float64], generic: Complex) -> Complex:
    """Of the smoothest fields the one nearest to 1, else to ``generic``."""
    mass = np.maximum(area, _LEAST_AREA * (float(area.mean()) or 1.0))
    twice = np.concatenate([mass, mass])
    operator = pack(_real(energy), twice, LaplacianReport("connection", len(twice)))
    found = spectrum(operator, min(_FIELDS, len(twice)))
    value, vector = found.evals.numpy(), found.evecs.numpy()
    alike = vector[:, value <= value[0] + _EQUALLY_SMOOTH * 4 * np.pi / mass.sum()]
    for wanted in (np.ones(len(mass), dtype=np.complex128), generic, generic**2):
        parts = np.concatenate([wanted.real, wanted.imag])
        share = alike.T @ (twice * parts)
        if np.linalg.norm(share) > 1e-3 * math.sqrt(float(twice @ parts**2)):
            break
    nearest = alike @ share
    return np.asarray(nearest[: len(mass)] + 1j * nearest[len(mass) :])


def _real(matrix: Any) -> Any:
    """The symmetric matrix ``[2V, 2V]`` that is to real and imaginary parts what a Hermitian one is to complex numbers."""
    return scipy.sparse.block_array([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]]).tocsr()


def _solve(factor: SparseFactor, right: Complex) -> Complex:
    parts = factor.solve(np.concatenate([right.real, right.imag])[:, None])[:, 0]
    return np.asarray(parts[: len(right)] + 1j * parts[len(right) :])
