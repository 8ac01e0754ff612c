"""Inception: GoogLeNet (version 1), as published and as torchvision has it, and version 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.models.published import Published, named, state_dict
from geodl.models.stack import AdaptiveMean, ResponseNorm
from geodl.nn import GlobalMeanPool, GridConv, Level, MaxPool, MeanPool, SignalBatchNorm

__all__ = ["InceptionV1", "InceptionV3"]


class Scores(NamedTuple):
    """What a network with auxiliary heads returns in training: the scores, and those of the heads, the last one first."""

    logits: Tensor
    auxiliary: tuple[Tensor, ...]


class ConvNorm(nn.Module):
    """A convolution, a batch norm and ReLU."""

    def __init__(
        self, read: int, width: int, kernel_size: int | tuple[int, int], stride: int = 1, padding: Any = 0
    ) -> None:
        super().__init__()
        self.conv = GridConv(read, width, kernel_size, stride, padding, bias=False)
        self.bn = SignalBatchNorm(width, eps=0.001)

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        return F.relu(self.bn(self.conv(x, level)), inplace=True)


class PlainConv(nn.Module):
    """A convolution with a bias and ReLU, as before batch norm."""

    def __init__(
        self, read: int, width: int, kernel_size: int | tuple[int, int], stride: int = 1, padding: Any = 0
    ) -> None:
        super().__init__()
        self.conv = GridConv(read, width, kernel_size, stride, padding)

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        return F.relu(self.conv(x, level), inplace=True)


# --- version 1 ----------------------------------------------------------------------------------------------

# Widths of every module: 1 x 1; before 3 x 3 and it; before 5 x 5 and it; after pooling (table 1 of the paper).
_MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class Inception(nn.Module):
    """Convolutions of 1 x 1, 3 x 3 and 5 x 5 and a maximum side by side, each after or before one of 1 x 1."""

    def __init__(self, read: int, widths: Sequence[int], conv: Any, largest: int) -> None:
        super().__init__()
        one, before_three, three, before_five, five, pooled = widths
        self.branch1 = conv(read, one, 1)
        self.branch2 = nn.Sequential(conv(read, before_three, 1), conv(before_three, three, 3, padding=1))
        self.branch3 = nn.Sequential(
            conv(read, before_five, 1), conv(before_five, five, largest, padding=largest // 2)
        )
        self.branch4 = nn.Sequential(MaxPool(3, 1, 1, ceil_mode=True), conv(read, pooled, 1))

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        parts = [self.branch1(x, level)]
        for first, second in (self.branch2, self.branch3, self.branch4):
            parts.append(second(first(x, level), level))
        return torch.cat(parts, 1)


class AuxiliaryV1(nn.Module):
    """Scores from the middle of the network, for training."""

    def __init__(self, read: int, out_channels: int, conv: Any) -> None:
        super().__init__()
        self.pool = AdaptiveMean((4, 4))
        self.conv = conv(read, 128, 1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, out_channels)
        self.dropout = nn.Dropout(0.7)

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        # The 16 means are an image of their own, on any domain.
        x = self.conv(self.pool(x, level).view(-1, x.shape[1], 4, 4))
        scores: Tensor = self.fc2(self.dropout(F.relu(self.fc1(x.flatten(1)))))
        return scores


class InceptionV1(nn.Module):
    """GoogLeNet: a stem, nine inception modules, the mean over the image and a linear layer.

    ``"torchvision"`` has batch norm and 3 x 3 convolutions where the paper has 5 x 5, and the state dict of torchvision's
    ``googlenet``: 6,624,904 parameters without auxiliary heads. ``"2014"`` is the published network, with biases, 5 x 5
    convolutions and local response normalisation: 6,998,552. torchvision's published weights want images with mean and deviation
    0.5 in each channel. On a :class:`~geodl.nn.Level` with five coarser ones the same layers, with the same weights, run on a mesh,
    a sphere or a graph.

    Args:
        in_channels: channels of the images.
        out_channels: classes.
        variant: "torchvision" or "2014".
        auxiliary: whether there are the two auxiliary heads.
        dropout: probability of dropping a feature in training.

    Shapes:
        ``[B, in_channels, H, W]``, such as 224 x 224, or with a level of V points ``[B, in_channels, V]``, or ``[V, in_channels]``
        for B packed shapes -> ``[B, out_channels]``; in training with auxiliary heads ``Scores(logits, auxiliary)``.

    Raises:
        ValueError: no such variant; a level without five coarser ones, or that does not reach 7 taps.

    Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich, "Going deeper with convolutions", 2015.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1000,
        variant: Literal["torchvision", "2014"] = "torchvision",
        auxiliary: bool = False,
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        if variant not in ("torchvision", "2014"):
            raise ValueError(f'variant must be "torchvision" or "2014", not {variant!r}')
        published = variant == "2014"
        conv: Any = PlainConv if published else ConvNorm
        self.conv1 = conv(in_channels, 64, 7, 2, padding=3)
        self.conv2 = conv(64, 64, 1)
        self.conv3 = conv(64, 192, 3, padding=1)
        read = 192
        self.reads: dict[str, int] = {}
        for name, widths in _MODULES.items():
            self.add_module(f"inception{name}", Inception(read, widths, conv, 5 if published else 3))
            read = widths[0] + widths[2] + widths[4] + widths[5]
            self.reads[name] = read
        self.aux1 = AuxiliaryV1(self.reads["4a"], out_channels, conv) if auxiliary else None
        self.aux2 = AuxiliaryV1(self.reads["4d"], out_channels, conv) if auxiliary else None
        self.pool = MaxPool(3, 2, ceil_mode=True)
        self.last_pool = self.pool if published else MaxPool(2, 2, ceil_mode=True)
        self.mean = GlobalMeanPool()
        self.response: nn.Module = ResponseNorm(5) if published else nn.Identity()
        self.dropout = nn.Dropout((0.4 if published else 0.2) if dropout is None else dropout)
        self.fc = nn.Linear(read, out_channels)

    @classmethod
    def from_published(cls, weights: Published, dropout: float | None = None) -> InceptionV1:
        """A network with the weights of torchvision's ``googlenet``, with its auxiliary heads or without; sizes are read off them.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            dropout: as for the network.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network; the message says what is missing, what is too much, what does not
                fit.
        """
        found = state_dict(weights)
        with named("InceptionV1"):
            channels, classes = found["conv1.conv.weight"].shape[1], found["fc.weight"].shape[0]
            model = cls(channels, classes, auxiliary="aux1.fc1.weight" in found, dropout=dropout)
            model.load_state_dict(found)
        return model

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor | Scores:
        """Scores ``[B, out_channels]`` of images ``[B, in_channels, H, W]``, or with a level of ``[B, in_channels, V]``."""
        x = self.conv1(x, level)
        level = None if level is None else level.after()
        x = self.response(self.pool(x, level))
        level = None if level is None else level.after()
        x = self.pool(self.response(self.conv3(self.conv2(x, level), level)), level)
        level = None if level is None else level.after()
        heads = []
        for name in _MODULES:
            x = getattr(self, f"inception{name}")(x, level)
            if name in ("3b", "4e"):
                x = (self.pool if name == "3b" else self.last_pool)(x, level)
                level = None if level is None else level.after()
            elif self.training and name == "4a" and self.aux1 is not None:
                heads.append(self.aux1(x, level))
            elif self.training and name == "4d" and self.aux2 is not None:
                heads.append(self.aux2(x, level))
        scores: Tensor = self.fc(self.dropout(self.mean(x, level)))
        return Scores(scores, tuple(reversed(heads))) if heads else scores


