"""DeLA: positions of neighbours are read once a stage; then every point is alone but for maxima over its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.models.clouds import CloudClassifier, Clouds, pool, read_clouds
from geodl.models.published import Published, named, rename, state_dict
from geodl.nn import DecoupledAggregation, SpatialEncoding
from geodl.nn.dtype_of import dtype_of
from geodl.nn.set_abstraction import centred, cloud_of
from geodl.ops import Neighbors, farthest_points, knn
from geodl.ops.dynamic_size import at_least

__all__ = ["DeLA"]


class DeLA(CloudClassifier):
    """DeLA for classification: three stages, the last two on the 256 and 64 farthest points, the maximum over the cloud, a network
    on that.

    The order of points does not matter, and a cloud gives the same in any batch; a cloud of fewer points than neighbours or samples
    keeps them all (in the paper clouds have 1024). Samples are farthest points in training too, where the authors take any.
    5,337,424 parameters for the 40 classes of ModelNet40, 5.3 million as in the paper.

    Args:
        in_channels: of the signal beside positions and heights, such as 3 for normals; 0 for none.
        out_channels: number of classes.
        k: neighbours of a point, itself among them.
        up: the axis along which heights are measured, from the lowest point of a cloud.
        drop_path: probability of dropping the last residual branch of a cloud in training; others are dropped less.
        dropout: probability of dropping a hidden unit of the last network in training.

    Chen, Xia, Zang, Li, Liu, Tang: Decoupled local aggregation for point cloud learning, 2023.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        k: int = 20,
        up: int = 1,
        drop_path: float = 0.15,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.encoder = Encoder(in_channels, [96, 192, 384], [256, 64], [2.8, 5.3, 10], k, up, drop_path)
        self.last = nn.Sequential(nn.BatchNorm1d(384), nn.Linear(384, 2048), nn.GELU())
        self.head = nn.Sequential(
            nn.Linear(2048, 512, bias=False), nn.BatchNorm1d(512), nn.GELU(),
            nn.Linear(512, 256, bias=False), nn.BatchNorm1d(256), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(256, out_channels),
        )  # fmt: skip
        self.apply(initialise)

    def features(self, pos: Tensor, ptr: Tensor | None = None, x: Tensor | None = None) -> Tensor:
        """What ``head`` reads, ``[B, 2048]``."""
        return self._pool(self._stages(pos, ptr, x)[-1])

    def scores_and_offset_loss(
        self, pos: Tensor, ptr: Tensor | None = None, x: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scores, and how badly the signals of neighbours tell their offset, a number.

        The authors add it to the loss in training, times 1/3 at first, 1/1000 in the end, less by the same factor every step.
        """
        stages = self._stages(pos, ptr, x)
        return self.head(self._pool(stages[-1])), self.encoder.offset_loss(stages)

    def _stages(self, pos: Tensor, ptr: Tensor | None, x: Tensor | None) -> list[Points]:
        clouds = read_clouds(pos, ptr, x, self.in_channels, dtype_of(self))
        return cast(list[Points], self.encoder(clouds))

    def _pool(self, points: Points) -> Tensor:
        return pool(self.last(points.x), points.ptr, "max")

    @classmethod
    def from_published(
        cls,
        weights: Published,
        k: int = 20,
        up: int = 1,
        drop_path: float = 0.15,
        dropout: float = 0.5,
    ) -> DeLA:
        """A network with the weights of ``DelaCls`` of github.com/Matrix-ASC/DeLA.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            k, up, drop_path, dropout: as for the network.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of that network.
        """
        found = state_dict(weights)
        with named("DeLA"):
            classes, read = found["head.7.weight"].shape[0], found["stage.nbr_embed.0.weight"].shape[1]
            model = cls(read - 4, classes, k, up, drop_path, dropout)
            names = encoder_names(3) | {f"proj.{k}": f"last.{k}" for k in range(2)}
            names |= {f"head.{k}": f"head.{k}" for k in (0, 1, 3, 4, 7)}
            model.load_state_dict(rename(found, names))
        return model


@dataclass(frozen=True, eq=False)
class Points:
    """What a stage works on: points ``pos [N, 3]`` in the unit that it reads, signal ``x [N, C]``, ``ptr [B + 1]``, neighbours."""

    pos: Tensor
    x: Tensor
    ptr: Tensor
    neighbors: Neighbors


class Encoder(nn.Module):
    """Stages of four decoupled aggregations, each on fewer points than the one before.

    Args:
        in_channels: of the signal beside positions and heights.
        widths: channels of every stage.
        counts: how many points the stages after the first keep of a cloud.
        offset_scales: by which offsets are divided that the signals must tell, of every stage.
        k, up, drop_path: as for :class:`DeLA`.
        lift: how far a cloud is lifted at random in training, in units of the heights.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        counts: Sequence[int],
        offset_scales: Sequence[float],
        k: int,
        up: int,
        drop_path: float,
        lift: float = 0.8,
    ) -> None:
        super().__init__()
        if k < 1 or up not in (0, 1, 2):
            raise ValueError(f"k must be at least 1 and up an axis, 0, 1 or 2, got {k} and {up}")
        self.counts, self.offset_scales, self.k, self.up, self.lift = (
            list(counts),
            list(offset_scales),
            k,
            up,
            lift,
        )
        stages = len(widths)
        rates = torch.linspace(0, drop_path, _DEPTH * stages, device="cpu").view(stages, _DEPTH).tolist()
        reads = [SpatialEncoding(1 + in_channels, [24, 48, widths[0]])]
        reads += [SpatialEncoding(0, [12, 24, 48]) for _ in widths[1:]]
        self.read = nn.ModuleList(reads)
        self.project = nn.ModuleList(
            nn.Linear(48, c, bias=False) if stage else nn.Identity() for stage, c in enumerate(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(c) for c in widths)
        self.blocks = nn.ModuleList(map(_Block, widths, rates))
        self.skip, self.down = nn.ModuleList(), nn.ModuleList()
        for c, d in pairwise(widths):
            self.skip.append(nn.Sequential(nn.Linear(c, d, bias=False), nn.BatchNorm1d(d)))
            self.down.append(DecoupledAggregation(c, d, 0.3))
            nn.init.constant_(cast(Tensor, cast(nn.Sequential, self.skip[-1])[1].weight), 0.3)
        self.tell = nn.ModuleList(
            nn.Sequential(
                nn.Linear(c, 32, bias=False), nn.BatchNorm1d(32), nn.GELU(), nn.Linear(32, 3, bias=False)
            )
            for c in widths
        )
        for stage, norm in enumerate(self.norms):
            nn.init.constant_(cast(Tensor, norm.weight), 0.2 if stage else 0.8)

    def forward(self, clouds: Clouds) -> list[Points]:
        """Points and signal of every stage."""
        pos, ptr = _UNIT * centred(clouds.pos, clouds.ptr), clouds.ptr
        height = _UNIT / 10 * clouds.pos[:, self.up : self.up + 1]
        height = height - clouds.to_points(-clouds.pool(-height, "max"))
        if self.training:
            lifted = height.new_empty(ptr.shape[0] - 1, 1).uniform_(-self.lift, self.lift)
            height = height + clouds.to_points(lifted)
        signal = height if clouds.x is None else torch.cat([clouds.x, height], dim=1)
        neighbors = knn(pos, self.k, ptr)
        y = self.norms[0](self.project[0](self.read[0](pos, signal, neighbors)))
        reached: list[Points] = []
        for stage, block in enumerate(self.blocks):
            if stage:
                kept = self.skip[stage - 1](y) + self.down[stage - 1](y, neighbors)
                index, ptr = farthest_points(pos, self.counts[stage - 1], ptr)
                at_least(index.shape[0], 2 if self.training else 1)
                pos, y = pos[index], kept[index]
                neighbors = knn(pos, self.k, ptr)
                lies = self.read[stage](pos, None, neighbors)
                y = y + self.norms[stage](self.project[stage](lies))
            y = block(y, neighbors, ptr)
            reached.append(Points(pos, y, ptr, neighbors))
        return reached

    def offset_loss(self, reached: Sequence[Points]) -> Tensor:
        """Mean squared error by which the signals of a point and a random neighbour tell their offset, summed over the stages."""
        errors = []
        for points, tell, scale in zip(reached, self.tell, self.offset_scales, strict=True):
            rowptr, col = points.neighbors.rowptr, points.neighbors.col
            place = torch.rand(points.pos.shape[0], device=col.device) * rowptr.diff()
            other = col[rowptr[:-1] + place.long()]
            told = tell(points.x[other] - points.x)
            errors.append(functional.mse_loss(told, (points.pos[other] - points.pos) / scale))
        return torch.stack(errors).sum()


class _Block(nn.Module):
    """Residual branches: a network at every point, then decoupled aggregations, and after every second a network again."""

    def __init__(self, channels: int, rates: Sequence[float]) -> None:
        super().__init__()
        self.rates = list(rates)
        self.first = _perceptron(channels, 0.2)
        self.meet = nn.ModuleList(DecoupledAggregation(channels, channels) for _ in rates)
        self.points = nn.ModuleList(_perceptron(channels, 0.0) for _ in range(len(rates) // 2))

    def forward(self, x: Tensor, neighbors: Neighbors, ptr: Tensor) -> Tensor:
        x = x + self._dropped(self.first(x), self.rates[0], ptr)
        for k, (meet, rate) in enumerate(zip(self.meet, self.rates, strict=True)):
            x = x + self._dropped(meet(x, neighbors), rate, ptr)
            if k % 2:
                x = x + self._dropped(self.points[k // 2](x), rate, ptr)
        return x

    def _dropped(self, y: Tensor, rate: float, ptr: Tensor) -> Tensor:
        """In training, of a cloud nothing with this probability, and the more of the others."""
        if not self.training or rate == 0:
            return y
        kept = y.new_empty(ptr.shape[0] - 1, 1).bernoulli_(1 - rate) / (1 - rate)
        return y * kept[cloud_of(ptr, y.shape[0])]


def _perceptron(channels: int, scale: float) -> nn.Sequential:
    norm = nn.BatchNorm1d(channels)
    nn.init.constant_(norm.weight, scale)
    wide = 2 * channels
    return nn.Sequential(nn.Linear(channels, wide), nn.GELU(), nn.Linear(wide, channels, bias=False), norm)


def initialise(module: nn.Module) -> None:
    """Linear layers as the authors begin with them."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def encoder_names(stages: int) -> dict[str, str]:
    """Names of the encoder's layers, by those that they have in the published implementation."""
    names: dict[str, str] = {}
    theirs = "stage"
    for stage in range(stages):
        ours = {"nbr_bn": f"norms.{stage}", "nbr_proj": f"project.{stage}"}
        ours |= {f"nbr_embed.{k}": f"read.{stage}.layers.{k}" for k in (0, 1, 3, 4, 6)}
        ours |= {f"cor_head.{k}": f"tell.{stage}.{k}" for k in (0, 1, 3)}
        if stage:
            ours |= {f"skip_proj.{k}": f"skip.{stage - 1}.{k}" for k in (0, 1)}
            ours |= {"lfp.proj": f"down.{stage - 1}.linear", "lfp.bn": f"down.{stage - 1}.norm"}
        for k in range(_DEPTH):
            ours |= {f"blk.lfps.{k}.proj": f"blocks.{stage}.meet.{k}.linear"}
            ours |= {f"blk.lfps.{k}.bn": f"blocks.{stage}.meet.{k}.norm"}
        for k in (0, 2, 3):
            ours[f"blk.mlp.mlp.{k}"] = f"blocks.{stage}.first.{k}"
            ours |= {f"blk.mlps.{n}.mlp.{k}": f"blocks.{stage}.points.{n}.{k}" for n in range(_DEPTH // 2)}
        names |= {f"{theirs}.{name}": f"encoder.{found}" for name, found in ours.items()}
        theirs += ".sub_stage"
    return names


_DEPTH = 4  # decoupled aggregations of a stage
_UNIT = 40  # by which the authors multiply positions in the unit ball
