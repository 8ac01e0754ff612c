"""The published point networks, written down from their formulas: clouds of one size, every neighbourhood and edge in full.

Networks are functions of a state dict with the names of the public implementations (yanx27/Pointnet_Pointnet2_pytorch,
AnTao97/dgcnn.pytorch, guochengqian/PointNeXt, Matrix-ASC/DeLA), in evaluation mode, of ``[B, N, C]``.
"""

from __future__ import annotations

from itertools import pairwise

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


# --- PointNeXt ----------------------------------------------------------------


def _pointnext_encoder(layers: Layers, c: int, width: int, blocks: tuple[int, ...], depth: int) -> int:
    layers.conv("encoder.encoder.0.0.convs.0.0", c, width, dimensions=1)
    c = width
    for stage, count in enumerate(blocks, 1):
        name = f"encoder.encoder.{stage}"
        for layer, (a, b) in enumerate(pairwise([3 + c, *[c] * (depth - 1), 2 * c])):
            layers.conv(f"{name}.0.convs.{layer}.0", a, b, bias=False, dimensions=2)
            layers.norm(f"{name}.0.convs.{layer}.1", b)
        layers.conv(f"{name}.0.skipconv.0", c, 2 * c, dimensions=1)
        c *= 2
        for block in range(1, count):
            layers.conv(f"{name}.{block}.convs.convs.0.0", 3 + c, c, bias=False, dimensions=2)
            layers.norm(f"{name}.{block}.convs.convs.0.1", c)
            for layer, (a, b) in enumerate([(c, 4 * c), (4 * c, c)]):
                layers.conv(f"{name}.{block}.pwconv.{layer}.0", a, b, bias=False, dimensions=1)
                layers.norm(f"{name}.{block}.pwconv.{layer}.1", b)
    return c


def pointnext_weights(channels: int, classes: int, width: int, blocks: tuple[int, ...]) -> State:
    layers = Layers()
    c = _pointnext_encoder(layers, channels, width, blocks, 2)
    for layer, a in enumerate((3 + c, c)):
        layers.conv(f"encoder.encoder.{len(blocks) + 1}.0.convs.{layer}.0", a, c, bias=False, dimensions=2)
        layers.norm(f"encoder.encoder.{len(blocks) + 1}.0.convs.{layer}.1", c)
    for layer, (a, b) in enumerate([(c, 512), (512, 256)]):
        layers.conv(f"prediction.head.{2 * layer}.0", a, b, bias=False)
        layers.norm(f"prediction.head.{2 * layer}.1", b)
    layers.conv("prediction.head.4.0", 256, classes)
    return layers.state


def _grouped(p: Tensor, y: Tensor, centers: Tensor, r: float) -> Tensor:
    group = torch.stack([_ball(p, center, r, 32) for center in centers])
    return torch.cat([(p[group] - centers[:, None]) / r, y[group]], 2)


