"""What a network is given of a batch: the arguments of its ``forward``, by their names."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from geodl.models import DeLAParts, PointNet
from geodl.models.compiled import uncompiled
from geodl.models.on_batch import arguments
from geodl.models.pointnet import feature_transform_regularizer

__all__ = ["apply", "apply_with_penalty"]

# Weight of PointNet's penalty on matrices of features that are far from rotations (Qi et al. 2017).
_PENALTY = 0.001


def apply(model: nn.Module, batch: Any) -> Tensor:
    """The network, maybe one of the user's own, on a packed batch: see :func:`~geodl.models.on_batch.arguments`."""
    inner = uncompiled(model)
    scores: Tensor = model(**arguments(inner.forward, inner, batch))
    return scores


def apply_with_penalty(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor | float]:
    """Scores, and what a network adds to the loss in training: PointNet that its matrices are rotations, DeLA its offset loss."""
    inner = uncompiled(model)
    if isinstance(inner, PointNet):
        pooled, matrices = inner.features(**arguments(inner.features, inner, batch))
        scores: Tensor = inner.head(pooled)
        return scores, _PENALTY * feature_transform_regularizer(matrices)
    if isinstance(inner, DeLAParts):
        return inner.scores_and_offset_loss(**arguments(inner.scores_and_offset_loss, inner, batch))
    return apply(model, batch), 0.0
