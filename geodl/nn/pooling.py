"""Pooling: the norm, the maximum or the mean of a signal over neighbourhoods, on grids and on every other domain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.geometry import Coarsening
from geodl.geometry.coarsening import on_columns
from geodl.nn.level import Level
from geodl.ops import Neighbors, aggregate
from geodl.ops.edge_index import shapes_of

__all__ = ["GlobalMeanPool", "LpPool", "MaxPool", "MeanPool"]

Size = int | Sequence[int]
Cells = Neighbors | Coarsening | Level

_MAX: dict[int, Any] = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}
_MEAN: dict[int, Any] = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}


class _Pool(nn.Module):
    """On a grid windows of ``kernel_size`` with a stride; elsewhere the cells of a domain."""

    def __init__(
        self, kernel_size: Size | None, stride: Size | None, padding: Size, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.ceil_mode = kernel_size, padding, ceil_mode
        self.stride = kernel_size if stride is None else stride

    def forward(
        self,
        x: Tensor,
        domain: Cells | None = None,
        area: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Pool ``x``.

        Args:
            x: ``[B, C, *size]`` on a grid; ``[V, C]`` or ``[B, C, V]`` elsewhere.
            domain: None for a grid; the cells of a :class:`~geodl.geometry.Coarsening`, the coarsening of a
                :class:`~geodl.nn.Level`, or Neighbors, whose rows are pooled. With a stride of 1 a Level is pooled over the
                points that the kernel covers around each.
            area: ``[V]``, what every point counts; on a coarsening its masses and on Neighbors 1, if not given.
            batch: ``[V]`` int64 in the place of a domain: whole shapes are pooled, of which it holds the number for every point, in
                any order.

        Returns:
            ``[B, C, *size']``, ``[N, C]`` or ``[B, C, N]``.

        Raises:
            ValueError: shapes that do not fit, or a grid without a kernel size.
        """
        if batch is not None:
            domain = _whole(x, domain, batch)
        if domain is None:
            if self.kernel_size is None:
                raise ValueError("a grid is pooled over windows: kernel_size must be given")
            if x.dim() not in _MAX:
                raise ValueError(f"x must have shape [B, C, *size] with 1 to 3 axes, not {list(x.shape)}")
            return self._on_grid(x)
        if isinstance(domain, Level) and self.kernel_size is not None and _largest(self.stride) == 1:
            area = domain.area if area is None else area
            size = self.kernel_size
            dim = domain.charts.coords.shape[1]
            domain = domain.within([size] * dim if isinstance(size, int) else size)
        cells, weight = _cells(domain, area)
        weight = None if weight is None else weight.to(x.dtype)
        return on_columns(x, lambda signal: self._on_cells(signal, cells, weight))

    def _on_grid(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _on_cells(self, x: Tensor, cells: Neighbors, area: Tensor | None) -> Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool(_Pool):
    r"""The maximum, :math:`y_i = \max_{j \in N(i)} x_j`.

    On grids it is torch's: padding never wins. A point without neighbours reads zero.

    Args:
        kernel_size, stride, padding, ceil_mode: as of :class:`torch.nn.MaxPool2d`, for grids.
    """

    def __init__(
        self,
        kernel_size: Size | None = None,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)

    def _on_grid(self, x: Tensor) -> Tensor:
        pooled: Tensor = _MAX[x.dim()](
            x, self.kernel_size, self.stride, self.padding, ceil_mode=self.ceil_mode
        )
        return pooled

    def _on_cells(self, x: Tensor, cells: Neighbors, area: Tensor | None) -> Tensor:
        return aggregate(x, cells, reduce="max")


class MeanPool(_Pool):
    r"""The mean by area, :math:`y_i = \sum_{j \in N(i)} a_j x_j / \sum_{j \in N(i)} a_j`.

    Args:
        kernel_size, stride, padding, ceil_mode, count_include_pad: as of :class:`torch.nn.AvgPool2d`, for grids.
    """

    def __init__(
        self,
        kernel_size: Size | None = None,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad

    def _on_grid(self, x: Tensor) -> Tensor:
        pooled: Tensor = _MEAN[x.dim()](
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )
        return pooled

    def _on_cells(self, x: Tensor, cells: Neighbors, area: Tensor | None) -> Tensor:
        if area is None:
            return aggregate(x, cells, reduce="mean")
        ones = area.new_ones(x.shape[0], 1)
        whole = aggregate(ones, cells, area)
        # A cell without area has the plain mean of its points.
        weight = torch.where(whole[cells.row, 0] == 0, 1, area)
        whole = torch.where(whole == 0, cells.degree()[:, None].clamp(min=1).to(whole), whole)
        return aggregate(x, cells, weight) / whole


class LpPool(_Pool):
    r"""The norm, :math:`y_i = \bigl(\sum_{j \in N(i)} a_j |x_j|^p\bigr)^{1/p}`, and :math:`\max_j |x_j|` for :math:`p = \infty`.

    Without areas (a = 1, as on grids) it is :func:`torch.nn.functional.lp_pool2d` wherever that is a norm; torch's drops the
    absolute value, so that negative values cancel positive ones for odd p. Its gradient at a window of zeros is 0.

    Args:
        p: 1 or more; ``math.inf`` for the maximum.
        kernel_size, stride, padding: as of :class:`torch.nn.AvgPool2d`, for grids; padding is zero.

    Raises:
        ValueError: p below 1.

    Bronstein, Bruna, LeCun, Szlam, Vandergheynst, "Geometric deep learning: going beyond Euclidean data", 2017, section II.
    """

    def __init__(
        self, p: float, kernel_size: Size | None = None, stride: Size | None = None, padding: Size = 0
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        if not p >= 1:
            raise ValueError(f"p must be at least 1, got {p}: below, it is no norm")
        self.p = p

    def _on_grid(self, x: Tensor) -> Tensor:
        assert self.kernel_size is not None
        if self.p == math.inf:
            largest: Tensor = _MAX[x.dim()](x.abs(), self.kernel_size, self.stride, self.padding)
            return largest
        sides = [self.kernel_size] * (x.dim() - 2) if isinstance(self.kernel_size, int) else self.kernel_size
        power = x.abs() if self.p == 1 else x.abs() ** self.p
        mean = _MEAN[x.dim()](power, self.kernel_size, self.stride, self.padding)
        return _root(mean * math.prod(sides), self.p)

    def _on_cells(self, x: Tensor, cells: Neighbors, area: Tensor | None) -> Tensor:
        if self.p == math.inf:
            return aggregate(x.abs(), cells, reduce="max")
        power = x.abs() if self.p == 1 else x.abs() ** self.p
        return _root(aggregate(power, cells, area), self.p)

    def extra_repr(self) -> str:
        return f"p={self.p:g}, {super().extra_repr()}"


class GlobalMeanPool(nn.Module):
    """The mean over a whole grid, ``[B, C, *size]`` -> ``[B, C]``, or by area over the points of a level.

    On a level ``[V, C]`` gives ``[B, C]``, one row a packed shape, and ``[B, C, V]`` on one shape ``[B, C]``. ``batch [V]`` int64,
    the number of the shape of every point in any order, may stand for the level; there points count the same.

    Raises:
        ValueError: B signals on several packed shapes, or a signal that does not fit.
    """

    def forward(self, x: Tensor, domain: Level | None = None, batch: Tensor | None = None) -> Tensor:
        """A row a shape, ``[B, C]``: see the shapes above."""
        if batch is not None:
            mean: Tensor = MeanPool()(x, domain, batch=batch)
            return mean
        if domain is None:
            return x.flatten(2).mean(2)
        ptr = torch.tensor([0, domain.num_nodes], device=x.device) if domain.ptr is None else domain.ptr
        if x.dim() == 3 and ptr.numel() > 2:
            raise ValueError(
                f"x holds {x.shape[0]} signals on one shape, but {ptr.numel() - 1} shapes are packed"
            )
        shapes = Neighbors(ptr, torch.arange(domain.num_nodes, device=x.device), domain.num_nodes)
        pooled: Tensor = MeanPool()(x, shapes, domain.area)
        return pooled if x.dim() == 2 else pooled.squeeze(2)


def _largest(stride: Size | None) -> int | None:
    return stride if stride is None or isinstance(stride, int) else max(stride)


def _cells(domain: Cells, area: Tensor | None) -> tuple[Neighbors, Tensor | None]:
    """The rows to pool, and what each of their entries counts ``[E]``."""
    if isinstance(domain, Neighbors):
        return domain, None if area is None else _checked(area, domain)[domain.col]
    coarsening = domain.cells() if isinstance(domain, Level) else domain
    cells = coarsening.cells
    if area is not None:
        return cells, _checked(area, cells)[cells.col]
    return cells, coarsening.weight * coarsening.mass.to(coarsening.weight)[cells.row]


def _whole(x: Tensor, domain: Cells | None, batch: Tensor) -> Neighbors:
    if domain is not None:
        raise ValueError("give a domain or batch, not both")
    shapes = shapes_of(batch)
    if x.dim() != 2 or x.shape[0] != shapes.num_src:
        raise ValueError(
            f"x must have shape [{shapes.num_src}, C] where batch is given, one a point, not {list(x.shape)}"
        )
    return shapes


def _checked(area: Tensor, cells: Neighbors) -> Tensor:
    if area.shape != (cells.num_src,):
        raise ValueError(f"area must have shape [{cells.num_src}], one a point, not {list(area.shape)}")
    return area


def _root(total: Tensor, p: float) -> Tensor:
    """The p-th root, whose gradient at zero is 0 and not infinite."""
    if p == 1:
        return total
    nothing = total == 0
    return torch.where(nothing, 0, total.masked_fill(nothing, 1) ** (1 / p))