def _pointnext_stages(
    state: State, p: Tensor, y: Tensor, r: float, growth: float
) -> list[tuple[Tensor, Tensor]]:
    """Positions and signal of the points and of every stage that has a shortcut."""
    y = linear(state, y, "encoder.encoder.0.0.convs.0.0")
    reached, stage = [(p, y)], 1
    while f"encoder.encoder.{stage}.0.skipconv.0.weight" in state:
        name, chosen = f"encoder.encoder.{stage}", _farthest(p, len(p) // 2)
        h, depth = _grouped(p, y, p[chosen], r), 0
        while f"{name}.0.convs.{depth + 1}.0.weight" in state:
            h = relu_layer(state, h, f"{name}.0.convs.{depth}.0", f"{name}.0.convs.{depth}.1")
            depth += 1
        h = normed(state, linear(state, h, f"{name}.0.convs.{depth}.0"), f"{name}.0.convs.{depth}.1").amax(1)
        p, y, r = p[chosen], (h + linear(state, y[chosen], f"{name}.0.skipconv.0")).relu(), r * growth
        block = 1
        while f"{name}.{block}.pwconv.0.0.weight" in state:
            part = f"{name}.{block}"
            h = relu_layer(state, _grouped(p, y, p, r), f"{part}.convs.convs.0.0", f"{part}.convs.convs.0.1")
            h = relu_layer(state, h.amax(1), f"{part}.pwconv.0.0", f"{part}.pwconv.0.1")
            y = (y + normed(state, linear(state, h, f"{part}.pwconv.1.0"), f"{part}.pwconv.1.1")).relu()
            block += 1
        reached.append((p, y))
        stage += 1
    return reached


def pointnext(state: State, pos: Tensor, x: Tensor) -> Tensor:
    """In which x holds the positions too."""
    pooled = []
    for one, signal in zip(pos, x, strict=True):
        reached = _pointnext_stages(state, one, signal, 0.15, 1.5)
        p, y = reached[-1]
        last, h = f"encoder.encoder.{len(reached)}.0.convs", torch.cat([p, y], 1)
        for layer in (0, 1):
            h = relu_layer(state, h, f"{last}.{layer}.0", f"{last}.{layer}.1")
        pooled.append(h.amax(0))
    h = torch.stack(pooled)
    for layer in (0, 2):
        h = relu_layer(state, h, f"prediction.head.{layer}.0", f"prediction.head.{layer}.1")
    return linear(state, h, "prediction.head.4.0")


# --- DeLA ---------------------------------------------------------------------


def _dela_stage(layers: Layers, name: str, c: int, d: int, read: int) -> None:
    widths = [read, 24, 48, d] if c == 0 else [3, 12, 24, 48]
    for place, (a, b) in zip((0, 3, 6), pairwise(widths), strict=True):
        layers.conv(f"{name}.nbr_embed.{place}", a, b, bias=False)
        if place < 6:
            layers.norm(f"{name}.nbr_embed.{place + 1}", b)
    layers.norm(f"{name}.nbr_bn", d)
    if c:
        layers.conv(f"{name}.nbr_proj", 48, d, bias=False)
        layers.conv(f"{name}.lfp.proj", c, d, bias=False)
        layers.norm(f"{name}.lfp.bn", d)
        layers.conv(f"{name}.skip_proj.0", c, d, bias=False)
        layers.norm(f"{name}.skip_proj.1", d)
    for k in range(4):
        layers.conv(f"{name}.blk.lfps.{k}.proj", d, d, bias=False)
        layers.norm(f"{name}.blk.lfps.{k}.bn", d)
    for part in ("mlp", "mlps.0", "mlps.1"):
        layers.conv(f"{name}.blk.{part}.mlp.0", d, 2 * d)
        layers.conv(f"{name}.blk.{part}.mlp.2", 2 * d, d, bias=False)
        layers.norm(f"{name}.blk.{part}.mlp.3", d)
    layers.conv(f"{name}.cor_head.0", d, 32, bias=False)
    layers.norm(f"{name}.cor_head.1", 32)
    layers.conv(f"{name}.cor_head.3", 32, 3, bias=False)


def dela_weights(channels: int, classes: int) -> State:
    layers, name, c = Layers(), "stage", 0
    for d in (96, 192, 384):
        _dela_stage(layers, name, c, d, 4 + channels)
        name, c = f"{name}.sub_stage", d
    layers.norm("proj.0", 384)
    layers.conv("proj.1", 384, 2048)
    layers.conv("head.0", 2048, 512, bias=False)
    layers.norm("head.1", 512)
    layers.conv("head.3", 512, 256, bias=False)
    layers.norm("head.4", 256)
    layers.conv("head.7", 256, classes)
    return layers.state


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / 2**0.5)) / 2


def _meet(state: State, y: Tensor, index: Tensor, name: str) -> Tensor:
    y = linear(state, y, f"{name}.proj")
    return normed(state, y[index].amax(1) - y, f"{name}.bn")


