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
from geodl.training.regression import RegressionModule
from geodl.training.trainer import make_trainer, resume_point, training_seconds

__all__ = [
    "AdversarialModule",
    "CorrespondenceData",
    "DescriptorModule",
    "FunctionalMapData",
    "FunctionalMapModule",
    "ImageData",
    "LabellingModule",
    "RegressionModule",
    "make_trainer",
    "resume_point",
    "training_seconds",
]
