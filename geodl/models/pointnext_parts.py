"""PointNeXt for the parts of shapes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.models.clouds import one_hot, pool, read_clouds
from geodl.models.joint import joint
from geodl.models.on_batch import on_batch
from geodl.models.pointnext import Encoder, encoder_names
from geodl.models.published import Published, named, rename, state_dict
from geodl.nn import FeaturePropagation
from geodl.nn.dtype_of import dtype_of
from geodl.nn.mlp import mlp
from geodl.nn.set_abstraction import Grouping

__all__ = ["PointNeXtParts"]


class PointNeXtParts(nn.Module):
    """PointNeXt for part segmentation: four stages as in :class:`~geodl.models.PointNeXt`, with abstractions of three layers, and
    back to the points stage by stage by feature propagation; there, points also read the maxima of the last two stages and what
    the cloud is known to be.

    With width 32 and the 50 parts of ShapeNet it is PointNeXt-S: 981,842 parameters with normals and height beside the positions,
    981,714 without, 1.0 million in the paper.

    Args:
        in_channels: of the signal beside the positions, such as 4 for normals and height; 0 for none.
        out_channels: number of parts, of all categories together.
        width: channels before the first stage, 32, 64 or 160.
        categories: number of categories.
        dropout: probability of dropping a hidden unit before the last layer in training.
        grouping: see :class:`~geodl.nn.SetAbstraction`. With "first" the order of the points matters.

    Qian, Li, Peng, Mai, Hammoud, Elhoseiny, Ghanem: PointNeXt: revisiting PointNet++ with improved training and scaling strategies,
    NeurIPS 2022.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 32,
        categories: int = 16,
        dropout: float = 0.5,
        grouping: Grouping = "nearest",
    ) -> None:
        super().__init__()
        self.in_channels, self.categories, self.grouping = in_channels, categories, grouping
        self.encoder = Encoder(3 + in_channels, width, [1, 1, 1, 1], 3, 0.1, 2.5, grouping)
        channels = self.encoder.channels
        self.whole = nn.ModuleList([
            nn.Sequential(nn.Linear(channels[3], 64), nn.ReLU()),
            nn.Sequential(nn.Linear(channels[4], 128), nn.ReLU()),
        ])  # fmt: skip
        self.ups = nn.ModuleList()
        for level, c in enumerate(channels[:-1]):
            read = channels[level + 1] + c + (0 if level else 64 + 128 + categories)
            self.ups.append(FeaturePropagation(read, [c, c], bias=False, power=1))
        self.head = nn.Sequential(
            *mlp([3 * width, 3 * width], bias=False), nn.Dropout(dropout), nn.Linear(3 * width, out_channels)
        )

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
            pos: ``[P, 3]``, the points of all clouds, in the unit ball.
            category: ``[B]`` int64, what every cloud is known to be; not asked for where ``categories`` is 1.
            ptr: ``[B + 1]`` int64, where clouds begin; one cloud if not given.
            x: ``[P, in_channels]``.

        Returns:
            ``[P, out_channels]``.

        Raises:
            ValueError: shapes that do not fit; on the CPU, a cloud without points, a number that is not finite, no such category.
        """
        dtype, sort = dtype_of(self), self.grouping == "nearest"
        clouds = read_clouds(pos, ptr, x, self.in_channels, dtype, sort)
        known = one_hot(category, self.categories, clouds)
        reached = self.encoder(clouds)
        maxima = [
            pool(layer(y), ptr, "max") for layer, (_, y, ptr) in zip(self.whole, reached[-2:], strict=True)
        ]
        pos, y, ptr = reached[0]
        reached[0] = pos, torch.cat([clouds.to_points(torch.cat([*maxima, known], dim=1)), y], dim=1), ptr
        sample_pos, sample_y, sample_ptr = reached[-1]
        for level in (3, 2, 1, 0):
            pos, y, ptr = reached[level]
            sample_y = self.ups[level](pos, y, ptr, sample_pos, sample_y, sample_ptr)
            sample_pos, sample_ptr = pos, ptr
        pooled = torch.cat([clouds.pool(sample_y, "max"), clouds.pool(sample_y, "mean")], dim=1)
        return clouds.restore(joint(self.head, clouds, pooled, sample_y))

    @classmethod
    def from_published(
        cls, weights: Published, dropout: float = 0.5, grouping: Grouping = "first"
    ) -> PointNeXtParts:
        """A network with the weights of a part segmentation of github.com/guochengqian/PointNeXt (openpoints), of any width.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            dropout, grouping: as for the network; the weights were learned with the "first" neighbours.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network.
        """
        found = state_dict(weights)
        with named("PointNeXtParts"):
            width, read = found["encoder.encoder.0.0.convs.0.0.weight"].shape[:2]
            categories = found["decoder.decoder.0.0.convs.0.0.weight"].shape[1] - 3 * width - 64 - 128
            parts = found["head.head.2.0.weight"].shape[0]
            model = cls(read - 3, parts, width, categories, dropout, grouping)
            state = rename(found, encoder_names([1] * 5, layers=3) | _NAMES)
            # Their head reads what the point has first, then what the cloud has.
            first = state["head.0.weight"]
            state["head.0.weight"] = torch.cat([first[:, width:], first[:, :width]], dim=1)
            model.load_state_dict(state)
        return model


_NAMES = {
    "decoder.global_conv1.0.0": "whole.0.0", "decoder.global_conv2.0.0": "whole.1.0",
    "head.head.0.0": "head.0", "head.head.0.1": "head.1", "head.head.2.0": "head.4",
} | {
    f"decoder.decoder.{up}.0.convs.{layer}.{part}": f"ups.{up}.layers.{3 * layer + part}"
    for up in range(4) for layer in range(2) for part in range(2)
}  # fmt: skip