def _alone(state: State, y: Tensor, name: str) -> Tensor:
    y = gelu(linear(state, y, f"{name}.mlp.0"))
    return normed(state, linear(state, y, f"{name}.mlp.2"), f"{name}.mlp.3")


def _dela_stages(
    state: State, p: Tensor, x: Tensor, counts: tuple[int, ...], k: int
) -> list[tuple[Tensor, Tensor]]:
    """Of one cloud in units of the authors, in the order of its farthest points: positions and signal of every stage."""
    reached, name, y, index = [], "stage", None, None
    height = p[:, 1:2] / 10
    for count in (len(p), *counts):
        p = p[:count]
        if y is not None:
            skipped = normed(state, linear(state, y, f"{name}.skip_proj.0"), f"{name}.skip_proj.1")
            y = (skipped + _meet(state, y, index, f"{name}.lfp"))[:count]
        index = (p[:, None] - p[None]).square().sum(2).topk(min(k, len(p)), dim=1, largest=False)[1]
        h = p[index] - p[:, None]
        if y is None:
            h = torch.cat([h, torch.cat([x, height - height.min()], 1)[index]], 2)
        for place in (0, 3):
            h = gelu(
                normed(state, linear(state, h, f"{name}.nbr_embed.{place}"), f"{name}.nbr_embed.{place + 1}")
            )
        h = linear(state, h, f"{name}.nbr_embed.6").amax(1)
        if y is not None:
            h = linear(state, h, f"{name}.nbr_proj")
        h = normed(state, h, f"{name}.nbr_bn")
        y = h if y is None else h + y
        y = y + _alone(state, y, f"{name}.blk.mlp")
        for layer in range(4):
            y = y + _meet(state, y, index, f"{name}.blk.lfps.{layer}")
            if layer % 2:
                y = y + _alone(state, y, f"{name}.blk.mlps.{layer // 2}")
        reached.append((p, y))
        name = f"{name}.sub_stage"
    return reached


def dela(state: State, pos: Tensor, x: Tensor, k: int) -> Tensor:
    pooled = []
    for p, own in zip(pos, x, strict=True):
        chosen = _farthest(p, len(p))
        _, y = _dela_stages(state, 40 * p[chosen], own[chosen], (256, 64), k)[-1]
        pooled.append(gelu(linear(state, normed(state, y, "proj.0"), "proj.1")).amax(0))
    h = torch.stack(pooled)
    for layer in (0, 3):
        h = gelu(normed(state, linear(state, h, f"head.{layer}"), f"head.{layer + 1}"))
    return linear(state, h, "head.7")


# --- KP-CNN: under our own names, since the authors' weights are those of another framework ----


def _cells(p: Tensor, y: Tensor, side: float) -> tuple[Tensor, Tensor]:
    """Means of the points, and of the signal, in every cell that holds a point."""
    _, cell = (p / side).floor().unique(dim=0, return_inverse=True)
    return tuple(torch.stack([t[cell == k].mean(0) for k in range(int(cell.max()) + 1)]) for t in (p, y))


def _kernel(state: State, name: str, y: Tensor, source: Tensor, p: Tensor, sigma: float) -> Tensor:
    offset = (source[None] - p[:, None]) / sigma
    out = y.new_zeros(len(p), state[f"{name}.filters"].shape[2])
    for point, weight in zip(state[f"{name}.points"], state[f"{name}.filters"], strict=True):
        out += (1 - (offset - point).norm(dim=2)).clamp(min=0) @ y @ weight
    return out


def _leaky(y: Tensor) -> Tensor:
    return y.where(y > 0, 0.2 * y)


