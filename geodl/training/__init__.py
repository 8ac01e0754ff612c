"""Lightning modules, data modules and the trainer that runs them. Needs the extra "train"."""

import importlib.util

if importlib.util.find_spec("lightning") is None:
    raise ImportError("geodl.training needs Lightning: pip install 'geodl[train]'")

from geodl.training.adversarial import AdversarialModule
from geodl.training.data import CorrespondenceData
from geodl.training.descriptor import DescriptorModule
from geodl.training.functional_map_data import FunctionalMapData
from geodl.training.functional_maps import FunctionalMapModule
from geodl.training.image_data import ImageData
from geodl.training.labelling import LabellingModule
from geodl.training.locomotion import LocomotionModule
from geodl.training.markers import MarkerModule
from geodl.training.trainer import make_trainer, resume_point, training_seconds
from geodl.training.retargeting import Limbs, RetargetingModule

__all__ = [
    "AdversarialModule",
    "CorrespondenceData",
    "DescriptorModule",
    "FunctionalMapData",
    "FunctionalMapModule",
    "ImageData",
    "LabellingModule",
    "Limbs",
    "LocomotionModule",
    "MarkerModule",
    "RetargetingModule",
    "make_trainer",
    "resume_point",
    "training_seconds",
]
