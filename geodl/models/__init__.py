"""The networks of the papers, a page each."""

from geodl.models.diffusionnet import DiffusionNet
from geodl.models.functional_map_net import FunctionalMapNet
from geodl.models.gcnn import GCNN
from geodl.models.weights import load_weights, save_weights

__all__ = ["GCNN", "DiffusionNet", "FunctionalMapNet", "load_weights", "save_weights"]
