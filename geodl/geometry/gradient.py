"""Gradients of functions on a mesh or point cloud, in tangent frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from geodl.geometry.cloud import POINT_NEIGHBORS, check_cloud
from geodl.geometry.frames import precise_frames
from geodl.geometry.measures import edges
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.surface import clouds_of
from geodl.ops import Neighbors, aggregate, knn
from geodl.ops.core.structure import Layout, Part, Rows, Structure

__all__ = ["Gradient", "gradient"]


@dataclass(frozen=True, eq=False)
class Gradient(Structure):
    r"""A linear map from functions to tangent vectors: :math:`(\nabla f)_i = \sum_j g_{ij} f_j`, with :math:`g_{ij}` in i's frame.

    Args:
        neighbors: row i lists the vertices that the gradient at i reads, itself included.
        values: ``[E, 2]``, :math:`g_{ij}` in 1 / unit of length.
    """

    neighbors: Neighbors
    values: Tensor

    layout: ClassVar[Layout] = {"neighbors": Part(Neighbors), "values": Rows("edges")}

    def __call__(self, x: Tensor) -> Tensor:
        """Gradients of the channels of a signal: ``x [V, C]`` -> ``[V, C, 2]``, differentiable in ``x``."""
        weights = self.values.to(x.dtype)
        parts = [aggregate(x, self.neighbors, weights[:, k].contiguous()) for k in (0, 1)]
        return torch.stack(parts, dim=-1)

    def rotate(self, angle: Tensor) -> Gradient:
        """The same map after turning the frame of every vertex i by ``-angle[i]`` radians: vectors turn by ``+angle[i]``."""
        if angle.shape != (self.neighbors.num_dst,):
            raise ValueError(
                f"angle must have shape [{self.neighbors.num_dst}], one a frame, not {list(angle.shape)}"
            )
        turn = angle.to(self.values)[self.neighbors.row]
        x, y = self.values.unbind(1)
        turned = torch.stack([x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos()], dim=1)
        return Gradient(self.neighbors, turned)


def gradient(shape: ShapeLike) -> Gradient:
    r"""Least-squares gradient over the edges of every vertex, in its :func:`tangent_frames`.

    .. math:: (\nabla f)_i = \arg\min_{g} \sum_{j \in N(i)} \bigl( g \cdot u_{ij} - (f_j - f_i) \bigr)^2

    with :math:`u_{ij}` the edge in i's frame: projected to the tangent plane, at its own length. Linear functions on a flat mesh
    have their gradient exactly, up to the border. The edges of a point cloud are those to the 30 nearest points.

    Where all edges of a vertex are parallel the gradient is the smallest of the minimisers; it is zero at a vertex without edges,
    and an edge without length, between duplicates, counts for nothing. Edges of many faces count once.

    Args:
        shape: ``pos [V, 3]`` with ``face [3, F]``, or alone; of a packed batch of clouds the blocks are those of each alone.

    Returns:
        Gradient with values in the dtype of ``pos``, computed in float64.

    Raises:
        ValueError, IndexError: a bad shape, or one whose edges have no length.

    Sharp et al., "DiffusionNet: discretization agnostic learning on surfaces", ACM TOG 2022, section 3.3.
    """
    shape = as_shape(shape)
    if getattr(shape, "face", None) is None and len(clouds := clouds_of(shape)) > 1:
        return Gradient.cat([gradient(cloud) for cloud in clouds])
    frames = precise_frames(shape)
    pos = check_cloud(shape)
    neighbors = _links(shape, pos)
    row, col = neighbors.row, neighbors.col
    edge = pos.double()[col] - pos.double()[row]
    length = torch.linalg.vector_norm(edge, dim=1, keepdim=True)
    if not bool((length > 0).any()):
        raise ValueError(
            f"no two of the {pos.shape[0]} points that are joined are apart: the shape has no gradient"
        )
    flat = laid(edge, frames[row])
    # In units of the vertex's own edges, so that no scale is near the tolerance of the pseudo-inverse.
    unit = edge.new_zeros(pos.shape[0], 1).scatter_reduce(0, row[:, None], length, "amax").clamp(min=1e-300)
    flat = flat / unit[row]
    products = (flat[:, :, None] * flat[:, None, :]).flatten(1)
    normal_matrix = edge.new_zeros(pos.shape[0], 4).index_add_(0, row, products).view(-1, 2, 2)
    inverse = torch.linalg.pinv(normal_matrix, hermitian=True, rtol=1e-10)
    out = (inverse[row] @ flat[:, :, None]).squeeze(2) / unit[row]
    # f_i counts against every f_j; a row's own entry comes last.
    vertices = torch.arange(pos.shape[0], device=pos.device)
    own = out.new_zeros(pos.shape[0], 2).index_add_(0, row, -out)
    whole = Neighbors.from_edge_index(
        torch.stack([torch.cat([col, vertices]), torch.cat([row, vertices])]), pos.shape[0]
    )
    assert whole.order is not None
    return Gradient(whole, torch.cat([out, own])[whole.order].to(pos.dtype))


def laid(edge: Tensor, frames: Tensor) -> Tensor:
    """Edges ``[E, 3]`` in frames ``[E, 3, 3]``: projected to the tangent planes, at their own length, ``[E, 2]``."""
    flat = (frames[:, :2] @ edge[:, :, None]).squeeze(2)
    length = torch.linalg.vector_norm(edge, dim=1, keepdim=True)
    scale: Tensor = length / torch.linalg.vector_norm(flat, dim=1, keepdim=True).clamp(min=1e-300)
    return flat * scale


def _links(shape: Any, pos: Tensor) -> Neighbors:
    """The edges of a mesh from either end, or those from every point of a cloud to its nearest."""
    if getattr(shape, "face", None) is None:
        near = min(POINT_NEIGHBORS, pos.shape[0] - 1)
        if near == 0:
            return Neighbors.from_edge_index(torch.zeros(2, 0, dtype=torch.int64, device=pos.device), 1)
        return knn(pos.detach().double(), near, loop=False)
    undirected = edges(shape)
    return Neighbors.from_edge_index(torch.cat([undirected, undirected.flip(0)], dim=1), pos.shape[0])
