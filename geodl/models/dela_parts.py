"""DeLA for the parts of shapes."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from geodl.models.clouds import one_hot, read_clouds
from geodl.models.dela import Encoder, Points, encoder_names, initialise
from geodl.models.on_batch import on_batch
from geodl.models.published import Published, named, rename, state_dict
from geodl.nn.dtype_of import dtype_of
from geodl.ops import aggregate, knn
from geodl.ops.dynamic_size import at_least

__all__ = ["DeLAParts"]

_WIDTHS, _COUNTS, _SPREADS, _HEAD = [96, 192, 320, 512], [512, 192, 64], [0.75, 1.5, 2.5, 4.7], 320


class DeLAParts(nn.Module):
    """DeLA for part segmentation: four stages, the last three on the 512, 192 and 64 farthest points; a point reads the nearest of
    every stage, linear maps of which are summed with one of what the cloud is known to be.

    Args:
        in_channels: of the signal beside positions and heights, such as 3 for normals; 0 for none.
        out_channels: number of parts, of all categories together.
        k: neighbours of a point, itself among them.
        up: the axis along which heights are measured, from the lowest point of a cloud.
        categories: number of categories.
        drop_path: probability of dropping the last residual branch of a cloud, and at a point what it reads of the last stage, in
            training; others are dropped less.

    Chen, Xia, Zang, Li, Liu, Tang: Decoupled local aggregation for point cloud learning, 2023.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        k: int = 20,
        up: int = 1,
        categories: int = 16,
        drop_path: float = 0.15,
    ) -> None:
        super().__init__()
        self.in_channels, self.categories = in_channels, categories
        self.encoder = Encoder(in_channels, _WIDTHS, _COUNTS, _SPREADS, k, up, drop_path, lift=0.4)
        self.rates = torch.linspace(0, drop_path, len(_WIDTHS), device="cpu").tolist()
        self.carry = nn.ModuleList()
        for c in _WIDTHS:
            norm = nn.BatchNorm1d(c)
            nn.init.constant_(norm.weight, (_WIDTHS[0] / c) ** 0.5)
            self.carry.append(nn.Sequential(norm, nn.Linear(c, _HEAD, bias=False)))
        self.known = nn.Sequential(
            nn.Linear(categories, 64, bias=False), nn.BatchNorm1d(64), nn.Linear(64, _HEAD, bias=False)
        )
        self.head = nn.Sequential(nn.BatchNorm1d(_HEAD), nn.GELU(), nn.Linear(_HEAD, out_channels))
        self.apply(initialise)

    @on_batch
    def forward(
        self,
        pos: Tensor,
        category: Tensor | None = None,
        ptr: Tensor | None = None,
        x: Tensor | None = None,
    ) -> Tensor:
        """Scores of the parts at every point.

        Args:
            pos: ``[P, 3]``, the points of all clouds, in the unit ball; 2048 each in the paper.
            category: ``[B]`` int64, what every cloud is known to be; not asked for where ``categories`` is 1.
            ptr: ``[B + 1]`` int64, where clouds begin; one cloud if not given.
            x: ``[P, in_channels]``.

        Returns:
            ``[P, out_channels]``.

        Raises:
            ValueError: shapes that do not fit; on the CPU, a cloud without points, a number that is not finite, no such category.
        """
        return self._scores(pos, category, ptr, x)[0]

    def scores_and_offset_loss(
        self,
        pos: Tensor,
        category: Tensor | None = None,
        ptr: Tensor | None = None,
        x: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Scores, and how badly the signals of neighbours tell their offset, as :class:`~geodl.models.DeLA` does."""
        scores, stages = self._scores(pos, category, ptr, x)
        return scores, self.encoder.offset_loss(stages)

    def _scores(
        self, pos: Tensor, category: Tensor | None, ptr: Tensor | None, x: Tensor | None
    ) -> tuple[Tensor, list[Points]]:
        clouds = read_clouds(pos, ptr, x, self.in_channels, dtype_of(self))
        known = one_hot(category, self.categories, clouds)
        at_least(known.shape[0], 2 if self.training else 1)
        y = clouds.to_points(self.known(known))
        stages = cast(list[Points], self.encoder(clouds))
        for points, carry, rate in zip(stages, self.carry, self.rates, strict=True):
            carried = self._to_all(carry(points.x), points, stages[0])
            if self.training and rate > 0:
                carried = carried * (carried.new_empty(len(carried), 1).bernoulli_(1 - rate) / (1 - rate))
            y = y + carried
        return clouds.restore(self.head(y)), stages

    @staticmethod
    def _to_all(y: Tensor, points: Points, every: Points) -> Tensor:
        """What the nearest point of a stage has, at every point."""
        if points is every:
            return y
        return aggregate(y, knn(points.pos, 1, points.ptr, every.pos, every.ptr))

    @classmethod
    def from_published(
        cls, weights: Published, k: int = 20, up: int = 1, drop_path: float = 0.15
    ) -> DeLAParts:
        """A network with the weights of ``DelaPartSeg`` of github.com/Matrix-ASC/DeLA.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            k, up, drop_path: as for the network.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of that network.
        """
        found = state_dict(weights)
        with named("DeLAParts"):
            parts, read = found["head.2.weight"].shape[0], found["stage.nbr_embed.0.weight"].shape[1]
            model = cls(read - 4, parts, k, up, found["shapeproj.0.weight"].shape[1], drop_path)
            names = encoder_names(len(_WIDTHS)) | {f"shapeproj.{k}": f"known.{k}" for k in range(3)}
            names |= {"head.0": "head.0", "head.2": "head.2"}
            for stage in range(len(_WIDTHS)):
                theirs = ".".join(["stage", *["sub_stage"] * stage])
                names |= {f"{theirs}.postproj.{k}": f"carry.{stage}.{k}" for k in range(2)}
            model.load_state_dict(rename(found, names))
        return model
