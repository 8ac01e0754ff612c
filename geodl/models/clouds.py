"""Packed clouds as point networks read them: checked, in an order of their own, pooled cloud by cloud."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.models.on_batch import on_batch
from geodl.nn.set_abstraction import cloud_of
from geodl.ops import Neighbors, aggregate
from geodl.ops.dynamic_size import at_least, of_any_size


@dataclass(frozen=True, eq=False)
class Clouds:
    """Points of several clouds, sorted by their coordinates within each.

    In that order, nothing that a network computes can depend on the order in which the points were given: neither where
    farthest-point sampling starts, nor which of several equally near neighbours is taken, nor how a mean is rounded.

    Attributes:
        pos: ``[P, 3]``.
        x: ``[P, C]``, or None.
        ptr: ``[B + 1]``.
        order: ``[P]``, the given row of every row; None if they are in the given order.
    """

    pos: Tensor
    x: Tensor | None
    ptr: Tensor
    order: Tensor | None

    @property
    def signal(self) -> Tensor:
        """Positions and signal, ``[P, 3 + C]``."""
        return self.pos if self.x is None else torch.cat([self.pos, self.x], dim=1)

    @property
    def cloud(self) -> Tensor:
        """The cloud of every point, ``[P]``."""
        return cloud_of(self.ptr, self.pos.shape[0])

    def pool(self, y: Tensor, reduce: str) -> Tensor:
        """``[P, C]`` -> ``[B, C]``."""
        return pool(y, self.ptr, reduce)

    def to_points(self, y: Tensor) -> Tensor:
        """What every point's cloud has, ``[B, C]`` -> ``[P, C]``."""
        return aggregate(y, members(self.ptr, self.pos.shape[0]).t()[0])

    def restore(self, y: Tensor) -> Tensor:
        """Rows in the order in which the points were given."""
        return y if self.order is None else y[self.order.argsort()]


class CloudClassifier(nn.Module):
    """A network with a score of every class for every cloud: ``head`` of ``features``."""

    head: nn.Sequential

    @on_batch
    def forward(self, pos: Tensor, ptr: Tensor | None = None, x: Tensor | None = None) -> Tensor:
        """Scores of the classes.

        Args:
            pos: ``[P, 3]``, the points of all clouds, in the unit ball.
            ptr: ``[B + 1]`` int64, where clouds begin; one cloud if not given.
            x: ``[P, in_channels]``.

        Returns:
            ``[B, out_channels]``.

        Raises:
            ValueError: shapes that do not fit; on the CPU, a cloud without points or a number that is not finite; in training, a
                batch that leaves a single cloud or cell, which has no statistics.
        """
        read = self.features(pos, ptr, x)
        at_least(read.shape[0], 2 if self.training else 1)
        scores: Tensor = self.head(read)
        return scores

    def features(self, pos: Tensor, ptr: Tensor | None = None, x: Tensor | None = None) -> Tensor:
        """What ``head`` reads, a row a cloud; arguments as of the network."""
        raise NotImplementedError


def pool(y: Tensor, ptr: Tensor, reduce: str) -> Tensor:
    """The maximum or mean over every cloud, ``[P, C]`` -> ``[B, C]``."""
    return aggregate(y, members(ptr, y.shape[0]), reduce=reduce)


def members(ptr: Tensor, points: int) -> Neighbors:
    """The points of every cloud; what reads each of them is known, and need not be sorted out."""
    return Neighbors.trusted(ptr, torch.arange(points, device=ptr.device), points).edges()


