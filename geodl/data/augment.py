"""Random changes of training clouds, each an item or a packed batch, whose clouds are then changed each in its own way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from geodl.geometry.cloud import check_cloud

__all__ = ["FixedPoints", "RandomDropout", "RandomJitter", "RandomRotate", "RandomScale", "RandomTranslate"]

Axis = Literal["x", "y", "z", "any"]


class RandomScale(BaseTransform):
    r"""Scales every cloud about the origin, :math:`p' = S p`, with normals to :math:`S^{-1} n` made unit again.

    .. math:: S = \operatorname{diag}(s_x, s_y, s_z), \qquad s \sim U(low, high)

    Args:
        low, high: smallest and largest factor, positive. DGCNN's are 2/3 and 3/2.
        anisotropic: whether each axis has a factor of its own, or all three have one.
        generator: source of randomness; torch's own if not given. Workers of a loader would all repeat a given one.

    Raises:
        ValueError: factors that are not positive or not in order; on use, a ``pos`` that is no finite ``[N, 3]``.
    """

    def __init__(
        self, low: float, high: float, anisotropic: bool = False, generator: Generator | None = None
    ) -> None:
        if not 0 < low <= high < math.inf:
            raise ValueError(f"low and high must be positive and in order, not {low} and {high}")
        self.low, self.high, self.anisotropic, self.generator = low, high, anisotropic, generator

    def forward(self, data: Any) -> Any:
        pos, ptr = check_cloud(data), cloud_ptr(data)
        shape = (len(ptr) - 1, 3 if self.anisotropic else 1)
        factor = to_points(uniform(self.low, self.high, shape, pos, self.generator), ptr)
        data.pos = pos * factor
        if self.anisotropic and (normal := getattr(data, "normal", None)) is not None:
            data.normal = torch.nn.functional.normalize(normal / factor, dim=1)
        return data


class RandomTranslate(BaseTransform):
    """Moves every cloud by a vector drawn evenly from the cube ``[-limit, limit]^3``.

    Args:
        limit: largest change of a coordinate, in the unit of ``pos``; DGCNN's is 0.2.
        generator: as of :class:`RandomScale`.

    Raises:
        ValueError: a limit that is negative or not finite; on use, a ``pos`` that is no finite ``[N, 3]``.
    """

    def __init__(self, limit: float, generator: Generator | None = None) -> None:
        if not 0 <= limit < math.inf:
            raise ValueError(f"limit must not be negative, got {limit}")
        self.limit, self.generator = limit, generator

    def forward(self, data: Any) -> Any:
        pos, ptr = check_cloud(data), cloud_ptr(data)
        data.pos = pos + to_points(
            uniform(-self.limit, self.limit, (len(ptr) - 1, 3), pos, self.generator), ptr
        )
        return data


class RandomRotate(BaseTransform):
    r"""Turns every cloud about the origin, its ``normal`` and the vectors of its ``x`` with it: :math:`p' = R p`.

    About a coordinate axis the angle is drawn evenly from :math:`[-degrees, degrees]`. About "any" axis, R is drawn evenly from all
    rotations by at most that angle, so that with 180 every rotation is as likely as every other (the Haar measure): an axis in any
    direction, and an angle of the density :math:`\propto 1 - \cos \theta`.

    Args:
        axis: "x", "y", "z" or "any".
        degrees: largest angle, at most 180.
        vectors: how many vectors in space ``x`` begins with, each of three columns, that turn as well.
        generator: as of :class:`RandomScale`.

    Raises:
        ValueError: no such axis, an angle outside 0..180, a negative number of vectors; on use, a ``pos`` that is no finite
            ``[N, 3]``, or an ``x`` of fewer columns.
    """

    def __init__(
        self,
        axis: Axis = "z",
        degrees: float = 180.0,
        vectors: int = 0,
        generator: Generator | None = None,
    ) -> None:
        if axis not in ("x", "y", "z", "any"):
            raise ValueError(f'axis must be "x", "y", "z" or "any", not {axis!r}')
        if not 0 <= degrees <= 180:
            raise ValueError(f"degrees must lie between 0 and 180, got {degrees}")
        if vectors < 0:
            raise ValueError(f"vectors must not be negative, got {vectors}")
        self.axis, self.degrees, self.vectors, self.generator = axis, degrees, vectors, generator

    def forward(self, data: Any) -> Any:
        pos, ptr = check_cloud(data), cloud_ptr(data)
        x = getattr(data, "x", None)
        if self.vectors and (x is None or x.dim() != 2 or x.shape[1] < 3 * self.vectors):
            told = "None" if x is None else f"of shape {list(x.shape)}"
            raise ValueError(f"x must begin with {self.vectors} vectors of 3 columns, but it is {told}")
        turns = to_points(self._turns(len(ptr) - 1, pos), ptr)
        data.pos = _turned(pos, turns)
        if (normal := getattr(data, "normal", None)) is not None:
            data.normal = _turned(normal, turns)
        if self.vectors and x is not None:
            vectors = [_turned(x[:, 3 * k : 3 * k + 3], turns) for k in range(self.vectors)]
            data.x = torch.cat([*vectors, x[:, 3 * self.vectors :]], dim=1)
        return data

    def _turns(self, count: int, pos: Tensor) -> Tensor:
        """Rotations ``[count, 3, 3]``, by Rodrigues' formula."""
        if self.axis == "any":
            axis = torch.nn.functional.normalize(normal_numbers((count, 3), pos, self.generator), dim=1)
            angle = _angles(
                uniform(0, 1, (count,), pos, self.generator).double(), math.radians(self.degrees)
            ).to(pos.dtype)
        else:
            axis = pos.new_zeros(count, 3)
            axis[:, "xyz".index(self.axis)] = 1
            angle = torch.deg2rad(uniform(-self.degrees, self.degrees, (count,), pos, self.generator))
        x, y, z = axis.unbind(1)
        zero = torch.zeros_like(x)
        cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
        sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
        along = axis[:, :, None] * axis[:, None, :]
        return cosine * torch.eye(3, dtype=pos.dtype, device=pos.device) + sine * cross + (1 - cosine) * along


