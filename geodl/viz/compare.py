"""comparison: several methods on several shapes in one figure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from geodl.geometry.shapes import IndexLike, ShapeLike, SignalLike
from geodl.viz.colors import NO_LABEL, position_colors, rgb
from geodl.viz.heat_map import heat, heat_scale
from geodl.viz.picture import Size, write_picture
from geodl.viz.scene import Direction, Part, View, checked, checked_map, in_rows

__all__ = ["comparison"]


def comparison(
    reference: ShapeLike,
    shapes: Sequence[ShapeLike],
    maps: Mapping[str, Sequence[IndexLike]],
    path: str | os.PathLike[str],
    *,
    true: Sequence[IndexLike] | None = None,
    errors: Mapping[str, Sequence[SignalLike]] | None = None,
    max_error: float = 0.1,
    title: str = "",
    up: Direction = "y",
    front: Direction | None = None,
    size: Size | None = None,
    dpi: int = 100,
) -> Path:
    """A row a shape: the reference, the shape with the true colours, and with those of every method's map.

    Below every row, from the same side, its errors, if they are given: grey is none, dark red ``max_error`` or more.

    Args:
        reference: mesh that all maps point into.
        shapes: the matched meshes.
        maps: name of a method -> of every shape its map ``[V]``, as ``p2p`` of :func:`geodl.viz.correspondence`.
        path: of the picture to write (atomically): png, pdf or svg.
        true: of every shape the right map ``[V]``.
        errors: name of a method -> of every shape its errors ``[V]``, as in :func:`geodl.viz.error_map`.
        max_error, title, up, front, size, dpi: as in :func:`geodl.viz.error_map`.

    Returns:
        The path written.

    Raises:
        ValueError: no shape or method, methods with another number of maps, errors of other methods than the maps.
        ValueError, IndexError, ImportError: as :func:`geodl.viz.correspondence` and :func:`geodl.viz.error_map`.
    """
    if not shapes or not maps:
        raise ValueError(f"there is nothing to compare: {len(shapes)} shapes, {len(maps)} methods")
    lists = {
        **maps,
        **({} if true is None else {"true": true}),
        **{f"errors of {n}": e for n, e in (errors or {}).items()},
    }
    for name, given in lists.items():
        if len(given) != len(shapes):
            raise ValueError(f"there are {len(shapes)} shapes, but {name} has {len(given)} entries")
    if errors is not None and set(errors) != set(maps):
        raise ValueError(f"errors are of {', '.join(errors)}, but maps of {', '.join(maps)}")
    base = checked("reference", reference)
    view = View.of(up, front)
    color = position_colors(base, up, front)
    padded = torch.cat([color, rgb([NO_LABEL])])
    rows: list[list[Part]] = []
    unreachable = False
    for number, shape in enumerate(shapes):
        target = checked(f"shape {number}", shape)
        row: list[Part] = [("reference", "reference", base, color, view)]
        if true is not None:
            onto = checked_map(f"true {number}", true[number], target, base)
            row.append(("shape", "ground truth", target, padded[onto], view))
        first = len(row)
        for name, given in maps.items():
            onto = checked_map(f"map {number} of {name}", given[number], target, base)
            row.append(("shape", name, target, padded[onto], view))
        rows.append(row)
        if errors is None:
            continue
        below = [_blank(part) for part in row[:first]]
        for name in maps:
            worn, mean, lost = heat(f"error {number} of {name}", errors[name][number], target, max_error)
            unreachable |= lost
            below.append(("shape", f"mean {100 * mean:.1f} %", target, worn, view))
        rows.append(below)
    beside = None if errors is None else heat_scale(max_error, unreachable)
    return write_picture(in_rows(rows), path, title, beside, size, dpi)


def _blank(part: Part) -> Part:
    """The same mesh in grey, where a row of errors has nothing to say."""
    argument, _, mesh, color, view = part
    return argument, "", mesh, rgb(["#e9eaec"]).expand(len(color), 3), view
