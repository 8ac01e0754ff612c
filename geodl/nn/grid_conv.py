"""GridConv: torch's convolution, which is a patch convolution whose windows are one-hot on the taps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.geometry import Charts
from geodl.nn.grid_windows import GridWindows, chart_windows, grid_windows, transposed_windows
from geodl.ops.core.dispatch import forced

if TYPE_CHECKING:
    from geodl.nn.level import Level

__all__ = ["GridConv", "GridConvTranspose"]

_CONV: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Any] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}

Size = int | Sequence[int]
PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class GridConv(nn.modules.conv._ConvNd):
    r"""Convolution on a grid of 1, 2 or 3 dimensions, and with the same weights on every domain that has charts.

    .. math:: y_i = b + \sum_m D_m x(i) \, W_m, \qquad D_m x(i) = \sum_{j \in N(i)} w_m(u_{ij}) \, x_j

    On a grid :math:`w_m` is one where the offset of j from i is tap m, so this is :class:`torch.nn.Conv1d`, ``Conv2d`` or
    ``Conv3d``, whose arguments, initialisation and state dict it has, and torch (cuDNN, oneDNN) computes it; under
    ``use_backend("reference")`` it runs as the general operator. On other domains the taps are laid into every chart, see
    :func:`~geodl.nn.chart_windows`.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode: as of torch's.
        device, dtype: of the weights.
        dim: number of axes; that of ``kernel_size`` if it is a sequence.

    Shapes:
        - x ``[B, C, *size]`` or ``[C, *size]`` -> ``[B, C', *size']`` as torch.
        - x ``[V, C]`` or ``[B, C, V]`` (B signals on one domain) with charts over V points -> ``[V, C']`` or ``[B, C', V]``. The
          unit of plain charts is the distance of two taps; a :class:`~geodl.nn.Level` knows its own. There a padding means
          nothing, and a stride needs a Level: the convolution is read at the points of the next coarser one.

    Raises:
        ValueError: what torch refuses; charts that do not fit; a stride on plain charts.

    LeCun, Boser, Denker, Henderson, Howard, Hubbard, Jackel, "Backpropagation applied to handwritten zip code recognition", 1989.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        dim: int = 2,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        kernel, (steps, apart) = _sizes(kernel_size, dim, stride, dilation)
        pad = padding if isinstance(padding, str) else _sizes(kernel, dim, padding)[1][0]
        super().__init__(
            in_channels, out_channels, kernel, steps, pad, apart, False, (0,) * len(kernel), groups, bias,
            padding_mode, device=device, dtype=dtype,
        )  # fmt: skip
        self._dim = len(kernel)
        # What torch's function pads itself, beside what must be padded before.
        self._inner: Any = self.padding if padding_mode == "zeros" else (0,) * len(kernel)

    def forward(self, x: Tensor, domain: Charts | GridWindows | Level | None = None) -> Tensor:
        """``[B, C, *size]`` as torch; in charts or on a level ``[V, C]`` -> ``[V, C']`` or ``[B, C, V]`` -> ``[B, C', V]``."""
        if domain is not None:
            return _on_domain(self, x, self._taps(domain), _taps_first(self.weight))
        if not torch.compiler.is_compiling() and forced.get() == "reference":
            return _on_grid(self, x, self._windows(x), _taps_first(self.weight))
        if self.padding_mode != "zeros":
            x = F.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        y: Tensor = _CONV[self._dim](
            x, self.weight, self.bias, self.stride, self._inner, self.dilation, self.groups
        )
        return y

    def _taps(self, domain: Charts | GridWindows | Level) -> GridWindows:
        if isinstance(domain, GridWindows):
            return domain
        if not isinstance(domain, Charts):
            return domain.windows(self.kernel_size, self.stride, self.dilation)
        if max(self.stride) > 1:
            raise ValueError("a convolution with a stride needs a Level: plain charts have no coarser points")
        return chart_windows(domain, self.kernel_size, dilation=self.dilation)

    def _windows(self, x: Tensor) -> GridWindows:
        ends = self._reversed_padding_repeated_twice
        pads = tuple((ends[k], ends[k + 1]) for k in range(len(ends) - 2, -1, -2))
        size = tuple(x.shape[-len(pads) :])
        return grid_windows(size, self.kernel_size, self.stride, pads, self.dilation, self.padding_mode)


