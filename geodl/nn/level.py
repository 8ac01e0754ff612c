"""Level: one resolution of a shape, with the charts that grid networks convolve over and the way to the next coarser one."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.geometry import Charts, Coarsening, geodesic_charts, hierarchy, surface_area, vertex_areas
from geodl.geometry.shapes import as_shape
from geodl.geometry.surface import check_surface
from geodl.nn.grid_windows import GridWindows, chart_windows
from geodl.ops import Neighbors, radius
from geodl.ops.core.structure import Fixed, Layout, Part, Pointer, Rows, Structure
from geodl.ops.remembered import remembered

__all__ = ["Level", "graph_levels", "mesh_levels"]


@dataclass(eq=False)
class Level(Structure):
    """What a network made for grids needs of another domain: it convolves on a level and pools to the next coarser one.

    Args:
        charts: cartesian, in units of the distance of two taps; coordinate a runs along axis a of a kernel.
        area: ``[V]``, what every point stands for.
        ptr: ``[B + 1]`` int64, where shapes begin; None for one shape.
        coarsening: the points of the next coarser level; None at the coarsest.
        coarser: that level.
        reach: how far the charts go around a point, in distances of two taps: what lies beyond is not in them.
    """

    charts: Charts
    area: Tensor
    ptr: Tensor | None = None
    coarsening: Coarsening | None = None
    coarser: Level | None = None
    reach: float = math.inf

    layout: ClassVar[Layout] = {
        "charts": Part(Charts),
        "area": Rows("points"),
        "ptr": Pointer("shapes", into="points"),
        "coarsening": Part(Coarsening),
        "coarser": Part(),
        "reach": Fixed(min),
    }

    @property
    def num_nodes(self) -> int:
        return self.charts.num_charts

    def windows(
        self, kernel_size: tuple[int, ...], stride: Sequence[int] = (1,), dilation: Sequence[int] = (1,)
    ) -> GridWindows:
        """The taps of a kernel in the charts (remembered); with a stride, at the points of the coarser level alone.

        Raises:
            ValueError: a stride at the coarsest level, charts of another dimension, or a kernel that is wider than they are.
        """

        def make() -> GridWindows:
            apart = (
                tuple(dilation) if len(dilation) == len(kernel_size) else tuple(dilation) * len(kernel_size)
            )
            wanted = reach_of([(k - 1) * d + 1 for k, d in zip(kernel_size, apart, strict=True)])
            if math.prod(kernel_size) > 1 and wanted > self.reach * (1 + 1e-9):
                wide = "" if max(apart) == 1 else f" with dilation {apart}"
                raise ValueError(
                    f"a kernel of {kernel_size} taps{wide} reads {wanted:.3g} taps far, but the charts of this level reach "
                    f"{self.reach:.3g}: make the level with a larger kernel_size"
                )
            if math.prod(kernel_size) > 1:
                made = chart_windows(self.charts, kernel_size, 1.0, apart)
            else:  # a point itself, not a mean about it
                own = torch.arange(self.num_nodes + 1, device=self.area.device)
                ones = self.charts.coords.new_ones(self.num_nodes, 1)
                neighbors = Neighbors.trusted(own, own[:-1], self.num_nodes)
                made = GridWindows(neighbors, ones, torch.zeros_like(own[:-1])[:, None], kernel_size)
            return made.rows(self.cells().centers) if max(stride) > 1 else made

        return remembered(self, ("windows", kernel_size, max(stride) > 1, tuple(dilation)), make)

    def transposed_windows(
        self, kernel_size: tuple[int, ...], stride: Sequence[int] = (1,), dilation: Sequence[int] = (1,)
    ) -> GridWindows:
        """The adjoint of :meth:`windows`: how the points of this level read those that a stride leads to (remembered).

        Raises:
            ValueError: as :meth:`windows`.
        """
        key = ("transposed", kernel_size, max(stride) > 1, tuple(dilation))
        return remembered(self, key, lambda: self.windows(kernel_size, stride, dilation).t())

    def within(self, kernel_size: Sequence[int]) -> Neighbors:
        """The points that a kernel covers around every point, for pooling with stride 1 (remembered).

        Raises:
            ValueError: charts of another dimension, or a kernel that is wider than they are.
        """

        def make() -> Neighbors:
            coords = self.charts.coords
            if coords.shape[1] != len(kernel_size):
                raise ValueError(
                    f"charts have {coords.shape[1]} coordinates but the kernel has {len(kernel_size)} axes"
                )
            if math.hypot(*kernel_size) / 2 > self.reach:
                raise ValueError(
                    f"a kernel of {tuple(kernel_size)} taps reads {math.hypot(*kernel_size) / 2:.3g} taps far, but the charts "
                    f"of this level reach {self.reach:.3g}: make the level with a larger kernel_size"
                )
            return self.charts.neighbors.select((coords.abs() <= coords.new_tensor(kernel_size) / 2).all(1))

        return remembered(self, ("within", *kernel_size), make)

    def pyramid(self) -> list[Level]:
        """This level and all that are coarser, the finest first: a decoder takes them from the end.

        A layer that comes back from a coarser level, :class:`~geodl.nn.Upsample` or
        :class:`~geodl.nn.GridConvTranspose`, is given the level that it leads to, as the layer that went there was.
        """
        return [self, *([] if self.coarser is None else self.coarser.pyramid())]

    def cells(self) -> Coarsening:
        """The coarsening to the next level.

        Raises:
            ValueError: there is no coarser level.
        """
        if self.coarsening is None:
            raise ValueError(
                f"the level of {self.num_nodes} points is the coarsest: there is nothing to pool to"
            )
        return self.coarsening

    def after(self, stride: int = 2) -> Level:
        """The level that a layer with this stride leads to."""
        if stride == 1:
            return self
        self.cells()
        assert self.coarser is not None
        return self.coarser

    def as_batch(self) -> Level:
        if self.ptr is not None:
            return self
        return replace(self, ptr=torch.tensor([0, self.num_nodes], device=self.area.device))

    def as_single(self) -> Level:
        return replace(self, ptr=None)

    @classmethod
    def cat(cls, parts: Sequence[Level], shared: Collection[str] = ()) -> Level:
        """The levels of several shapes, packed.

        Raises:
            ValueError: no parts, or parts with different numbers of levels.
        """
        if len({part.coarser is None for part in parts}) > 1:
            raise ValueError("Level.cat needs shapes with the same number of levels")
        return super().cat(parts, shared)


def mesh_levels(
    mesh: Any, sizes: Sequence[int] = (), kernel_size: int = 3, direction: Tensor | None = None
) -> Level:
    r"""The levels of a mesh, with exact geodesic charts at each, for a network made for grids.

    Taps are :math:`\sqrt{A / V}` apart, the side of the square that is a vertex's share of the surface. A grid has one direction
    everywhere; a surface needs it given: as no field of directions is smooth on all of a sphere, something must turn somewhere.

    Args:
        mesh: ``pos [V, 3]`` and ``face [3, F]``.
        sizes: points of the coarser levels, descending.
        kernel_size: taps along an axis of the widest kernel that will be asked for.
        direction: ``[3]``, or ``[V, 3]`` for every vertex: along its projection to the surface lies axis 0 of kernels, and 90
            degrees counter-clockwise of it axis 1. ``[V, 2]`` is in tangent frames, such as a
            :func:`~geodl.geometry.direction_field`. Where it is normal to the surface, and if not given, axis 0 lies along the
            first direction of the vertex's tangent frame.

    Raises:
        ValueError, IndexError: a bad mesh or one without area, fewer vertices than a level wants, sizes that do not descend, a
            direction of another shape or that is not finite.
    """
    mesh = as_shape(mesh)
    vertices = len(check_surface(mesh)[0])
    area = float(surface_area(mesh))
    if not area > 0:
        raise ValueError(
            "the mesh has no area: the distance of two taps is the root of a vertex's share of it"
        )
    _check_sizes(sizes, vertices, "mesh")
    steps = hierarchy(mesh, sizes) if sizes else []
    points, reach = torch.arange(vertices), reach_of([kernel_size] * 2)
    made: list[tuple[Charts, Tensor]] = []
    for depth in range(len(steps) + 1):
        if depth:
            points = points[steps[depth - 1].centers.cpu()]
        spacing = math.sqrt(area / len(points))
        charts = geodesic_charts(mesh, reach * spacing, sources=points.to(mesh.pos.device))
        charts = _among(charts if direction is None else charts.towards(direction), points)
        u = charts.rho[:, None] * torch.stack([charts.theta.cos(), charts.theta.sin()], dim=1) / spacing
        mass = vertex_areas(mesh) if depth == 0 else steps[depth - 1].mass
        made.append((Charts(charts.neighbors, u, "cartesian"), mass))
    return linked(made, steps, reach)


def graph_levels(graph: Any, sizes: Sequence[int] = (), kernel_size: int = 3) -> Level:
    """The levels of a graph in the plane or in space, such as the graph of an image's pixels, for a network made for grids.

    The local coordinates of a neighbour are its offset. Taps are as far apart as a node and its nearest neighbour (the median
    over the nodes), and at coarser levels by the root of the ratio of the numbers of nodes more.

    Args:
        graph: ``pos [V, d]`` with d = 2 or 3, the number of axes of the kernels, and ``edge_index [2, E]``, along which cells of
            the coarser levels grow.
        sizes: nodes of the coarser levels, descending.
        kernel_size: taps along an axis of the widest kernel that will be asked for.

    Raises:
        ValueError, IndexError: a bad graph, or one whose edges have no length; fewer nodes than a level wants; sizes that do not
            descend.
    """
    graph = as_shape(graph)
    pos, edge_index = graph.pos, graph.edge_index
    if pos.dim() != 2 or pos.shape[1] not in (2, 3):
        raise ValueError(f"pos must have shape [V, 2] or [V, 3], not {list(pos.shape)}")
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    if edge_index.numel() == 0:
        raise ValueError("the graph has no edges: the distance of two taps is that of neighbours")
    _check_sizes(sizes, pos.shape[0], "graph")
    dim = pos.shape[1]
    in_space = SimpleNamespace(
        pos=F.pad(pos, (0, 3 - dim)), edge_index=edge_index, num_nodes=pos.shape[0], face=None
    )
    steps = hierarchy(in_space, sizes) if sizes else []
    length = torch.linalg.vector_norm(pos[edge_index[0]] - pos[edge_index[1]], dim=1)
    nearest = pos.new_full((pos.shape[0],), torch.inf).scatter_reduce(0, edge_index[1], length, "amin")
    nearest_to_all = float(nearest[nearest.isfinite()].median())
    if not nearest_to_all > 0:
        raise ValueError(
            "most nodes lie where a neighbour does: the distance of two taps is that of neighbours"
        )
    points, reach = torch.arange(pos.shape[0]), reach_of([kernel_size] * dim)
    made: list[tuple[Charts, Tensor]] = []
    for depth in range(len(steps) + 1):
        if depth:
            points = points[steps[depth - 1].centers.cpu()]
        spacing = nearest_to_all * (pos.shape[0] / len(points)) ** (1 / dim)
        place = pos[points]
        neighbors = radius(place, reach * spacing, loop=True)
        u = (place[neighbors.col] - place[neighbors.row]) / spacing
        mass = pos.new_ones(pos.shape[0]) if depth == 0 else steps[depth - 1].mass
        made.append((Charts(neighbors, u, "cartesian"), mass))
    return linked(made, steps, reach)


def _check_sizes(sizes: Sequence[int], points: int, shape: str) -> None:
    if sizes and sizes[0] >= points:
        raise ValueError(
            f"a coarser level of {sizes[0]} points wants more than the {points} that the {shape} has"
        )


def reach_of(kernel_size: Sequence[int]) -> float:
    """How far the hats of a kernel reach, in taps."""
    return math.hypot(*((taps - 1) / 2 + 1 for taps in kernel_size))


def linked(made: list[tuple[Charts, Tensor]], steps: list[Coarsening], reach: float) -> Level:
    charts, area = made[-1]
    level = Level(charts, area, reach=reach)
    for (charts, area), step in zip(reversed(made[:-1]), reversed(steps), strict=True):
        level = Level(charts, area, None, step, level, reach)
    return level


def _among(charts: Charts, points: Tensor) -> Charts:
    """The charts around some points, with these alone in them."""
    number = points.new_full((charts.neighbors.num_src,), -1)
    number[points] = torch.arange(len(points))
    col = number.to(charts.neighbors.device)[charts.neighbors.col]
    rows = charts.neighbors.select(col >= 0)
    neighbors = Neighbors.trusted(rows.rowptr, col[col >= 0], len(points))
    return Charts(neighbors, charts.coords[col >= 0], charts.kind)
