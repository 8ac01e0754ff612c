"""PointNet++: PointNets on ever larger surroundings of ever fewer points."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.models.clouds import CloudClassifier, Clouds, pool, read_clouds
from geodl.models.published import Published, named, rename, state_dict
from geodl.nn import SetAbstraction
from geodl.nn.dtype_of import dtype_of
from geodl.nn.mlp import mlp
from geodl.nn.set_abstraction import Grouping

__all__ = ["PointNet2"]

# Of each level: points, then of every scale the radius, the most neighbours, and the widths.
_SINGLE = [
    (512, [0.2], [32], [[64, 64, 128]]),
    (128, [0.4], [64], [[128, 128, 256]]),
]
_MULTI = [
    (512, [0.1, 0.2, 0.4], [16, 32, 128], [[32, 32, 64], [64, 64, 128], [64, 96, 128]]),
    (128, [0.2, 0.4, 0.8], [32, 64, 128], [[64, 64, 128], [128, 128, 256], [128, 128, 256]]),
]


class PointNet2(CloudClassifier):
    """PointNet++ for classification: two set abstractions (512 and 128 points), a PointNet over what is left, a network on that.

    Radii (0.2 and 0.4; with several scales 0.1 to 0.8) are meant for clouds in the unit ball. The order of points does not matter,
    and a cloud gives the same in any batch; a cloud of fewer points keeps them all.

    Args:
        in_channels: of the signal beside the positions, such as 3 for normals; 0 for none.
        out_channels: number of classes.
        multi_scale: whether a point looks at its surroundings in three radii (MSG) or in one (SSG).
        dropout: probability of dropping a hidden unit of the last network in training.
        grouping: see :class:`~geodl.nn.SetAbstraction`. With "first" the order of the points matters, and sampling starts at the
            first point of a cloud.

    Qi, Yi, Su, Guibas: PointNet++: deep hierarchical feature learning on point sets in a metric space, NeurIPS 2017.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        multi_scale: bool = False,
        dropout: float = 0.4,
        grouping: Grouping = "nearest",
    ) -> None:
        super().__init__()
        self.in_channels, self.grouping = in_channels, grouping
        channels = in_channels
        levels = []
        for count, radii, most, widths in _MULTI if multi_scale else _SINGLE:
            levels.append(SetAbstraction(channels, count, radii, most, widths, grouping))
            channels = sum(layers[-1] for layers in widths)
        self.levels = nn.ModuleList(levels)
        self.last = mlp([3 + channels, 256, 512, 1024])
        self.head = nn.Sequential(
            *mlp([1024, 512]), nn.Dropout(dropout), *mlp([512, 256]), nn.Dropout(dropout), nn.Linear(256, out_channels)
        )  # fmt: skip

    def features(self, pos: Tensor, ptr: Tensor | None = None, x: Tensor | None = None) -> Tensor:
        """What ``head`` reads, ``[B, 1024]``."""
        dtype, sort = dtype_of(self), self.grouping == "nearest"
        clouds: Clouds = read_clouds(pos, ptr, x, self.in_channels, dtype, sort)
        pos, x, ptr = clouds.pos, clouds.x, clouds.ptr
        for level in self.levels:
            pos, x, ptr = level(pos, x, ptr)
        assert x is not None
        return pool(self.last(torch.cat([pos, x], dim=1)), ptr, "max")

    @classmethod
    def from_published(
        cls, weights: Published, dropout: float = 0.4, grouping: Grouping = "first"
    ) -> PointNet2:
        """A network with the weights of ``pointnet2_cls_ssg`` or ``_msg`` of github.com/yanx27/Pointnet_Pointnet2_pytorch.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            dropout, grouping: as for the network; the weights were learned with the "first" neighbours.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network.
        """
        found = state_dict(weights)
        with named("PointNet2"):
            multi_scale = "sa1.conv_blocks.0.0.weight" in found
            first = "sa1.conv_blocks.0.0.weight" if multi_scale else "sa1.mlp_convs.0.weight"
            model = cls(
                found[first].shape[1] - 3, found["fc3.weight"].shape[0], multi_scale, dropout, grouping
            )
            state = rename(found, _NAMES)
            if multi_scale:
                positions_first(state)
            model.load_state_dict(state)
        return model


def positions_first(state: dict[str, Tensor]) -> None:
    """Their layers of several scales read (x, positions), ours (positions, x)."""
    for name, tensor in state.items():
        if name.startswith("levels.") and name.endswith(".0.weight"):
            state[name] = torch.cat([tensor[:, -3:], tensor[:, :-3]], dim=1)


def abstraction_names() -> dict[str, str]:
    """Names of the layers of set abstractions, by those that they have in the published implementation."""
    names = {}
    for layer in range(3):
        for theirs, place in (("convs", 0), ("bns", 1)):
            names[f"sa3.mlp_{theirs}.{layer}"] = f"last.{3 * layer + place}"
            for level in range(2):
                names[f"sa{level + 1}.mlp_{theirs}.{layer}"] = f"levels.{level}.scales.0.{3 * layer + place}"
        for theirs, place in (("conv", 0), ("bn", 1)):
            for level in range(2):
                for scale in range(3):
                    ours = f"levels.{level}.scales.{scale}.{3 * layer + place}"
                    names[f"sa{level + 1}.{theirs}_blocks.{scale}.{layer}"] = ours
    return names


_NAMES = abstraction_names() | {
    "fc1": "head.0", "bn1": "head.1", "fc2": "head.4", "bn2": "head.5", "fc3": "head.8"
}  # fmt: skip
