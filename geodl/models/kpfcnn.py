"""KP-FCNN: the kernel point network for the parts of shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from geodl.models.cells import Cells
from geodl.models.clouds import Clouds, one_hot, read_clouds
from geodl.models.joint import joint
from geodl.models.kp_published import SLOPE, PublishedEncoder, encoder_of, load, read
from geodl.models.kp_published import unary as published_unary
from geodl.models.kpcnn import Encoder, unary
from geodl.models.on_batch import on_batch
from geodl.models.published import Published, named
from geodl.nn.dtype_of import dtype_of
from geodl.nn.plain import plain_first
from geodl.ops import aggregate, knn

__all__ = ["KPFCNN"]


class KPFCNN(nn.Module):
    """KP-FCNN for part segmentation, with rigid kernels: five grids as in :class:`~geodl.models.KPCNN`, and back grid by grid,
    where a cell reads the nearest of the coarser grid and what it had; then a network that also reads what the cloud is known
    to be.

    All points of a cell of the first grid get the scores of the cell. Where this network reads the category, the authors give
    every category a last network of its own.

    Args:
        in_channels: of the signal beside the positions, such as 3 for normals; 0 for none.
        out_channels: number of parts, of all categories together.
        cell: side of a cell of the first grid, as for :class:`~geodl.models.KPCNN`.
        width: channels of the first grid.
        categories: number of categories.

    Thomas, Qi, Deschaud, Marcotegui, Goulette, Guibas: KPConv: flexible and deformable convolution for point clouds, ICCV 2019.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cell: float = 0.05,
        width: int = 128,
        categories: int = 16,
    ) -> None:
        super().__init__()
        self.in_channels, self.categories = in_channels, categories
        self.encoder: Encoder | PublishedEncoder = Encoder(1 + in_channels, cell, width)
        channels = self.encoder.channels
        self.ups = nn.ModuleList(
            _Up(unary((channels[-1] if level == len(channels) - 2 else c) + c, c // 2))
            for level, c in enumerate(channels[:-1])
        )
        self.head = nn.Sequential(
            *unary(categories + width // 2, width // 2), nn.Linear(width // 2, out_channels)
        )

    @on_batch
    def forward(
        self,
        pos: Tensor,
        category: Tensor | None = None,
        ptr: Tensor | None = None,
        x: Tensor | None = None,
    ) -> Tensor:
        """Scores of the parts at every point.

        Args:
            pos: ``[P, 3]``, the points of all clouds, in the unit ball.
            category: ``[B]`` int64, what every cloud is known to be; not asked for where ``categories`` is 1.
            ptr: ``[B + 1]`` int64, where clouds begin; one cloud if not given.
            x: ``[P, in_channels]``.

        Returns:
            ``[P, out_channels]``.

        Raises:
            ValueError: shapes that do not fit; on the CPU, a cloud without points, a number that is not finite, no such category.
        """
        clouds = read_clouds(pos, ptr, x, self.in_channels, dtype_of(self))
        known = one_hot(category, self.categories, clouds)
        reached, held = self.encoder(clouds)
        coarse, y = reached[-1]
        for level in reversed(range(len(self.ups))):
            fine, skip = reached[level]
            y = self.ups[level](coarse, y, fine, skip)
            coarse = fine
        cells = Clouds(coarse.pos, None, coarse.ptr, None)
        scores = joint(self.head, cells, known, y)
        return clouds.restore(aggregate(scores, held.t()[0]))

    @classmethod
    def from_published(
        cls, weights: Published, config: str | Path | Mapping[str, Any] | None = None
    ) -> KPFCNN:
        """A network with the weights of a segmentation of github.com/HuguesTHOMAS/KPConv-PyTorch, made of the same blocks, rigid
        and deformable; what :meth:`KPCNN.from_published <geodl.models.KPCNN.from_published>` says holds here too.

        It reads no category, so ``categories`` is 1.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            config: the ``parameters.txt`` of the training, or a dict of what stands in it (``architecture``,
                ``first_subsampling_dl``, ...); if not given, the file beside the weights or one folder above.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: these are no weights of such a network, its blocks before the first ``nearest_upsample`` are others than
                ``simple``, ``resnetb``, also ``_deformable`` and ``_strided``, and ``unary``, or those behind are others than
                ``nearest_upsample`` and ``unary`` in turn, back to the first grid.
        """
        with named("KPFCNN"):
            found, plan = read(weights, config)
            encoder = encoder_of(plan, found, "encoder_blocks")
            model = cls(encoder.in_channels - 1, found["head_softmax.mlp.weight"].shape[0], plan.cell, 4, 1)
            steps = len(encoder.channels) - 1
            if plan.after != ["nearest_upsample", "unary"] * steps:
                raise ValueError(
                    f"behind {steps} coarser grids its blocks are {', '.join(plan.after) or 'missing'}, not as many "
                    "nearest_upsample and unary in turn"
                )
            model.encoder, model.ups = encoder, nn.ModuleList()
            names, wide = {"head_mlp.0": "head.0", "head_softmax.0": "head.2"}, encoder.channels[-1]
            for level in reversed(range(steps)):
                theirs = f"decoder_blocks.{2 * (steps - level) - 1}"
                out = found[f"{theirs}.mlp.weight"].shape[0]
                model.ups.insert(0, _Up(published_unary(wide + encoder.channels[level], out, plan)))
                names[theirs], wide = f"ups.{level}.layers", out
            # The column that reads the category is a bias where all shapes are of one kind.
            bias, matrix = found.pop("head_mlp.batch_norm.bias"), found["head_mlp.mlp.weight"]
            found["head_mlp.mlp.weight"] = torch.cat([bias[:, None], matrix], dim=1)
            hidden, parts = matrix.shape[0], found["head_softmax.mlp.weight"].shape[0]
            model.head = nn.Sequential(
                nn.Linear(1 + wide, hidden, bias=False), nn.LeakyReLU(SLOPE), nn.Linear(hidden, parts)
            )
            load(model, plan, found, names)
        return model


class _Up(nn.Module):
    """A linear layer of the nearest point of a coarser grid and of the point itself; the former costs a product a coarse point."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, coarse: Cells, y: Tensor, fine: Cells, skip: Tensor) -> Tensor:
        from_coarse = knn(coarse.pos, 1, coarse.ptr, fine.pos, fine.ptr)
        first, rest = plain_first(self.layers)
        if first is None:
            y = self.layers(torch.cat([aggregate(y, from_coarse), skip], dim=1))
            return y
        nearest, own = first.weight[:, : y.shape[1]], first.weight[:, y.shape[1] :]
        y = functional.linear(skip, own, first.bias) + aggregate(functional.linear(y, nearest), from_coarse)
        for layer in rest:
            y = layer(y)
        return y
