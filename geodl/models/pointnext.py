"""PointNeXt: PointNet++ with residual set abstractions and inverted residual blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from geodl.models.clouds import CloudClassifier, Clouds, pool, read_clouds
from geodl.models.published import Published, named, rename, state_dict
from geodl.nn import InvResMLP, ResidualAbstraction
from geodl.nn.dtype_of import dtype_of
from geodl.nn.mlp import mlp
from geodl.nn.set_abstraction import Grouping, group

__all__ = ["PointNeXt"]


class PointNeXt(CloudClassifier):
    """PointNeXt for classification: four stages, each with half of the points and twice the channels of the one before, a PointNet
    over what is left, a network on that.

    Radii (0.15, and 1.5 times more from stage to stage) are meant for clouds in the unit ball. The order of points does not matter,
    and a cloud gives the same in any batch. With width 32 and a block a stage it is PointNeXt-S: 1,373,512 parameters for the
    40 classes of ModelNet40 (1.4 million in the paper), and 1,367,119 with a height beside the positions for ScanObjectNN's 15.

    Args:
        in_channels: of the signal beside the positions, such as 1 for the height or 3 for normals; 0 for none.
        out_channels: number of classes.
        width: channels before the first stage, 32 or 64.
        blocks: of every stage: a residual set abstraction, then inverted residual blocks.
        dropout: probability of dropping a hidden unit of the last network in training.
        grouping: see :class:`~geodl.nn.SetAbstraction`. With "first" the order of the points matters, and sampling starts at the
            first point of a cloud.

    Qian, Li, Peng, Mai, Hammoud, Elhoseiny, Ghanem: PointNeXt: revisiting PointNet++ with improved training and scaling strategies,
    NeurIPS 2022.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 32,
        blocks: Sequence[int] = (1, 1, 1, 1),
        dropout: float = 0.5,
        grouping: Grouping = "nearest",
    ) -> None:
        super().__init__()
        self.in_channels, self.grouping = in_channels, grouping
        self.encoder = Encoder(3 + in_channels, width, blocks, 2, 0.15, 1.5, grouping)
        last = self.encoder.channels[-1]
        self.last = mlp([3 + last, last, last], bias=False)
        self.head = nn.Sequential(
            *mlp([last, 512], bias=False), nn.Dropout(dropout), *mlp([512, 256], bias=False), nn.Dropout(dropout),
            nn.Linear(256, out_channels),
        )  # fmt: skip

    def features(self, pos: Tensor, ptr: Tensor | None = None, x: Tensor | None = None) -> Tensor:
        """What ``head`` reads, ``[B, 16 width]``."""
        dtype, sort = dtype_of(self), self.grouping == "nearest"
        clouds = read_clouds(pos, ptr, x, self.in_channels, dtype, sort)
        pos, y, ptr = self.encoder(clouds)[-1]
        return pool(self.last(torch.cat([pos, y], dim=1)), ptr, "max")

    @classmethod
    def from_published(
        cls, weights: Published, dropout: float = 0.5, grouping: Grouping = "first"
    ) -> PointNeXt:
        """A network with the weights of a classifier of github.com/guochengqian/PointNeXt (openpoints), of any width.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            dropout, grouping: as for the network; the weights were learned with the "first" neighbours.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network.
        """
        found = state_dict(weights)
        with named("PointNeXt"):
            stem, blocks = found["encoder.encoder.0.0.convs.0.0.weight"], published_blocks(found)
            classes = found["prediction.head.4.0.weight"].shape[0]
            model = cls(stem.shape[1] - 3, classes, stem.shape[0], blocks[1:-1], dropout, grouping)
            names = encoder_names(blocks[:-1], layers=2)
            for layer in range(2):
                for part in range(2):
                    names[f"encoder.encoder.{len(blocks) - 1}.0.convs.{layer}.{part}"] = (
                        f"last.{3 * layer + part}"
                    )
                    names[f"prediction.head.{2 * layer}.{part}"] = f"head.{4 * layer + part}"
            model.load_state_dict(rename(found, names | {"prediction.head.4.0": "head.8"}))
        return model


class Encoder(nn.Module):
    """A linear layer at every point, then stages of half of the points and twice the channels.

    Args:
        in_channels: of positions and signal together.
        width: channels of the linear layer.
        blocks: of every stage.
        layers: of a set abstraction.
        radius, growth: of the first stage, and of every other over the one before.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        blocks: Sequence[int],
        layers: int,
        radius: float,
        growth: float,
        grouping: Grouping,
    ) -> None:
        super().__init__()
        self.stem = nn.Linear(in_channels, width)
        self.grouping: Grouping = grouping
        self.channels = [width << k for k in range(len(blocks) + 1)]
        self.stages = nn.ModuleList()
        for k, count in enumerate(blocks):
            c, r = self.channels[k], radius * growth**k
            stage = nn.ModuleList(
                [ResidualAbstraction(c, [c] * (layers - 1) + [2 * c], r, grouping=grouping)]
            )
            stage.extend(InvResMLP(2 * c, r * growth) for _ in range(count - 1))
            self.stages.append(stage)

    def forward(self, clouds: Clouds) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Positions, signal and ptr of the points, then of every stage."""
        reached = [(clouds.pos, self.stem(clouds.signal), clouds.ptr)]
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            abstraction, *blocks = stage
            pos, y, ptr = abstraction(*reached[-1])
            if blocks:
                r = cast(InvResMLP, blocks[0]).radius
                neighbors = group(pos, ptr, pos, ptr, r, 32, self.grouping)
                for block in blocks:
                    y = block(pos, y, ptr, neighbors)
            reached.append((pos, y, ptr))
        return reached


def published_blocks(weights: Mapping[str, Tensor]) -> list[int]:
    """How many blocks every stage of the published encoder has, the linear layer and the last pooling among them."""
    places = {
        tuple(map(int, name.split(".")[2:4])) for name in weights if name.startswith("encoder.encoder.")
    }
    stages = 1 + max(stage for stage, _ in places)
    return [1 + max(block for stage, block in places if stage == k) for k in range(stages)]


def encoder_names(blocks: Sequence[int], layers: int) -> dict[str, str]:
    """Names of the encoder's layers, by those that they have in the published implementation."""
    names = {"encoder.encoder.0.0.convs.0.0": "encoder.stem"}
    for stage, count in enumerate(blocks[1:]):
        theirs, ours = f"encoder.encoder.{stage + 1}", f"encoder.stages.{stage}"
        names[f"{theirs}.0.skipconv.0"] = f"{ours}.0.skip"
        for layer in range(layers):
            for part in range(2):
                names[f"{theirs}.0.convs.{layer}.{part}"] = f"{ours}.0.layers.{3 * layer + part}"
        for block in range(1, count):
            for part in range(2):
                names[f"{theirs}.{block}.convs.convs.0.{part}"] = f"{ours}.{block}.surroundings.{part}"
                for layer in range(2):
                    name = f"{ours}.{block}.points.{3 * layer + part}"
                    names[f"{theirs}.{block}.pwconv.{layer}.{part}"] = name
    return names