def _bottleneck(state: State, name: str, y: Tensor, source: Tensor, p: Tensor, sigma: float) -> Tensor:
    h = relu_layer(state, y, f"{name}.narrow.0", f"{name}.narrow.1", 0.2)
    h = _leaky(normed(state, _kernel(state, f"{name}.conv", h, source, p, sigma), f"{name}.norm.0"))
    h = normed(state, linear(state, h, f"{name}.widen.0"), f"{name}.widen.1")
    if source is not p:
        inside = (source[None] - p[:, None]).norm(dim=2) <= 2.5 * sigma
        y = torch.stack([y[row].amax(0) for row in inside])
    if f"{name}.shortcut.0.weight" in state:
        y = normed(state, linear(state, y, f"{name}.shortcut.0"), f"{name}.shortcut.1")
    return _leaky(h + y)


def _kpcnn_grids(state: State, p: Tensor, x: Tensor, cell: float) -> list[tuple[Tensor, Tensor]]:
    p, y = _cells(p, torch.cat([torch.ones_like(p[:, :1]), x], 1), cell)
    y = _leaky(normed(state, _kernel(state, "encoder.first", y, p, p, cell), "encoder.norm.0"))
    reached = []
    for level in range(5):
        side = cell * 2**level
        if level:
            coarse, _ = _cells(p, p, side)
            y = _bottleneck(state, f"encoder.down.{level - 1}", y, p, coarse, side / 2)
            p = coarse
        y = _bottleneck(state, f"encoder.stay.{level}", y, p, p, side)
        reached.append((p, y))
    return reached


def kpcnn(state: State, pos: Tensor, x: Tensor, cell: float) -> Tensor:
    h = torch.stack([
        _kpcnn_grids(state, p, own, cell)[-1][1].mean(0) for p, own in zip(pos, x, strict=True)
    ])  # fmt: skip
    return linear(state, relu_layer(state, h, "head.0", "head.1", 0.2), "head.4")


# --- part segmentation: category is one-hot, [B, 16] ---------------------------


def pointnet_parts_weights(channels: int, parts: int) -> State:
    layers = Layers()
    _tnet_weights(layers, "stn", 3 + channels, 3)
    _tnet_weights(layers, "fstn", 128, 128)
    for layer, (a, b) in enumerate([(3 + channels, 64), (64, 128), (128, 128), (128, 512), (512, 2048)], 1):
        layers.conv(f"conv{layer}", a, b, dimensions=1)
        layers.norm(f"bn{layer}", b)
    for layer, (a, b) in enumerate([(4944, 256), (256, 256), (256, 128), (128, parts)], 1):
        layers.conv(f"convs{layer}", a, b, dimensions=1)
        if layer < 4:
            layers.norm(f"bns{layer}", b)
    return layers.state


def pointnet_parts(state: State, pos: Tensor, x: Tensor, category: Tensor) -> Tensor:
    turned = pos @ _tnet(state, torch.cat([pos, x], 2), "stn", 3)
    outs = [torch.cat([turned, x], 2)]
    for layer in (1, 2, 3):
        outs.append(relu_layer(state, outs[-1], f"conv{layer}", f"bn{layer}"))
    outs.append(relu_layer(state, outs[3] @ _tnet(state, outs[3], "fstn", 128), "conv4", "bn4"))
    outs.append(normed(state, linear(state, outs[4], "conv5"), "bn5"))
    whole = torch.cat([outs[5].amax(1), category], 1)[:, None].expand(-1, pos.shape[1], -1)
    y = torch.cat([whole, *outs[1:]], 2)
    for layer in (1, 2, 3):
        y = relu_layer(state, y, f"convs{layer}", f"bns{layer}")
    return linear(state, y, "convs4")


SINGLE_PARTS = SINGLE
MULTI_PARTS = [
    (512, [(0.1, 32, [32, 32, 64]), (0.2, 64, [64, 64, 128]), (0.4, 128, [64, 96, 128])]),
    (128, [(0.4, 64, [128, 128, 256]), (0.8, 128, [128, 196, 256])]),
]


