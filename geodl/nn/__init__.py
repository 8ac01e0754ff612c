"""Layers: each says what its local coordinates and windows are, and hands the work to an operator."""

from geodl.nn.arma import ARMAConv
from geodl.nn.bernstein import BernConv
from geodl.nn.cayley import CayleyConv
from geodl.nn.chebyshev import ChebConv
from geodl.nn.diffusion import DiffusionBlock, LearnedTimeDiffusion
from geodl.nn.diffusion_direct import implicit_diffuse
from geodl.nn.diffusion_features import SpatialGradientFeatures
from geodl.nn.feast import FeaStConv
from geodl.nn.gat import GATConv, GATv2Conv
from geodl.nn.gcn import GCNConv
from geodl.nn.geodesic import GeodesicConv, gaussian_windows
from geodl.nn.gin import GINConv
from geodl.nn.graph_matrix import (
    GraphMatrix,
    normalized_adjacency,
    normalized_laplacian,
    scaled_laplacian,
    with_self_loops,
)
from geodl.nn.mixture import MixtureConv, degree_charts
from geodl.nn.pagerank import PersonalizedPageRank
from geodl.nn.sage import SAGEConv
from geodl.nn.siamese import siamese_loss
from geodl.nn.sparse_features import SparseFeatures

__all__ = [
    "ARMAConv",
    "BernConv",
    "CayleyConv",
    "ChebConv",
    "DiffusionBlock",
    "FeaStConv",
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "GeodesicConv",
    "GraphMatrix",
    "LearnedTimeDiffusion",
    "MixtureConv",
    "PersonalizedPageRank",
    "SAGEConv",
    "SparseFeatures",
    "SpatialGradientFeatures",
    "degree_charts",
    "gaussian_windows",
    "implicit_diffuse",
    "normalized_adjacency",
    "normalized_laplacian",
    "scaled_laplacian",
    "siamese_loss",
    "with_self_loops",
]
