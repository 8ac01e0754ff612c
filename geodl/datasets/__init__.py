"""Data sets: sequences of shapes."""

from geodl.datasets.broken import broken_meshes
from geodl.datasets.faust import FAUST
from geodl.datasets.puppets import Puppets

__all__ = ["FAUST", "Puppets", "broken_meshes"]
