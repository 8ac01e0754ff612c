"""Point maps between shapes: made from descriptors, judged by geodesic error."""

from geodl.matching.descriptors import match_descriptors
from geodl.matching.evaluation import PROTOCOLS, CorrespondenceReport, MatchedPair, evaluate

__all__ = ["PROTOCOLS", "CorrespondenceReport", "MatchedPair", "evaluate", "match_descriptors"]