# --- version 3 ----------------------------------------------------------------------------------------------

# A branch is convolutions one after the other, (name, width, kernel, stride); those in a list read the same and stand side by side.
_LONG, _TALL = (1, 7), (7, 1)


def _a(pooled: int) -> list[list[Any]]:
    return [
        [("branch1x1", 64, 1, 1)],
        [("branch5x5_1", 48, 1, 1), ("branch5x5_2", 64, 5, 1)],
        [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 1)],
        [("branch_pool", pooled, 1, 1)],
    ]


_B: list[list[Any]] = [
    [("branch3x3", 384, 3, 2)],
    [("branch3x3dbl_1", 64, 1, 1), ("branch3x3dbl_2", 96, 3, 1), ("branch3x3dbl_3", 96, 3, 2)],
]


def _c(width: int) -> list[list[Any]]:
    double = zip((width, width, width, width, 192), (1, _TALL, _LONG, _TALL, _LONG), strict=True)
    return [
        [("branch1x1", 192, 1, 1)],
        [("branch7x7_1", width, 1, 1), ("branch7x7_2", width, _LONG, 1), ("branch7x7_3", 192, _TALL, 1)],
        [(f"branch7x7dbl_{k}", w, kernel, 1) for k, (w, kernel) in enumerate(double, start=1)],
        [("branch_pool", 192, 1, 1)],
    ]