class GridConvTranspose(nn.modules.conv._ConvTransposeNd):
    r"""Transposed convolution on a grid, and with the same weights on every level: the way back of :class:`GridConv`.

    .. math:: y_j = b + \sum_m \sum_{i : j \in N(i)} w_m(u_{ij}) \, x_i \, W_m

    It has arguments, initialisation and state dict of torch's ConvTranspose1d, 2d and 3d, and on grids torch computes it; under
    ``use_backend("reference")`` it is a patch convolution whose windows are one-hot: a point reads the points that a convolution of
    this stride would spread it to. On a level it is the adjoint of the convolution there: with a stride it leads from the next
    coarser level to the level that is given.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation: as of torch's.
        device, dtype: of the weights.
        padding_mode: "zeros", as torch's knows no other.
        dim: number of axes; that of ``kernel_size`` if it is a sequence.

    Shapes:
        - x ``[B, C, *size]`` or ``[C, *size]`` -> ``[B, C', *size']``; ``output_size`` picks among the sizes that a stride leaves
          open.
        - with a :class:`~geodl.nn.Level` of V points x ``[v, C]`` or ``[B, C, v]`` -> ``[V, C']`` or ``[B, C', V]``, where v is the
          number of points of its coarser level if there is a stride, else V. There paddings mean nothing.

    Raises:
        ValueError: what torch refuses; a stride at the coarsest level; a level that does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: PaddingMode = "zeros",
        dim: int = 2,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        kernel, (steps, pad, more, apart) = _sizes(
            kernel_size, dim, stride, padding, output_padding, dilation
        )
        super().__init__(
            in_channels, out_channels, kernel, steps, pad, apart, True, more, groups, bias, padding_mode,
            device=device, dtype=dtype,
        )  # fmt: skip
        self._dim = len(kernel)

    def forward(
        self, x: Tensor, domain: GridWindows | Level | None = None, output_size: list[int] | None = None
    ) -> Tensor:
        """``x [B, C, *size]`` as torch; with a level from the coarser one's points to its own."""
        if domain is not None:
            windows = (
                domain
                if isinstance(domain, GridWindows)
                else domain.transposed_windows(self.kernel_size, self.stride, self.dilation)
            )
            return _on_domain(self, x, windows, _taps_first_transposed(self.weight, self.groups))
        more = tuple(self.output_padding)
        if output_size is not None:
            given: list[Any] = [self.stride, self.padding, self.kernel_size, self._dim, self.dilation]
            more = tuple(self._output_padding(x, output_size, *given))
        if not torch.compiler.is_compiling() and forced.get() == "reference":
            assert not isinstance(self.padding, str)  # which transposed convolutions do not take
            size = tuple(x.shape[-len(self.kernel_size) :])
            windows = transposed_windows(
                size, self.kernel_size, self.stride, self.padding, self.dilation, more
            )
            return _on_grid(self, x, windows, _taps_first_transposed(self.weight, self.groups))
        y: Tensor = _TRANSPOSED[self._dim](
            x, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation
        )
        return y


def _sizes(kernel_size: Size, dim: int, *others: Size) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Numbers along every axis, for the kernel and for what goes with it."""
    if not isinstance(kernel_size, int):
        dim = len(kernel_size)
    if dim not in _CONV:
        raise ValueError(f"grids have 1, 2 or 3 dimensions, not {dim}")
    found = []
    for value in (kernel_size, *others):
        along = (value,) * dim if isinstance(value, int) else tuple(value)
        if len(along) != dim:
            raise ValueError(f"the kernel has {dim} axes but {along} has {len(along)}")
        found.append(along)
    return found[0], found[1:]


def _taps_first(weight: Tensor) -> Tensor:
    """``[C', C / groups, *kernel]`` as filters ``[taps, C / groups, C']``."""
    return weight.flatten(2).permute(2, 1, 0)


def _taps_first_transposed(weight: Tensor, groups: int) -> Tensor:
    """``[C, C' / groups, *kernel]`` as filters ``[taps, C / groups, C']``."""
    split: Tensor = weight.flatten(2).unflatten(0, (groups, -1))  # [groups, C / groups, C' / groups, taps]
    return split.permute(3, 1, 0, 2).flatten(2)


def _on_grid(conv: nn.modules.conv._ConvNd, x: Tensor, windows: GridWindows, filters: Tensor) -> Tensor:
    """The general operator on a grid."""
    dim = len(conv.kernel_size)
    batched = x.dim() == dim + 2
    if x.dim() not in (dim + 1, dim + 2) or x.shape[-dim - 1] != conv.in_channels:
        raise ValueError(
            f"x must have shape [B, {conv.in_channels}, *size] with {dim} axes, not {list(x.shape)}"
        )
    windows = windows.to(x.device) if windows.weight.device != x.device else windows
    signals = x if batched else x.unsqueeze(0)
    out = torch.stack([windows.convolve(one.flatten(1).t(), filters, conv.groups) for one in signals])
    out = out if conv.bias is None else out + conv.bias
    assert windows.size is not None
    grid: Tensor = out.transpose(1, 2).unflatten(2, windows.size)
    return grid if batched else grid[0]


def _on_domain(conv: nn.modules.conv._ConvNd, x: Tensor, windows: GridWindows, filters: Tensor) -> Tensor:
    """The same weights on another domain."""
    if windows.kernel_size != conv.kernel_size:
        raise ValueError(f"the windows are of a kernel {windows.kernel_size}, not {conv.kernel_size}")
    points, channels = x.shape if x.dim() == 2 else (x.shape[-1], x.shape[-2])
    if x.dim() not in (2, 3) or channels != conv.in_channels:
        raise ValueError(
            f"x must have shape [V, {conv.in_channels}] or [B, {conv.in_channels}, V], not {list(x.shape)}"
        )
    if points != windows.neighbors.num_src:
        raise ValueError(f"charts have {windows.neighbors.num_src} vertices but x has {points}")
    y = windows.convolve(x, filters, conv.groups)
    if conv.bias is None:
        return y
    return y + (conv.bias if x.dim() == 2 else conv.bias[:, None])
