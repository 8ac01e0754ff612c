"""Networks of kernel points as their authors' PyTorch code builds them: from a list of blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.geometry import Charts
from geodl.models.cells import Cells, first_cells
from geodl.models.clouds import Clouds
from geodl.models.published import Published, state_dict
from geodl.nn import DeformableKPConv, KPConv
from geodl.ops import Neighbors, aggregate

SLOPE = 0.1
_BLOCKS = re.compile(r"unary|(simple|resnetb)(_deformable)?(_strided)?")


@dataclass(frozen=True)
class Plan:
    """What their ``parameters.txt`` says of a network; its lengths are in cells of the first grid.

    Attributes:
        blocks: names of the blocks before the first ``nearest_upsample`` or ``global_average``.
        after: the names from there on.
        cell: side of a cell of the first grid.
        reach, deformable_reach, extent: of neighbourhoods, of those of deformable blocks, and of kernel points.
        width: channels after the first residual block.
        norm: whether layers have a batch norm, else a bias; its momentum.
        modulated: whether deformable blocks also weigh their kernel points.
    """

    blocks: list[str]
    after: list[str]
    cell: float
    reach: float
    deformable_reach: float
    extent: float
    width: int
    norm: bool
    momentum: float
    modulated: bool


def read(weights: Published, config: str | Path | Mapping[str, Any] | None) -> tuple[dict[str, Tensor], Plan]:
    """The tensors of a checkpoint and what the file beside it says of their network."""
    found = {name: tensor for name, tensor in state_dict(weights).items() if name != "criterion.weight"}
    if config is None:
        near = Path(weights).absolute().parents[:2] if isinstance(weights, str | Path) else ()
        beside = [folder / "parameters.txt" for folder in near if (folder / "parameters.txt").is_file()]
        if not beside:
            raise ValueError(
                "config must be given: the parameters.txt that their training writes, or a dict of what stands in it; the weights "
                "alone do not say how large cells are"
            )
        config = beside[0]
    return found, _plan(_parameters(config))


def _parameters(config: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(config, Mapping):
        return dict(config)
    if not Path(config).is_file():
        raise FileNotFoundError(f"there are no parameters at {config}")
    lines = (line.split() for line in Path(config).read_text(encoding="utf-8", errors="replace").splitlines())
    said = {
        words[0]: words[2:] for words in lines if len(words) > 2 and words[1] == "=" and words[0][0] != "#"
    }
    return {name: words if name == "architecture" else words[0] for name, words in said.items()}


# Values that their configuration has where a file does not say otherwise.
_DEFAULTS: dict[str, Any] = {
    "conv_radius": 2.5, "deform_radius": 5.0, "KP_extent": 1.0, "first_features_dim": 64, "use_batch_norm": 1,
    "batch_norm_momentum": 0.99, "modulated": 0, "in_points_dim": 3, "KP_influence": "linear", "aggregation_mode": "sum",
}  # fmt: skip


def _plan(said: dict[str, Any]) -> Plan:
    for name in ("architecture", "first_subsampling_dl"):
        if name not in said:
            raise ValueError(f"the parameters do not say what {name} is")
    said = {**_DEFAULTS, **said}
    for name, built in (("KP_influence", "linear"), ("aggregation_mode", "sum"), ("in_points_dim", 3)):
        if str(said[name]) != str(built):
            raise ValueError(f"{name} is {said[name]}, but only {built} is built here")
    names = list(said["architecture"])
    end = next((k for k, name in enumerate(names) if "upsample" in name or "global" in name), len(names))
    for k, name in enumerate(names[:end]):
        if not _BLOCKS.fullmatch(name):
            raise ValueError(f"block {k} of the architecture is {name!r}, which is not built here")
    values = {
        name: float(said[name]) for name in _DEFAULTS if name not in ("KP_influence", "aggregation_mode")
    }
    return Plan(
        names[:end],
        names[end:],
        float(said["first_subsampling_dl"]),
        values["conv_radius"],
        values["deform_radius"],
        values["KP_extent"],
        int(values["first_features_dim"]),
        bool(values["use_batch_norm"]),
        values["batch_norm_momentum"],
        bool(values["modulated"]),
    )


class PublishedEncoder(nn.Module):
    """Blocks by their names, and between them the grids that they lead to.

    Args:
        plan: what the blocks are.
        in_channels: of the signal, the constant among them.
        kernel_size: number of kernel points.
    """

    def __init__(self, plan: Plan, in_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.in_channels, self.cell = in_channels, plan.cell
        self.blocks = nn.ModuleList()
        # Of every grid: the blocks that stay on it, their reach, and the reach of the one that leads to the next.
        self.levels: list[tuple[list[int], float, float]] = []
        self.channels: list[int] = []
        width, stay, far = plan.width, list[int](), False
        for k, name in enumerate(plan.blocks):
            scale = plan.cell * 2 ** len(self.levels)
            deformable, strided = "deformable" in name, name.endswith("strided")
            out = width // 2 if "simple" in name else width
            near, wide = plan.reach * scale, plan.deformable_reach * scale
            if name == "unary":
                self.blocks.append(_Unary(unary(in_channels, out, plan)))
            else:
                kind = _Simple if "simple" in name else _Residual
                conv = _Conv(kernel_size, plan.extent * scale, deformable)
                self.blocks.append(kind(in_channels, out, conv, plan, strided))
            if strided:
                self.levels.append((stay, wide if far else near, wide if deformable else near))
                self.channels.append(in_channels)
                stay, far, width = [], False, 2 * width
            else:
                stay.append(k)
                far |= deformable
            in_channels = out
        scale = plan.cell * 2 ** len(self.levels)
        self.levels.append((stay, (plan.deformable_reach if far else plan.reach) * scale, 0.0))
        self.channels.append(in_channels)

    def forward(self, clouds: Clouds) -> tuple[list[tuple[Cells, Tensor]], Neighbors]:
        """Points and signal of every grid, and the points that every cell of the first one holds."""
        fewest = 2 if self.training else 1
        grid, y, held = first_cells(clouds, self.cell, fewest)
        reached, block = [], 0
        for level, (stay, reach, to_next) in enumerate(self.levels):
            charts = grid.charts(reach, grid) if stay else None
            for block in stay:
                y = self.blocks[block](y, charts)
            reached.append((grid, y))
            if level + 1 < len(self.levels):
                coarse = grid.coarser(self.cell * 2 ** (level + 1), fewest)
                block = stay[-1] + 1 if stay else block + 1
                y, grid = self.blocks[block](y, coarse.charts(to_next, grid)), coarse
        return reached, held


def unary(in_channels: int, out_channels: int, plan: Plan, activation: bool = True) -> nn.Sequential:
    """Linear layer, batch norm (or a bias) and leaky ReLU."""
    return nn.Sequential(
        nn.Linear(in_channels, out_channels, bias=not plan.norm),
        *([_norm(out_channels, plan)] if plan.norm else []),
        *([nn.LeakyReLU(SLOPE)] if activation else []),
    )


def _norm(channels: int, plan: Plan) -> nn.Module:
    return nn.BatchNorm1d(channels, momentum=plan.momentum) if plan.norm else _Bias(channels)


class _Bias(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


@dataclass(frozen=True)
class _Conv:
    """A convolution whose channels are not yet known."""

    kernel_size: int
    extent: float
    deformable: bool

    def made(self, c: int, d: int, modulated: bool) -> nn.Module:
        if self.deformable:
            return _Deformable(c, d, self.extent, self.kernel_size, modulated)
        return KPConv(c, d, self.extent, self.kernel_size)


class _Unary(nn.Module):
    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.unary = layers

    def forward(self, x: Tensor, charts: Charts) -> Tensor:
        y: Tensor = self.unary(x)
        return y


class _Simple(nn.Module):
    """A kernel point convolution, its norm and a leaky ReLU."""

    def __init__(self, c: int, d: int, conv: _Conv, plan: Plan, strided: bool) -> None:
        super().__init__()
        self.conv = conv.made(c, d, plan.modulated)
        self.norm = nn.Sequential(_norm(d, plan), nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor, charts: Charts) -> Tensor:
        y: Tensor = self.norm(self.conv(x, charts))
        return y


class _Residual(_Simple):
    """A kernel point convolution of a quarter of the channels between two linear layers, and a shortcut."""

    def __init__(self, c: int, d: int, conv: _Conv, plan: Plan, strided: bool) -> None:
        narrow = d // 4
        super().__init__(narrow, narrow, conv, plan, strided)
        self.strided = strided
        self.unary1 = nn.Identity() if c == narrow else unary(c, narrow, plan)
        self.unary2 = unary(narrow, d, plan, False)
        self.unary_shortcut = nn.Identity() if c == d else unary(c, d, plan, False)

    def forward(self, x: Tensor, charts: Charts) -> Tensor:
        y = self.unary2(super().forward(self.unary1(x), charts))
        # Their neighbourhoods are filled up with points of signal 0, which the maximum sees.
        kept = aggregate(x, charts.neighbors, reduce="max").clamp(min=0) if self.strided else x
        return functional.leaky_relu(y + self.unary_shortcut(kept), SLOPE)


class _Deformable(DeformableKPConv):
    """Its kernel points are not those of the convolution that moves them, and may be weighed, by twice a sigmoid."""

    points: Tensor

    def __init__(self, c: int, d: int, extent: float, kernel_size: int, modulated: bool) -> None:
        super().__init__(c, d, extent, kernel_size)
        self.register_buffer("points", self.move.points.clone())
        if modulated:
            self.move = KPConv(c, 4 * kernel_size, extent, kernel_size)
            self.bias = nn.Parameter(torch.zeros(4 * kernel_size))

    def forward(self, x: Tensor, charts: Charts) -> Tensor:
        said = self.move(x, charts) + self.bias
        moved, scores = said[:, : self.points.numel()], said[:, self.points.numel() :]
        windows = (1 - self._to(moved + self.points.flatten(), charts)).clamp(min=0)
        if scores.shape[1]:
            windows = windows * aggregate(2 * scores.sigmoid(), charts.neighbors.edges().t()[0])
        return self._filtered(x, charts, windows)


def encoder_of(plan: Plan, found: Mapping[str, Tensor], theirs: str) -> PublishedEncoder:
    """The encoder whose blocks are called so, with as many channels and kernel points as its first one has."""
    kernel_size, in_channels, _ = found[f"{theirs}.0.KPConv.weights"].shape
    return PublishedEncoder(plan, in_channels, kernel_size)


def load(model: nn.Module, plan: Plan, found: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Loads tensors by their names; kernel points are in extents here.

    Args:
        model: a network whose ``encoder`` is a :class:`PublishedEncoder`.
        plan: what it was made of.
        found: the published tensors.
        names: of the layers behind the encoder, by what they are called there.

    Raises:
        RuntimeError: some are missing, unknown or of other shapes.
        ValueError: kernel points that cannot be those of blocks of this size.
    """
    linear = {str(k) for k, name in enumerate(plan.blocks) if name == "unary"}
    state = {_ours(name, linear, names): tensor for name, tensor in found.items()}
    for name, module in model.named_modules():
        if not isinstance(module, KPConv | _Deformable) or f"{name}.points" not in state:
            continue
        extent = module.extent if isinstance(module, KPConv) else module.move.extent
        points = state[f"{name}.points"] / extent
        away = float(torch.linalg.vector_norm(points, dim=1).median())
        if len(points) > 2 and not 0.5 < away < 4:
            raise ValueError(
                f"kernel points of {name} lie {away:.2g} extents from their centre: the parameters are those of other weights"
            )
        state[f"{name}.points"] = points
    model.load_state_dict(state)