_D: list[list[Any]] = [
    [("branch3x3_1", 192, 1, 1), ("branch3x3_2", 320, 3, 2)],
    [
        ("branch7x7x3_1", 192, 1, 1), ("branch7x7x3_2", 192, _LONG, 1), ("branch7x7x3_3", 192, _TALL, 1),
        ("branch7x7x3_4", 192, 3, 2),
    ],
]  # fmt: skip

_E: list[list[Any]] = [
    [("branch1x1", 320, 1, 1)],
    [("branch3x3_1", 384, 1, 1), [("branch3x3_2a", 384, (1, 3), 1), ("branch3x3_2b", 384, (3, 1), 1)]],
    [
        ("branch3x3dbl_1", 448, 1, 1), ("branch3x3dbl_2", 384, 3, 1),
        [("branch3x3dbl_3a", 384, (1, 3), 1), ("branch3x3dbl_3b", 384, (3, 1), 1)],
    ],
    [("branch_pool", 192, 1, 1)],
]  # fmt: skip


class Mixed(nn.Module):
    """Branches side by side: convolutions one after the other, and pooling."""

    def __init__(self, read: int, branches: list[list[Any]]) -> None:
        super().__init__()
        self.plan: list[list[list[str]]] = []
        self.written = 0
        for branch in branches:
            width, steps = read, []
            for step in branch:
                fork = step if isinstance(step, list) else [step]
                for name, wide, kernel, stride in fork:
                    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
                    padding = (sides[0] // 2, sides[1] // 2) if stride == 1 else 0
                    self.add_module(name, ConvNorm(width, wide, kernel, stride, padding))
                width = sum(wide for _, wide, _, _ in fork)
                steps.append([name for name, *_ in fork])
            self.plan.append(steps)
            self.written += width
        self.reduces = "branch_pool" not in dict(self.named_children())
        self.written += read if self.reduces else 0
        self.pool: nn.Module = MaxPool(3, 2) if self.reduces else MeanPool(3, 1, 1)

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        parts = []
        for steps in self.plan:
            y = self.pool(x, level) if steps == [["branch_pool"]] else x
            at = level
            for fork in steps:
                convs = [getattr(self, name) for name in fork]
                y = torch.cat([conv(y, at) for conv in convs], 1)
                at = None if at is None else at.after(max(convs[0].conv.stride))
            parts.append(y)
        return torch.cat([*parts, self.pool(x, level)] if self.reduces else parts, 1)


class AuxiliaryV3(nn.Module):
    """Scores from the middle of the network, for training."""

    def __init__(self, read: int, out_channels: int) -> None:
        super().__init__()
        self.pool, self.mean = MeanPool(5, 3), GlobalMeanPool()
        self.conv0 = ConvNorm(read, 128, 1)
        self.conv1 = ConvNorm(128, 768, 5)
        self.fc = nn.Linear(768, out_channels)

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        x = self.pool(x, level)
        level = None if level is None else level.after()
        scores: Tensor = self.fc(self.mean(self.conv1(self.conv0(x, level), level), level))
        return scores


class InceptionV3(nn.Module):
    """Inception, version 3: factorised convolutions, 11 modules, an auxiliary head.

    The state dict is that of torchvision's ``inception_v3``: 27,161,264 parameters with the auxiliary head. torchvision's
    published weights want images with mean and deviation 0.5 in each channel. On a :class:`~geodl.nn.Level` with five coarser ones
    the same layers, with the same weights, run on a mesh, a sphere or a graph.

    Args:
        in_channels: channels of the images.
        out_channels: classes.
        auxiliary: whether there is the auxiliary head.
        dropout: probability of dropping a feature in training.

    Shapes:
        ``[B, in_channels, H, W]``, at least 75 x 75, as published 299 x 299, or with a level of V points ``[B, in_channels, V]``,
        or ``[V, in_channels]`` for B packed shapes -> ``[B, out_channels]``; in training with the auxiliary head
        ``Scores(logits, auxiliary)``.

    Raises:
        ValueError: a level without five coarser ones, or that does not reach 7 taps.

    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception architecture for computer vision", 2016.
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 1000, auxiliary: bool = True, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(in_channels, 32, 3, 2)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, 3)
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = ConvNorm(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, 3)
        read, self.names = 192, []
        plans = {
            "5b": _a(32), "5c": _a(64), "5d": _a(64), "6a": _B, "6b": _c(128), "6c": _c(160), "6d": _c(160), "6e": _c(192),
            "7a": _D, "7b": _E, "7c": _E,
        }  # fmt: skip
        self.AuxLogits: AuxiliaryV3 | None = None
        for name, plan in plans.items():
            mixed = Mixed(read, plan)
            self.add_module(f"Mixed_{name}", mixed)
            self.names.append(f"Mixed_{name}")
            read = mixed.written
            if name == "6e" and auxiliary:
                self.AuxLogits = AuxiliaryV3(read, out_channels)
        self.pool, self.mean = MaxPool(3, 2), GlobalMeanPool()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(read, out_channels)
        for module in self.modules():
            if isinstance(module, GridConv | nn.Linear):
                nn.init.trunc_normal_(
                    module.weight, std=0.1 if isinstance(module, GridConv) else 0.01, a=-2, b=2
                )

    @classmethod
    def from_published(cls, weights: Published, dropout: float = 0.5) -> InceptionV3:
        """A network with the weights of torchvision's ``inception_v3``; sizes and whether there is an auxiliary head are read off.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            dropout: as for the network.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network; the message says what is missing, what is too much, what does not
                fit.
        """
        found = state_dict(weights)
        with named("InceptionV3"):
            channels, classes = found["Conv2d_1a_3x3.conv.weight"].shape[1], found["fc.weight"].shape[0]
            model = cls(channels, classes, "AuxLogits.fc.weight" in found, dropout)
            model.load_state_dict(found)
        return model

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor | Scores:
        """Scores ``[B, out_channels]`` of images ``[B, in_channels, H, W]``, or with a level of ``[B, in_channels, V]``."""
        x = self.Conv2d_1a_3x3(x, level)
        level = None if level is None else level.after()
        x = self.pool(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(x, level), level), level)
        level = None if level is None else level.after()
        x = self.pool(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x, level), level), level)
        level = None if level is None else level.after()
        head: Tensor | None = None
        for name in self.names:
            mixed = getattr(self, name)
            x = mixed(x, level)
            level = level.after() if level is not None and mixed.reduces else level
            if name == "Mixed_6e" and self.training and self.AuxLogits is not None:
                head = self.AuxLogits(x, level)
        scores: Tensor = self.fc(self.dropout(self.mean(x, level)))
        return scores if head is None else Scores(scores, (head,))