class RandomJitter(BaseTransform):
    r"""Moves every point by noise of its own, :math:`p' = p + \min(\max(\epsilon, -clip), clip), \; \epsilon \sim N(0, \sigma^2)`.

    Args:
        sigma: standard deviation, in the unit of ``pos``; PointNet's is 0.01.
        clip: largest change of a coordinate; PointNet's is 0.05.
        generator: as of :class:`RandomScale`.

    Raises:
        ValueError: a negative number; on use, a ``pos`` that is no finite ``[N, 3]``.
    """

    def __init__(self, sigma: float = 0.01, clip: float = 0.05, generator: Generator | None = None) -> None:
        if not (0 <= sigma < math.inf and clip >= 0):
            raise ValueError(f"sigma and clip must not be negative, got {sigma} and {clip}")
        self.sigma, self.clip, self.generator = sigma, clip, generator

    def forward(self, data: Any) -> Any:
        pos = check_cloud(data)
        noise = self.sigma * normal_numbers(pos.shape, pos, self.generator)
        data.pos = pos + noise.clamp(-self.clip, self.clip)
        return data


class RandomDropout(BaseTransform):
    """Leaves out points: of every cloud a share drawn evenly from ``[0, max_ratio]``, each point by its own chance, never all.

    The points are gone. PointNet++ puts copies of the first point in their place, as its batches must have one size; packed
    clouds need not. Every attribute that has a row a point loses the same rows. A batch comes back as a plain ``Data`` with ``ptr``
    and ``batch``.

    Args:
        max_ratio: largest share; PointNet++'s is 0.875.
        generator: as of :class:`RandomScale`.

    Raises:
        ValueError: a share outside [0, 1); on use, a ``pos`` that is no finite ``[N, 3]``, or a shape with faces, edges or
            operators, which would not fit fewer points.
    """

    def __init__(self, max_ratio: float = 0.875, generator: Generator | None = None) -> None:
        if not 0 <= max_ratio < 1:
            raise ValueError(f"max_ratio must be at least 0 and below 1, got {max_ratio}")
        self.max_ratio, self.generator = max_ratio, generator

    def forward(self, data: Any) -> Any:
        pos, ptr = check_cloud(data), cloud_ptr(data)
        share = to_points(uniform(0, self.max_ratio, (len(ptr) - 1,), pos, self.generator), ptr)
        chance = uniform(0, 1, (pos.shape[0],), pos, self.generator)
        first = torch.segment_reduce(chance, "max", offsets=ptr)
        kept = ((chance >= share) | (chance == to_points(first, ptr))).nonzero().squeeze(1)
        return chosen_points(data, kept, ptr)


class FixedPoints(BaseTransform):
    """Takes ``count`` points of every cloud, none twice, in random order; a cloud of no more points keeps them all.

    Every attribute that has a row a point is sampled with them. A batch comes back as a plain ``Data`` with ``ptr`` and ``batch``.

    Args:
        count: number of points.
        generator: as of :class:`RandomScale`.

    Raises:
        ValueError: a count below 1; on use, as :class:`RandomDropout`.
    """

    def __init__(self, count: int, generator: Generator | None = None) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        self.count, self.generator = count, generator

    def forward(self, data: Any) -> Any:
        pos, ptr = check_cloud(data), cloud_ptr(data)
        order = order_within(uniform(0, 1, (pos.shape[0],), pos, self.generator), ptr)
        rank = torch.arange(pos.shape[0], device=pos.device) - to_points(ptr[:-1], ptr)
        return chosen_points(data, order[rank < self.count], ptr)


