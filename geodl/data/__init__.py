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
from geodl.data.cutting import CutByPlane, RandomHoles
from geodl.data.graph import Graph, graph_neighbors
from geodl.data.grid import Grid
from geodl.data.locomotion import CharacterMotion, character_motion, contact_phase, heading, motion_signal
from geodl.data.markers import fill_markers, lose_markers
from geodl.data.mesh import Mesh
from geodl.data.mixing import RSMix
from geodl.data.motion import Motion, forward_kinematics, global_rotations
from geodl.data.motion_measures import bone_length_error, contact_f1, foot_contact, foot_skate, mpjpe
from geodl.data.neighbor_sampler import NeighborSampler
from geodl.data.point_cloud import PointCloud
from geodl.data.precompute import PrecomputeReport, precompute
from geodl.data.shapes import as_shape
from geodl.data.skeleton import Skeleton
from geodl.data.transforms import (
    GeodesicOperators,
    InvariantSignal,
    SpectralOperators,
    UnitArea,
    VertexSignal,
)

__all__ = [
    "CORRUPTIONS",
    "CharacterMotion",
    "CutByPlane",
    "DataLoader",
    "FixedPoints",
    "GeodesicOperators",
    "Graph",
    "Grid",
    "InvariantSignal",
    "Mesh",
    "Motion",
    "NeighborSampler",
    "OperatorCache",
    "PointCloud",
    "PrecomputeReport",
    "RSMix",
    "RandomDropout",
    "RandomHoles",
    "RandomJitter",
    "RandomRotate",
    "RandomScale",
    "RandomTranslate",
    "Skeleton",
    "SpectralOperators",
    "UnitArea",
    "VertexSignal",
    "as_shape",
    "bone_length_error",
    "character_motion",
    "collate",
    "contact_f1",
    "contact_phase",
    "corrupt",
    "fill_markers",
    "foot_contact",
    "foot_skate",
    "forward_kinematics",
    "global_rotations",
    "graph_neighbors",
    "heading",
    "lose_markers",
    "motion_signal",
    "mpjpe",
    "precompute",
]
