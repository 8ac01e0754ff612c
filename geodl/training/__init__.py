"""Lightning modules, data modules and the trainer that runs them. Needs the extra "train"."""

import importlib.util

if importlib.util.find_spec("lightning") is None:
    raise ImportError("geodl.training needs Lightning: pip install lightning rich scikit-learn tensorboard")

from geodl.training.adversarial import AdversarialModule
from geodl.training.classification import ClassificationModule
from geodl.training.confusion import LabelScores, confusion, label_scores
from geodl.training.data import CorrespondenceData
from geodl.training.descriptor import DescriptorModule
from geodl.training.functional_map_data import FunctionalMapData
from geodl.training.functional_maps import FunctionalMapModule
from geodl.training.image_data import ImageData
from geodl.training.labelling import LabellingModule
from geodl.training.locomotion import LocomotionModule
from geodl.training.markers import MarkerModule
from geodl.training.partial_maps import PartialMapModule
from geodl.training.regression import RegressionModule
from geodl.training.retargeting import Limbs, RetargetingModule
from geodl.training.segmentation import SegmentationModule
from geodl.training.shape_data import ShapeData
from geodl.training.supervised import SupervisedModule
from geodl.training.trainer import make_trainer, resume_point, training_seconds

__all__ = [
    "AdversarialModule",
    "ClassificationModule",
    "CorrespondenceData",
    "DescriptorModule",
    "FunctionalMapData",
    "FunctionalMapModule",
    "ImageData",
    "LabelScores",
    "LabellingModule",
    "Limbs",
    "LocomotionModule",
    "MarkerModule",
    "PartialMapModule",
    "RegressionModule",
    "RetargetingModule",
    "SegmentationModule",
    "ShapeData",
    "SupervisedModule",
    "confusion",
    "label_scores",
    "make_trainer",
    "resume_point",
    "training_seconds",
]
