"""Layers: each says what its local coordinates and windows are, and hands the work to an operator."""

from geodl.nn.geodesic import GeodesicConv, gaussian_windows
from geodl.nn.siamese import siamese_loss

__all__ = ["GeodesicConv", "gaussian_windows", "siamese_loss"]
