"""ResNet, with 18 to 152 layers, on images, meshes and graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from geodl.models.published import Published, named, state_dict
from geodl.models.stack import run
from geodl.nn import GlobalMeanPool, GridConv, Level, MaxPool, SignalBatchNorm

__all__ = ["ResNet", "ResNet18", "ResNet34", "ResNet50", "ResNet101", "ResNet152"]

# Whether blocks have a bottleneck, and how many there are in each of the four stages.
_STAGES = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}


class Shortcut(nn.Sequential):
    """A 1 x 1 convolution and a batch norm, where a block changes the number of channels or of points."""

    def __init__(self, read: int, width: int, stride: int) -> None:
        super().__init__(GridConv(read, width, 1, stride, bias=False), SignalBatchNorm(width))

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        y: Tensor = self[1](self[0](x, level))
        return y


class Block(nn.Module):
    """Two convolutions of 3 x 3, or of 1 x 1, 3 x 3 and 1 x 1 (the bottleneck), beside which the input goes through.

    The 3 x 3 convolution has the stride of a bottleneck, as in torchvision.
    """

    def __init__(self, read: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        written = 4 * width if bottleneck else width
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        self.stride = stride
        self.strides = (1, stride, 1) if bottleneck else (stride, 1)
        widths = [read, *[width] * (len(kernels) - 1), written]
        for k, (kernel, step) in enumerate(zip(kernels, self.strides, strict=True)):
            conv = GridConv(widths[k], widths[k + 1], kernel, step, kernel // 2, bias=False)
            self.add_module(f"conv{k + 1}", conv)
            self.add_module(f"bn{k + 1}", SignalBatchNorm(widths[k + 1]))
        self.relu = nn.ReLU(inplace=True)
        self.downsample = Shortcut(read, written, stride) if stride > 1 or read != written else None

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x, level)
        for k, stride in enumerate(self.strides, start=1):
            x = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(x, level))
            x = x if k == len(self.strides) else self.relu(x)
            level = None if level is None else level.after(stride)
        y: Tensor = self.relu(x + shortcut)
        return y


class ResNet(nn.Module):
    """ResNet: a 7 x 7 convolution, pooling, four stages of residual blocks, the mean over all points and a linear layer.

    The state dict is that of torchvision's ``resnet18`` ... ``resnet152``. On a :class:`~geodl.nn.Level` with five coarser ones the
    same layers, with the same weights, run on a mesh, a sphere or a graph; packed shapes give each the numbers that it has alone,
    in evaluation. :meth:`features` gives what is between.

    Args:
        depth: 18, 34, 50, 101 or 152 layers with weights.
        in_channels: channels of the signal.
        out_channels: classes.

    Shapes:
        ``[B, in_channels, H, W]`` -> ``[B, out_channels]``; with a level of V points ``[B, in_channels, V]``, or
        ``[V, in_channels]`` for B packed shapes.

    Raises:
        ValueError: no such depth; a level without five coarser ones.

    He, Zhang, Ren, Sun, "Deep residual learning for image recognition", 2016.
    """

    def __init__(self, depth: int, in_channels: int = 3, out_channels: int = 1000) -> None:
        super().__init__()
        if depth not in _STAGES:
            raise ValueError(f"depth must be one of {', '.join(map(str, _STAGES))}, not {depth}")
        bottleneck, stages = _STAGES[depth]
        self.conv1 = GridConv(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = SignalBatchNorm(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = MaxPool(3, 2, 1)
        read = 64
        for number, (width, repeats) in enumerate(zip((64, 128, 256, 512), stages, strict=True), start=1):
            blocks = []
            for k in range(repeats):
                blocks.append(Block(read, width, 2 if k == 0 and number > 1 else 1, bottleneck))
                read = 4 * width if bottleneck else width
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.avgpool = GlobalMeanPool()
        self.fc = nn.Linear(read, out_channels)
        for module in self.modules():
            if isinstance(module, GridConv):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @classmethod
    def from_published(cls, weights: Published) -> ResNet:
        """A network with the weights of torchvision's ``resnet18`` ... ``resnet152``; sizes are read off them.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network; the message says what is missing, what is too much, what does not
                fit.
        """
        found = state_dict(weights)
        with named("ResNet"):
            blocks = {name.rpartition(".conv1.")[0] for name in found if name.endswith(".conv1.weight")}
            stages = tuple(
                sum(name.startswith(f"layer{stage}.") for name in blocks) for stage in (1, 2, 3, 4)
            )
            plan = ("layer1.0.conv3.weight" in found, stages)
            depth = next((depth for depth, known in _STAGES.items() if known == plan), None)
            if depth is None:
                raise ValueError(f"no such network has stages of {', '.join(map(str, stages))} blocks")
            model = cls(depth, found["conv1.weight"].shape[1], found["fc.weight"].shape[0])
            model.load_state_dict(found)
        return model

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        """Scores ``[B, out_channels]`` of images ``[B, in_channels, H, W]``, or with a level of ``[B, in_channels, V]``."""
        x, level, _ = run(self._layers(), x, level)
        scores: Tensor = self.fc(self.avgpool(x, level))
        return scores

    def features(self, x: Tensor, names: Sequence[str], level: Level | None = None) -> dict[str, Tensor]:
        """What is between the layers, by torchvision's names. Nothing beyond the last of them is run.

        Args:
            x, level: as of the network.
            names: among ``conv1``, ``bn1``, ``relu``, ``maxpool``, ``layer1`` ... ``layer4``, and the blocks ``layer1.0`` and on.

        Raises:
            ValueError: no such name; a level without enough coarser ones.
        """
        return run(self._layers(), x, level, names)[2]

    def _layers(self) -> Iterator[tuple[list[str], nn.Module]]:
        for name in ("conv1", "bn1", "relu", "maxpool"):
            yield [name], getattr(self, name)
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            blocks = getattr(self, stage)
            for k, block in enumerate(blocks):
                yield [f"{stage}.{k}", *([stage] if k == len(blocks) - 1 else [])], block


def ResNet18(in_channels: int = 3, out_channels: int = 1000) -> ResNet:
    """ResNet of 18 layers; see :class:`ResNet`."""
    return ResNet(18, in_channels, out_channels)


def ResNet34(in_channels: int = 3, out_channels: int = 1000) -> ResNet:
    """ResNet of 34 layers; see :class:`ResNet`."""
    return ResNet(34, in_channels, out_channels)


def ResNet50(in_channels: int = 3, out_channels: int = 1000) -> ResNet:
    """ResNet of 50 layers, the first with bottlenecks; see :class:`ResNet`."""
    return ResNet(50, in_channels, out_channels)


def ResNet101(in_channels: int = 3, out_channels: int = 1000) -> ResNet:
    """ResNet of 101 layers; see :class:`ResNet`."""
    return ResNet(101, in_channels, out_channels)


def ResNet152(in_channels: int = 3, out_channels: int = 1000) -> ResNet:
    """ResNet of 152 layers; see :class:`ResNet`."""
    return ResNet(152, in_channels, out_channels)
