"""PointNet for the parts of shapes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.models.clouds import one_hot, read_clouds
from geodl.models.joint import joint
from geodl.models.on_batch import on_batch
from geodl.models.pointnet import TNet, align, tnet_names
from geodl.models.published import Published, named, rename, state_dict
from geodl.nn.dtype_of import dtype_of
from geodl.nn.mlp import mlp
from geodl.ops import from_basis

__all__ = ["PointNetParts"]


class PointNetParts(nn.Module):
    """PointNet for part segmentation: every layer's features of a point, with the maximum over the cloud and what the cloud is
    known to be, go through a network at every point.

    Args:
        in_channels: of the signal beside the positions, such as 3 for normals; 0 for none.
        out_channels: number of parts, of all categories together.
        categories: number of categories.

    Qi, Su, Mo, Guibas: PointNet: deep learning on point sets for 3D classification and segmentation, CVPR 2017, supplement C.
    """

    def __init__(self, in_channels: int, out_channels: int, categories: int = 16) -> None:
        super().__init__()
        self.in_channels, self.categories = in_channels, categories
        self.align = TNet(3 + in_channels, 3)
        self.layers = nn.ModuleList(mlp(pair) for pair in ([3 + in_channels, 64], [64, 128], [128, 128]))
        self.align_features = TNet(128, 128)
        self.lift = mlp([128, 512])
        self.points = nn.Sequential(*list(mlp([512, 2048]))[:-1])  # no ReLU before the maximum
        self.head = nn.Sequential(
            *mlp([2048 + categories + 64 + 128 + 128 + 512 + 2048, 256, 256, 128]),
            nn.Linear(128, out_channels),
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
            pos: ``[P, 3]``, the points of all clouds, about the origin and of about unit size.
            category: ``[B]`` int64, what every cloud is known to be; not asked for where ``categories`` is 1.
            ptr: ``[B + 1]`` int64, where clouds begin; one cloud if not given.
            x: ``[P, in_channels]``.

        Returns:
            ``[P, out_channels]``.

        Raises:
            ValueError: shapes that do not fit; on the CPU, a cloud without points, a number that is not finite, no such category.
        """
        clouds = read_clouds(pos, ptr, x, self.in_channels, dtype_of(self))
        known = one_hot(category, self.categories, clouds)
        y = align(clouds, self.align)
        local = []
        for layer in self.layers:
            y = layer(y)
            local.append(y)
        local.append(self.lift(from_basis(self.align_features(y, clouds), y, clouds.ptr)))
        local.append(self.points(local[-1]))
        pooled = torch.cat([clouds.pool(local[-1], "max"), known], dim=1)
        return clouds.restore(joint(self.head, clouds, pooled, torch.cat(local, dim=1)))

    @classmethod
    def from_published(cls, weights: Published) -> PointNetParts:
        """A network with the weights of ``pointnet_part_seg`` of github.com/yanx27/Pointnet_Pointnet2_pytorch.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of that network.
        """
        found = state_dict(weights)
        with named("PointNetParts"):
            categories = found["convs1.weight"].shape[1] - 2048 - 2880
            model = cls(found["conv1.weight"].shape[1] - 3, found["convs4.weight"].shape[0], categories)
            model.load_state_dict(rename(found, _NAMES))
        return model


_NAMES = {
    **tnet_names("stn", "align"), **tnet_names("fstn", "align_features"),
    **{f"conv{k + 1}": f"layers.{k}.0" for k in range(3)}, **{f"bn{k + 1}": f"layers.{k}.1" for k in range(3)},
    "conv4": "lift.0", "bn4": "lift.1", "conv5": "points.0", "bn5": "points.1",
    **{f"convs{k + 1}": f"head.{3 * k}" for k in range(4)}, **{f"bns{k + 1}": f"head.{3 * k + 1}" for k in range(3)},
}  # fmt: skip
