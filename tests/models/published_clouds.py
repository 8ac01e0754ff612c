"""The published point networks, written down from their formulas: clouds of one size, every neighbourhood and edge in full.

Networks are functions of a state dict with the names of the public implementations (yanx27/Pointnet_Pointnet2_pytorch,
AnTao97/dgcnn.pytorch), in evaluation mode, of ``[B, N, C]``.
"""

from __future__ import annotations

import torch
from torch import Tensor

State = dict[str, Tensor]


class Layers:
    """Random weights by layer, of a size that keeps signals at theirs."""

    def __init__(self) -> None:
        self.state: State = {}

    def conv(self, name: str, c: int, d: int, bias: bool = True, dimensions: int = 0) -> None:
        self.state[f"{name}.weight"] = torch.randn(d, c, *[1] * dimensions) * (2 / c) ** 0.5
        if bias:
            self.state[f"{name}.bias"] = 0.1 * torch.randn(d)

    def norm(self, name: str, d: int) -> None:
        self.state |= {
            f"{name}.weight": 1 + 0.3 * torch.randn(d), f"{name}.bias": 0.1 * torch.randn(d),
            f"{name}.running_mean": 0.1 * torch.randn(d), f"{name}.running_var": 0.5 + torch.rand(d),
            f"{name}.num_batches_tracked": torch.tensor(7),
        }  # fmt: skip


def linear(state: State, x: Tensor, name: str) -> Tensor:
    y = x @ state[f"{name}.weight"].flatten(1).t()
    return y + state[f"{name}.bias"] if f"{name}.bias" in state else y


def normed(state: State, x: Tensor, name: str) -> Tensor:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return (x - mean) / (variance + 1e-5).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]


def relu_layer(state: State, x: Tensor, conv: str, norm: str, slope: float = 0.0) -> Tensor:
    y = normed(state, linear(state, x, conv), norm)
    return y.where(y > 0, slope * y)


# --- PointNet -----------------------------------------------------------------


def _tnet_weights(layers: Layers, name: str, c: int, k: int) -> None:
    for layer, (a, b) in enumerate([(c, 64), (64, 128), (128, 1024)], 1):
        layers.conv(f"{name}.conv{layer}", a, b, dimensions=1)
        layers.norm(f"{name}.bn{layer}", b)
    for layer, (a, b) in enumerate([(1024, 512), (512, 256)], 1):
        layers.conv(f"{name}.fc{layer}", a, b)
        layers.norm(f"{name}.bn{layer + 3}", b)
    layers.conv(f"{name}.fc3", 256, k * k)
    layers.state[f"{name}.fc3.weight"] *= 0.1


def _tnet(state: State, x: Tensor, name: str, k: int) -> Tensor:
    for layer in (1, 2, 3):
        x = relu_layer(state, x, f"{name}.conv{layer}", f"{name}.bn{layer}")
    x = x.amax(1)
    for layer in (1, 2):
        x = relu_layer(state, x, f"{name}.fc{layer}", f"{name}.bn{layer + 3}")
    return linear(state, x, f"{name}.fc3").view(-1, k, k) + torch.eye(k)


def pointnet_weights(channels: int, classes: int) -> State:
    layers = Layers()
    _tnet_weights(layers, "feat.stn", 3 + channels, 3)
    _tnet_weights(layers, "feat.fstn", 64, 64)
    for layer, (a, b) in enumerate([(3 + channels, 64), (64, 128), (128, 1024)], 1):
        layers.conv(f"feat.conv{layer}", a, b, dimensions=1)
        layers.norm(f"feat.bn{layer}", b)
    for layer, (a, b) in enumerate([(1024, 512), (512, 256), (256, classes)], 1):
        layers.conv(f"fc{layer}", a, b)
        if layer < 3:
            layers.norm(f"bn{layer}", b)
    return layers.state


def pointnet(state: State, pos: Tensor, x: Tensor) -> Tensor:
    turned = pos @ _tnet(state, torch.cat([pos, x], 2), "feat.stn", 3)
    y = relu_layer(state, torch.cat([turned, x], 2), "feat.conv1", "feat.bn1")
    y = y @ _tnet(state, y, "feat.fstn", 64)
    y = relu_layer(state, y, "feat.conv2", "feat.bn2")
    y = normed(state, linear(state, y, "feat.conv3"), "feat.bn3").amax(1)
    y = relu_layer(state, relu_layer(state, y, "fc1", "bn1"), "fc2", "bn2")
    return linear(state, y, "fc3")


# --- PointNet++ ---------------------------------------------------------------

SINGLE = [
    (512, [(0.2, 32, [64, 64, 128])]),
    (128, [(0.4, 64, [128, 128, 256])]),
]
MULTI = [
    (512, [(0.1, 16, [32, 32, 64]), (0.2, 32, [64, 64, 128]), (0.4, 128, [64, 96, 128])]),
    (128, [(0.2, 32, [64, 64, 128]), (0.4, 64, [128, 128, 256]), (0.8, 128, [128, 128, 256])]),
]


