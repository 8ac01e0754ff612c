"""remembered: what was made of a tensor, kept for as long as the tensor lives and is not changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

Made = TypeVar("Made")

_KNOWN: WeakIdKeyDictionary = WeakIdKeyDictionary()


def remembered(tensor: Tensor, key: Hashable, make: Callable[[], Made]) -> Made:
    """``make()``, called once for a tensor and a key; anew after a change of the tensor in place.

    What is made must not hold the tensor, or neither would ever be freed. An inference tensor does not count its changes.
    """
    version = 0 if tensor.is_inference() else tensor._version
    found = _KNOWN.get(tensor)
    if found is None or found[0] != version:
        found = _KNOWN[tensor] = (version, {})
    known = found[1]
    if key not in known:
        with torch.inference_mode(False):  # so that one can train with it afterwards
            known[key] = make()
    return cast(Made, known[key])
