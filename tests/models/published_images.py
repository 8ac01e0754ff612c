"""Image networks as torchvision builds them, in plain torch: state dicts under its names, and the scores that belong to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = dict[str, Tensor]


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """With statistics and weights of no special values, in evaluation."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.1, generator=generator)
        elif isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() < 1e7:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    return network.eval()


def alexnet(classes: int) -> nn.Module:
    network = nn.Sequential()
    network.features = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    network.avgpool = nn.Sequential(nn.AdaptiveAvgPool2d((6, 6)), nn.Flatten())
    network.classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(),
        nn.Linear(4096, classes),
    )  # fmt: skip
    return network


def vgg(plan: str, classes: int, batch_norm: bool) -> nn.Module:
    layers: list[nn.Module] = []
    read = 3
    for word in plan.split():
        if word == "M":
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers.append(nn.Conv2d(read, int(word), 3, padding=1))
        layers += [nn.BatchNorm2d(int(word))] if batch_norm else []
        layers.append(nn.ReLU())
        read = int(word)
    network = nn.Sequential()
    network.features = nn.Sequential(*layers)
    network.avgpool = nn.Sequential(nn.AdaptiveAvgPool2d((7, 7)), nn.Flatten())
    network.classifier = nn.Sequential(
        nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
        nn.Linear(4096, classes),
    )  # fmt: skip
    return network


