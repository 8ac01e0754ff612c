"""Shapes as PyG Data, their files, and packed batches."""

from geodl.data.batching import DataLoader, collate
from geodl.data.mesh import Mesh

__all__ = ["DataLoader", "Mesh", "collate"]
