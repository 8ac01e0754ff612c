"""Windows of grid convolutions: one-hot on the taps of a grid, and the taps' lattice laid into any chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.geometry import Charts
from geodl.nn.spline_windows import spline_windows
from geodl.ops import Neighbors, patch_conv, patch_gather
from geodl.ops.core.structure import Fixed, Layout, Part, Rows, Structure
from geodl.ops.remembered import Shelf, remembered

__all__ = ["GridWindows", "chart_windows", "grid_windows", "transposed_windows"]

# A tap that sees less than this of the signal fades out at a border instead of being scaled up to a whole value.
_FAINTEST = 0.1

# Signals with fewer channels, or with fewer numbers, cost more one by one than all patches of all of them do.
_WIDE, _LARGE = 8, 4096

# Of regular grids.
_GRIDS = Shelf(64)


@dataclass(frozen=True, eq=False)
class GridWindows(Structure):
    """How much each tap of a grid convolution sees of each neighbour, in the sparse form of :func:`~geodl.ops.patch_conv`.

    Args:
        neighbors: which sources each of the N points reads.
        weight: ``[E, S]`` floating point.
        index: ``[E, S]`` int64, the tap that the weight belongs to; the last axis of the kernel counts fastest.
        kernel_size: taps along each axis.
        size: of the grid that the N points form; None on other domains.
    """

    neighbors: Neighbors
    weight: Tensor
    index: Tensor
    kernel_size: tuple[int, ...]
    size: tuple[int, ...] | None = None

    layout: ClassVar[Layout] = {
        "neighbors": Part(Neighbors),
        "weight": Rows("edges"),
        "index": Rows("edges"),
        "kernel_size": Fixed(),
        "size": Fixed(),
    }

    @property
    def taps(self) -> int:
        return math.prod(self.kernel_size)

    def rows(self, points: Tensor) -> GridWindows:
        """The windows around the points ``[P]`` alone: what a convolution with a stride computes."""
        begin, count = self.neighbors.rowptr[points], self.neighbors.degree()[points]
        rowptr = torch.cat([count.new_zeros(1), count.cumsum(0)])
        edge = torch.arange(int(rowptr[-1]), device=points.device)
        edge = edge + (begin - rowptr[:-1]).repeat_interleave(count)
        neighbors = Neighbors(rowptr, self.neighbors.col[edge], self.neighbors.num_src)
        return GridWindows(neighbors, self.weight[edge], self.index[edge], self.kernel_size)

    def t(self) -> GridWindows:
        """The adjoint: a source reads the points that read it, at the same taps."""
        neighbors, order = self.neighbors.t()
        return GridWindows(neighbors, self.weight[order], self.index[order], self.kernel_size)

    def convolve(self, x: Tensor, filters: Tensor, groups: int = 1) -> Tensor:
        """Patch convolution of a signal.

        Args:
            x: ``[V, C]``, or ``[B, C, V]``: B signals on one domain.
            filters: ``[taps, C / groups, C']``.
            groups: of channels that do not mix.

        Returns:
            ``[N, C']``, or ``[B, C', N]``.
        """
        weight = self.weight.to(x.dtype)
        if x.dim() == 2:
            return patch_conv(x, self.neighbors, weight, filters, self.index, groups)
        batch, channels, points = x.shape
        taps, read, out_channels = filters.shape
        if channels >= _WIDE and points * channels >= _LARGE and not torch.compiler.is_compiling():
            each = x.transpose(1, 2).contiguous().unbind()
            made = [patch_conv(one, self.neighbors, weight, filters, self.index, groups) for one in each]
            return (made[0][None] if batch == 1 else torch.stack(made)).transpose(1, 2)
        # B signals on one domain are so many more channels of one: the windows are read once for all of them.
        signals = x.permute(2, 0, 1).reshape(points, batch * channels)
        patches = patch_gather(signals, self.neighbors, weight, self.index, taps)
        patches = patches.view(-1, taps, batch, groups, read).permute(3, 0, 2, 1, 4).flatten(3)
        patches = patches.reshape(groups, -1, taps * read)
        filters = filters.view(taps, read, groups, -1).permute(2, 0, 1, 3).reshape(groups, taps * read, -1)
        mixed = (patches @ filters).view(groups, -1, batch, out_channels // groups)
        return mixed.permute(2, 0, 3, 1).reshape(batch, out_channels, -1)


def grid_windows(
    size: tuple[int, ...],
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    dilation: tuple[int, ...],
    padding_mode: str = "zeros",
) -> GridWindows:
    """One-hot windows on the taps of a regular grid, so that a patch convolution with them is torch's convolution.

    Args:
        size: points along each axis; a point's number counts the last axis fastest, as ``reshape`` does.
        kernel_size, stride, dilation: along each axis.
        padding: points before and after, along each axis.
        padding_mode: "zeros" (such taps see nothing), "circular", "reflect" or "replicate".

    Raises:
        ValueError: no such padding mode, padding that is too wide for it, or a kernel wider than the padded grid.
    """

    def make() -> GridWindows:
        along = zip(size, kernel_size, stride, padding, dilation, strict=True)
        return _one_hot([_axis(*each, padding_mode) for each in along], size, kernel_size)

    return remembered(_GRIDS, (size, kernel_size, stride, padding, dilation, padding_mode), make)


def transposed_windows(
    size: tuple[int, ...],
    kernel_size: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    output_padding: tuple[int, ...],
) -> GridWindows:
    """Windows of the transposed convolution: point o reads point i at tap k where o = i stride - padding + k dilation."""

    def make() -> GridWindows:
        along = zip(size, kernel_size, stride, padding, dilation, output_padding, strict=True)
        return _one_hot([_transposed_axis(*each) for each in along], size, kernel_size)

    return remembered(
        _GRIDS, ("transposed", size, kernel_size, stride, padding, dilation, output_padding), make
    )


def chart_windows(
    charts: Charts, kernel_size: Sequence[int], spacing: float = 1.0, dilation: Sequence[int] | int = 1
) -> GridWindows:
    r"""The taps of a grid convolution, laid into every chart: a bilinear hat around each tap.

    With the taps at :math:`t_m` and the cartesian coordinates :math:`u_{ij}` of a chart (of polar ones
    :math:`\rho (\cos \theta, \sin \theta)`) in units of ``spacing``,

    .. math:: w_m(u_{ij}) = \frac{h(u_{ij} - t_m)}{\sum_{k \in N(i)} h(u_{ik} - t_m)}, \qquad
              h(u) = \prod_a \max(0, 1 - |u_a|),

    the mean of the signal about the tap. Where neighbours lie exactly at the taps, as on a grid, windows are one-hot. A tap whose
    hat holds nothing, as beyond a border, reads zero.

    Args:
        charts: with as many coordinates as the kernel has axes; coordinate a runs along axis a of the kernel.
        kernel_size: taps along each axis.
        spacing: distance of neighbouring taps, in the unit of the charts.
        dilation: distance of the taps in units of the spacing.

    Raises:
        ValueError: charts of another dimension, or a spacing that is not positive.
    """
    if not spacing > 0:
        raise ValueError(f"spacing must be positive, got {spacing}")
    coords = charts.coords
    if charts.kind == "polar":
        coords = charts.rho[:, None] * torch.stack([charts.theta.cos(), charts.theta.sin()], dim=1)
    if coords.shape[1] != len(kernel_size):
        raise ValueError(
            f"charts have {coords.shape[1]} coordinates but the kernel has {len(kernel_size)} axes"
        )
    steps = [dilation] * len(kernel_size) if isinstance(dilation, int) else list(dilation)
    weight, index = _hats(coords / spacing, kernel_size, steps)
    # An edge for every tap that sees a neighbour, all of one tap together: their sum stays in registers.
    taps = math.prod(kernel_size)
    edge, slot = (weight > 0).nonzero(as_tuple=True)
    window = charts.neighbors.row[edge] * taps + index[edge, slot]
    order = window.argsort(stable=True)
    edge, weight, window = edge[order], weight[edge, slot][order], window[order]
    total = weight.new_zeros(charts.num_charts * taps).index_add(0, window, weight).clamp(min=_FAINTEST)
    count = edge.new_zeros(charts.num_charts).index_add(0, window // taps, torch.ones_like(window))
    neighbors = Neighbors(
        F.pad(count.cumsum(0), (1, 0)), charts.neighbors.col[edge], charts.neighbors.num_src
    )
    weight = weight / total[window]
    return GridWindows(neighbors, weight[:, None], (window % taps)[:, None], tuple(kernel_size))


def _hats(u: Tensor, kernel_size: Sequence[int], dilation: Sequence[int]) -> tuple[Tensor, Tensor]:
    """How much every tap sees at ``u [E, d]``, not normalised: weight and index ``[E, 2^d]``."""
    # On the lattice without gaps, of which a dilated kernel has some of the points.
    sides = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    weight, place = spline_windows(u + (u.new_tensor(sides) - 1) / 2, sides, 1)
    index, factor = torch.zeros_like(place), 1
    for taps, side, apart in zip(reversed(kernel_size), reversed(sides), reversed(dilation), strict=True):
        along = place % side
        weight = torch.where(along % apart == 0, weight, 0)
        index = index + factor * along.div(apart, rounding_mode="floor")
        place, factor = place.div(side, rounding_mode="floor"), factor * taps
    return weight, index


def _axis(
    points: int, taps: int, stride: int, padding: tuple[int, int], dilation: int, padding_mode: str
) -> Tensor:
    """The point that each tap of each place along one axis reads, ``[places, taps]``; -1 for none."""
    before, after = padding
    numbers = torch.arange(points)
    if padding_mode == "zeros":
        padded = F.pad(numbers, (before, after), value=-1)
    else:
        # The same call that pads a signal pads its numbers, so what it refuses is refused here.
        try:
            padded = F.pad(numbers.double()[None, None], (before, after), mode=padding_mode)[0, 0].long()
        except (RuntimeError, NotImplementedError) as error:
            raise ValueError(
                f"{padding_mode} padding of {padding} on an axis of {points} points: {error}"
            ) from error
    reach = dilation * (taps - 1)
    if padded.numel() <= reach:
        raise ValueError(
            f"a kernel that spans {reach + 1} points does not fit an axis of {padded.numel()}, padding included"
        )
    places = torch.arange(0, padded.numel() - reach, stride)
    return padded[places[:, None] + dilation * torch.arange(taps)]


def _transposed_axis(points: int, taps: int, step: int, pad: int, apart: int, more: int) -> Tensor:
    """As :func:`_axis`, of a transposed convolution."""
    length = (points - 1) * step - 2 * pad + apart * (taps - 1) + more + 1
    if length < 1:
        raise ValueError(f"padding {pad} leaves nothing of an axis of {points} points")
    reached = torch.arange(length)[:, None] + pad - apart * torch.arange(taps)
    source = reached.div(step, rounding_mode="floor")
    fits = (reached % step == 0) & (source >= 0) & (source < points)
    return torch.where(fits, source, -1)


def _one_hot(axes: list[Tensor], size: Sequence[int], kernel_size: Sequence[int]) -> GridWindows:
    """Windows from the points that are read along each axis."""
    dim = len(axes)
    source, valid = torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.bool)
    for number, axis in enumerate(axes):
        # Places of all axes come first, then the taps of all.
        shape = [1] * (2 * dim)
        shape[number], shape[dim + number] = axis.shape
        axis = axis.view(shape)
        source = source * size[number] + axis
        valid = valid & (axis >= 0)
    taps = math.prod(kernel_size)
    valid, source = valid.reshape(-1, taps), source.reshape(-1, taps)
    rowptr = F.pad(valid.sum(1).cumsum(0), (1, 0))
    index = torch.arange(taps).expand_as(source)[valid]
    weight = torch.ones(index.numel(), 1, dtype=torch.float64)
    neighbors = Neighbors(rowptr, source[valid], math.prod(size))
    places = tuple(axis.shape[0] for axis in axes)
    return GridWindows(neighbors, weight, index[:, None], tuple(kernel_size), places)
