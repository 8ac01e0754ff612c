"""Data sets: sequences of shapes."""

from geodl.datasets.correspondence import CorrespondenceSet, ShapePair, ShapePairs
from geodl.datasets.faust import FAUST
from geodl.datasets.puppets import Puppets

__all__ = ["FAUST", "CorrespondenceSet", "Puppets", "ShapePair", "ShapePairs"]
