"""Texture, style and automata, on the grid and on every surface, by the same filters."""

from geodl.synthesis.automaton import NeuralAutomaton
from geodl.synthesis.domain import surface_levels
from geodl.synthesis.filter_bank import Features, FilterBank
from geodl.synthesis.gram import GramStatistics
from geodl.synthesis.image import as_image
from geodl.synthesis.motion_style import transfer_motion
from geodl.synthesis.network_features import NetworkFeatures
from geodl.synthesis.stages import Synthesis
from geodl.synthesis.synthesize import synthesize
from geodl.synthesis.transfer import displace, transfer
from geodl.synthesis.wasserstein import sliced_wasserstein

__all__ = [
    "Features",
    "FilterBank",
    "GramStatistics",
    "NetworkFeatures",
    "NeuralAutomaton",
    "Synthesis",
    "as_image",
    "displace",
    "sliced_wasserstein",
    "surface_levels",
    "synthesize",
    "transfer",
    "transfer_motion",
]
