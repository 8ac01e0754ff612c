"""Custom operators: tensors in, tensors out."""

from geodl.ops.backend import backends, use_backend
from geodl.ops.neighbors import Neighbors

__all__ = ["Neighbors", "backends", "use_backend"]
