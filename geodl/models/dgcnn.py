"""DGCNN: edge convolutions on neighbours that are found anew in every layer's features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.models.clouds import CloudClassifier, read_clouds
from geodl.models.published import Published, named, rename, state_dict
from geodl.nn import EdgeConv
from geodl.nn.dtype_of import dtype_of
from geodl.nn.mlp import mlp
from geodl.ops import knn

__all__ = ["DGCNN"]


class DGCNN(CloudClassifier):
    """Dynamic graph CNN for classification: four edge convolutions, each on the nearest neighbours in the features of the layer
    before, a linear layer on all of them, the maximum and the mean over the cloud, a network on these.

    The order of the points does not matter, and a cloud gives the same in any batch. A cloud of fewer than k points has shorter
    rows of neighbours.

    Args:
        in_channels: of the signal beside the positions, such as 3 for normals; 0 for none.
        out_channels: number of classes.
        k: neighbours of a point, itself among them; 20 for 1024 points, 40 for 2048.
        dropout: probability of dropping a hidden unit of the last network in training.

    Wang et al., "Dynamic graph CNN for learning on point clouds", ACM TOG 2019. 1.8 million parameters, as in the paper's table 3.
    """

    def __init__(self, in_channels: int, out_channels: int, k: int = 20, dropout: float = 0.5) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.in_channels, self.k = in_channels, k
        widths = [(3 + in_channels, 64), (64, 64), (64, 128), (128, 256)]
        self.convs = nn.ModuleList(EdgeConv(c, d) for c, d in widths)
        self.embed = mlp([512, 1024], bias=False, negative_slope=0.2)
        self.head = nn.Sequential(
            *mlp([2048, 512], bias=False, negative_slope=0.2), nn.Dropout(dropout),
            *mlp([512, 256], negative_slope=0.2), nn.Dropout(dropout),
            nn.Linear(256, out_channels),
        )  # fmt: skip

    def features(self, pos: Tensor, ptr: Tensor | None = None, x: Tensor | None = None) -> Tensor:
        """What ``head`` reads: the maximum and the mean over every cloud, ``[B, 2048]``."""
        clouds = read_clouds(pos, ptr, x, self.in_channels, dtype_of(self))
        y = clouds.signal
        layers = []
        for conv in self.convs:
            y = conv(y, knn(y, self.k, clouds.ptr))
            layers.append(y)
        y = self.embed(torch.cat(layers, dim=1))
        return torch.cat([clouds.pool(y, "max"), clouds.pool(y, "mean")], dim=1)

    @classmethod
    def from_published(cls, weights: Published, k: int = 20, dropout: float = 0.5) -> DGCNN:
        """A network with the weights of ``DGCNN_cls`` of github.com/AnTao97/dgcnn.pytorch.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            k, dropout: as for the network.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of that network.
        """
        found = state_dict(weights)
        with named("DGCNN"):
            model = cls(
                found["conv1.0.weight"].shape[1] // 2 - 3, found["linear3.weight"].shape[0], k, dropout
            )
            # Batch norms are listed twice: as bn1 and as the second layer of conv1.
            state = rename({name: t for name, t in found.items() if not name.startswith(_TWICE)}, _NAMES)
            for layer in range(4):
                state[f"convs.{layer}.weight"] = edge_filter(state[f"convs.{layer}.weight"])
            model.load_state_dict(state)
        return model


def edge_filter(weight: Tensor) -> Tensor:
    """The filter of an edge convolution as it is here: they read (x_j - x_i, x_i), we (x_i, x_j - x_i)."""
    offset, own = weight.chunk(2, dim=1)
    return torch.cat([own, offset], dim=1).t().contiguous()


_TWICE = ("bn1.", "bn2.", "bn3.", "bn4.", "bn5.")
_NAMES = {
    **{f"conv{k + 1}.0": f"convs.{k}" for k in range(4)},
    **{f"conv{k + 1}.1": f"convs.{k}.norm" for k in range(4)},
    "conv5.0": "embed.0", "conv5.1": "embed.1",
    "linear1": "head.0", "bn6": "head.1", "linear2": "head.4", "bn7": "head.5", "linear3": "head.8",
}  # fmt: skip
