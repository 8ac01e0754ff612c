"""Networks that ``torch.compile`` has wrapped."""

from __future__ import annotations

from torch import nn

__all__ = ["uncompiled"]


def uncompiled(model: nn.Module) -> nn.Module:
    """What ``torch.compile`` has wrapped; any other network itself."""
    inner: nn.Module = getattr(model, "_orig_mod", model)
    return inner