_RENAMED = {
    "KPConv.offset_conv.weights": "conv.move.filters", "KPConv.offset_conv.kernel_points": "conv.move.points",
    "KPConv.offset_bias": "conv.bias", "KPConv.weights": "conv.filters", "KPConv.kernel_points": "conv.points",
}  # fmt: skip


def _ours(name: str, linear: set[str], names: Mapping[str, str]) -> str:
    block = re.fullmatch(r"(?:encoder_blocks|block_ops)\.(\d+)\.(.+)", name)
    if block:
        parameter = _RENAMED.get(block[2], block[2])
        if block[1] in linear:
            parameter = f"unary.{parameter}"
        else:  # the norm behind the convolution, which is no part of a linear layer
            parameter = re.sub(r"^batch_norm(_conv)?\.(batch_norm\.)?", "norm.0.", parameter)
        name = f"encoder.blocks.{block[1]}.{parameter}"
    # Of a linear layer: its matrix, then its norm, or the bias that stands for one.
    name = name.replace(".mlp.", ".0.").replace(".batch_norm.batch_norm.", ".1.")
    name = name.replace(".batch_norm.bias", ".0.bias")
    layer = next((layer for layer in names if name.startswith(layer + ".")), "")
    return names.get(layer, layer) + name.removeprefix(layer)
