"""Custom operators: tensors in, tensors out."""

from geodl.ops.aggregate import aggregate
from geodl.ops.attention import attention, attention_weights
from geodl.ops.backend import backends, use_backend
from geodl.ops.edge_conv import BatchNorm, edge_conv
from geodl.ops.neighbors import Neighbors
from geodl.ops.patch_conv import patch_conv
from geodl.ops.patch_gather import patch_gather
from geodl.ops.polar_conv import polar_conv
from geodl.ops.polar_windows import PolarWindows

__all__ = [
    "BatchNorm",
    "Neighbors",
    "PolarWindows",
    "aggregate",
    "attention",
    "attention_weights",
    "backends",
    "edge_conv",
    "patch_conv",
    "patch_gather",
    "polar_conv",
    "use_backend",
]
