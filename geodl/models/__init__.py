"""The networks of the papers, a page each."""

from geodl.models.alexnet import AlexNet
from geodl.models.appnp import APPNP
from geodl.models.arma import ARMA
from geodl.models.bernnet import BernNet
from geodl.models.blended import BlendedLinear
from geodl.models.by_name import create_model, list_models, model_card
from geodl.models.cayleynet import CayleyNet
from geodl.models.chebnet import ChebNet
from geodl.models.dcgan import DCDiscriminator, DCGenerator
from geodl.models.dela import DeLA
from geodl.models.dela_parts import DeLAParts
from geodl.models.dgcnn import DGCNN
from geodl.models.dgcnn_parts import DGCNNParts
from geodl.models.diffusionnet import DiffusionNet
from geodl.models.feastnet import FeaStNet
from geodl.models.functional_map_net import FunctionalMapNet
from geodl.models.gat import GAT, GATv2
from geodl.models.gcn import GCN
from geodl.models.gcnn import GCNN
from geodl.models.gin import GIN
from geodl.models.graphsage import GraphSAGE
from geodl.models.inception import InceptionV1, InceptionV3
from geodl.models.kpcnn import KPCNN
from geodl.models.kpfcnn import KPFCNN
from geodl.models.lenet5 import LeNet5
from geodl.models.mode_adaptive import ModeAdaptiveNetwork
from geodl.models.monet import MoNet
from geodl.models.node_classifier import NodeClassifier
from geodl.models.partial_functional_map_net import PartialFeatures, PartialFunctionalMapNet
from geodl.models.perceptron import MultilayerPerceptron, Perceptron
from geodl.models.phase_functioned import PhaseFunctionedNetwork
from geodl.models.pointnet import PointNet, feature_transform_regularizer
from geodl.models.pointnet2 import PointNet2
from geodl.models.pointnet2_parts import PointNet2Parts
from geodl.models.pointnet_parts import PointNetParts
from geodl.models.pointnext import PointNeXt
from geodl.models.pointnext_parts import PointNeXtParts
from geodl.models.resnet import ResNet, ResNet18, ResNet34, ResNet50, ResNet101, ResNet152
from geodl.models.retargeting import RetargetingNetwork
from geodl.models.sample_quality import (
    PrecisionRecall,
    frechet_distance,
    frechet_inception_distance,
    lenet_features,
    lenet_frechet_distance,
    precision_recall,
)
from geodl.models.shape_features import pretrained_features, shape_features
from geodl.models.skeleton_unet import SkeletonUNet
from geodl.models.squeezenet import SqueezeNet
from geodl.models.stgcn import STGCN
from geodl.models.stylegan import StyleGenerator
from geodl.models.unet import UNet
from geodl.models.vgg import VGG, VGG11, VGG13, VGG16, VGG19
from geodl.models.weights import load_weights, save_weights

__all__ = [
    "APPNP",
    "ARMA",
    "DGCNN",
    "GAT",
    "GCN",
    "GCNN",
    "GIN",
    "KPCNN",
    "KPFCNN",
    "STGCN",
    "VGG",
    "VGG11",
    "VGG13",
    "VGG16",
    "VGG19",
    "AlexNet",
    "BernNet",
    "BlendedLinear",
    "CayleyNet",
    "ChebNet",
    "DCDiscriminator",
    "DCGenerator",
    "DGCNNParts",
    "DeLA",
    "DeLAParts",
    "DiffusionNet",
    "FeaStNet",
    "FunctionalMapNet",
    "GATv2",
    "GraphSAGE",
    "InceptionV1",
    "InceptionV3",
    "LeNet5",
    "MoNet",
    "ModeAdaptiveNetwork",
    "MultilayerPerceptron",
    "NodeClassifier",
    "PartialFeatures",
    "PartialFunctionalMapNet",
    "Perceptron",
    "PhaseFunctionedNetwork",
    "PointNeXt",
    "PointNeXtParts",
    "PointNet",
    "PointNet2",
    "PointNet2Parts",
    "PointNetParts",
    "PrecisionRecall",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "RetargetingNetwork",
    "SkeletonUNet",
    "SqueezeNet",
    "StyleGenerator",
    "UNet",
    "create_model",
    "feature_transform_regularizer",
    "frechet_distance",
    "frechet_inception_distance",
    "lenet_features",
    "lenet_frechet_distance",
    "list_models",
    "load_weights",
    "model_card",
    "precision_recall",
    "pretrained_features",
    "save_weights",
    "shape_features",
]