# --- packed clouds --------------------------------------------------------------


def cloud_ptr(data: Any) -> Tensor:
    """Where the clouds of a batch begin, ``[B + 1]``; of one cloud ``[0, N]``."""
    ptr: Tensor | None = getattr(data, "ptr", None)
    return torch.tensor([0, data.pos.shape[0]], device=data.pos.device) if ptr is None else ptr


def to_points(of_cloud: Tensor, ptr: Tensor) -> Tensor:
    """What every point's cloud has, ``[B, ...]`` -> ``[N, ...]``."""
    return of_cloud.repeat_interleave(ptr.diff(), dim=0)


def order_within(key: Tensor, ptr: Tensor) -> Tensor:
    """The points of every cloud by ascending key, clouds in their order, ``[N]``."""
    order = key.argsort(stable=True)
    cloud = to_points(torch.arange(len(ptr) - 1, device=ptr.device), ptr)
    return order[cloud[order].argsort(stable=True)]


def chosen_points(data: Any, chosen: Tensor, ptr: Tensor) -> Any:
    """The chosen points, which must be listed cloud by cloud.

    Raises:
        ValueError: the shape has what would not fit them.
    """
    refuse_operators(data)
    points = data.pos.shape[0]
    rows: dict[str, Any] = {
        key: data[key][chosen]
        for key in data.keys()  # noqa: SIM118  (PyG's Data is no mapping)
        if isinstance(data[key], Tensor) and key not in ("ptr", "batch") and data[key].shape[:1] == (points,)
    }
    if getattr(data, "ptr", None) is None:
        if "num_nodes" in data:
            rows["num_nodes"] = len(chosen)
        return data.update(rows)
    cloud = to_points(torch.arange(len(ptr) - 1, device=ptr.device), ptr)[chosen]
    return packed(data, rows, cloud)


def packed(data: Any, rows: dict[str, Tensor], cloud: Tensor) -> Data:
    """A plain ``Data`` of what ``data`` has, with other points: what PyG's ``Batch`` knows of its parts would be wrong of them."""
    kept = {key: data[key] for key in data.keys() if key != "num_nodes"}  # noqa: SIM118
    sizes = torch.bincount(cloud, minlength=len(data.ptr) - 1)
    ptr = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
    return Data(**{**kept, **rows, "ptr": ptr, "batch": cloud})


def refuse_operators(data: Any) -> None:
    for key in data.keys():  # noqa: SIM118
        if key in ("face", "edge_index") or hasattr(type(data[key]), "cat"):
            way = ": take a PointCloud of its pos" if key == "face" else ""
            raise ValueError(
                f"points cannot be taken from a shape with {key}, which would no longer fit it{way}"
            )


# --- random numbers, drawn where the generator is -------------------------------


def uniform(
    low: float, high: float, shape: Sequence[int], like: Tensor, generator: Generator | None
) -> Tensor:
    drawn = torch.empty(shape, dtype=like.dtype, device=_place(like, generator))
    return drawn.uniform_(low, high, generator=generator).to(like.device)


def normal_numbers(shape: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
    drawn = torch.empty(shape, dtype=like.dtype, device=_place(like, generator))
    return drawn.normal_(generator=generator).to(like.device)


def _place(like: Tensor, generator: Generator | None) -> torch.device:
    return like.device if generator is None else generator.device


def _angles(u: Tensor, most: float) -> Tensor:
    r"""Angles in [0, most] of the density :math:`1 - \cos \theta`: the distribution function, inverted on a fine table."""
    table = torch.linspace(0, most, 4097, dtype=u.dtype, device=u.device)
    reached = table - table.sin()
    if not bool(reached[-1] > 0):
        return u * most
    reached = reached / reached[-1]
    above = torch.searchsorted(reached, u, right=True).clamp(1, len(table) - 1)
    low, high = reached[above - 1], reached[above]
    part = (u - low) / (high - low).clamp(min=torch.finfo(u.dtype).tiny)
    return table[above - 1] + part.clamp(0, 1) * (table[above] - table[above - 1])


def _turned(vectors: Tensor, turns: Tensor) -> Tensor:
    return (turns @ vectors[:, :, None]).squeeze(2)
