"""The networks of the papers, a page each."""

from geodl.models.dgcnn import DGCNN
from geodl.models.dgcnn_parts import DGCNNParts
from geodl.models.diffusionnet import DiffusionNet
from geodl.models.functional_map_net import FunctionalMapNet
from geodl.models.gcnn import GCNN
from geodl.models.pointnet import PointNet, transform_penalty
from geodl.models.pointnet2 import PointNet2
from geodl.models.pointnet2_parts import PointNet2Parts
from geodl.models.pointnet_parts import PointNetParts
from geodl.models.weights import load_weights, save_weights

__all__ = [
    "DGCNN",
    "GCNN",
    "DGCNNParts",
    "DiffusionNet",
    "FunctionalMapNet",
    "PointNet",
    "PointNet2",
    "PointNet2Parts",
    "PointNetParts",
    "load_weights",
    "save_weights",
    "transform_penalty",
]
