"""The skeleton of the procedural body, for motions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from geodl.data import Skeleton
from geodl.data.bvh import END
from geodl.datasets.body import BONES

__all__ = ["body_skeleton"]

_TIPS = ("head", "left hand", "right hand", "left foot", "right foot")


def body_skeleton(scales: NDArray[np.float64] | None = None) -> Skeleton:
    """The skeleton of the procedural body: its 17 bones, and the ends of head, hands and feet.

    Args:
        scales: ``[17, 3, 3]`` of every bone; None for the average body.

    Returns:
        float32, metres, x to the left, y up, z to the front.
    """
    scales = np.tile(np.eye(3), (len(BONES), 1, 1)) if scales is None else scales
    names, parents, offsets = [], [], []
    for bone in BONES:
        above = bone.parent
        names.append(bone.name)
        parents.append(above)
        offsets.append(
            bone.joint if above < 0 else scales[above] @ np.subtract(bone.joint, BONES[above].joint)
        )
    for name in _TIPS:
        number = names.index(name)
        names.append(f"{name} {END}")
        parents.append(number)
        offsets.append(scales[number] @ np.subtract(BONES[number].end, BONES[number].joint))
    placed = torch.tensor(np.array(offsets), dtype=torch.float32)
    return Skeleton(tuple(names), torch.tensor(parents), placed)
