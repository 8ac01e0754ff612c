"""Layers: each says what its local coordinates and windows are, and hands the work to an operator."""

from geodl.nn.diffusion import DiffusionBlock, LearnedTimeDiffusion
from geodl.nn.diffusion_direct import implicit_diffuse
from geodl.nn.diffusion_features import SpatialGradientFeatures
from geodl.nn.geodesic import GeodesicConv, gaussian_windows
from geodl.nn.siamese import siamese_loss

__all__ = [
    "DiffusionBlock",
    "GeodesicConv",
    "LearnedTimeDiffusion",
    "SpatialGradientFeatures",
    "gaussian_windows",
    "implicit_diffuse",
    "siamese_loss",
]
