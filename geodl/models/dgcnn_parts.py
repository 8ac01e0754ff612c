"""DGCNN for the parts of shapes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.models.clouds import Clouds, one_hot, read_clouds
from geodl.models.dgcnn import edge_filter
from geodl.models.joint import joint
from geodl.models.on_batch import on_batch
from geodl.models.published import Published, named, rename, state_dict
from geodl.nn import EdgeConv
from geodl.nn.dtype_of import dtype_of
from geodl.nn.mlp import mlp
from geodl.ops import Neighbors, from_basis, knn
from geodl.ops.dynamic_size import at_least

__all__ = ["DGCNNParts"]


class DGCNNParts(nn.Module):
    """Dynamic graph CNN for part segmentation: positions aligned by a 3 x 3 matrix, three edge convolutions (of two, two and one
    layers) on the nearest neighbours in the features of the one before, then a network at every point that also reads the
    maximum over the cloud and what the cloud is known to be.

    Args:
        in_channels: of the signal beside the positions, such as 3 for normals; 0 for none.
        out_channels: number of parts, of all categories together.
        k: neighbours of a point, itself among them; 40 for 2048 points.
        categories: number of categories.
        dropout: probability of dropping a hidden unit of the last network in training.

    Wang et al., "Dynamic graph CNN for learning on point clouds", ACM TOG 2019, figure 3.
    """

    def __init__(
        self, in_channels: int, out_channels: int, k: int = 40, categories: int = 16, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.in_channels, self.k, self.categories = in_channels, k, categories
        self.align = _Alignment()
        self.convs = nn.ModuleList(
            [EdgeConv(3 + in_channels, 64, [64]), EdgeConv(64, 64, [64]), EdgeConv(64, 64)]
        )
        self.embed = mlp([192, 1024], bias=False, negative_slope=0.2)
        self.known = mlp([categories, 64], bias=False, negative_slope=0.2)
        self.head = nn.Sequential(
            *mlp([1024 + 64 + 192, 256], bias=False, negative_slope=0.2), nn.Dropout(dropout),
            *mlp([256, 256], bias=False, negative_slope=0.2), nn.Dropout(dropout),
            *mlp([256, 128], bias=False, negative_slope=0.2), nn.Linear(128, out_channels, bias=False),
        )  # fmt: skip

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
        at_least(known.shape[0], 2 if self.training else 1)
        known = self.known(known)
        matrices = self.align(clouds, knn(clouds.pos, self.k, clouds.ptr))
        y = from_basis(matrices.to(clouds.pos.dtype), clouds.pos, clouds.ptr)
        y = y if clouds.x is None else torch.cat([y, clouds.x], dim=1)
        layers = []
        for conv in self.convs:
            y = conv(y, knn(y, self.k, clouds.ptr))
            layers.append(y)
        local = torch.cat(layers, dim=1)
        pooled = torch.cat([clouds.pool(self.embed(local), "max"), known], dim=1)
        return clouds.restore(joint(self.head, clouds, pooled, local))

    @classmethod
    def from_published(cls, weights: Published, k: int = 40, dropout: float = 0.5) -> DGCNNParts:
        """A network with the weights of ``DGCNN_partseg`` of github.com/AnTao97/dgcnn.pytorch.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            k, dropout: as for the network.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of that network.
        """
        found = state_dict(weights)
        with named("DGCNNParts"):
            in_channels = found["conv1.0.weight"].shape[1] // 2 - 3
            categories = found["conv7.0.weight"].shape[1]
            model = cls(in_channels, found["conv11.weight"].shape[0], k, categories, dropout)
            # Batch norms are listed twice: as bn1 and as the second layer of conv1.
            twice = ("bn", "transform_net.bn1.", "transform_net.bn2.")
            state = rename({name: t for name, t in found.items() if not name.startswith(twice)}, _NAMES)
            for name in ("align.conv", "convs.0", "convs.1", "convs.2"):
                state[f"{name}.weight"] = edge_filter(state[f"{name}.weight"])
            model.load_state_dict(state)
        return model


class _Alignment(nn.Module):
    """A 3 x 3 matrix for every cloud, from an edge convolution; the identity at first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = EdgeConv(3, 128, [64])
        self.points = mlp([128, 1024], bias=False, negative_slope=0.2)
        last = nn.Linear(256, 9)
        self.matrix = nn.Sequential(*mlp([1024, 512, 256], bias=False, negative_slope=0.2), last)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(torch.eye(3).flatten())

    def forward(self, clouds: Clouds, neighbors: Neighbors) -> Tensor:
        pooled = clouds.pool(self.points(self.conv(clouds.pos, neighbors)), "max")
        at_least(pooled.shape[0], 2 if self.training else 1)
        found: Tensor = self.matrix(pooled)
        return found.view(-1, 3, 3)


_NAMES = {
    "transform_net.conv1.0": "align.conv", "transform_net.conv1.1": "align.conv.norm",
    "transform_net.conv2.0": "align.conv.rest.0", "transform_net.conv2.1": "align.conv.rest.1",
    "transform_net.conv3.0": "align.points.0", "transform_net.conv3.1": "align.points.1",
    "transform_net.linear1": "align.matrix.0", "transform_net.bn3": "align.matrix.1",
    "transform_net.linear2": "align.matrix.3", "transform_net.bn4": "align.matrix.4",
    "transform_net.transform": "align.matrix.6",
    "conv1.0": "convs.0", "conv1.1": "convs.0.norm", "conv2.0": "convs.0.rest.0", "conv2.1": "convs.0.rest.1",
    "conv3.0": "convs.1", "conv3.1": "convs.1.norm", "conv4.0": "convs.1.rest.0", "conv4.1": "convs.1.rest.1",
    "conv5.0": "convs.2", "conv5.1": "convs.2.norm",
    "conv6.0": "embed.0", "conv6.1": "embed.1", "conv7.0": "known.0", "conv7.1": "known.1",
    "conv8.0": "head.0", "conv8.1": "head.1", "conv9.0": "head.4", "conv9.1": "head.5",
    "conv10.0": "head.8", "conv10.1": "head.9", "conv11": "head.11",
}  # fmt: skip
