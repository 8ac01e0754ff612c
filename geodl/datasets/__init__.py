"""Data sets: sequences of shapes."""

from geodl.datasets.faust import FAUST

__all__ = ["FAUST"]
