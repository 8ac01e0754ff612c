"""Correspondences: functional maps and point maps, their refinement, and how good they are."""

from geodl.matching.descriptors import match_descriptors
from geodl.matching.evaluation import PROTOCOLS, CorrespondenceReport, MatchedPair, evaluate
from geodl.matching.functional_map import functional_map, resolvent_mask
from geodl.matching.icp import icp
from geodl.matching.losses import bijectivity_loss, coupling_loss, orthogonality_loss
from geodl.matching.match import Match, SpectralShape, first_map, match
from geodl.matching.point_map import point_map, pull_back, soft_pull_back
from geodl.matching.trust import Trust, orientation, trust
from geodl.matching.zoomout import bijective_zoomout, soft_zoomout, spread, zoomout

__all__ = [
    "PROTOCOLS",
    "CorrespondenceReport",
    "Match",
    "MatchedPair",
    "SpectralShape",
    "Trust",
    "bijective_zoomout",
    "bijectivity_loss",
    "coupling_loss",
    "evaluate",
    "first_map",
    "functional_map",
    "icp",
    "match",
    "match_descriptors",
    "orientation",
    "orthogonality_loss",
    "point_map",
    "pull_back",
    "resolvent_mask",
    "soft_pull_back",
    "soft_zoomout",
    "spread",
    "trust",
    "zoomout",
]
