"""Layers: each says what its local coordinates and windows are, and hands the work to an operator."""

from geodl.nn.adain import AdaIN
from geodl.nn.arma import ARMAConv
from geodl.nn.bernstein import BernConv
from geodl.nn.blur_pool import BlurPool
from geodl.nn.cayley import CayleyConv
from geodl.nn.chebyshev import ChebConv
from geodl.nn.contrastive import contrastive_loss
from geodl.nn.decoupled import DecoupledAggregation, SpatialEncoding
from geodl.nn.deformable_kp_conv import DeformableKPConv
from geodl.nn.diffusion import DiffusionBlock, LearnedTimeDiffusion
from geodl.nn.diffusion_direct import implicit_diffuse
from geodl.nn.diffusion_features import SpatialGradientFeatures
from geodl.nn.edge_conv import EdgeConv
from geodl.nn.equalized import equalize
from geodl.nn.feast import FeaStConv
from geodl.nn.feature_propagation import FeaturePropagation, interpolate
from geodl.nn.gat import GATConv, GATv2Conv
from geodl.nn.gcn import GCNConv
from geodl.nn.geodesic import GeodesicConv, gaussian_windows
from geodl.nn.gin import GINConv
from geodl.nn.gmm_conv import GMMConv, degree_charts
from geodl.nn.graph_layer import EdgeMask, GraphLayer
from geodl.nn.graph_matrix import (
    GraphMatrix,
    normalized_adjacency,
    normalized_laplacian,
    scaled_laplacian,
    with_self_loops,
)
from geodl.nn.grid_conv import GridConv, GridConvTranspose
from geodl.nn.grid_windows import GridWindows, chart_windows, grid_windows, transposed_windows
from geodl.nn.inverted_residual import InvResMLP, ResidualAbstraction
from geodl.nn.joint_linear import JointLinear
from geodl.nn.kp_conv import KPConv, kernel_points
from geodl.nn.level import Level, graph_levels, mesh_levels
from geodl.nn.minibatch_deviation import MinibatchDeviation
from geodl.nn.modulated_conv import ModulatedConv
from geodl.nn.motion_level import collapse_chains, motion_levels
from geodl.nn.noise import NoiseInjection
from geodl.nn.pagerank import PersonalizedPageRank
from geodl.nn.pooling import GlobalMeanPool, LpPool, MaxPool, MeanPool
from geodl.nn.sage import SAGEConv
from geodl.nn.set_abstraction import SetAbstraction
from geodl.nn.signal_norm import SignalBatchNorm
from geodl.nn.sparse_features import SparseFeatures
from geodl.nn.spline_conv import SplineConv
from geodl.nn.spline_windows import spline_windows
from geodl.nn.upsample import Upsample

__all__ = [
    "ARMAConv",
    "AdaIN",
    "BernConv",
    "BlurPool",
    "CayleyConv",
    "ChebConv",
    "DecoupledAggregation",
    "DeformableKPConv",
    "DiffusionBlock",
    "EdgeConv",
    "EdgeMask",
    "FeaStConv",
    "FeaturePropagation",
    "GATConv",
    "GATv2Conv",
    "GCNConv",
    "GINConv",
    "GMMConv",
    "GeodesicConv",
    "GlobalMeanPool",
    "GraphLayer",
    "GraphMatrix",
    "GridConv",
    "GridConvTranspose",
    "GridWindows",
    "InvResMLP",
    "JointLinear",
    "KPConv",
    "LearnedTimeDiffusion",
    "Level",
    "LpPool",
    "MaxPool",
    "MeanPool",
    "MinibatchDeviation",
    "ModulatedConv",
    "NoiseInjection",
    "PersonalizedPageRank",
    "ResidualAbstraction",
    "SAGEConv",
    "SetAbstraction",
    "SignalBatchNorm",
    "SparseFeatures",
    "SpatialEncoding",
    "SpatialGradientFeatures",
    "SplineConv",
    "Upsample",
    "chart_windows",
    "collapse_chains",
    "contrastive_loss",
    "degree_charts",
    "equalize",
    "gaussian_windows",
    "graph_levels",
    "grid_windows",
    "implicit_diffuse",
    "interpolate",
    "kernel_points",
    "mesh_levels",
    "motion_levels",
    "normalized_adjacency",
    "normalized_laplacian",
    "scaled_laplacian",
    "spline_windows",
    "transposed_windows",
    "with_self_loops",
]
