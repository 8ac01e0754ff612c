"""Measures of motions: how far joints are from where they should be, and whether feet that stand stand still."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from geodl.data.skeleton import Skeleton

__all__ = ["bone_length_error", "contact_f1", "foot_contact", "foot_skate", "mpjpe"]


def mpjpe(predicted: Tensor, target: Tensor, align: bool = False) -> Tensor:
    r"""Mean per-joint position error.

    .. math:: \frac{1}{J} \sum_j | s A \hat p_j + t - p_j |

    with no motion (A = 1, s = 1, t = 0), or in every frame the similarity that brings the predicted joints nearest to the target
    (Procrustes; PA-MPJPE). A frame whose predicted joints coincide is only moved.

    Args:
        predicted, target: ``[..., J, 3]``.
        align: the second.

    Returns:
        ``[...]``, of every frame, in the unit of the positions.

    Raises:
        ValueError: shapes that differ or have no three coordinates.
    """
    if predicted.shape != target.shape or predicted.shape[-1:] != (3,) or predicted.dim() < 2:
        raise ValueError(
            f"predicted and target must both have shape [..., J, 3], not {list(predicted.shape)} and {list(target.shape)}"
        )
    if align:
        predicted = _aligned(predicted, target)
    error: Tensor = (predicted - target).norm(dim=-1)
    return error.mean(-1)


def _aligned(moving: Tensor, fixed: Tensor) -> Tensor:
    """The similarity of Umeyama (1991)."""
    middle: Tensor = fixed.mean(-2, keepdim=True)
    one, two = moving - moving.mean(-2, keepdim=True), fixed - middle
    u, s, vh = torch.linalg.svd(two.mT @ one)
    sign = torch.ones_like(s)
    sign[..., 2] = (u @ vh).det().sign()  # a reflection is no motion
    size = one.square().sum((-1, -2))
    scale = (s * sign).sum(-1) / torch.where(size > 0, size, 1.0)
    turned: Tensor = one @ (u * sign[..., None, :] @ vh).mT
    aligned: Tensor = turned * scale[..., None, None] + middle
    return aligned


def foot_contact(
    positions: Tensor,
    joints: Sequence[int],
    frame_time: float,
    speed: float = 0.3,
    height: float = 0.05,
    up: int = 1,
) -> Tensor:
    """Which foot joints stand on the ground, of motions that are true: they are slow, and near the lowest that they come.

    Args:
        positions: ``[F, J, 3]``, metres.
        joints: K joints of the feet.
        frame_time: in seconds.
        speed: metres a second below which a joint stands (central differences).
        height: metres above its lowest place (the 2 % quantile of the clip) below which it does.
        up: the axis that points up.

    Returns:
        ``[F, K]`` bool.

    Raises:
        ValueError: another shape, or a frame time, speed or height that is not positive.
    """
    feet = _feet(positions, joints, frame_time)
    if not speed > 0 or not height > 0:
        raise ValueError(f"speed and height must be positive, got {speed} and {height}")
    level = feet[..., up]
    return (_speed(feet, frame_time) < speed) & (level - level.quantile(0.02, dim=0) < height)


def contact_f1(predicted: Tensor, target: Tensor) -> Tensor:
    r"""How well contacts agree: the harmonic mean of precision and recall, 1 at best; unlike :func:`foot_skate`, it minds feet that
    stand where they should step.

    Args:
        predicted, target: of one shape, bool or 0 and 1.

    Returns:
        ``[]``; 1 if neither has a contact.

    Raises:
        ValueError: shapes that differ.
    """
    if predicted.shape != target.shape:
        raise ValueError(f"predicted has shape {list(predicted.shape)} but target has {list(target.shape)}")
    one, two = predicted.bool(), target.bool()
    either = one.sum() + two.sum()
    return torch.where(either > 0, 2 * (one & two).sum() / either.clamp(min=1), 1.0)


def foot_skate(
    positions: Tensor,
    joints: Sequence[int],
    frame_time: float,
    contact: Tensor | None = None,
    height: float = 0.02,
    up: int = 1,
) -> Tensor:
    r"""How fast feet move where they should stand, in metres a second: lower is better.

    With the contacts of the true motion, the mean speed of what stands. Without, for motions that have no true one, the mean speed
    weighted by how near the ground a joint is:

    .. math:: \sum_{t,k} w_{tk} v_{tk} / \sum_{t,k} w_{tk}, \quad w_{tk} = e^{-(h_{tk} - h_k) / h}

    with :math:`h_k` the lowest that joint k comes (the 2 % quantile of the clip). The plain sum :math:`\sum w v` is smaller for
    smoothed motions than for true ones, as their feet stay higher above their lowest place; divided by the weights it is not.
    Speeds are those from frame to frame. A statue doesn't skate: read this beside how far the body goes, or :func:`contact_f1`.

    Args:
        positions: ``[F, J, 3]``, metres.
        joints: K joints of the feet.
        frame_time: in seconds.
        contact: ``[F, K]``, which of the joints stand, as the data or :func:`foot_contact` of the true motion say.
        height: h, in metres.
        up: the axis that points up.

    Returns:
        ``[]``; NaN for a single frame, or if nothing ever stands.

    Raises:
        ValueError: shapes that do not fit, or a frame time or height that is not positive.
    """
    feet = _feet(positions, joints, frame_time)
    if not height > 0:
        raise ValueError(f"height must be positive, got {height}")
    if contact is not None and contact.shape != feet.shape[:2]:
        raise ValueError(
            f"contact must have shape {list(feet.shape[:2])}, one a frame and joint, not {list(contact.shape)}"
        )
    if len(feet) < 2:
        return feet.new_full((), float("nan"))
    speed: Tensor = (feet[1:] - feet[:-1]).norm(dim=-1) / frame_time
    if contact is not None:
        stands = contact.bool()
        return speed[stands[1:] & stands[:-1]].mean()
    level = (feet[1:, :, up] + feet[:-1, :, up]) / 2
    weight = torch.exp(-(level - level.quantile(0.02, dim=0)) / height)
    return (weight * speed).sum() / weight.sum()


def bone_length_error(positions: Tensor, skeleton: Skeleton) -> Tensor:
    """How far distances between joints and their parents are from the lengths of the bones, on the mean over bones; 0 at best.

    Args:
        positions: ``[..., J, 3]``.
        skeleton: of J joints.

    Returns:
        ``[...]``, in the unit of the positions.

    Raises:
        ValueError: another number of joints, or a skeleton without bones.
    """
    if positions.shape[-2:] != (skeleton.num_joints, 3):
        raise ValueError(
            f"positions must have shape [..., {skeleton.num_joints}, 3], not {list(positions.shape)}"
        )
    bones = skeleton.parents >= 0
    if not bool(bones.any()):
        raise ValueError("the skeleton has no bones: all joints are roots")
    length: Tensor = (positions[..., bones, :] - positions[..., skeleton.parents[bones], :]).norm(dim=-1)
    return (length - skeleton.bone_lengths[bones]).abs().mean(-1)


def _feet(positions: Tensor, joints: Sequence[int], frame_time: float) -> Tensor:
    if positions.dim() != 3 or positions.shape[2] != 3:
        raise ValueError(f"positions must have shape [F, J, 3], not {list(positions.shape)}")
    if not 0 < frame_time < float("inf"):
        raise ValueError(f"frame_time must be positive and finite, got {frame_time}")
    return positions[:, list(joints)]


def _speed(feet: Tensor, frame_time: float) -> Tensor:
    """``[F, K]`` by central differences, one-sided at the ends; 0 of a single frame."""
    if len(feet) < 2:
        return feet.new_zeros(feet.shape[:2])
    speed: Tensor = torch.gradient(feet, spacing=frame_time, dim=0)[0].norm(dim=-1)
    return speed
