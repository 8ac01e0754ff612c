"""polar_conv: the geodesic convolution, with all rotations of the filter and angular max pooling inside."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from geodl.ops.polar_windows import PolarWindows
from geodl.ops.window_conv import window_conv, window_conv_max
from geodl.ops.windows import graph_for

__all__ = ["polar_conv"]


def polar_conv(
    x: Tensor,
    windows: PolarWindows,
    filters: Tensor,
    rotations: int | None = None,
    pool: Literal["max"] | None = "max",
) -> Tensor:
    r"""Geodesic convolution: applies every rotation of a polar filter and takes the maximum.

    .. math::
        y_t(i) = \sum_{r, a} D_{r, (a + t A / T) \bmod A} \, x(i) \, g_{r, a}, \qquad
        y(i) = \max_{0 \le t < T} y_t(i)

    with A rays, T rotations and :math:`D x` = :func:`patch_gather`. The direction from which a chart counts
    its rays is arbitrary; turned by any multiple of a full turn / T, it leaves the maximum as it is. Results
    are bitwise equal from run to run, for any number of threads.

    Args:
        x: signal ``[num_src, C]``, floating point.
        windows: the polar windows around each of the N points, of the dtype of ``x``.
        filters: ``[rings, rays, C, C']``.
        rotations: T, a divisor of rays; by default every one of them.
        pool: "max", or None for all rotations.

    Returns:
        ``[N, C']``, or ``[N, T, C']`` with ``pool=None``; zero for a point without neighbours. The gradient
        of the maximum goes to the rotation that attains it, to the lowest if several do. Differentiable in
        ``x``, ``windows.weight`` and ``filters``, to any order.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, or ``rotations`` that do not divide the rays.

    Masci et al., "Geodesic convolutional neural networks on Riemannian manifolds", 2015, eq. 9-10.
    """
    if filters.dim() != 4 or filters.shape[:2] != (windows.rings, windows.rays):
        form = f"[{windows.rings}, {windows.rays}, C, C']"
        raise ValueError(f"filters must have shape {form} for these windows, not {list(filters.shape)}")
    rotations = windows.rays if rotations is None else rotations
    if rotations < 1 or windows.rays % rotations:
        raise ValueError(f"rotations must divide the {windows.rays} rays, got {rotations}")
    if pool not in ("max", None):
        raise ValueError(f'pool must be "max" or None, not {pool!r}')
    if rotations == 1:  # no turn: the rays are so many more windows
        filters = filters.flatten(0, 1).unsqueeze(1)
    graph = graph_for(x, windows.neighbors, windows.weight, filters)
    if pool is None or rotations == 1:
        out: Tensor = window_conv(x, windows.weight, filters, graph, windows.index, rotations)
        return out.squeeze(1) if pool == "max" else out
    values: Tensor = window_conv_max(x, windows.weight, filters, graph, windows.index, rotations)[0]
    return values
