"""Classifies the non-rigid shapes of SHREC11: with networks on the meshes, and with networks on points sampled from them.

    python -m benchmarks.shrec11 --root SHREC11                       DiffusionNet on heat kernel signatures
    python -m benchmarks.shrec11 --root SHREC11 --model gcnn          the geodesic CNN on the same
    python -m benchmarks.shrec11 --root SHREC11 --model dgcnn         DGCNN (or pointnet2) on points, turned at random

Every seed draws a split of its own, 16 shapes of each class to train on and 4 to test, as published averages do; with
``--split folders`` it is always that of the folders. Accuracy is that after the last epoch, for every seed.

Shapes lie turned in any way. The mesh networks read intrinsic signals, which no turn changes; the points are turned about any axis
in training, sampled anew in every epoch.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.transforms import Compose

from benchmarks.result import command, portable, write_result
from geodl.data import (
    DataLoader,
    Mesh,
    OperatorCache,
    RandomScale,
    RandomTurn,
    SpectralOperators,
    UnitArea,
    collate,
)
from geodl.datasets import SHREC11
from geodl.datasets.surface_samples import sample_surface, unit_ball
from geodl.geometry import chart_radius, heat_kernel_signature
from geodl.models import DGCNN, DiffusionNet, PointNet2

NAMES = {"diffusionnet": "DiffusionNet", "dgcnn": "DGCNN", "pointnet2": "PointNet2"}
ON_POINTS = ("dgcnn", "pointnet2")
TRAIN_PER_CLASS = 16
EIGENVALUES = 128
SIGNATURES = 16
BATCH = 16
SMOOTHING = 0.2
LEARNING_RATE = 1e-3
EPOCHS = {"diffusionnet": 100, "dgcnn": 100, "pointnet2": 100}
