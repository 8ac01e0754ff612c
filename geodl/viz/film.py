"""Films: a synthesis as it comes about, a walk through latent space."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from geodl.data.whole_file import whole_file
from geodl.viz.pixels import INSTALL_MATPLOTLIB, rgb
from geodl.viz.scene import Pixels

__all__ = ["film"]

_FASTEST_GIF = 50  # viewers slow down what is faster
_SAMPLES = 1 << 20  # pixels that the colours of a GIF are chosen by


def film(frames: Iterable[Any], path: str | os.PathLike[str], *, fps: float = 12) -> Path:
    """Frames one after the other, as a GIF that starts again at its end, or as an MP4 (H.264).

    A GIF has 256 colours for all of its frames together, so that still parts don't flicker.

    Args:
        frames: images ``[3, H, W]``, ``[1, H, W]`` or ``[H, W]`` of one size, floats in 0..1 or uint8; or paths of pictures, such
            as :func:`geodl.viz.surface` writes.
        path: of the file to write (atomically), .gif or .mp4. For the latter imageio-ffmpeg is needed.
        fps: frames a second; of a GIF rounded to hundredths of a second a frame.

    Returns:
        The path written.

    Raises:
        ValueError: no frames, frames of different sizes, or of another shape, dtype or range; ``fps`` not positive, or above 50
            for a GIF; another file type.
        FileNotFoundError: a frame's file is not there.
        ImportError: Pillow (which comes with matplotlib), or for MP4 imageio-ffmpeg, is not installed.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".gif", ".mp4"):
        raise ValueError(f"path must end in .gif or .mp4, it is {str(path)!r}")
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps must be positive and finite, not {fps}")
    if kind == ".gif" and fps > _FASTEST_GIF:
        raise ValueError(f"a GIF shows at most {_FASTEST_GIF} frames a second, not {fps}; write an .mp4")
    made = [_frame(number, frame) for number, frame in enumerate(frames)]
    if not made:
        raise ValueError("frames is empty: there is nothing to show")
    for number, frame in enumerate(made):
        if frame.shape != made[0].shape:
            sizes = [f"{f.shape[1]} x {f.shape[0]}" for f in (made[0], frame)]
            raise ValueError(f"frame 0 has {sizes[0]} pixels but frame {number} has {sizes[1]}")
    (_write_gif if kind == ".gif" else _write_mp4)(made, path, fps)
    return path


def _frame(number: int, frame: Any) -> Pixels:
    if not isinstance(frame, str | os.PathLike):
        return rgb(f"frame {number}", frame)
    image_module = _pillow()
    with image_module.open(frame) as image:
        whole = image.convert("RGBA")
    paper = image_module.new("RGBA", whole.size, "white")
    return np.array(image_module.alpha_composite(paper, whole).convert("RGB"))


def _write_gif(frames: list[Pixels], path: Path, fps: float) -> None:
    image_module = _pillow()
    pixels = np.concatenate([frame.reshape(-1, 3) for frame in frames])
    some = np.ascontiguousarray(pixels[:: max(1, len(pixels) // _SAMPLES)])[None]
    palette = image_module.fromarray(some).quantize(256)
    first, *others = (image_module.fromarray(frame).quantize(palette=palette) for frame in frames)
    with whole_file(path) as part:
        first.save(
            part,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=10 * round(100 / fps),
            loop=0,
            optimize=False,
        )


def _write_mp4(frames: list[Pixels], path: Path, fps: float) -> None:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ImportError(
            f"an .mp4 needs imageio-ffmpeg: pip install imageio-ffmpeg; a .gif does without ({error})"
        ) from error
    tall, wide = frames[0].shape[:2]
    odd = ((0, tall % 2), (0, wide % 2), (0, 0))  # H.264 halves the resolution of colours
    with whole_file(path) as part:
        writer = imageio_ffmpeg.write_frames(
            str(part),
            (wide + wide % 2, tall + tall % 2),
            fps=fps,
            quality=8,
            macro_block_size=1,
            output_params=["-f", "mp4"],
        )
        writer.send(None)
        try:
            for frame in frames:
                writer.send(np.ascontiguousarray(np.pad(frame, odd, mode="edge")))
        finally:
            writer.close()


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(f"films need Pillow, which comes with {INSTALL_MATPLOTLIB} ({error})") from error
    return Image