def pointnet2_parts_weights(channels: int, parts: int, multi: bool) -> State:
    layers, c = Layers(), [3 + channels]
    for level, (_, scales) in enumerate(MULTI_PARTS if multi else SINGLE_PARTS, 1):
        for scale, (_, _, widths) in enumerate(scales):
            for layer, (a, b) in enumerate(zip([3 + c[-1], *widths[:-1]], widths, strict=True)):
                conv, norm = _layer_names(multi, level, scale, layer)
                layers.conv(conv, a, b, dimensions=2)
                layers.norm(norm, b)
        c.append(sum(widths[-1] for _, _, widths in scales))
    ups = {"sa3": [3 + c[2], 256, 512, 1024], "fp3": [c[2] + 1024, 256, 256], "fp2": [c[1] + 256, 256, 128]}
    ups["fp1"] = [16 + 3 + c[0] + 128, 128, 128] if multi else [16 + 3 + c[0] + 128, 128, 128, 128]
    for name, widths in ups.items():
        for layer, (a, b) in enumerate(pairwise(widths)):
            layers.conv(f"{name}.mlp_convs.{layer}", a, b, dimensions=2 if name == "sa3" else 1)
            layers.norm(f"{name}.mlp_bns.{layer}", b)
    layers.conv("conv1", 128, 128, dimensions=1)
    layers.norm("bn1", 128)
    layers.conv("conv2", 128, parts, dimensions=1)
    return layers.state


def _mlp(state: State, y: Tensor, name: str) -> Tensor:
    layer = 0
    while f"{name}.mlp_convs.{layer}.weight" in state:
        y = relu_layer(state, y, f"{name}.mlp_convs.{layer}", f"{name}.mlp_bns.{layer}")
        layer += 1
    return y


def _interpolated(y: Tensor, samples: Tensor, points: Tensor, power: int = 2) -> Tensor:
    nearest, index = (points[:, None] - samples[None]).square().sum(2).sort(dim=1)
    weight = 1 / (nearest[:, :3] ** (power / 2) + 1e-8)
    return (y[index[:, :3]] * (weight / weight.sum(1, keepdim=True))[..., None]).sum(1)


def pointnet2_parts(state: State, pos: Tensor, x: Tensor, category: Tensor) -> Tensor:
    multi = "sa1.conv_blocks.0.0.weight" in state
    scores = []
    for p, own, known in zip(pos, x, category, strict=True):
        signal = torch.cat([p, own], 1)
        points, features = [p], [signal]
        for level, (count, scales) in enumerate(MULTI_PARTS if multi else SINGLE_PARTS, 1):
            p, y = points[-1], features[-1]
            centers, found = p[_farthest(p, count)], []
            for scale, (r, most, widths) in enumerate(scales):
                group = torch.stack([_ball(p, center, r, most) for center in centers])
                offset, around = p[group] - centers[:, None], y[group]
                h = torch.cat([around, offset] if multi else [offset, around], 2)
                for layer in range(len(widths)):
                    h = relu_layer(state, h, *_layer_names(multi, level, scale, layer))
                found.append(h.amax(1))
            points.append(centers)
            features.append(torch.cat(found, 1))
        whole = _mlp(state, torch.cat([points[2], features[2]], 1), "sa3").amax(0)
        y = _mlp(state, torch.cat([features[2], whole.expand(len(points[2]), -1)], 1), "fp3")
        y = _mlp(state, torch.cat([features[1], _interpolated(y, points[2], points[1])], 1), "fp2")
        known = torch.cat([known.expand(len(signal), -1), points[0], signal], 1)
        y = _mlp(state, torch.cat([known, _interpolated(y, points[1], points[0])], 1), "fp1")
        scores.append(linear(state, relu_layer(state, y, "conv1", "bn1"), "conv2"))
    return torch.stack(scores)


