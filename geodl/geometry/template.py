"""Template points: a polar grid laid into every geodesic chart, read by barycentric interpolation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.geometry.charts import Charts
from geodl.geometry.native import native, num_threads
from geodl.geometry.shapes import ShapeLike, as_shape
from geodl.geometry.surface import Surface, surface_arrays
from geodl.ops.neighbors import Neighbors
from geodl.ops.polar_windows import PolarWindows

__all__ = ["polar_template", "template_coverage"]


def polar_template(
    mesh: ShapeLike, charts: Charts, rings: int, rays: int, radius: float | None = None
) -> PolarWindows:
    r"""Windows that read a signal at the points of a polar grid, as sparse `PolarWindows` (S = 1, three entries a point).

    Template point (r, a) of every vertex lies at

    .. math:: \rho_r = \frac{r + 1}{rings} R, \qquad \theta_a = \frac{2 \pi a}{rays},

    and window m = r * rays + a is linear interpolation there, in the triangle of the chart that holds the
    point when the chart is drawn
    in the plane: :math:`D_m f(i) = b_1 f_{j_1} + b_2 f_{j_2} + b_3 f_{j_3}` with barycentric weights b (Masci
    et al. 2015, "Geodesic convolutional neural networks on Riemannian manifolds"; the barycentric form as in
    Poulenard & Ovsjanikov 2018).

    Faces with all three corners in the chart are drawn, except those torn by the cut locus (upside down,
    flat, or with an edge more than twice its length); of several that hold a point, the one whose farthest
    corner is nearest to i is read. A point outside every face, as beyond a boundary, reads the nearest point
    of what is drawn (on an edge or at a vertex): weights always sum to one, and `template_coverage` tells how
    many points that concerns.

    Args:
        mesh: the mesh that the charts were measured on.
        charts: polar charts of all its vertices.
        rings: number of radii.
        rays: number of directions.
        radius: R, that of the outermost ring, in the unit of ``pos``. If not given, three quarters of
            each chart's own radius, since triangles are missing at the border of a chart.

    Returns:
        Windows with exactly ``3 * rings * rays`` entries a vertex, in the order of the windows, with the
        dtype of ``charts.coords``.

    Raises:
        ValueError: charts that are not polar or not of this mesh; no rings or rays; a radius that is not
            positive, or not given while the charts have none; a bad mesh.
        IndexError: a face refers to a vertex that does not exist.
    """
    mesh = as_shape(mesh)
    vertex, weight, _ = _locate(mesh, charts, rings, rays, radius)
    points = rings * rays
    rowptr = torch.arange(charts.num_charts + 1) * (3 * points)
    index = torch.arange(points).repeat_interleave(3).repeat(charts.num_charts)
    device = charts.device
    neighbors = Neighbors(rowptr.to(device), torch.from_numpy(vertex).to(device), charts.num_charts)
    values = torch.from_numpy(weight).to(device, charts.coords.dtype)
    return PolarWindows(neighbors, values[:, None], index[:, None].to(device), rings, rays)


def template_coverage(
    mesh: ShapeLike, charts: Charts, rings: int, rays: int, radius: float | None = None
) -> Tensor:
    """For every vertex the fraction of its template points that lie in a triangle of its chart, ``[V]`` in [0, 1].

    Arguments and errors as `polar_template`. The other points read the nearest point of the chart.
    """
    mesh = as_shape(mesh)
    *_, inside = _locate(mesh, charts, rings, rays, radius)
    return torch.from_numpy(inside).to(charts.device, charts.coords.dtype) / (rings * rays)


def _locate(
    mesh: Surface, charts: Charts, rings: int, rays: int, radius: float | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    if rings < 1 or rays < 1:
        raise ValueError(f"there must be at least one ring and one ray, not {rings} rings and {rays} rays")
    if charts.kind != "polar":
        raise ValueError(f"a polar template needs polar charts, not {charts.kind} ones")
    pos, face = surface_arrays(mesh)
    if charts.num_charts != len(pos) or charts.neighbors.num_src != len(pos):
        raise ValueError(f"the mesh has {len(pos)} vertices but there are {charts.num_charts} charts")
    if radius is not None:
        outer = np.full(len(pos), float(radius))
    elif charts.radius is None:
        raise ValueError("radius must be given: these charts have no radius of their own")
    else:
        outer = 0.75 * charts.radius.detach().to("cpu", torch.float64).numpy()
    if (bad := ~((outer > 0) & (outer < np.inf))).any():
        raise ValueError(f"radius must be positive and finite, got {outer[bad][0]}")
    coords = charts.coords.detach().to("cpu", torch.float64).contiguous().numpy()
    rowptr, col = charts.neighbors.rowptr.cpu().numpy(), charts.neighbors.col.cpu().numpy()
    located: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]] = native().polar_template(
        pos, face, rowptr, col, coords, outer, rings, rays, num_threads()
    )
    return located
