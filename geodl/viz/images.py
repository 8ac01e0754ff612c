"""Images in rows and columns."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from geodl.viz.picture import save_figure
from geodl.viz.pixels import INSTALL_MATPLOTLIB, rgb

__all__ = ["images"]

_WIDEST = 2400  # pixels
_SMALLEST = 112  # a smaller image is magnified, by a whole number so that its pixels stay squares
_GAP, _MARGIN, _HEAD, _LINE = 6, 16, 44, 30
_LETTER, _HEAD_LETTER = 9, 13  # pixels of a title
_DPI = 100


def images(
    images: Tensor | Sequence[Any],
    path: str | os.PathLike[str],
    *,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    title: str = "",
) -> Path:
    """A grid of images, row by row. Small images are magnified, and all of them reduced where the picture would be too wide.

    Args:
        images: ``[N, C, H, W]``, or a sequence of ``[C, H, W]`` or ``[H, W]`` of any sizes; C is 3 (sRGB) or 1 (grey), floats in
            0..1 or uint8.
        path: of the PNG to write (atomically).
        titles: written below the images, one each.
        columns: number of images in a row; if None, as many as make the picture about square.
        title: written above the picture.

    Returns:
        The path written.

    Raises:
        ValueError: no images, one of another shape, dtype or range, titles that are not one an image, no column, or a path that
            does not end in .png.
        ImportError: matplotlib is not installed.
    """
    if not len(images):
        raise ValueError("images is empty: there is nothing to draw")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"there are {len(images)} images but {len(titles)} titles")
    made = [rgb(f"image {number}", image) for number, image in enumerate(images)]
    if columns is None:
        columns = math.ceil(math.sqrt(len(made)))
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    columns = min(columns, len(made))
    tall, wide = max(len(image) for image in made), max(image.shape[1] for image in made)
    shrink = -(-columns * (wide + _GAP) // _WIDEST)
    if shrink > 1:
        made = [_reduced(image, shrink) for image in made]
    else:
        larger = max(1, min(-(-_SMALLEST // max(tall, wide)), _WIDEST // (columns * (wide + _GAP))))
        made = [image.repeat(larger, 0).repeat(larger, 1) for image in made]
    tall, wide = max(len(image) for image in made), max(image.shape[1] for image in made)
    line = 0
    if titles is not None:
        line, wide = _LINE, max(wide, _LETTER * max(map(len, titles)))
    rows, head = -(-len(made) // columns), _HEAD if title else 0
    height = 2 * _MARGIN + head + rows * (tall + line + _GAP) - _GAP
    width = max(2 * _MARGIN + columns * (wide + _GAP) - _GAP, _HEAD_LETTER * len(title))
    left = (width - columns * (wide + _GAP) + _GAP) // 2
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    places = []
    for number, image in enumerate(made):
        row, column = divmod(number, columns)
        y, x = _MARGIN + head + row * (tall + line + _GAP), left + column * (wide + _GAP)
        up, aside = y + (tall - len(image)) // 2, x + (wide - image.shape[1]) // 2
        canvas[up : up + len(image), aside : aside + image.shape[1]] = image
        places.append(((x + wide / 2) / width, 1 - (y + tall + line / 2) / height))
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"grids of images need matplotlib: {INSTALL_MATPLOTLIB} ({error})") from error
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.figimage(canvas, origin="upper")
    for (across, high), text in zip(places, titles or (), strict=False):
        figure.text(across, high, text, ha="center", va="center", size=11)
    if title:
        figure.text(0.5, 1 - (_MARGIN / 2 + head / 2) / height, title, ha="center", va="center", size=15)
    return save_figure(figure, Path(path))


def _reduced(image: Any, factor: int) -> Any:
    from PIL import Image  # matplotlib brings it

    return np.asarray(Image.fromarray(image).reduce(factor))
