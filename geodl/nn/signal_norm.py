"""Batch normalisation of signals on any domain."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SignalBatchNorm"]


class SignalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation over all axes but that of the channels, which is the second: torch's, for every number of axes.

    Shapes:
        ``[V, C]``, ``[B, C, V]``, ``[B, C, *size]``, unchanged. Arguments and state dict are those of
        :class:`torch.nn.BatchNorm2d`.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"x must have channels as its second axis, but it has shape {list(input.shape)}")
