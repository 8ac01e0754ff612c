"""The networks by name: a line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from geodl.models import DGCNN, KPCNN, DeLA, PointNet, PointNet2, PointNeXt


@dataclass(frozen=True)
class Network:
    """What a network is called, how it is made for a number of classes and the axis that points up, and its recipe.

    ``patience`` multiplies the epochs of a set, for a network that learns slowly.
    """

    title: str
    make: Callable[[int, int], nn.Module]
    batch: int = 32
    patience: float = 1.0
    learning_rate: float = 2e-3
    weight_decay: float = 0.01


NETWORKS = {
    "pointnet": Network("PointNet", lambda classes, up: PointNet(0, classes)),
    "pointnet2": Network("PointNet++ SSG", lambda classes, up: PointNet2(0, classes), 16, 1.5),
    "pointnet2-msg": Network("PointNet++ MSG", lambda classes, up: PointNet2(0, classes, True), 16, 1.5),
    "dgcnn": Network("DGCNN", lambda classes, up: DGCNN(0, classes)),
    "pointnext": Network("PointNeXt-S", lambda classes, up: PointNeXt(0, classes)),
    "dela": Network("DeLA", lambda classes, up: DeLA(0, classes, up=up)),
    "kpcnn": Network("KP-CNN", lambda classes, up: KPCNN(0, classes)),
}