class _Block(nn.Module):
    def __init__(self, read: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        wide = 4 * width if bottleneck else width
        shapes = (
            [(read, width, 1, 1), (width, width, 3, stride), (width, wide, 1, 1)]
            if bottleneck
            else [(read, width, 3, stride), (width, width, 3, 1)]
        )
        self.count = len(shapes)
        for k, (c, d, kernel, step) in enumerate(shapes, start=1):
            setattr(self, f"conv{k}", nn.Conv2d(c, d, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{k}", nn.BatchNorm2d(d))
        self.downsample: nn.Module | None = None
        if stride > 1 or read != wide:
            self.downsample = nn.Sequential(
                nn.Conv2d(read, wide, 1, stride, bias=False), nn.BatchNorm2d(wide)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for k in range(1, self.count + 1):
            y = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(y))
            y = y.relu() if k < self.count else y
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


def resnet(stages: tuple[int, ...], bottleneck: bool, classes: int) -> nn.Module:
    network = nn.Sequential()
    network.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
    network.bn1 = nn.BatchNorm2d(64)
    network.relu, network.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    read = 64
    for number, (width, repeats) in enumerate(zip((64, 128, 256, 512), stages, strict=True), start=1):
        blocks = []
        for k in range(repeats):
            blocks.append(_Block(read, width, 2 if k == 0 and number > 1 else 1, bottleneck))
            read = 4 * width if bottleneck else width
        setattr(network, f"layer{number}", nn.Sequential(*blocks))
    network.avgpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network.fc = nn.Linear(read, classes)
    return network


class _Fire(nn.Module):
    def __init__(self, read: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(read, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


def squeezenet(version: str, classes: int) -> nn.Module:
    pool = nn.MaxPool2d(3, 2, ceil_mode=True)
    fires = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
    pooled = {"1.0": (0, 3, 7), "1.1": (0, 2, 4)}[version]
    read = 96 if version == "1.0" else 64
    layers: list[nn.Module] = [nn.Conv2d(3, read, 7 if version == "1.0" else 3, 2), nn.ReLU()]
    for k, (squeezed, expanded) in enumerate(fires):
        layers += [pool] if k in pooled else []
        layers.append(_Fire(read, squeezed, expanded))
        read = 2 * expanded
    network = nn.Sequential()
    network.features = nn.Sequential(*layers)
    network.classifier = nn.Sequential(
        nn.Dropout(), nn.Conv2d(512, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    )
    network.flat = nn.Flatten()
    return network


class _Conv(nn.Module):
    def __init__(self, read: int, width: int, kernel: Any, stride: int = 1, padding: Any = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(read, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()  # type: ignore[no-any-return]


class _Branches(nn.Module):
    def __init__(self, read: int, one: int, r3: int, three: int, r5: int, five: int, pooled: int) -> None:
        super().__init__()
        self.branch1 = _Conv(read, one, 1)
        self.branch2 = nn.Sequential(_Conv(read, r3, 1), _Conv(r3, three, 3, padding=1))
        self.branch3 = nn.Sequential(_Conv(read, r5, 1), _Conv(r5, five, 3, padding=1))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), _Conv(read, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


def googlenet(classes: int) -> nn.Module:
    """Without auxiliary heads."""
    network = nn.Sequential()
    network.conv1 = _Conv(3, 64, 7, 2, 3)
    network.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
    network.conv2, network.conv3 = _Conv(64, 64, 1), _Conv(64, 192, 3, padding=1)
    network.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
    network.inception3a = _Branches(192, 64, 96, 128, 16, 32, 32)
    network.inception3b = _Branches(256, 128, 128, 192, 32, 96, 64)
    network.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
    network.inception4a = _Branches(480, 192, 96, 208, 16, 48, 64)
    network.inception4b = _Branches(512, 160, 112, 224, 24, 64, 64)
    network.inception4c = _Branches(512, 128, 128, 256, 24, 64, 64)
    network.inception4d = _Branches(512, 112, 144, 288, 32, 64, 64)
    network.inception4e = _Branches(528, 256, 160, 320, 32, 128, 128)
    network.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
    network.inception5a = _Branches(832, 256, 160, 320, 32, 128, 128)
    network.inception5b = _Branches(832, 384, 192, 384, 48, 128, 128)
    network.avgpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2))
    network.fc = nn.Linear(1024, classes)
    return network


class _Mixed(nn.Module):
    """Branches of convolutions by name, ``name width kernel`` with a stride behind ``/``; ``+`` stands between two that read the
    same; ``max`` and ``mean`` are the pooling of the last branch.
    """

    def __init__(self, read: int, branches: list[str]) -> None:
        super().__init__()
        self.plan: list[list[list[str]]] = []
        self.written = 0
        for branch in branches:
            width, steps = read, []
            for step in branch.split(" > "):
                names, wide = [], 0
                for part in step.split(" + "):
                    if part in ("max", "mean"):
                        names, wide = [part], width
                        continue
                    name, out, kernel = part.split()
                    kernel, _, stride = kernel.partition("/")
                    high, _, across = kernel.partition("x")
                    sides = (int(high), int(across or high))
                    padding = 0 if stride else (sides[0] // 2, sides[1] // 2)
                    setattr(self, name, _Conv(width, int(out), sides, int(stride or 1), padding))
                    names.append(name)
                    wide += int(out)
                width = wide
                steps.append(names)
            self.plan.append(steps)
            self.written += width

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for steps in self.plan:
            y = x
            for names in steps:
                if names == ["max"]:
                    y = F.max_pool2d(y, 3, 2)
                elif names == ["mean"]:
                    y = F.avg_pool2d(y, 3, 1, 1)
                else:
                    y = torch.cat([getattr(self, name)(y) for name in names], 1)
            parts.append(y)
        return torch.cat(parts, 1)


def inception_v3(classes: int) -> nn.Module:
    """Without the auxiliary head."""
    network = nn.Sequential()
    network.Conv2d_1a_3x3, network.Conv2d_2a_3x3 = _Conv(3, 32, 3, 2), _Conv(32, 32, 3)
    network.Conv2d_2b_3x3 = _Conv(32, 64, 3, padding=1)
    network.maxpool1 = nn.MaxPool2d(3, 2)
    network.Conv2d_3b_1x1, network.Conv2d_4a_3x3 = _Conv(64, 80, 1), _Conv(80, 192, 3)
    network.maxpool2 = nn.MaxPool2d(3, 2)
    double = "branch3x3dbl_1 64 1 > branch3x3dbl_2 96 3 > branch3x3dbl_3 96 3"
    plans: dict[str, list[str]] = {}
    for name, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
        five = "branch5x5_1 48 1 > branch5x5_2 64 5"
        plans[name] = ["branch1x1 64 1", five, double, f"mean > branch_pool {pooled} 1"]
    plans["6a"] = ["branch3x3 384 3/2", double + "/2", "max"]
    for name, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        plans[name] = [
            "branch1x1 192 1",
            f"branch7x7_1 {c} 1 > branch7x7_2 {c} 1x7 > branch7x7_3 192 7x1",
            f"branch7x7dbl_1 {c} 1 > branch7x7dbl_2 {c} 7x1 > branch7x7dbl_3 {c} 1x7 > branch7x7dbl_4 {c} 7x1 > "
            "branch7x7dbl_5 192 1x7",
            "mean > branch_pool 192 1",
        ]
    plans["7a"] = [
        "branch3x3_1 192 1 > branch3x3_2 320 3/2",
        "branch7x7x3_1 192 1 > branch7x7x3_2 192 1x7 > branch7x7x3_3 192 7x1 > branch7x7x3_4 192 3/2",
        "max",
    ]
    for name in ("7b", "7c"):
        plans[name] = [
            "branch1x1 320 1",
            "branch3x3_1 384 1 > branch3x3_2a 384 1x3 + branch3x3_2b 384 3x1",
            "branch3x3dbl_1 448 1 > branch3x3dbl_2 384 3 > branch3x3dbl_3a 384 1x3 + branch3x3dbl_3b 384 3x1",
            "mean > branch_pool 192 1",
        ]
    read = 192
    for name, plan in plans.items():
        mixed = _Mixed(read, plan)
        setattr(network, f"Mixed_{name}", mixed)
        read = mixed.written
    network.avgpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout())
    network.fc = nn.Linear(read, classes)
    return network