def dgcnn_parts_weights(channels: int, parts: int) -> State:
    layers = Layers()
    convs = [
        (6 + 2 * channels, 64),
        (64, 64),
        (128, 64),
        (64, 64),
        (128, 64),
        (192, 1024),
        (16, 64),
        (1280, 256),
        (256, 256),
        (256, 128),
    ]
    for prefix, widths, flat in (("", convs, 6), ("transform_net.", [(6, 64), (64, 128), (128, 1024)], 3)):
        for layer, (a, b) in enumerate(widths, 1):
            layers.conv(f"{prefix}conv{layer}.0", a, b, bias=False, dimensions=1 if layer >= flat else 2)
            layers.norm(f"{prefix}conv{layer}.1", b)
            if prefix and layer == 3:
                continue  # its name went to another norm
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                layers.state[f"{prefix}bn{layer}.{name}"] = layers.state[f"{prefix}conv{layer}.1.{name}"]
    layers.conv("transform_net.linear1", 1024, 512, bias=False)
    layers.norm("transform_net.bn3", 512)
    layers.conv("transform_net.linear2", 512, 256, bias=False)
    layers.norm("transform_net.bn4", 256)
    layers.conv("transform_net.transform", 256, 9)
    layers.conv("conv11", 128, parts, bias=False, dimensions=1)
    return layers.state


def _edges(y: Tensor, k: int) -> Tensor:
    other = y[(y[:, None] - y[None]).square().sum(2).topk(k, dim=1, largest=False)[1]]
    own = y[:, None].expand(other.shape)
    return torch.cat([other - own, own], 2)


def dgcnn_parts(state: State, pos: Tensor, x: Tensor, category: Tensor, k: int) -> Tensor:
    def block(y: Tensor, name: str) -> Tensor:
        return relu_layer(state, y, f"{name}.0", f"{name}.1", 0.2)

    scores = []
    for p, signal, known in zip(pos, x, category, strict=True):
        t = block(block(_edges(p, k), "transform_net.conv1"), "transform_net.conv2").amax(1)
        t = block(t, "transform_net.conv3").amax(0)
        for linear_name, norm in (("linear1", "bn3"), ("linear2", "bn4")):
            t = relu_layer(state, t, f"transform_net.{linear_name}", f"transform_net.{norm}", 0.2)
        p = p @ linear(state, t, "transform_net.transform").view(3, 3)
        x1 = block(block(_edges(torch.cat([p, signal], 1), k), "conv1"), "conv2").amax(1)
        x2 = block(block(_edges(x1, k), "conv3"), "conv4").amax(1)
        x3 = block(_edges(x2, k), "conv5").amax(1)
        local = torch.cat([x1, x2, x3], 1)
        whole = torch.cat([block(local, "conv6").amax(0), block(known, "conv7")])
        y = torch.cat([whole.expand(len(p), -1), local], 1)
        for layer in (8, 9, 10):
            y = block(y, f"conv{layer}")
        scores.append(linear(state, y, "conv11"))
    return torch.stack(scores)


