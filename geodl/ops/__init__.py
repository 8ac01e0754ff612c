"""Custom operators: tensors in, tensors out."""

# Not public, but an exported program that is loaded beside these operators alone finds theirs.
from geodl.ops import dynamic_size, row_edges  # noqa: F401
from geodl.ops.aggregate import aggregate, edge_sum, gather
from geodl.ops.arma import arma
from geodl.ops.attention import attention, attention_weights
from geodl.ops.bernstein import bernstein
from geodl.ops.cayley import cayley
from geodl.ops.chebyshev import chebyshev
from geodl.ops.core.dispatch import backends, use_backend
from geodl.ops.edge_conv import BatchNorm, edge_conv
from geodl.ops.farthest_points import farthest_points
from geodl.ops.knn import knn
from geodl.ops.neighbors import Neighbors
from geodl.ops.patch_conv import patch_conv
from geodl.ops.patch_gather import patch_gather
from geodl.ops.polar_conv import polar_conv
from geodl.ops.polar_windows import PolarWindows
from geodl.ops.radius import radius
from geodl.ops.spectral_transform import from_basis, heat_diffuse, to_basis
from geodl.ops.voxel_pool import VoxelPool, voxel_neighbors, voxel_pool

__all__ = [
    "BatchNorm",
    "Neighbors",
    "PolarWindows",
    "VoxelPool",
    "aggregate",
    "arma",
    "attention",
    "attention_weights",
    "backends",
    "bernstein",
    "cayley",
    "chebyshev",
    "edge_conv",
    "edge_sum",
    "farthest_points",
    "from_basis",
    "gather",
    "heat_diffuse",
    "knn",
    "patch_conv",
    "patch_gather",
    "polar_conv",
    "radius",
    "to_basis",
    "use_backend",
    "voxel_neighbors",
    "voxel_pool",
]
