"""Charts: local coordinates around every point, and the geodesic polar ones of a mesh."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geodl.geometry.cloud import check_cloud
from geodl.geometry.cloud_charts import tangent_charts
from geodl.geometry.frames import frame_angle, precise_frames
from geodl.geometry.native import native, num_threads
from geodl.geometry.shapes import IndexLike, ShapeLike, as_index, as_shape
from geodl.geometry.surface import check_single, surface_arrays
from geodl.ops.core.structure import Fixed, Layout, Part, Rows, Structure
from geodl.ops.neighbors import Neighbors

__all__ = ["ChartReport", "Charts", "chart_radius", "geodesic_charts"]


@dataclass(frozen=True)
class ChartReport:
    """What geodesics met on a mesh. Counts are of the whole mesh, except ``charts_at_*``: charts that reach there."""

    charts: int = 0
    components: int = 0
    isolated_vertices: int = 0
    boundary_edges: int = 0
    non_manifold_edges: int = 0
    non_manifold_vertices: int = 0
    seam_edges: int = 0
    turned_faces: int = 0
    degenerate_faces: int = 0
    skipped_faces: int = 0
    charts_at_boundary: int = 0
    charts_at_non_manifold_edge: int = 0
    charts_at_seam: int = 0

    def __add__(self, other: ChartReport) -> ChartReport:
        return ChartReport(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __str__(self) -> str:
        lines = [f"{self.charts} charts on {self.components} component(s)"]
        for count, text in (
            (self.isolated_vertices, "isolated vertices: a chart of only themselves"),
            (self.boundary_edges, f"boundary edges: {self.charts_at_boundary} charts end there"),
            (
                self.non_manifold_edges,
                f"edges with more than two faces: {self.charts_at_non_manifold_edge} charts end there",
            ),
            (self.non_manifold_vertices, "vertices where several fans of faces meet"),
            (
                self.seam_edges,
                f"edges that cannot be oriented consistently: {self.charts_at_seam} charts end there",
            ),
            (
                self.turned_faces,
                "faces were read the other way round, to agree with their component's first face",
            ),
            (
                self.degenerate_faces,
                "faces without area: edges were lengthened by 1e-10 of their mean to measure angles",
            ),
            (self.skipped_faces, "faces that name a vertex twice were skipped"),
        ):
            if count:
                lines.append(f"  {count} {text}")
        return "\n".join(lines)


def _sum_of_reports(reports: Sequence[ChartReport | None]) -> ChartReport | None:
    known = [report for report in reports if report is not None]
    return sum(known, ChartReport()) if len(known) == len(reports) else None


@dataclass(eq=False)
class Charts(Structure):
    r"""Local coordinates :math:`u_{ij}` of the neighbours :math:`j` of every point :math:`i`.

    Polar charts hold :math:`(\rho_{ij}, \theta_{ij})`: the length of the shortest path from i to j and the
    angle under which it leaves i, counter-clockwise from the first direction of i's frame. ``arrival`` is the angle
    :math:`\alpha_{ij}` under which j sees it come in, in j's frame. ``transport`` is the
    angle :math:`\tau_{ij}` that carries j's tangent frame to i's along that path: a tangent vector with angle
    :math:`\varphi` in the frame of j arrives in i with angle :math:`\varphi + \tau_{ij}`. Where the path bends nowhere,
    and, on the right, there is only one,

    .. math:: \tau_{ij} = \theta_{ij} - \alpha_{ij} - \pi \pmod{2\pi}, \qquad
              \alpha_{ij} = \theta_{ji}, \qquad \tau_{ij} = -\tau_{ji};

    the last holds with bends too, where transport is the sum over the legs.

    Args:
        neighbors: row i lists the points of chart i.
        coords: ``[E, d]`` floating point; for polar charts d = 2, rho in the unit of the positions, theta in
            [0, 2 pi).
        kind: ``"polar"`` or ``"cartesian"``.
        transport: ``[E]`` radians in (-pi, pi], or None.
        radius: ``[N]``, how far every chart reaches, in the unit of the positions, None if nobody knows. It is brought to the dtype
            of ``coords``; a number stands for all.
        report: what the charts met (boundaries, non-manifold edges, components); None if they were not
            measured on a mesh. Reports of packed charts add up.
        centers: ``[N]`` int64, the point that chart i lies around; None if it is point i.
        arrival: ``[E]`` radians in [0, 2 pi), or None.
        frames: ``[V, 3, 3]``, for every point that charts read the directions in space that angles 0 and pi / 2 stand for, and
            the normal (see :func:`tangent_frames`); None where charts know of no space.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit together.
    """

    neighbors: Neighbors
    coords: Tensor
    kind: str = "polar"
    transport: Tensor | None = None
    radius: Tensor | None = None
    report: ChartReport | None = field(default=None, repr=False)
    centers: Tensor | None = None
    arrival: Tensor | None = None
    frames: Tensor | None = None

    layout: ClassVar[Layout] = {
        "neighbors": Part(Neighbors),
        "coords": Rows("edges"),
        "kind": Fixed(),
        "transport": Rows("edges"),
        "radius": Rows("destinations"),
        "report": Fixed(_sum_of_reports, read=False, type=ChartReport),
        "centers": Rows("destinations", into="sources"),
        "arrival": Rows("edges"),
        "frames": Rows("sources"),
    }

    def __post_init__(self) -> None:
        if isinstance(cast(Any, self.radius), int | float):
            self.radius = self.coords.new_full((self.num_charts,), cast(Any, self.radius))
        elif self.radius is not None:
            self.radius = self.radius.to(self.coords.dtype)
        super().__post_init__()

    def sizes(self) -> dict[str, int]:
        return self.neighbors.sizes() | super().sizes()

    def check(self) -> None:
        edges = self.neighbors.num_edges
        if self.kind not in ("polar", "cartesian"):
            raise ValueError(f"kind must be 'polar' or 'cartesian', not {self.kind!r}")
        if self.coords.dim() != 2 or self.coords.shape[0] != edges:
            raise ValueError(
                f"coords must have shape [{edges}, d], one row an edge, not {list(self.coords.shape)}"
            )
        if self.kind == "polar" and self.coords.shape[1] != 2:
            raise ValueError(f"polar coords are (rho, theta), but coords have {self.coords.shape[1]} columns")
        if not self.coords.is_floating_point():
            raise ValueError(f"coords must be floating point, not {self.coords.dtype}")
        if self.coords.device != self.neighbors.device:
            raise ValueError(
                f"coords are on {self.coords.device} but neighbors are on {self.neighbors.device}"
            )
        points, charts = self.neighbors.num_src, self.num_charts
        for name, shape in (
            ("transport", [edges]),
            ("arrival", [edges]),
            ("radius", [charts]),
            ("centers", [charts]),
            ("frames", [points, 3, 3]),
        ):
            tensor = getattr(self, name)
            if tensor is None:
                continue
            if list(tensor.shape) != shape:
                raise ValueError(f"{name} must have shape {shape}, not {list(tensor.shape)}")
            if tensor.device != self.neighbors.device:
                raise ValueError(f"{name} is on {tensor.device} but neighbors are on {self.neighbors.device}")
            if name == "centers":
                _check_points(name, tensor, points)
            elif tensor.dtype != self.coords.dtype:
                raise ValueError(f"coords are {self.coords.dtype} but {name} is {tensor.dtype}")
        if self.radius is not None:
            _check_radius(self.radius)

    @property
    def num_charts(self) -> int:
        return self.neighbors.num_dst

    @property
    def rho(self) -> Tensor:
        """``[E]`` geodesic distances of polar charts."""
        return self._polar(0)

    @property
    def theta(self) -> Tensor:
        """``[E]`` angles of polar charts, in [0, 2 pi)."""
        return self._polar(1)

    def rotate(self, angle: Tensor) -> Charts:
        r"""The same charts after turning the frame of every point i by :math:`-a_i` about its normal.

        .. math:: \theta'_{ij} = \theta_{ij} + a_i, \qquad \alpha'_{ij} = \alpha_{ij} + a_j, \qquad
                  \tau'_{ij} = \tau_{ij} + a_i - a_j \pmod{2\pi}

        Args:
            angle: ``[V]`` floating point, a_i in radians, for every point that charts read.

        Raises:
            ValueError: cartesian charts, or not one angle a point.
        """
        if self.kind != "polar":
            raise ValueError(f"only polar charts can be rotated, not {self.kind} ones")
        points = self.neighbors.num_src
        if angle.shape != (points,):
            raise ValueError(f"angle must have shape [{points}], one a point, not {list(angle.shape)}")
        row, col = self.neighbors.row, self.neighbors.col
        angle = angle.to(self.coords)
        center = row if self.centers is None else self.centers[row]
        rho, theta = self.coords.unbind(1)
        own = (center == col) & (rho == 0)
        turned = torch.where(own, theta, _wrap_positive(theta + angle[center]))
        transport, arrival, frames = self.transport, self.arrival, self.frames
        if transport is not None:
            transport = -_wrap_positive(math.pi - transport - angle[center] + angle[col]) + math.pi
        if arrival is not None:
            arrival = torch.where(own, arrival, _wrap_positive(arrival + angle[col]))
        if frames is not None:
            x, y, normal = frames.unbind(1)
            c, s = angle.cos()[:, None], angle.sin()[:, None]
            frames = torch.stack([c * x - s * y, s * x + c * y, normal], dim=1)
        coords = torch.stack([rho, turned], dim=1)
        return replace(self, coords=coords, transport=transport, arrival=arrival, frames=frames)

    def towards(self, direction: Tensor) -> Charts:
        """The same charts with angles that count from a direction's projection to the surface.

        Args:
            direction: ``[3]`` for all points that charts read, ``[V, 3]`` for every one, or ``[V, 2]`` in ``frames``, such as a
                :func:`direction_field`. Its length does not matter; where it has none, or is normal to the surface (to 1e-5), the
                frame stays.

        Raises:
            ValueError: charts without frames, a direction of another shape, or one that is not finite.
        """
        if self.frames is None:
            raise ValueError("these charts have no frames, so no direction in space can be theirs")
        return self.rotate(-frame_angle(self.frames, direction)[0])

    def _polar(self, column: int) -> Tensor:
        if self.kind != "polar":
            raise ValueError(f"only polar charts have rho and theta, not {self.kind} ones")
        return self.coords[:, column]


def geodesic_charts(
    mesh: ShapeLike,
    radius: float | Tensor | None = None,
    sources: IndexLike | None = None,
    *,
    size: int | None = None,
) -> Charts:
    r"""Geodesic polar coordinates of all vertices near every vertex, or near some.

    For vertices i and j, :math:`\rho_{ij}` is the length of the shortest path over the faces, and
    :math:`\theta_{ij}` the angle under which it leaves i. Both are exact for the polyhedron: rays from i are
    unfolded over the edges as windows (Mitchell, Mount & Papadimitriou 1987; Chen & Han 1990; Xin & Wang
    2009, "Improving Chen and Han's algorithm on the discrete geodesic problem").

    - **Angles.** Around an interior vertex angles are scaled so that they sum to 2 pi. At a boundary vertex
      they keep their size (a flat mesh keeps its plane up to the border), unless they sum to more than 2 pi,
      which they are then scaled to.
    - **Reference.** theta counts counter-clockwise, seen from the side to which the faces turn
      counter-clockwise, from the first direction of the vertex's :func:`tangent_frames`, which are the charts' ``frames``. That
      direction lies among the scaled angles where it agrees best with the edges' projections into the frame: exactly at a
      vertex in a plane. It depends on the shape alone, not on how vertices and faces are numbered.
    - **Bends.** Where the shortest path bends (at the boundary, or at a vertex with more than 2 pi of angle),
      theta is that of its first leg, arrival that of its last, and transport the sum over the legs.
    - **Borders.** Paths cross neither the boundary, nor edges with more than two faces, nor edges where the
      surface cannot be oriented (a Moebius strip has a cut). Faces that are merely wound the wrong way are
      read the other way round. A vertex where several fans of faces meet has their angles side by side.
      ``report`` counts all of it.

    Args:
        mesh: ``pos [V, 3]`` and ``face [3, F]``. Of a cloud, rho is the straight distance and theta the angle of the projection to
            the tangent plane, right up to second order in the distance; transport is the smallest rotation of one normal into
            another.
        radius: in the unit of ``pos``; positive, may be infinite. ``[N]`` for a radius of its own for every chart.
        sources: ``[N]`` int64, the vertices to make charts around, in any order, such as the centers of a coarser level; all
            V if not given. Only the paths from them are followed.
        size: instead of a radius, how many vertices every chart holds, itself included: the nearest, with those that are just as
            far as the last (to 1e-9), or all that can be reached, where these are fewer. Its radius lies half-way to the next.

    Returns:
        Polar charts with transport, arrival and frames (see `Charts`), float64 if ``pos`` is, else float32, on the device of
        ``pos``. Row i lists i itself (rho = theta = transport = arrival = 0) and every vertex within the radius,
        ascending. With ``sources`` there are N rows, row i around vertex ``sources[i]``, and they read all V vertices.

    Raises:
        ValueError: neither radius nor size or both; a radius that is not positive or of another shape, a size below 1; the mesh
            is empty or a position is not finite; sources of another shape or dtype.
        IndexError: a face or a source refers to a vertex that does not exist.
    """
    mesh = as_shape(mesh)
    sources = None if sources is None else as_index("sources", sources)
    if (radius is None) == (size is None):
        raise ValueError(f"charts need a radius or a size, not {'neither' if size is None else 'both'}")
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if isinstance(radius, Tensor):
        if not radius.is_floating_point():
            raise ValueError(f"radius must be floating point, not {radius.dtype}")
        _check_radius(radius)
    elif radius is not None and not radius > 0:
        raise ValueError(f"radius must be positive, got {radius}")
    if getattr(mesh, "face", None) is None:
        return _of_cloud(mesh, radius, sources, size)
    pos, face = surface_arrays(mesh)
    if sources is not None:
        _check_points("sources", sources, len(pos))
    around = np.arange(len(pos)) if sources is None else sources.cpu().contiguous().numpy()
    if isinstance(radius, Tensor) and radius.shape != (len(around),):
        raise ValueError(f"radius must have shape [{len(around)}], one a chart, not {list(radius.shape)}")
    reach = torch.as_tensor(1.0 if radius is None else radius, dtype=torch.float64, device="cpu")
    frames = precise_frames(mesh).detach()
    rowptr, col, coords, transport, arrival, radii, met = native().geodesic_charts(
        pos,
        face,
        frames.cpu().numpy(),
        around,
        reach.detach().expand(len(around)).contiguous().numpy(),
        size or 0,
        num_threads(),
    )
    names = {f.name for f in fields(ChartReport)}
    report = ChartReport(charts=len(around), **{name: count for name, count in met.items() if name in names})
    device = mesh.pos.device
    dtype = torch.float64 if mesh.pos.dtype == torch.float64 else torch.float32

    def moved(values: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(values).to(device, dtype)

    def positive(angle: Tensor) -> Tensor:  # one just below 2 pi may round up to it
        return angle.masked_fill(angle >= torch.tensor(2 * math.pi, dtype=dtype), 0)

    rho, theta = moved(coords).view(-1, 2).unbind(1)
    neighbors = Neighbors(torch.from_numpy(rowptr).to(device), torch.from_numpy(col).to(device), len(pos))
    return Charts(
        neighbors,
        torch.stack([rho, positive(theta)], dim=1),
        "polar",
        moved(transport),
        moved(radii),
        report,
        None if sources is None else sources.to(device),
        positive(moved(arrival)),
        frames.to(device, dtype),
    )


def _of_cloud(cloud: Any, radius: float | Tensor | None, sources: Tensor | None, size: int | None) -> Charts:
    check_single(cloud)
    pos = check_cloud(cloud)
    if sources is not None:
        _check_points("sources", sources, len(pos))
    around = torch.arange(len(pos), device=pos.device) if sources is None else sources.to(pos.device)
    if isinstance(radius, Tensor) and radius.shape != (len(around),):
        raise ValueError(f"radius must have shape [{len(around)}], one a chart, not {list(radius.shape)}")
    reach = None
    if radius is not None:
        reach = torch.as_tensor(radius, dtype=torch.float64, device=pos.device).detach().expand(len(around))
    neighbors, coords, transport, arrival, radii, frames = tangent_charts(cloud, pos, around, reach, size)
    dtype = torch.float64 if pos.dtype == torch.float64 else torch.float32
    return Charts(
        neighbors,
        coords.to(dtype),
        "polar",
        transport.to(dtype),
        radii.to(dtype),
        ChartReport(charts=len(around)),
        None if sources is None else around,
        arrival.to(dtype),
        frames.to(dtype),
    )


def chart_radius(mesh: ShapeLike, size: int) -> float:
    """The radius for which a chart holds about ``size`` vertices on average, itself included.

    Where vertices lie closer here than there, charts of one radius hold more here than there; ``geodesic_charts(mesh, size=size)``
    gives every chart its own. It starts from the radius of a disc with the area of ``size`` vertices and is corrected by the exact
    distances around a sample of at most 256 vertices, spread evenly over the vertex numbers.

    Args:
        mesh: anything with ``pos [V, 3]`` and ``face [3, F]``.
        size: wanted average number of vertices in a chart, at least 2.

    Returns:
        The radius in the unit of ``pos``.

    Raises:
        ValueError: the size is below 2, or more than the vertices that can be reached on average; a bad mesh.
        IndexError: a face refers to a vertex that does not exist.
    """
    mesh = as_shape(mesh)
    if size < 2:
        raise ValueError(f"size must be at least 2, got {size}")
    pos, face = surface_arrays(mesh)
    sample = np.unique(np.linspace(0, len(pos) - 1, min(len(pos), 256)).astype(np.int64))
    wanted = size * len(sample)
    axes = np.broadcast_to(np.eye(3), (len(pos), 3, 3)).copy()  # distances alone count here
    corners = pos[face]
    area = (
        0.5
        * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    )
    extent = float(np.linalg.norm(pos.max(axis=0) - pos.min(axis=0)))
    radius = max(math.sqrt(size * area / len(pos) / math.pi), 1e-3 * extent) * 1.3
    found = 0
    while True:
        radii = np.full(len(sample), radius)
        result: tuple[Any, ...] = native().geodesic_charts(pos, face, axes, sample, radii, 0, num_threads())
        rho = result[2][0::2]
        if len(rho) >= wanted:
            # Half-way to the next distance: the radius itself must not be a tie that rounding decides.
            near = np.partition(rho, [wanted - 1, min(wanted, len(rho) - 1)])
            return float(0.5 * (near[wanted - 1] + near[min(wanted, len(rho) - 1)]))
        if radius > 1e3 * extent or (len(rho) == found and radius > 4 * extent):
            reached = len(rho) / len(sample)
            raise ValueError(
                f"no radius holds {size} vertices on average: only {reached:.1f} can be reached from a vertex"
            )
        found = len(rho)
        radius *= 1.5


def _check_radius(radius: Tensor) -> None:
    if bool((bad := ~(radius > 0)).any()):
        at = int(bad.nonzero()[0])
        raise ValueError(f"radius must be positive, got {float(radius[at])} for chart {at}")


def _check_points(name: str, points: Tensor, count: int) -> None:
    if points.dim() != 1 or points.dtype != torch.int64:
        raise ValueError(f"{name} must be int64 of shape [N], not {points.dtype} {list(points.shape)}")
    if points.numel():
        low, high = (int(bound) for bound in points.aminmax())
        if low < 0 or high >= count:
            raise IndexError(f"{name} holds {low}..{high}, but there are {count} points")


def _wrap_positive(angle: Tensor) -> Tensor:
    wrapped = torch.remainder(angle, 2 * math.pi)
    return torch.where(wrapped >= 2 * math.pi, torch.zeros_like(wrapped), wrapped)
