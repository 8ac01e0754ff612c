"""Mixing: training clouds of two classes at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator
from torch_geometric.transforms import BaseTransform

from geodl.data.augment import cloud_ptr, order_within, packed, refuse_operators, to_points, uniform
from geodl.geometry.cloud import check_cloud

__all__ = ["RSMix"]


class RSMix(BaseTransform):
    r"""Rigid subset mix: in every cloud of a batch a piece is cut out, and a piece of another cloud is put there, as it is.

    The k points nearest to a random point a of a cloud of n points make way for the k points nearest to a random point b of its
    partner, moved by a - b, with

    .. math:: k = \lceil u \; \mathrm{max\_ratio} \; n \rceil, \qquad u \sim U(0, 1),

    but no more than the partner has. Partners are a random permutation of the batch. The batch that comes back has ``y_mixed [B]``,
    the partner's ``y``, and ``mixed [B]``, the share k / n of its points (0 where nothing was mixed), for the loss

    .. math:: (1 - \mathrm{mixed}) \, H(f, y) + \mathrm{mixed} \, H(f, y_\mathrm{mixed}).

    It is the variant of the paper with nearest neighbours, which asks nothing of the clouds' size. Every attribute with a row a
    point goes along. It comes as a plain ``Data`` with ``ptr`` and ``batch``.

    Args:
        p: probability of a cloud to be mixed; 0.5 in the paper.
        max_ratio: largest share that is replaced; 0.5 in the paper (512 points of 1024).
        generator: source of randomness; torch's own if not given.

    Raises:
        ValueError: a probability or share outside [0, 1]; on use, no batch with ``ptr`` and ``y [B]``, a ``pos`` that is no finite
            ``[N, 3]``, a cloud without points, or shapes with faces, edges or operators.

    Lee et al., "Regularization strategy for point cloud via rigidly mixed sample", CVPR 2021.
    """

    def __init__(self, p: float = 0.5, max_ratio: float = 0.5, generator: Generator | None = None) -> None:
        for name, share in (("p", p), ("max_ratio", max_ratio)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {share}")
        self.p, self.max_ratio, self.generator = p, max_ratio, generator

    def forward(self, data: Any) -> Any:
        pos, y = check_cloud(data), getattr(data, "y", None)
        if getattr(data, "ptr", None) is None:
            raise ValueError("mixing needs a batch of clouds, with ptr [B + 1]")
        refuse_operators(data)
        ptr = cloud_ptr(data)
        sizes = ptr.diff()
        clouds = len(sizes)
        if y is None or y.shape[:1] != (clouds,):
            raise ValueError(
                f"mixing needs y [{clouds}], a label a cloud, not {'None' if y is None else list(y.shape)}"
            )
        if bool((sizes < 1).any()):
            raise ValueError(f"cloud {int((sizes < 1).nonzero()[0])} has no points")

        def draw() -> torch.Tensor:
            return uniform(0, 1, (clouds,), pos, self.generator)

        partner = draw().argsort()
        receiver = partner.argsort()  # whom a cloud gives a piece
        share = draw() * self.max_ratio * (draw() < self.p)
        count = torch.minimum((share * sizes).ceil().long(), sizes[partner])
        hole, piece = (ptr[:-1] + torch.minimum((draw() * sizes).long(), sizes - 1) for _ in range(2))

        place = torch.arange(len(pos), device=pos.device) - to_points(ptr[:-1], ptr)
        nearest = order_within((pos - to_points(pos[hole], ptr)).square().sum(1), ptr)
        left = nearest[place >= to_points(count, ptr)].sort().values
        nearest = order_within((pos - to_points(pos[piece], ptr)).square().sum(1), ptr)
        given = nearest[place < to_points(count[receiver], ptr)]
        cloud = to_points(torch.arange(clouds, device=pos.device), ptr)
        cloud = torch.cat([cloud[left], receiver[cloud[given]]])
        order = cloud.argsort(stable=True)
        taken = torch.cat([left, given])
        rows = {
            key: data[key][taken][order]
            for key in data.keys()  # noqa: SIM118  (PyG's Data is no mapping)
            if key not in ("ptr", "batch")
            and isinstance(data[key], torch.Tensor)
            and data[key].shape[:1] == (len(pos),)
        }
        moved = (pos[hole] - pos[piece[partner]])[cloud]
        moved[: len(left)] = 0
        rows["pos"] = rows["pos"] + moved[order]
        rows["y"] = y
        mixed = packed(data, rows, cloud[order])
        mixed.y_mixed, mixed.mixed = y[partner], count.to(pos.dtype) / sizes
        return mixed
