"""SHOT: signatures of histograms of orientations."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from geodl.geometry.cloud import check_cloud, normals_of
from geodl.geometry.native import native, num_threads
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.ops import radius as points_within

__all__ = ["shot"]


def shot(shape: ShapeLike, radius: float, return_frames: bool = False) -> Tensor | tuple[Tensor, Tensor]:
    r"""Histograms of the normals around every point, over a spherical grid in a frame that turns with the shape.

    The frame has the eigenvectors of the weighted covariance of the neighbours :math:`p_j` within the radius,

    .. math:: M_i = \sum_j (r - d_{ij}) (p_j - p_i) (p_j - p_i)^\top

    as axes: x of the largest eigenvalue and z of the smallest, each on the side of the majority of the neighbours, and
    :math:`y = z \times x`. (Neighbours within :math:`10^{-5} r` of the plane between the sides do not vote. A tie is broken for z
    by the point's normal and for x by the side to which the weighted neighbours lean.) The grid has 8 azimuths, 2 elevations and 2
    shells; in each of its 32 sectors, 11 bins count :math:`\cos\theta_j = z_i \cdot n_j`. A neighbour counts in the bins around
    it in all four directions, with weights that fall linearly to the next centre (quadrilinear interpolation) and sum to one.
    Descriptors have unit length. They do not change when the shape is turned or moved, and they do when it is mirrored.

    Args:
        shape: ``pos [V, 3]`` with ``face [3, F]``, or with ``normal [V, 3]``, or alone (then :func:`point_normals` count).
            Neighbours without a normal, such as vertices of no face, count for the frame alone.
        radius: of the support, in the unit of ``pos``; some 10 to 20 edge lengths are usual.
        return_frames: also return the frames.

    Returns:
        ``[V, 352]`` in the dtype of ``pos``, computed in float64; with `return_frames` also ``[V, 3, 3]`` with the axes x, y, z as
        rows. Both are zero for a point with fewer than 5 neighbours at other places: a warning counts such points.

    Raises:
        ValueError, IndexError: a bad shape, or a radius that is not positive and finite.

    Salti, Tombari & Di Stefano, "SHOT: unique signatures of histograms for surface and texture description", CVIU 2014.
    """
    shape = as_shape(shape)
    if not 0 < radius < math.inf:
        raise ValueError(f"radius must be positive and finite, got {radius}")
    normals = normals_of(shape)
    pos = check_cloud(shape)
    points = pos.detach().to("cpu", torch.float64).contiguous()
    near = points_within(points, radius, loop=False)
    values, frames = native().shot(
        points.numpy(),
        normals.detach().to("cpu", torch.float64).contiguous().numpy(),
        near.rowptr.numpy(),
        near.col.numpy(),
        float(radius),
        num_threads(),
    )
    out = torch.from_numpy(values).view(-1, 352).to(pos.device, pos.dtype)
    axes = torch.from_numpy(frames).view(-1, 3, 3).to(pos.device, pos.dtype)
    lonely = int((axes == 0).all(dim=2).all(dim=1).sum())
    if lonely:
        warnings.warn(
            f"{lonely} of {len(pos)} points have fewer than 5 neighbours within {radius:g}: their descriptors are zero",
            RuntimeWarning,
            stacklevel=2,
        )
    return (out, axes) if return_frames else out
