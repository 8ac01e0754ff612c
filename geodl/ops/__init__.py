"""Custom operators: tensors in, tensors out."""

from geodl.ops.aggregate import aggregate
from geodl.ops.backend import backends, use_backend
from geodl.ops.farthest_points import farthest_points
from geodl.ops.neighbors import Neighbors
from geodl.ops.patch_conv import patch_conv
from geodl.ops.patch_gather import patch_gather
from geodl.ops.polar_conv import polar_conv
from geodl.ops.polar_windows import PolarWindows
from geodl.ops.voxel_pool import VoxelPool, voxel_neighbors, voxel_pool

__all__ = [
    "Neighbors",
    "PolarWindows",
    "VoxelPool",
    "aggregate",
    "backends",
    "farthest_points",
    "patch_conv",
    "patch_gather",
    "polar_conv",
    "use_backend",
    "voxel_neighbors",
    "voxel_pool",
]
