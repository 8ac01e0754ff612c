"""Skeleton x time as a domain of grid networks: joints by hop and side along axis 0 of a kernel, frames along axis 1."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.geometry import Charts, Coarsening
from geodl.nn.level import Level, linked, reach_of
from geodl.ops import Neighbors

__all__ = ["collapse_chains", "motion_levels"]

Pooling = Literal["time", "chains", "both"]


def motion_levels(skeleton: Any, frames: int, pooling: Sequence[Pooling] = (), kernel_size: int = 3) -> Level:
    """The levels of a skeleton over so many frames, for networks made for grids.

    Point ``j frames + t`` is joint j in frame t: a signal ``[B, C, J, T]`` is ``x.flatten(2)`` here. The local coordinates of
    a neighbour are, along axis 0 of kernels, how many hops it is away from the joint, negative towards the root and positive
    towards the leaves, and along axis 1 by how many frames it is later. A tap reads the mean of the joints that lie there: of a
    kernel of 3, the parent, the joint, and the mean of its children, which is the spatial partition of Yan et al.; the skeleton
    that is one chain is a regular grid. Kernels ``(3, 1)`` and ``(1, 9)`` are the graph and the temporal convolution of ST-GCN.

    Args:
        skeleton: with ``parents [J]`` int64, which come before their children; -1 for a root.
        frames: ``T``.
        pooling: what every next coarser level is made by: "time" (two frames are one), "chains" (see :func:`collapse_chains`) or
            "both".
        kernel_size: taps along an axis of the widest kernel that will be asked for.

    Raises:
        ValueError: no frames, no such pooling, or parents that do not come before their children.

    Yan, Xiong, Lin, "Spatial temporal graph convolutional networks for skeleton-based action recognition", 2018; Aberman, Li,
    Lischinski, Sorkine-Hornung, Cohen-Or, Chen, "Skeleton-aware networks for deep motion retargeting", 2020.
    """
    parents = _checked(skeleton.parents)
    if frames < 1:
        raise ValueError(f"a motion has at least one frame, not {frames}")
    reach = reach_of([kernel_size] * 2)
    made, steps = [], []
    area = torch.ones(len(parents) * frames, dtype=torch.float64)
    for kind in (*pooling, None):
        made.append((_charts(parents, frames, int(reach) - 1), area))
        if kind is None:
            break
        step, parents, frames = _pooled(parents, frames, kind, area)
        area = step.mass
        steps.append(step)
    return linked(made, steps, reach)


def collapse_chains(parents: Tensor) -> tuple[Tensor, Tensor]:
    """Halves every chain of a skeleton: bones one after the other, between two joints with several children, in pairs from the top.

    A bone is named by the joint at its end. Roots stay alone, for they are no bones. Repeated, skeletons with the same branches and
    chains of different lengths come to be the same.

    Args:
        parents: ``[J]`` int64, which come before their children; -1 for a root.

    Returns:
        ``(cluster, parents)``: of every joint the number of its coarse joint ``[J]``, and the coarse skeleton ``[J']``.

    Raises:
        ValueError: parents that do not come before their children.

    Aberman et al., "Skeleton-aware networks for deep motion retargeting", 2020, section 4.2.
    """
    parents = _checked(parents)
    children = F.one_hot(parents.clamp(min=0), len(parents))[parents >= 0].sum(0).tolist()
    cluster: list[int] = []
    above: list[int] = []
    single: list[bool] = []  # whether the coarse joint is one bone, to which another may be added
    for parent in parents.tolist():
        joins = parent >= 0 and children[parent] == 1 and single[cluster[parent]]
        if joins:
            single[cluster[parent]] = False
            cluster.append(cluster[parent])
        else:
            cluster.append(len(above))
            above.append(-1 if parent < 0 else cluster[parent])
            single.append(parent >= 0)
    return parents.new_tensor(cluster), parents.new_tensor(above)


def _checked(parents: Tensor) -> Tensor:
    parents = torch.as_tensor(parents)
    if parents.dim() != 1 or not len(parents) or parents.is_floating_point():
        raise ValueError(f"parents must be [J] whole numbers, not {parents.dtype} {list(parents.shape)}")
    bad = ((parents < -1) | (parents >= torch.arange(len(parents), device=parents.device))).nonzero()
    if len(bad):
        joint = int(bad[0])
        raise ValueError(
            f"joint {joint} has parent {int(parents[joint])}: parents come before their children"
        )
    return parents.cpu().long()


def _charts(parents: Tensor, frames: int, half: int) -> Charts:
    """All ancestors and descendants within ``half`` hops, over all frames within as many."""
    joints = len(parents)
    ends, up, hops = [torch.stack([torch.arange(joints)] * 2)], parents, 0
    along = [torch.zeros(joints)]
    while hops < half and bool((up >= 0).any()):
        hops += 1
        [low] = (up >= 0).nonzero(as_tuple=True)
        high = up[low]
        ends += [torch.stack([low, high]), torch.stack([high, low])]
        along += [torch.full((len(low),), -float(hops)), torch.full((len(low),), float(hops))]
        up = torch.where(up >= 0, parents[up], -1)
    joint, hop = torch.cat(ends, 1), torch.cat(along)
    half = min(half, frames - 1)
    late = torch.arange(-half, half + 1)
    at = torch.arange(frames)[:, None]
    inside = (at + late >= 0) & (at + late < frames)
    [frame, step] = inside.nonzero(as_tuple=True)
    row = (joint[0][:, None] * frames + frame).flatten()
    col = (joint[1][:, None] * frames + frame + late[step]).flatten()
    u = torch.stack([hop[:, None].expand(-1, len(step)), late[step].expand(len(hop), -1)], -1).flatten(0, 1)
    order = (row * joints * frames + col).argsort()
    count = torch.bincount(row, minlength=joints * frames)
    neighbors = Neighbors(F.pad(count.cumsum(0), (1, 0)), col[order], joints * frames)
    return Charts(neighbors, u[order].double(), "cartesian")


def _pooled(parents: Tensor, frames: int, kind: Pooling, mass: Tensor) -> tuple[Coarsening, Tensor, int]:
    if kind not in ("time", "chains", "both"):
        raise ValueError(f'pooling must be "time", "chains" or "both", not {kind!r}')
    joints = len(parents)
    cluster, above = (torch.arange(joints), parents) if kind == "time" else collapse_chains(parents)
    half = 1 if kind == "chains" else 2
    after = -(-frames // half)
    cell = (cluster[:, None] * after + torch.arange(frames) // half).flatten()
    # A coarse joint stands where its last bone ends, a coarse frame where it begins.
    last = torch.zeros(len(above), dtype=torch.int64).scatter_reduce(0, cluster, torch.arange(joints), "amax")
    centers = (last[:, None] * frames + torch.arange(after) * half).flatten()
    order = cell.argsort(stable=True)
    count = torch.bincount(cell, minlength=len(centers))
    whole = torch.zeros(len(centers), dtype=torch.float64).index_add(0, cell, mass)
    cells = Neighbors(F.pad(count.cumsum(0), (1, 0)), order, len(cell))
    edges = _edges(above, after)
    # In between two coarse frames a signal is linear, as torch's upsampling is.
    place = ((torch.arange(frames) + 0.5) / half - 0.5).clamp(0, after - 1)
    before = place.floor().long().clamp(max=max(after - 2, 0))
    two = torch.stack([before, (before + 1).clamp(max=after - 1)], 1)
    share = torch.stack([1 - (place - before), place - before], 1)
    read = (cluster[:, None, None] * after + two).flatten(0, 1)
    shares = share.expand(joints, -1, -1).flatten(0, 1)
    kept = shares > 0
    smooth = Neighbors(F.pad(kept.sum(1).cumsum(0), (1, 0)), read[kept], len(centers))
    coarsening = Coarsening(
        cell, centers, cells, (mass / whole[cell])[order], whole, edges,
        torch.ones(edges.shape[1], dtype=torch.float64), None, smooth, shares[kept].double(),
    )  # fmt: skip
    return coarsening, above, after


def _edges(parents: Tensor, frames: int) -> Tensor:
    """Bones in every frame, and every joint to itself a frame later; both ways, columns ascending."""
    number = torch.arange(len(parents) * frames).view(-1, frames)
    [bone] = (parents >= 0).nonzero(as_tuple=True)
    ends = [torch.stack([number[bone].flatten(), number[parents[bone]].flatten()])]
    ends += [
        torch.stack([number[:, a].flatten(), number[:, b].flatten()]) for a, b in pairwise(range(frames))
    ]
    one_way = torch.cat(ends, 1)
    both = torch.cat([one_way, one_way.flip(0)], 1)
    return both[:, (both[1] * number.numel() + both[0]).argsort()]