def _layer_names(multi: bool, level: int, scale: int, layer: int) -> tuple[str, str]:
    if multi:
        return f"sa{level}.conv_blocks.{scale}.{layer}", f"sa{level}.bn_blocks.{scale}.{layer}"
    return f"sa{level}.mlp_convs.{layer}", f"sa{level}.mlp_bns.{layer}"


def pointnet2_weights(channels: int, classes: int, multi: bool) -> State:
    layers, c = Layers(), channels
    for level, (_, scales) in enumerate(MULTI if multi else SINGLE, 1):
        for scale, (_, _, widths) in enumerate(scales):
            for layer, (a, b) in enumerate(zip([3 + c, *widths[:-1]], widths, strict=True)):
                conv, norm = _layer_names(multi, level, scale, layer)
                layers.conv(conv, a, b, dimensions=2)
                layers.norm(norm, b)
        c = sum(widths[-1] for _, _, widths in scales)
    for layer, (a, b) in enumerate([(3 + c, 256), (256, 512), (512, 1024)]):
        layers.conv(f"sa3.mlp_convs.{layer}", a, b, dimensions=2)
        layers.norm(f"sa3.mlp_bns.{layer}", b)
    for layer, (a, b) in enumerate([(1024, 512), (512, 256), (256, classes)], 1):
        layers.conv(f"fc{layer}", a, b)
        if layer < 3:
            layers.norm(f"bn{layer}", b)
    return layers.state


def _farthest(pos: Tensor, count: int) -> Tensor:
    """From the first point on; points twice, where there are no others."""
    chosen = [0]
    nearest = torch.full(pos.shape[:1], torch.inf)
    while len(chosen) < count:
        nearest = nearest.minimum((pos - pos[chosen[-1]]).square().sum(1))
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


def _ball(pos: Tensor, center: Tensor, r: float, most: int) -> Tensor:
    """The first points within the radius, the first of them again where there are fewer."""
    inside = ((pos - center).square().sum(1) <= r**2).nonzero()[:most, 0]
    return torch.cat([inside, inside[:1].expand(most - len(inside))])


def pointnet2(state: State, pos: Tensor, x: Tensor) -> Tensor:
    multi = "sa1.conv_blocks.0.0.weight" in state
    pooled = []
    for p, y in zip(pos, x, strict=True):
        for level, (count, scales) in enumerate(MULTI if multi else SINGLE, 1):
            centers = p[_farthest(p, count)]
            found = []
            for scale, (r, most, widths) in enumerate(scales):
                group = torch.stack([_ball(p, center, r, most) for center in centers])
                offset, signal = p[group] - centers[:, None], y[group]
                h = torch.cat([signal, offset] if multi else [offset, signal], 2)
                for layer in range(len(widths)):
                    h = relu_layer(state, h, *_layer_names(multi, level, scale, layer))
                found.append(h.amax(1))
            p, y = centers, torch.cat(found, 1)
        h = torch.cat([p, y], 1)
        for layer in range(3):
            h = relu_layer(state, h, f"sa3.mlp_convs.{layer}", f"sa3.mlp_bns.{layer}")
        pooled.append(h.amax(0))
    h = torch.stack(pooled)
    h = relu_layer(state, relu_layer(state, h, "fc1", "bn1"), "fc2", "bn2")
    return linear(state, h, "fc3")


# --- DGCNN --------------------------------------------------------------------

WIDTHS = [(6, 64), (128, 64), (128, 128), (256, 256)]


def dgcnn_weights(classes: int) -> State:
    layers = Layers()
    for layer, (a, b) in enumerate([*WIDTHS, (512, 1024)], 1):
        layers.conv(f"conv{layer}.0", a, b, bias=False, dimensions=1 if layer == 5 else 2)
        layers.norm(f"conv{layer}.1", b)
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            layers.state[f"bn{layer}.{name}"] = layers.state[f"conv{layer}.1.{name}"]
    layers.conv("linear1", 2048, 512, bias=False)
    layers.norm("bn6", 512)
    layers.conv("linear2", 512, 256)
    layers.norm("bn7", 256)
    layers.conv("linear3", 256, classes)
    return layers.state


def dgcnn(state: State, pos: Tensor, k: int) -> Tensor:
    pooled = []
    for y in pos:
        found = []
        for layer in range(1, 5):
            distance = (y[:, None] - y[None]).square().sum(2)
            other = y[distance.topk(k, dim=1, largest=False)[1]]
            own = y[:, None].expand(other.shape)
            edges = torch.cat([other - own, own], 2)
            y = relu_layer(state, edges, f"conv{layer}.0", f"conv{layer}.1", 0.2).amax(1)
            found.append(y)
        y = relu_layer(state, torch.cat(found, 1), "conv5.0", "conv5.1", 0.2)
        pooled.append(torch.cat([y.amax(0), y.mean(0)]))
    y = relu_layer(state, torch.stack(pooled), "linear1", "bn6", 0.2)
    return linear(state, relu_layer(state, y, "linear2", "bn7", 0.2), "linear3")
