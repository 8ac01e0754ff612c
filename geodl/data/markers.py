"""Motion capture with lost markers: what is lost at random, and what can be said without learning."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

__all__ = ["fill_markers", "lose_markers"]


def lose_markers(
    clips: int, frames: int, markers: int, share: float = 0.3, gap: int = 20,
    generator: torch.Generator | None = None,
) -> Tensor:  # fmt: skip
    """Which markers are seen when in each of several clips: a random share of them is lost for one gap, all in the same frames.

    Args:
        clips, frames, markers: B, T and J.
        share: of the markers, in [0, 1].
        gap: frames; the first and the last of a clip are always seen.
        generator: of random numbers.

    Returns:
        ``[B, T, J]`` bool.

    Raises:
        ValueError: a share outside of [0, 1], or a gap that does not fit.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    if not 0 <= gap <= frames - 2:
        raise ValueError(f"a gap within {frames} frames has 0 to {frames - 2}, not {gap}")
    order = torch.rand(clips, 1, markers, generator=generator).argsort(2).argsort(2)
    start = torch.randint(1, frames - gap, (clips, 1, 1), generator=generator)
    time = torch.arange(frames)[:, None]
    return ~((order < round(share * markers)) & (time >= start) & (time < start + gap))


def fill_markers(
    positions: Tensor,
    seen: Tensor,
    kind: Literal["linear", "pchip", "cubic"] = "linear",
    smoothing: float = 0.0,
) -> Tensor:
    """Interpolates every lost marker over time, from the frames in which it is seen; before and after those it stays.

    Args:
        positions: ``[B, T, J, 3]``; what is not seen is not read.
        seen: ``[B, T, J]`` bool.
        kind: straight lines, or piecewise (pchip) or smooth (not-a-knot) cubic splines.
        smoothing: deviation of a Gaussian over time that everything is smoothed with before, in frames; 0 for none.

    Returns:
        ``[B, T, J, 3]``.

    Raises:
        ValueError: shapes that do not fit, no such kind, a negative smoothing, or a marker that is never seen in a clip.
    """
    if positions.dim() != 4 or seen.shape != positions.shape[:3]:
        raise ValueError(
            f"positions must be [B, T, J, 3] and seen [B, T, J], not {list(positions.shape)} and {list(seen.shape)}"
        )
    if kind not in ("linear", "pchip", "cubic"):
        raise ValueError(f'kind must be "linear", "pchip" or "cubic", not {kind!r}')
    if smoothing < 0:
        raise ValueError(f"smoothing must not be negative, got {smoothing}")
    if not bool((found := seen.any(1)).all()):
        clip, marker = (~found).nonzero()[0].tolist()
        raise ValueError(f"marker {marker} is never seen in clip {clip}: there is nothing to interpolate")
    filled = _straight(positions, seen)
    if smoothing > 0:
        smooth = gaussian_filter1d(filled.cpu().numpy(), smoothing, axis=1, mode="nearest")
        filled = torch.from_numpy(smooth).to(positions)
        positions = filled
    return filled if kind == "linear" and not smoothing else _curved(positions, seen, kind)


def _straight(positions: Tensor, seen: Tensor) -> Tensor:
    frames = positions.shape[1]
    time = torch.arange(frames, device=seen.device)[None, :, None].expand_as(seen)
    before = torch.where(seen, time, -1).cummax(1).values
    after = torch.where(seen, time, frames).flip(1).cummin(1).values.flip(1)
    before, after = torch.where(before < 0, after, before), torch.where(after == frames, before, after)
    share = (time - before) / (after - before).clamp(min=1)

    def at(frame: Tensor) -> Tensor:
        return positions.gather(1, frame[..., None].expand_as(positions))

    return torch.lerp(at(before), at(after), share[..., None].to(positions))


def _curved(positions: Tensor, seen: Tensor, kind: str) -> Tensor:
    made = positions.detach().cpu().double().numpy().copy()
    mask = seen.cpu().numpy()
    time = np.arange(made.shape[1])
    for clip, marker in zip(*np.nonzero(~mask.all(1)), strict=True):
        here = mask[clip, :, marker]
        known, values = time[here], made[clip, here, marker]
        if len(known) < 2 or kind == "linear":
            found = np.stack([np.interp(time, known, axis) for axis in values.T], 1)
        else:
            spline = (CubicSpline if kind == "cubic" else PchipInterpolator)(known, values, axis=0)
            found = spline(time.clip(known[0], known[-1]))
        made[clip, ~here, marker] = found[~here]
    return torch.from_numpy(made).to(positions)
