"""KP-CNN: a residual network of kernel point convolutions on ever coarser grids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from geodl.geometry import Charts
from geodl.models.cells import Cells, first_cells
from geodl.models.clouds import CloudClassifier, Clouds, pool, read_clouds
from geodl.models.kp_published import SLOPE, PublishedEncoder, encoder_of, load, read
from geodl.models.published import Published, named
from geodl.nn import KPConv
from geodl.nn.dtype_of import dtype_of
from geodl.ops import Neighbors, aggregate

__all__ = ["KPCNN"]

_LEVELS, _SLOPE, _MOMENTUM = 5, 0.2, 0.05
_REACH = 2.5  # of neighbourhoods, in sides of a cell: what kernel points see


class KPCNN(CloudClassifier):
    """KP-CNN for classification, with rigid kernels: five grids, each of cells twice as wide as the one before and with twice the
    channels, a bottleneck block on each, the mean over the cloud, a network on that.

    The first grid takes the mean of the points of a cell, and of their signal, to which a constant 1 is added. The order of points
    does not matter, and a cloud gives the same in any batch. 14,295,144 parameters for the 40 classes of ModelNet40, 14.3 million
    as in the paper.

    Args:
        in_channels: of the signal beside the positions, such as 3 for normals; 0 for none.
        out_channels: number of classes.
        cell: side of a cell of the first grid, in the unit of the positions. For clouds in the unit ball, the authors take 0.02
            with 10,000 points; 0.05 suits 1024. Kernel points see as far around them, and neighbourhoods reach 2.5 times as far.
        width: channels of the first grid.
        dropout: probability of dropping a hidden unit of the last network in training.

    Thomas, Qi, Deschaud, Marcotegui, Goulette, Guibas: KPConv: flexible and deformable convolution for point clouds, ICCV 2019.
    """

    def __init__(
        self, in_channels: int, out_channels: int, cell: float = 0.05, width: int = 128, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.encoder: Encoder | PublishedEncoder = Encoder(1 + in_channels, cell, width)
        self.head = nn.Sequential(
            *unary(self.encoder.channels[-1], 1024), nn.Dropout(dropout), nn.Linear(1024, out_channels)
        )

    def features(self, pos: Tensor, ptr: Tensor | None = None, x: Tensor | None = None) -> Tensor:
        """What ``head`` reads, ``[B, 16 width]``."""
        clouds = read_clouds(pos, ptr, x, self.in_channels, dtype_of(self))
        grid, y = self.encoder(clouds)[0][-1]
        return pool(y, grid.ptr, "mean")

    @classmethod
    def from_published(
        cls, weights: Published, config: str | Path | Mapping[str, Any] | None = None
    ) -> KPCNN:
        """A network with the weights of a classification of github.com/HuguesTHOMAS/KPConv-PyTorch, made of the same blocks,
        rigid and deformable.

        Its slope, shortcuts and last network are theirs, not those above. Their neighbourhoods are cut to a number of points that
        was found on the training set and stands nowhere; here they are whole. Their grids turn at random; these do not.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            config: the ``parameters.txt`` of the training, or a dict of what stands in it (``architecture``,
                ``first_subsampling_dl``, ...); if not given, the file beside the weights or one folder above.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network, or its blocks are others than ``simple``, ``resnetb``, also
                ``_deformable`` and ``_strided``, ``unary``, and ``global_average``.
        """
        with named("KPCNN"):
            found, plan = read(weights, config)
            if plan.after != ["global_average"]:
                raise ValueError(
                    f"its last block is {', '.join(plan.after) or 'missing'}, not global_average"
                )
            encoder = encoder_of(plan, found, "block_ops")
            classes, hidden = found["head_softmax.mlp.weight"].shape
            model = cls(encoder.in_channels - 1, classes, plan.cell, 4)
            model.encoder = encoder
            model.head = nn.Sequential(
                nn.Linear(encoder.channels[-1], hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, classes)
            )
            load(model, plan, found, {"head_mlp.0": "head.0", "head_softmax.0": "head.2"})
        return model


class Encoder(nn.Module):
    """Five grids: a block on each, and one that leads to cells twice as wide.

    Args:
        in_channels: of the signal, the constant among them.
        cell: side of the cells of the first grid.
        width: channels after the first grid's block; of the others, twice those of the one before.
    """

    def __init__(self, in_channels: int, cell: float, width: int) -> None:
        super().__init__()
        if not cell > 0 or width < 4 or width % 4:
            raise ValueError(f"cell must be positive and width a multiple of 4, got {cell} and {width}")
        self.sides = [cell * 2**level for level in range(_LEVELS)]
        self.channels = [width * 2**level for level in range(_LEVELS)]
        self.first = KPConv(in_channels, width // 2, cell)
        self.norm = nn.Sequential(_norm(width // 2), nn.LeakyReLU(_SLOPE))
        read = [width // 2, *self.channels]
        self.stay = nn.ModuleList(map(_Bottleneck, read, self.channels, self.sides))
        self.down = nn.ModuleList(
            _Bottleneck(c, c, side, True) for c, side in zip(self.channels[:-1], self.sides, strict=False)
        )

    def forward(self, clouds: Clouds) -> tuple[list[tuple[Cells, Tensor]], Neighbors]:
        """Points and signal of every grid, and the points that every cell of the first one holds."""
        fewest = 2 if self.training else 1
        grid, y, held = first_cells(clouds, self.sides[0], fewest)
        charts = grid.charts(_REACH * self.sides[0], grid)
        y = self.norm(self.first(y, charts))
        reached = []
        for level, stay in enumerate(self.stay):
            if level:
                coarse = grid.coarser(self.sides[level], fewest)
                y = self.down[level - 1](y, coarse.charts(_REACH * self.sides[level - 1], grid))
                grid, charts = coarse, coarse.charts(_REACH * self.sides[level], coarse)
            y = stay(y, charts)
            reached.append((grid, y))
        return reached, held


class _Bottleneck(nn.Module):
    """A kernel point convolution of a quarter of the channels between two linear layers, and a shortcut.

    To another grid (``strided``), the shortcut is the maximum over the neighbours.
    """

    def __init__(self, in_channels: int, out_channels: int, cell: float, strided: bool = False) -> None:
        super().__init__()
        self.strided = strided
        narrow = out_channels // 4
        self.narrow = unary(in_channels, narrow)
        self.conv = KPConv(narrow, narrow, cell)
        self.norm = nn.Sequential(_norm(narrow), nn.LeakyReLU(_SLOPE))
        self.widen = unary(narrow, out_channels, False)
        self.shortcut = (
            nn.Identity() if in_channels == out_channels else unary(in_channels, out_channels, False)
        )

    def forward(self, x: Tensor, charts: Charts) -> Tensor:
        y = self.widen(self.norm(self.conv(self.narrow(x), charts)))
        kept = aggregate(x, charts.neighbors, reduce="max") if self.strided else x
        return functional.leaky_relu(y + self.shortcut(kept), _SLOPE)


def unary(in_channels: int, out_channels: int, activation: bool = True) -> nn.Sequential:
    """Linear layer, batch norm and leaky ReLU."""
    last = [nn.LeakyReLU(_SLOPE)] if activation else []
    return nn.Sequential(nn.Linear(in_channels, out_channels, bias=False), _norm(out_channels), *last)


def _norm(channels: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(channels, momentum=_MOMENTUM)
