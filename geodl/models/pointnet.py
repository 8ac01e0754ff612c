"""PointNet, with both of its alignment networks."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from geodl.models.clouds import Clouds, read_clouds
from geodl.models.on_batch import on_batch
from geodl.models.published import Published, named, rename, state_dict
from geodl.nn.dtype_of import dtype_of
from geodl.nn.mlp import mlp
from geodl.ops import from_basis
from geodl.ops.dynamic_size import at_least

__all__ = ["PointNet", "feature_transform_regularizer"]


class PointNet(nn.Module):
    """PointNet: a network at every point, the maximum over the cloud, a network on that; both read what small networks of the same
    kind (T-nets) have aligned, the positions by a 3 x 3 matrix and the features by a 64 x 64 one.

    The order of the points does not matter, and a cloud gives the same in any batch.

    Args:
        in_channels: of the signal beside the positions, such as 3 for normals; 0 for none.
        out_channels: number of classes.
        dropout: probability of dropping a hidden unit of the last network in training.

    Qi, Su, Mo, Guibas: PointNet: deep learning on point sets for 3D classification and segmentation, CVPR 2017. 3.5 million
    parameters, as in the paper's table 6.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float = 0.4) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.align = TNet(3 + in_channels, 3)
        self.lift = mlp([3 + in_channels, 64])
        self.align_features = TNet(64, 64)
        self.points = nn.Sequential(*list(mlp([64, 128, 1024]))[:-1])  # no ReLU before the maximum
        self.head = nn.Sequential(
            *mlp([1024, 512]), nn.Linear(512, 256), nn.Dropout(dropout), nn.BatchNorm1d(256), nn.ReLU(),
            nn.Linear(256, out_channels),
        )  # fmt: skip

    @on_batch
    def forward(self, pos: Tensor, ptr: Tensor | None = None, x: Tensor | None = None) -> Tensor:
        """Scores of the classes.

        Args:
            pos: ``[P, 3]``, the points of all clouds, about the origin and of about unit size.
            ptr: ``[B + 1]`` int64, where clouds begin; one cloud if not given.
            x: ``[P, in_channels]``.

        Returns:
            ``[B, out_channels]``.

        Raises:
            ValueError: shapes that do not fit; on the CPU, a cloud without points or a number that is not finite; in training, a
                batch of a single cloud, which has no statistics.
        """
        pooled, _ = self.features(pos, ptr, x)
        scores: Tensor = self.head(pooled)
        return scores

    def features(
        self, pos: Tensor, ptr: Tensor | None = None, x: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What ``head`` reads, ``[B, 1024]``, and the matrices of the features, ``[B, 64, 64]``,
        for :func:`feature_transform_regularizer`."""
        clouds = read_clouds(pos, ptr, x, self.in_channels, dtype_of(self))
        signal = align(clouds, self.align)
        y = self.lift(signal)
        matrices = self.align_features(y, clouds)
        y = self.points(from_basis(matrices, y, clouds.ptr))
        return clouds.pool(y, "max"), matrices

    @classmethod
    def from_published(cls, weights: Published, dropout: float = 0.4) -> PointNet:
        """A network with the weights of ``pointnet_cls`` of github.com/yanx27/Pointnet_Pointnet2_pytorch.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            dropout: as for the network.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of that network.
        """
        found = state_dict(weights)
        with named("PointNet"):
            model = cls(found["feat.conv1.weight"].shape[1] - 3, found["fc3.weight"].shape[0], dropout)
            model.load_state_dict(rename(found, _NAMES))
        return model


class TNet(nn.Module):
    """A matrix for every cloud, from what its points have: the identity at first."""

    def __init__(self, in_channels: int, size: int) -> None:
        super().__init__()
        self.points = mlp([in_channels, 64, 128, 1024])
        last = nn.Linear(256, size * size)
        self.matrix = nn.Sequential(*mlp([1024, 512, 256]), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, y: Tensor, clouds: Clouds) -> Tensor:
        """``[B, size, size]``, of rows ``y [P, in_channels]``; row vectors are multiplied by it from the right."""
        pooled = clouds.pool(self.points(y), "max")
        at_least(pooled.shape[0], 2 if self.training else 1)
        found: Tensor = self.matrix(pooled)
        size = math.isqrt(found.shape[1])  # numbers that a module holds, torch 2.6 takes for unknown ones
        return found.view(-1, size, size) + torch.eye(size, dtype=y.dtype, device=y.device)


def align(clouds: Clouds, network: TNet) -> Tensor:
    """Positions turned by the matrices that the network finds, and the signal as it is, ``[P, 3 + C]``."""
    pos = from_basis(network(clouds.signal, clouds), clouds.pos, clouds.ptr)
    return pos if clouds.x is None else torch.cat([pos, clouds.x], dim=1)


def feature_transform_regularizer(matrices: Tensor) -> Tensor:
    r"""How far matrices ``[B, K, K]`` are from orthogonal ones, :math:`\overline{\|I - A A^\top\|_F^2}`, a number.

    PointNet's loss adds 0.001 of it for the matrices of the features (Qi et al. 2017, eq. 2).
    """
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)
    return (identity - matrices @ matrices.transpose(1, 2)).square().sum((1, 2)).mean()


def tnet_names(theirs: str, ours: str) -> dict[str, str]:
    """Names of a T-net, by those that it has in the published implementation."""
    numbers = zip((1, 2, 3, 4, 5), ("points.0", "points.3", "points.6", "matrix.0", "matrix.3"), strict=True)
    layers = {f"{'conv' if k < 4 else 'fc'}{k if k < 4 else k - 3}": name for k, name in numbers}
    norms = {"bn1": "points.1", "bn2": "points.4", "bn3": "points.7", "bn4": "matrix.1", "bn5": "matrix.4"}
    return {f"{theirs}.{a}": f"{ours}.{b}" for a, b in (layers | norms | {"fc3": "matrix.6"}).items()}


_NAMES = {
    **tnet_names("feat.stn", "align"),
    **tnet_names("feat.fstn", "align_features"),
    "feat.conv1": "lift.0", "feat.bn1": "lift.1",
    "feat.conv2": "points.0", "feat.bn2": "points.1", "feat.conv3": "points.3", "feat.bn3": "points.4",
    "fc1": "head.0", "bn1": "head.1", "fc2": "head.3", "bn2": "head.5", "fc3": "head.7",
}  # fmt: skip
