"""Layers: each says what its local coordinates and windows are, and hands the work to an operator."""

from geodl.nn.diffusion import DiffusionBlock, LearnedTimeDiffusion
from geodl.nn.diffusion_direct import implicit_diffuse
from geodl.nn.diffusion_features import SpatialGradientFeatures
from geodl.nn.edge_conv import EdgeConv
from geodl.nn.feature_propagation import FeaturePropagation, interpolate
from geodl.nn.geodesic import GeodesicConv, gaussian_windows
from geodl.nn.set_abstraction import SetAbstraction
from geodl.nn.siamese import siamese_loss

__all__ = [
    "DiffusionBlock",
    "EdgeConv",
    "FeaturePropagation",
    "GeodesicConv",
    "LearnedTimeDiffusion",
    "SetAbstraction",
    "SpatialGradientFeatures",
    "gaussian_windows",
    "implicit_diffuse",
    "interpolate",
    "siamese_loss",
]
