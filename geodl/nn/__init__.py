"""Layers: each says what its local coordinates and windows are, and hands the work to an operator."""

from geodl.nn.diffusion import DiffusionBlock, LearnedTimeDiffusion
from geodl.nn.diffusion_direct import implicit_diffuse
from geodl.nn.diffusion_features import SpatialGradientFeatures
from geodl.nn.geodesic import GeodesicConv, gaussian_windows
from geodl.nn.grid_conv import GridConv, GridConvTranspose
from geodl.nn.grid_windows import GridWindows, chart_windows, grid_windows, transposed_windows
from geodl.nn.level import Level, graph_levels, mesh_levels
from geodl.nn.pooling import GlobalMeanPool, LpPool, MaxPool, MeanPool
from geodl.nn.siamese import siamese_loss
from geodl.nn.signal_norm import SignalBatchNorm
from geodl.nn.spline_conv import SplineConv
from geodl.nn.spline_windows import spline_windows

__all__ = [
    "DiffusionBlock",
    "GeodesicConv",
    "GlobalMeanPool",
    "GridConv",
    "GridConvTranspose",
    "GridWindows",
    "LearnedTimeDiffusion",
    "Level",
    "LpPool",
    "MaxPool",
    "MeanPool",
    "SignalBatchNorm",
    "SpatialGradientFeatures",
    "SplineConv",
    "chart_windows",
    "gaussian_windows",
    "graph_levels",
    "grid_windows",
    "implicit_diffuse",
    "mesh_levels",
    "siamese_loss",
    "spline_windows",
    "transposed_windows",
]