def pointnext_parts_weights(channels: int, parts: int, width: int) -> State:
    layers = Layers()
    top = _pointnext_encoder(layers, channels, width, (1, 1, 1, 1), 3)
    layers.conv("decoder.global_conv2.0.0", top, 128, dimensions=1)
    layers.conv("decoder.global_conv1.0.0", top // 2, 64, dimensions=1)
    for up in range(4):
        c = width * 2**up
        widths = [3 * c + (0 if up else 64 + 128 + 16), c, c]
        for layer, (a, b) in enumerate(pairwise(widths)):
            layers.conv(f"decoder.decoder.{up}.0.convs.{layer}.0", a, b, bias=False, dimensions=1)
            layers.norm(f"decoder.decoder.{up}.0.convs.{layer}.1", b)
    layers.conv("head.head.0.0", 3 * width, 3 * width, bias=False, dimensions=1)
    layers.norm("head.head.0.1", 3 * width)
    layers.conv("head.head.2.0", 3 * width, parts, dimensions=1)
    return layers.state


def pointnext_parts(state: State, pos: Tensor, x: Tensor, category: Tensor) -> Tensor:
    """In which x holds the positions too."""
    scores = []
    for one, signal, known in zip(pos, x, category, strict=True):
        reached = _pointnext_stages(state, one, signal, 0.1, 2.5)
        emb1 = linear(state, reached[-2][1], "decoder.global_conv1.0.0").relu().amax(0)
        emb2 = linear(state, reached[-1][1], "decoder.global_conv2.0.0").relu().amax(0)
        p, y = reached[0]
        reached[0] = p, torch.cat([torch.cat([emb1, emb2, known]).expand(len(p), -1), y], 1)
        samples, h = reached[-1]
        for up in (3, 2, 1, 0):
            p, y = reached[up]
            h = torch.cat([y, _interpolated(h, samples, p, 1)], 1)
            for layer in (0, 1):
                name = f"decoder.decoder.{up}.0.convs.{layer}"
                h = relu_layer(state, h, f"{name}.0", f"{name}.1")
            samples = p
        h = torch.cat([h, h.amax(0).expand(len(h), -1), h.mean(0).expand(len(h), -1)], 1)
        h = relu_layer(state, h, "head.head.0.0", "head.head.0.1")
        scores.append(linear(state, h, "head.head.2.0"))
    return torch.stack(scores)


def dela_parts_weights(channels: int, parts: int) -> State:
    layers, name, c = Layers(), "stage", 0
    for d in (96, 192, 320, 512):
        _dela_stage(layers, name, c, d, 4 + channels)
        layers.norm(f"{name}.postproj.0", d)
        layers.conv(f"{name}.postproj.1", d, 320, bias=False)
        name, c = f"{name}.sub_stage", d
    layers.conv("shapeproj.0", 16, 64, bias=False)
    layers.norm("shapeproj.1", 64)
    layers.conv("shapeproj.2", 64, 320, bias=False)
    layers.norm("head.0", 320)
    layers.conv("head.2", 320, parts)
    return layers.state


def dela_parts(state: State, pos: Tensor, x: Tensor, category: Tensor, k: int) -> Tensor:
    scores = []
    for p, own, known in zip(pos, x, category, strict=True):
        chosen, name = _farthest(p, len(p)), "stage"
        h = normed(state, linear(state, known[None], "shapeproj.0"), "shapeproj.1")
        h = linear(state, h, "shapeproj.2").expand(len(p), -1)
        for samples, y in _dela_stages(state, 40 * p[chosen], own[chosen], (512, 192, 64), k):
            y = linear(state, normed(state, y, f"{name}.postproj.0"), f"{name}.postproj.1")
            h = h + y[(40 * p[:, None] - samples[None]).square().sum(2).argmin(1)]
            name = f"{name}.sub_stage"
        scores.append(linear(state, gelu(normed(state, h, "head.0")), "head.2"))
    return torch.stack(scores)


def kpfcnn(state: State, pos: Tensor, x: Tensor, category: Tensor, cell: float) -> Tensor:
    scores = []
    for p, own, known in zip(pos, x, category, strict=True):
        reached = _kpcnn_grids(state, p, own, cell)
        samples, h = reached[-1]
        for level in (3, 2, 1, 0):
            points, skip = reached[level]
            nearest = (points[:, None] - samples[None]).norm(dim=2).argmin(1)
            up = f"ups.{level}.layers"
            h = relu_layer(state, torch.cat([h[nearest], skip], 1), f"{up}.0", f"{up}.1", 0.2)
            samples = points
        h = relu_layer(state, torch.cat([known.expand(len(h), -1), h], 1), "head.0", "head.1", 0.2)
        _, held = (p / cell).floor().unique(dim=0, return_inverse=True)
        scores.append(linear(state, h, "head.3")[held])
    return torch.stack(scores)
