"""The geodesic CNN, for correspondence and for classification."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from geodl.geometry import Charts
from geodl.models.on_batch import on_batch
from geodl.nn import GeodesicConv, MeanPool
from geodl.ops import Neighbors, PolarWindows


class GCNN(nn.Module):
    r"""Geodesic CNN: FC -> GC -> ... -> GC -> FC -> FC, with batch normalisation and ReLU between.

    As a dense labelling, ``out_channels`` is the number of vertices of the reference shape, and row i holds the scores of
    the reference vertices that vertex i may correspond to. As a descriptor, it is the descriptor's dimension, and
    corresponding points are nearest neighbours in descriptor space. As a classifier of whole shapes (``outputs="global"``) the
    last two layers read the mean of the geodesic layers over each shape, weighted by area, and ``out_channels`` is the number of
    classes.

    The polar windows leave out the centre of the disc, so beside each geodesic layer a linear map is the centre tap of its
    filter. A layer whose input and output widths agree adds its input to its output (He et al. 2016), so that deep networks
    train; the widths of the paper (32, 64, 128) have no such pair.

    Args:
        in_channels: channels of the input signal.
        out_channels: reference vertices, or descriptor dimension.
        rings, rays: windows of the geodesic layers.
        lift: width of the first fully connected layer.
        widths: of the geodesic layers.
        hidden: width of the last fully connected layer but one.
        dropout: probability of dropping a hidden unit in training.
        outputs: "vertices" or "global".

    Shapes:
        x ``[V, in_channels]``, charts over V vertices -> ``[V, out_channels]``, ``[P, out_channels]`` or ``[B, out_channels]``.

    Raises:
        ValueError: no such outputs.

    Masci, Boscaini, Bronstein, Vandergheynst: Geodesic convolutional neural networks on Riemannian manifolds, ICCVW 2015;
    dense labelling as in Monti et al., CVPR 2017, section 5.3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rings: int = 5,
        rays: int = 8,
        lift: int = 16,
        widths: Sequence[int] = (32, 64, 128),
        hidden: int = 256,
        dropout: float = 0.0,
        outputs: Literal["vertices", "global"] = "vertices",
    ) -> None:
        super().__init__()
        if outputs not in ("vertices", "global"):
            raise ValueError(f"outputs must be one of vertices, global, not {outputs!r}")
        self.outputs = outputs
        self.lift = nn.Sequential(nn.Linear(in_channels, lift), nn.BatchNorm1d(lift), nn.ReLU())
        channels = [lift, *widths]
        pairs = list(pairwise(channels))
        # Batch normalisation follows, so a bias would have no effect.
        self.convs = nn.ModuleList(GeodesicConv(c, d, rings, rays, bias=False) for c, d in pairs)
        self.centers = nn.ModuleList(nn.Linear(c, d, bias=False) for c, d in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(d) for d in widths)
        self.hidden = nn.Sequential(
            nn.Linear(channels[-1], hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(dropout)
        )
        self.head = nn.Linear(hidden, out_channels)

    @on_batch
    def forward(
        self,
        x: Tensor,
        charts: Charts | PolarWindows,
        vertices: Tensor | None = None,
        area: Tensor | None = None,
        ptr: Tensor | None = None,
    ) -> Tensor:
        """Scores or descriptors of vertices, or scores of shapes.

        Args:
            x: ``[V, in_channels]``, the vertices of all shapes.
            charts: over all of them.
            vertices: ``[P]``, those that are asked for alone: a score of every reference vertex is costly.
            area: ``[V]``, what every vertex counts in the mean over its shape; all the same if not given.
            ptr: ``[B + 1]`` int64, where shapes begin; one shape if not given.

        Raises:
            ValueError: rows that do not fit; ``vertices`` of a network for whole shapes.
        """
        x = self.lift(x)
        for conv, center, norm in zip(self.convs, self.centers, self.norms, strict=True):
            y = norm(conv(x, charts) + center(x)).relu()
            x = x + y if x.shape == y.shape else y
        if self.outputs == "global":
            if vertices is not None:
                raise ValueError("a network for whole shapes has no scores of vertices")
            x = self._mean(x, area, ptr)
        elif vertices is not None:
            x = x[vertices]
        scores: Tensor = self.head(self.hidden(x))
        return scores

    def _mean(self, x: Tensor, area: Tensor | None, ptr: Tensor | None) -> Tensor:
        """Over every shape, ``[V, C]`` -> ``[B, C]``."""
        ptr = torch.tensor([0, x.shape[0]], device=x.device) if ptr is None else ptr
        if int(ptr[-1]) != x.shape[0]:
            raise ValueError(f"ptr must end at the {x.shape[0]} rows of x, not at {int(ptr[-1])}")
        shapes = Neighbors(ptr, torch.arange(x.shape[0], device=x.device), x.shape[0])
        mean: Tensor = MeanPool()(x, shapes, area)
        return mean
