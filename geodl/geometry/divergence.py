"""Divergence and curl of tangent fields, to go with the gradient of functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geodl.geometry.frames import oriented, precise_frames
from geodl.geometry.gradient import laid
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.surface import Surface, check_surface
from geodl.ops import Neighbors, aggregate
from geodl.ops.core.structure import Layout, Part, Rows, Structure

__all__ = ["FieldDerivative", "curl", "divergence"]


@dataclass(frozen=True, eq=False)
class FieldDerivative(Structure):
    r"""A linear map from tangent fields to functions: :math:`(D u)_i = \sum_j d_{ij} \cdot u_j`, with :math:`d_{ij}` in j's frame.

    Args:
        neighbors: row i lists the vertices whose vectors i reads, itself included.
        values: ``[E, 2]``, :math:`d_{ij}` in 1 / unit of length.
    """

    neighbors: Neighbors
    values: Tensor

    layout: ClassVar[Layout] = {"neighbors": Part(Neighbors), "values": Rows("edges")}

    def __call__(self, field: Tensor) -> Tensor:
        """Of fields in the frames, as a :class:`Gradient` gives them: ``[V, C, 2]`` -> ``[V, C]``, differentiable in them.

        Raises:
            ValueError: a field of another shape or dtype.
        """
        if field.dim() != 3 or field.shape[2] != 2:
            raise ValueError(f"a field must have shape [V, C, 2], vectors in frames, not {list(field.shape)}")
        weights = self.values.to(field.dtype)
        x, y = (
            aggregate(field[:, :, k].contiguous(), self.neighbors, weights[:, k].contiguous()) for k in (0, 1)
        )
        return x + y

    def rotate(self, angle: Tensor) -> FieldDerivative:
        """The same map after turning the frame of every vertex i by ``-angle[i]`` radians."""
        if angle.shape != (self.neighbors.num_src,):
            raise ValueError(
                f"angle must have shape [{self.neighbors.num_src}], one a frame, not {list(angle.shape)}"
            )
        turn = angle.to(self.values)[self.neighbors.col]
        x, y = self.values.unbind(1)
        turned = torch.stack([x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos()], dim=1)
        return FieldDerivative(self.neighbors, turned)


def divergence(mesh: ShapeLike) -> FieldDerivative:
    r"""Divergence of fields in the :func:`tangent_frames` of the vertices, per unit of area.

    .. math:: (\operatorname{div} u)_i = \frac{1}{A_i} \sum_j w_{ij}\, u(ij), \qquad
              u(ij) = \tfrac12 (u_i \cdot e_{ij} - u_j \cdot e_{ji})

    with the cotangent weights :math:`w_{ij} = \tfrac12 (\cot \alpha_{ij} + \cot \beta_{ij})`, a third of the faces' areas as
    :math:`A_i`, and the integral :math:`u(ij)` of the field along an edge, by the trapezoid rule, with the edge in the frames of
    its two ends as :func:`gradient` has it. It is minus the adjoint of the differential, so it sums to zero over the mesh, nothing
    flows over a boundary, and :math:`A \operatorname{div} \nabla f = -L f` with the ``"cotangent"`` :func:`laplacian`: exactly
    where the trapezoid rule is, for linear functions on flat meshes. Elsewhere a field that is right to first order, as a
    gradient, has a divergence that is right on average over a neighbourhood; at single vertices only where the mesh is even.

    Faces without area are left out. A vertex of no face has zero.

    Args:
        mesh: ``pos [V, 3]``, ``face [3, F]``.

    Returns:
        FieldDerivative with values in the dtype of ``pos``, computed in float64.

    Raises:
        ValueError, IndexError: a bad mesh, or one none of whose faces has an area.

    Desbrun, Kanso, Tong, "Discrete differential forms for computational modeling", 2006.
    """
    mesh = as_shape(mesh)
    edges = _Edges.of(mesh)
    ends = edges.start, edges.end
    half_cotangent = edges.half_cotangent.repeat(2)
    i, j = torch.cat(ends), torch.cat(ends[::-1])
    along, back = torch.cat([edges.out, edges.back]), torch.cat([edges.back, edges.out])
    scale = (half_cotangent / 2)[:, None]
    return _assembled(
        mesh, edges, torch.cat([i, i]), torch.cat([i, j]), torch.cat([scale * along, -scale * back]), 1.0
    )


def curl(mesh: ShapeLike) -> FieldDerivative:
    r"""Curl of fields in the :func:`tangent_frames` of the vertices, per unit of area, counter-clockwise about the normal.

    .. math:: (\operatorname{curl} u)_i = \frac{\sum_{f \ni i} \oint_{\partial f} u}{\sum_{f \ni i} A_f}

    by Stokes, with the integrals along edges of :func:`divergence`. It is exact for linear fields on flat meshes, up to
    the border. The curl of a gradient is zero where the gradient is exact, and on average over a neighbourhood elsewhere.

    Faces are read in the winding of their component's first one; those without area are left out. A vertex of no face has zero.

    Arguments, returns and errors as :func:`divergence`, and RuntimeError if faces are wound inconsistently and the native
    extension is not built.
    """
    mesh = as_shape(mesh)
    edges = _Edges.of(mesh)
    out, back = edges.out / 2, -edges.back / 2
    corner = edges.faces.repeat(1, 3).flatten()  # every corner of a face reads each of its three edges
    start, end = edges.start.repeat(3), edges.end.repeat(3)
    return _assembled(
        mesh,
        edges,
        torch.cat([corner, corner]),
        torch.cat([start, end]),
        torch.cat([out.repeat(3, 1), back.repeat(3, 1)]),
        3.0,
    )


@dataclass(frozen=True)
class _Edges:
    """The three edges of every face that has an area, first those across from its corner 0, then 1, then 2."""

    faces: Tensor  # [3, F]
    start: Tensor  # [3F], counter-clockwise
    end: Tensor
    out: Tensor  # [3F, 2], the edge in the frame of its start
    back: Tensor  # from its end, in the frame of its end
    half_cotangent: Tensor  # [3F], of the corner across
    area: Tensor  # [V], a third of the faces'

    @classmethod
    def of(cls, mesh: Surface) -> _Edges:
        pos, _ = check_surface(mesh)
        points, face = pos.detach().double(), oriented(mesh)
        frames = precise_frames(mesh).detach()
        corners = points[face]
        one, two = corners.roll(-1, 0) - corners, corners.roll(1, 0) - corners
        doubled = torch.linalg.vector_norm(torch.linalg.cross(one[0], two[0]), dim=1)
        sound = doubled > 1e-12 * (one.square().sum(dim=2).amax(dim=0))
        if not bool(sound.any()):
            raise ValueError(f"none of the {face.shape[1]} faces has an area: fields have no derivatives")
        face, doubled, one, two = face[:, sound], doubled[sound], one[:, sound], two[:, sound]
        half_cotangent = (one * two).sum(dim=2) / (2 * doubled)
        start, end = face.roll(-1, 0).flatten(), face.roll(1, 0).flatten()
        edge = points[end] - points[start]
        area = points.new_zeros(len(points)).index_add_(0, face.flatten(), (doubled / 6).repeat(3))
        out, back = laid(edge, frames[start]), laid(-edge, frames[end])
        return cls(face, start, end, out, back, half_cotangent.flatten(), area)


def _assembled(
    mesh: Surface, edges: _Edges, row: Tensor, col: Tensor, values: Tensor, times: float
) -> FieldDerivative:
    """Entries of the same place summed, and divided by ``times`` the area of their row."""
    count = len(edges.area)
    key, place = torch.unique(row * count + col, return_inverse=True)
    summed = values.new_zeros(len(key), 2).index_add_(0, place, values)
    row, col = key.div(count, rounding_mode="floor"), key.remainder(count)
    rowptr = torch.nn.functional.pad(torch.bincount(row, minlength=count).cumsum(0), (1, 0))
    summed = summed / (times * edges.area[row])[:, None]
    return FieldDerivative(Neighbors.trusted(rowptr, col, count), summed.to(mesh.pos.dtype))
