"""Correspondences: functional maps and point maps, their refinement, and how good they are."""

from geodl.matching.barycentric_map import BarycentricMap, precise_map
from geodl.matching.both_ways import match_both_ways, smooth_both_ways
from geodl.matching.descriptors import match_descriptors
from geodl.matching.evaluation import PROTOCOLS, CorrespondenceReport, MatchedPair, evaluate
from geodl.matching.functional_map import functional_map, resolvent_mask
from geodl.matching.icp import icp
from geodl.matching.losses import bijectivity_loss, coupling_loss, orthogonality_loss
from geodl.matching.match import Match, SpectralShape, initial_fmap, match
from geodl.matching.match_all import MatchAllReport, match_all
from geodl.matching.partial import PartialMatch, partial_match
from geodl.matching.partial_shape import PartialShape
from geodl.matching.point_map import fmap_to_p2p, p2p_to_fmap, soft_p2p_to_fmap
from geodl.matching.synchronization import consistent_zoomout, cycle_error, synchronize
from geodl.matching.trust import Trust, orientation, trust
from geodl.matching.zoomout import bijective_zoomout, farthest_vertices, soft_zoomout, zoomout

__all__ = [
    "PROTOCOLS",
    "BarycentricMap",
    "CorrespondenceReport",
    "Match",
    "MatchAllReport",
    "MatchedPair",
    "PartialMatch",
    "PartialShape",
    "SpectralShape",
    "Trust",
    "bijective_zoomout",
    "bijectivity_loss",
    "consistent_zoomout",
    "coupling_loss",
    "cycle_error",
    "evaluate",
    "farthest_vertices",
    "fmap_to_p2p",
    "functional_map",
    "icp",
    "initial_fmap",
    "match",
    "match_all",
    "match_both_ways",
    "match_descriptors",
    "orientation",
    "orthogonality_loss",
    "p2p_to_fmap",
    "partial_match",
    "precise_map",
    "resolvent_mask",
    "smooth_both_ways",
    "soft_p2p_to_fmap",
    "soft_zoomout",
    "synchronize",
    "trust",
    "zoomout",
]
