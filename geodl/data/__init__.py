"""Shapes as PyG Data, their files, packed batches, and a cache of their operators."""

from geodl.data.augment import (
    FixedPoints,
    RandomDropout,
    RandomJitter,
    RandomRotate,
    RandomScale,
    RandomTranslate,
)
from geodl.data.batching import DataLoader, collate
from geodl.data.cache import OperatorCache
from geodl.data.corruption import CORRUPTIONS, corrupt
from geodl.data.graph import Graph, graph_neighbors
from geodl.data.grid import Grid
from geodl.data.mesh import Mesh
from geodl.data.mixing import RSMix
from geodl.data.neighbor_sampler import NeighborSampler
from geodl.data.point_cloud import PointCloud
from geodl.data.precompute import PrecomputeReport, precompute
from geodl.data.shapes import as_shape
from geodl.data.transforms import (
    GeodesicOperators,
    InvariantSignal,
    SpectralOperators,
    UnitArea,
    VertexSignal,
)

__all__ = [
    "CORRUPTIONS",
    "DataLoader",
    "FixedPoints",
    "GeodesicOperators",
    "Graph",
    "Grid",
    "InvariantSignal",
    "Mesh",
    "NeighborSampler",
    "OperatorCache",
    "PointCloud",
    "PrecomputeReport",
    "RSMix",
    "RandomDropout",
    "RandomJitter",
    "RandomRotate",
    "RandomScale",
    "RandomTranslate",
    "SpectralOperators",
    "UnitArea",
    "VertexSignal",
    "as_shape",
    "collate",
    "corrupt",
    "graph_neighbors",
    "precompute",
]
