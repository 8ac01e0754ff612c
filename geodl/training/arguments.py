"""What a network is given of a batch: the arguments of its ``forward``, by their names."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from geodl.models import DeLAParts, PointNet
from geodl.models.pointnet import feature_transform_regularizer

__all__ = ["apply", "apply_with_penalty"]

_PENALTY = (
    0.001  # weight of PointNet's penalty on matrices of features that are far from rotations (Qi et al. 2017)
)


def apply(model: nn.Module, batch: Any) -> Tensor:
    """The network on a packed batch.

    An argument of ``forward`` is the batch's attribute of its name; ``charts`` may be its ``windows``. A network of one category
    is told that one. What has a default and is not there is left out, and so is ``x`` for networks that read positions alone.

    Raises:
        ValueError: the batch lacks an argument that the network needs.
    """
    scores: Tensor = model(**_arguments(model.forward, model, batch))
    return scores


def apply_with_penalty(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor | float]:
    """Scores, and what a network adds to the loss in training: PointNet that its matrices are rotations, DeLA its offset loss."""
    if isinstance(model, PointNet):
        pooled, matrices = model.features(**_arguments(model.features, model, batch))
        scores: Tensor = model.head(pooled)
        return scores, _PENALTY * feature_transform_regularizer(matrices)
    if isinstance(model, DeLAParts):
        return model.scores_and_offset_loss(**_arguments(model.scores_and_offset_loss, model, batch))
    return apply(model, batch), 0.0


def _arguments(function: Any, model: nn.Module, batch: Any) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        value = _value(name, model, batch)
        if value is not None:
            given[name] = value
        elif parameter.default is inspect.Parameter.empty:
            raise ValueError(f"{type(model).__name__} reads {name}, which the batch does not have")
    return given


def _value(name: str, model: nn.Module, batch: Any) -> Any:
    value = getattr(batch, name, None)
    if name == "charts" and value is None:
        return getattr(batch, "windows", None)
    if name == "category" and value is None and getattr(model, "categories", None) == 1:
        return torch.zeros(len(batch.ptr) - 1, dtype=torch.int64, device=batch.ptr.device)
    if name == "x" and getattr(model, "in_channels", None) == 0:
        return None
    return value
