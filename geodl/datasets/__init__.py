"""Data sets: sequences of shapes."""

from geodl.datasets.faust import FAUST
from geodl.datasets.puppets import Puppets

__all__ = ["FAUST", "Puppets"]
