"""Data sets: sequences of shapes, and of one graph."""

from geodl.datasets.bandai_namco import BandaiNamco
from geodl.datasets.body_skeleton import body_skeleton
from geodl.datasets.broken import broken_meshes
from geodl.datasets.classification import ClassificationSet
from geodl.datasets.communities import Communities
from geodl.datasets.correspondence import CorrespondenceSet, ShapePair, ShapePairs
from geodl.datasets.coseg import COSEG
from geodl.datasets.dt4d import DT4D
from geodl.datasets.faust import FAUST
from geodl.datasets.faust_parts import FAUSTParts
from geodl.datasets.gaits import Gaits
from geodl.datasets.human_segmentation import HumanSegmentation
from geodl.datasets.mnist import MNIST, Digits
from geodl.datasets.modelnet import ModelNet
from geodl.datasets.modelnet_occupancy import ModelNetOccupancy
from geodl.datasets.planetoid import Planetoid
from geodl.datasets.puppets import Puppets
from geodl.datasets.quadrupeds import Quadrupeds
from geodl.datasets.rna import RNA
from geodl.datasets.scanobjectnn import ScanObjectNN
from geodl.datasets.scape import SCAPE
from geodl.datasets.segmentation import SegmentationSet
from geodl.datasets.segmentation_folder import SegmentationFolder
from geodl.datasets.shaded import ShadedShapes
from geodl.datasets.shape_folder import ShapeFolder
from geodl.datasets.shrec11 import SHREC11
from geodl.datasets.shrec19 import SHREC19
from geodl.datasets.smal import SMAL
from geodl.datasets.solids import Solids
from geodl.datasets.tosca import TOSCA

__all__ = [
    "COSEG",
    "DT4D",
    "FAUST",
    "MNIST",
    "RNA",
    "SCAPE",
    "SHREC11",
    "SHREC19",
    "SMAL",
    "TOSCA",
    "BandaiNamco",
    "ClassificationSet",
    "Communities",
    "CorrespondenceSet",
    "Digits",
    "FAUSTParts",
    "Gaits",
    "HumanSegmentation",
    "ModelNet",
    "ModelNetOccupancy",
    "Planetoid",
    "Puppets",
    "Quadrupeds",
    "ScanObjectNN",
    "SegmentationFolder",
    "SegmentationSet",
    "ShadedShapes",
    "ShapeFolder",
    "ShapePair",
    "ShapePairs",
    "Solids",
    "body_skeleton",
    "broken_meshes",
]
