"""DGCNN as its public PyTorch implementation has it, and as it is built from torch_geometric's DynamicEdgeConv.

Both take clouds of one size, ``[B, P, 3]``, and leave out dropout, whose random numbers would differ.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import EdgeConv, global_max_pool, global_mean_pool

from benchmarks.operators.peers import optional
from geodl.ops import knn

SLOPE = 0.2
WIDTHS = [(3, 64), (64, 64), (64, 128), (128, 256)]  # of the edge convolutions: channels in and out


class PublishedDGCNN(nn.Module):
    """``DGCNN_cls`` of github.com/AnTao97/dgcnn.pytorch: the same operations on the same layouts, with its parameters' names."""

    def __init__(self, out_channels: int, k: int) -> None:
        super().__init__()
        self.k = k
        for number, (c, d) in enumerate(WIDTHS, 1):
            layer = nn.Sequential(
                nn.Conv2d(2 * c, d, kernel_size=1, bias=False), nn.BatchNorm2d(d), nn.LeakyReLU(SLOPE)
            )
            self.add_module(f"conv{number}", layer)
        self.conv5 = nn.Sequential(
            nn.Conv1d(512, 1024, kernel_size=1, bias=False), nn.BatchNorm1d(1024), nn.LeakyReLU(SLOPE)
        )
        self.linear1 = nn.Linear(2048, 512, bias=False)
        self.bn6 = nn.BatchNorm1d(512)
        self.linear2 = nn.Linear(512, 256)
        self.bn7 = nn.BatchNorm1d(256)
        self.linear3 = nn.Linear(256, out_channels)

    def forward(self, clouds: Tensor) -> Tensor:
        x = clouds.transpose(1, 2)
        layers = []
        for number in range(1, 5):
            edges: Tensor = self.get_submodule(f"conv{number}")(graph_feature(x, self.k))
            x = edges.max(dim=-1, keepdim=False)[0]
            layers.append(x)
        x = self.conv5(torch.cat(layers, dim=1))
        x = torch.cat(
            [functional.adaptive_max_pool1d(x, 1).flatten(1), functional.adaptive_avg_pool1d(x, 1).flatten(1)], 1
        )  # fmt: skip
        x = functional.leaky_relu(self.bn6(self.linear1(x)), negative_slope=SLOPE)
        x = functional.leaky_relu(self.bn7(self.linear2(x)), negative_slope=SLOPE)
        scores: Tensor = self.linear3(x)
        return scores


def graph_feature(x: Tensor, k: int) -> Tensor:
    """(x_j - x_i, x_i) of every edge, ``[B, C, P]`` -> ``[B, 2 C, P, k]``."""
    clouds, channels, points = x.shape
    first = torch.arange(clouds, device=x.device).view(-1, 1, 1) * points
    index = (nearest(x, k) + first).view(-1)
    x = x.transpose(2, 1).contiguous()
    feature = x.view(clouds * points, -1)[index, :].view(clouds, points, k, channels)
    x = x.view(clouds, points, 1, channels).repeat(1, 1, k, 1)
    return torch.cat((feature - x, x), dim=3).permute(0, 3, 1, 2).contiguous()


def nearest(x: Tensor, k: int) -> Tensor:
    """Neighbours by all distances, from a matrix product: ``[B, C, P]`` -> ``[B, P, k]``."""
    inner = -2 * torch.matmul(x.transpose(2, 1), x)
    square = torch.sum(x**2, dim=1, keepdim=True)
    distance = -square - inner - square.transpose(2, 1)
    return distance.topk(k=k, dim=-1)[1]


class GeometricDGCNN(nn.Module):
    """The same network from torch_geometric's edge convolutions and pooling.

    Its DynamicEdgeConv is an EdgeConv on neighbours from torch_cluster. Where that is not installed, ``find`` is our search.
    """

    def __init__(self, out_channels: int, k: int, device: torch.device) -> None:
        super().__init__()
        self.find, self.finder = _finder(k, device)
        self.convs = nn.ModuleList(EdgeConv(_layer(2 * c, d), aggr="max") for c, d in WIDTHS)
        self.embed = _layer(512, 1024)
        self.head = nn.Sequential(
            *_layer(2048, 512), *_layer(512, 256, bias=True), nn.Linear(256, out_channels)
        )

    def forward(self, clouds: Tensor) -> Tensor:
        count, points, _ = clouds.shape
        batch = torch.arange(count, device=clouds.device).repeat_interleave(points)
        x, layers = clouds.flatten(0, 1), []
        for conv in self.convs:
            x = conv(x, self.find(x, batch, count))
            layers.append(x)
        x = self.embed(torch.cat(layers, dim=1))
        pooled = torch.cat([global_max_pool(x, batch, count), global_mean_pool(x, batch, count)], dim=1)
        scores: Tensor = self.head(pooled)
        return scores

    def load_published(self, state: dict[str, Tensor]) -> None:
        """Takes the weights of the public implementation, which reads (x_j - x_i, x_i) where this one reads (x_i, x_j - x_i)."""
        names = {f"conv{number + 1}": f"convs.{number}.nn" for number in range(4)} | {"conv5": "embed"}
        names = {f"{name}.{place}": f"{ours}.{place}" for name, ours in names.items() for place in (0, 1)}
        names |= {
            "linear1": "head.0",
            "bn6": "head.1",
            "linear2": "head.3",
            "bn7": "head.4",
            "linear3": "head.6",
        }
        found = {}
        for name, tensor in state.items():
            layer, _, parameter = name.rpartition(".")
            if tensor.dim() == 4:
                offset, own = tensor.flatten(1).chunk(2, dim=1)
                tensor = torch.cat([own, offset], dim=1)
            found[f"{names[layer]}.{parameter}"] = tensor.flatten(1) if tensor.dim() > 2 else tensor
        self.load_state_dict(found)


def _layer(c: int, d: int, bias: bool = False) -> nn.Sequential:
    return nn.Sequential(nn.Linear(c, d, bias=bias), nn.BatchNorm1d(d), nn.LeakyReLU(SLOPE))


def _finder(k: int, device: torch.device) -> tuple[Callable[[Tensor, Tensor, int], Tensor], str]:
    """What finds neighbours, as an edge index, and its name."""
    cluster = optional("torch_cluster")
    if cluster is not None:
        try:
            cluster.knn(torch.zeros(1, 3, device=device), torch.zeros(1, 3, device=device), 1)
        except RuntimeError as error:  # built without this device
            print(f"left out: torch_cluster: {str(error).splitlines()[0]}")
            cluster = None
    if cluster is None:

        def searched(x: Tensor, batch: Tensor, count: int) -> Tensor:
            ptr = torch.arange(count + 1, device=x.device) * (len(batch) // count)
            return knn(x, k, ptr).to_edge_index()

        return searched, "our neighbours"

    def clustered(x: Tensor, batch: Tensor, count: int) -> Tensor:
        found: Tensor = cluster.knn(x, x, k, batch, batch, batch_size=count).flip([0])
        return found

    return clustered, "neighbours from torch_cluster"