def read_clouds(
    pos: Tensor, ptr: Tensor | None, x: Tensor | None, channels: int, dtype: torch.dtype, sort: bool = True
) -> Clouds:
    """Checks what a network was given, in its dtype; values are read on the CPU alone, as a GPU would be waited for.

    Raises:
        ValueError: a shape, dtype or device that does not fit, a ``ptr`` that is none, a cloud without points, a number that is
            not finite.
    """
    if pos.dim() != 2 or pos.shape[1] != 3:
        raise ValueError(f"pos must have shape [P, 3], not {list(pos.shape)}")
    if not pos.is_floating_point():
        raise ValueError(f"pos must be floating point, not {pos.dtype}")
    if ptr is None:
        ptr = torch.arange(2, device=pos.device) * pos.shape[0]
    if ptr.dtype != torch.int64 or ptr.dim() != 1 or ptr.shape[0] < 2:
        raise ValueError(
            f"ptr must be int64 of shape [B + 1] with B at least 1, not {ptr.dtype} {list(ptr.shape)}"
        )
    if ptr.device != pos.device:
        raise ValueError(f"pos is on {pos.device} but ptr is on {ptr.device}")
    if channels and x is None:
        raise ValueError(f"the network reads {channels} channels beside the positions, but x is None")
    if x is not None:
        if x.shape != (pos.shape[0], channels):
            raise ValueError(f"x must have shape {[pos.shape[0], channels]}, not {list(x.shape)}")
        if x.device != pos.device:
            raise ValueError(f"pos is on {pos.device} but x is on {x.device}")
        x = x.to(dtype) if channels else None
    clouds = Clouds(pos.to(dtype), x, of_any_size(ptr.contiguous(), 1), None)
    if pos.device.type == "cpu" and not torch.compiler.is_compiling():
        _check_values(clouds)
    if not sort:
        return clouds
    order = _order(clouds.signal, clouds.cloud)
    return Clouds(clouds.pos[order], None if x is None else x[order], clouds.ptr, order)


def _check_values(clouds: Clouds) -> None:
    points, ptr = clouds.pos.shape[0], clouds.ptr
    if int(ptr[0]) != 0 or int(ptr[-1]) != points:
        raise ValueError(
            f"ptr must ascend from 0 to the {points} points, not from {int(ptr[0])} to {int(ptr[-1])}"
        )
    sizes = ptr.diff()
    if bool((sizes < 0).any()):
        raise ValueError(
            f"ptr must not descend, but cloud {int((sizes < 0).nonzero()[0])} ends before it starts"
        )
    if bool((sizes == 0).any()):
        raise ValueError(f"cloud {int((sizes == 0).nonzero()[0])} has no points")
    for name, tensor in (("pos", clouds.pos), ("x", clouds.x)):
        if tensor is not None and not bool((finite := tensor.isfinite()).all()):
            row = int((~finite.all(1)).nonzero()[0])
            raise ValueError(f"{name} must be finite, but row {row} is {tensor[row].tolist()}")


def _order(signal: Tensor, cloud: Tensor) -> Tensor:
    """Rows by cloud, then by their first coordinate, second, and so on."""
    order = torch.arange(signal.shape[0], device=signal.device)
    for column in (*signal.detach().flip(1).unbind(1), cloud):
        order = order[column[order].argsort(stable=True)]
    return order


def one_hot(category: Tensor | None, categories: int, clouds: Clouds) -> Tensor:
    """What every cloud is known to be, ``[B, categories]``; where there is one category, nothing need be said.

    Raises:
        ValueError: not a number for every cloud, or on the CPU one that is no category.
    """
    count = clouds.ptr.shape[0] - 1
    if category is None:
        if categories != 1:
            raise ValueError(
                f"category must be given, as the network has {categories} of them (categories=1 where all shapes are of one kind)"
            )
        return clouds.pos.new_ones(count, 1)
    if torch.compiler.is_compiling() and category.dim() == 1:
        category = of_any_size(category, 0)
        torch._check(category.shape[0] == count)
    if category.shape != (count,) or category.dtype != torch.int64:
        raise ValueError(
            f"category must be int64 of shape [{count}], not {category.dtype} {list(category.shape)}"
        )
    known = category.device.type == "cpu" and not torch.compiler.is_compiling()
    if known and not 0 <= int(category.min()) <= int(category.max()) < categories:
        raise ValueError(
            f"category holds {int(category.min())}..{int(category.max())}, but there are {categories} categories"
        )
    return functional.one_hot(category, categories).to(clouds.pos.dtype)
