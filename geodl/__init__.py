"""Geometric deep learning on meshes, point clouds and graphs."""

__version__ = "0.1.0"
