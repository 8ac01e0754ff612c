"""PointNet++ for the parts of shapes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.models.clouds import one_hot, pool, read_clouds
from geodl.models.on_batch import on_batch
from geodl.models.pointnet2 import abstraction_names, positions_first
from geodl.models.published import Published, named, rename, state_dict
from geodl.nn import FeaturePropagation, SetAbstraction
from geodl.nn.dtype_of import dtype_of
from geodl.nn.mlp import mlp
from geodl.nn.set_abstraction import Grouping

__all__ = ["PointNet2Parts"]

# Of each level: points, then of every scale the radius, the most neighbours, and the widths.
_SINGLE = [
    (512, [0.2], [32], [[64, 64, 128]]),
    (128, [0.4], [64], [[128, 128, 256]]),
]
_MULTI = [
    (512, [0.1, 0.2, 0.4], [32, 64, 128], [[32, 32, 64], [64, 64, 128], [64, 96, 128]]),
    (128, [0.4, 0.8], [64, 128], [[128, 128, 256], [128, 196, 256]]),
]


class PointNet2Parts(nn.Module):
    """PointNet++ for part segmentation: down to one vector a cloud as in :class:`~geodl.models.PointNet2`, and back to the points
    level by level by feature propagation.

    Args:
        in_channels: of the signal beside the positions, such as 3 for normals; 0 for none.
        out_channels: number of parts, of all categories together.
        multi_scale: whether a point looks at its surroundings in several radii (MSG) or in one (SSG).
        categories: number of categories.
        dropout: probability of dropping a hidden unit before the last layer in training.
        grouping: see :class:`~geodl.nn.SetAbstraction`. With "first" the order of the points matters.

    Qi, Yi, Su, Guibas: PointNet++: deep hierarchical feature learning on point sets in a metric space, NeurIPS 2017.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        multi_scale: bool = False,
        categories: int = 16,
        dropout: float = 0.5,
        grouping: Grouping = "nearest",
    ) -> None:
        super().__init__()
        self.in_channels, self.categories, self.grouping = in_channels, categories, grouping
        channels, levels = [3 + in_channels], []  # the positions are a signal as well
        for count, radii, most, widths in _MULTI if multi_scale else _SINGLE:
            levels.append(SetAbstraction(channels[-1], count, radii, most, widths, grouping))
            channels.append(sum(layers[-1] for layers in widths))
        self.levels = nn.ModuleList(levels)
        self.last = mlp([3 + channels[2], 256, 512, 1024])
        self.ups = nn.ModuleList([
            FeaturePropagation(categories + 3 + channels[0] + 128, [128, 128] if multi_scale else [128, 128, 128]),
            FeaturePropagation(channels[1] + 256, [256, 128]),
            FeaturePropagation(channels[2] + 1024, [256, 256]),
        ])  # fmt: skip
        self.head = nn.Sequential(*mlp([128, 128]), nn.Dropout(dropout), nn.Linear(128, out_channels))

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
        known = clouds.to_points(one_hot(category, self.categories, clouds))
        reached = [(clouds.pos, clouds.signal, clouds.ptr)]
        for level in self.levels:
            reached.append(level(*reached[-1]))
        pos, y, ptr = reached[-1]
        y = pool(self.last(torch.cat([pos, y], dim=1)), ptr, "max")
        clouds_each = torch.arange(ptr.shape[0], device=ptr.device)
        pos, ptr = pos.new_zeros(y.shape[0], 3), clouds_each  # one point a cloud, wherever it is
        reached[0] = clouds.pos, torch.cat([known, clouds.pos, clouds.signal], dim=1), clouds.ptr
        for k in (2, 1, 0):
            y = self.ups[k](*reached[k], pos, y, ptr)
            pos, _, ptr = reached[k]
        scores: Tensor = self.head(y)
        return clouds.restore(scores)

    @classmethod
    def from_published(
        cls, weights: Published, dropout: float = 0.5, grouping: Grouping = "first"
    ) -> PointNet2Parts:
        """A network with the weights of ``pointnet2_part_seg_ssg`` or ``_msg`` of github.com/yanx27/Pointnet_Pointnet2_pytorch.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            dropout, grouping: as for the network; the weights were learned with the "first" neighbours.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network.
        """
        found = state_dict(weights)
        with named("PointNet2Parts"):
            multi_scale = "sa1.conv_blocks.0.0.weight" in found
            first = found["sa1.conv_blocks.0.0.weight" if multi_scale else "sa1.mlp_convs.0.weight"]
            in_channels = first.shape[1] - 6
            categories = found["fp1.mlp_convs.0.weight"].shape[1] - 6 - in_channels - 128
            parts = found["conv2.weight"].shape[0]
            model = cls(in_channels, parts, multi_scale, categories, dropout, grouping)
            state = rename(found, _NAMES)
            if multi_scale:
                positions_first(state)
            model.load_state_dict(state)
        return model


_NAMES = {
    **abstraction_names(),
    **{f"fp{up + 1}.mlp_convs.{k}": f"ups.{up}.layers.{3 * k}" for up in range(3) for k in range(3)},
    **{f"fp{up + 1}.mlp_bns.{k}": f"ups.{up}.layers.{3 * k + 1}" for up in range(3) for k in range(3)},
    "conv1": "head.0", "bn1": "head.1", "conv2": "head.4",
}  # fmt: skip
