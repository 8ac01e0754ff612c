"""Custom operators: tensors in, tensors out."""

from geodl.ops.aggregate import aggregate
from geodl.ops.backend import backends, use_backend
from geodl.ops.knn import knn
from geodl.ops.neighbors import Neighbors
from geodl.ops.patch_conv import patch_conv
from geodl.ops.patch_gather import patch_gather
from geodl.ops.polar_conv import polar_conv
from geodl.ops.polar_windows import PolarWindows
from geodl.ops.radius import radius

__all__ = [
    "Neighbors",
    "PolarWindows",
    "aggregate",
    "backends",
    "knn",
    "patch_conv",
    "patch_gather",
    "polar_conv",
    "radius",
    "use_backend",
]
