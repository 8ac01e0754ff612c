"""The networks by name: a line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from benchmarks.segmentation.data import RAYS, RINGS
from geodl.models import (
    GCNN,
    KPFCNN,
    DeLAParts,
    DGCNNParts,
    DiffusionNet,
    PointNet2Parts,
    PointNetParts,
    PointNeXtParts,
)


@dataclass(frozen=True)
class Network:
    """What a network is called, what it lives on, and how it is made for channels of the signal, classes and a width.

    ``kind`` is "diffusion" (spectrum and gradient), "geodesic" (polar windows) or "cloud" (points).
    """

    title: str
    kind: str
    make: Callable[[int, int, int], nn.Module]
    learning_rate: float = 2e-3


NETWORKS = {
    "diffusionnet": Network(
        "DiffusionNet", "diffusion", lambda c, k, width: DiffusionNet(c, k, width, dropout=0.0), 5e-3
    ),
    "gcnn": Network(
        "GCNN", "geodesic", lambda c, k, width: GCNN(c, k, RINGS, RAYS, 32, (32, 32, 64, 64), 64), 5e-3
    ),
    "pointnet": Network("PointNet", "cloud", lambda c, k, width: PointNetParts(c, k, categories=1)),
    "pointnet2": Network("PointNet++", "cloud", lambda c, k, width: PointNet2Parts(c, k, categories=1)),
    "dgcnn": Network("DGCNN", "cloud", lambda c, k, width: DGCNNParts(c, k, 20, categories=1)),
    "pointnext": Network("PointNeXt-S", "cloud", lambda c, k, width: PointNeXtParts(c, k, categories=1)),
    "dela": Network("DeLA", "cloud", lambda c, k, width: DeLAParts(c, k, categories=1)),
    "kpfcnn": Network("KP-FCNN", "cloud", lambda c, k, width: KPFCNN(c, k, width=64, categories=1)),
}
