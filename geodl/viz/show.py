"""show: shapes that turn under the mouse, in one HTML file."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geodl.data.shapes import as_shape
from geodl.geometry import surface_area
from geodl.geometry.shapes import IndexLike, ShapeLike, SignalLike, as_signal
from geodl.matching import Match
from geodl.viz.colors import SEQUENTIAL, label_colors, position_colors
from geodl.viz.layers import checked_color, checked_label, checked_scalar, ends_of_scale, one_layer
from geodl.viz.page import Packed, Page
from geodl.viz.pixels import rgb
from geodl.viz.scene import Direction, Surface, View, checked, checked_map

__all__ = ["show"]

_MOST_VECTORS = 3000
_MOST_FRAMES = 4096


def show(
    shapes: ShapeLike | list[ShapeLike],
    *,
    color: SignalLike | None = None,
    scalar: SignalLike | None = None,
    label: SignalLike | None = None,
    vectors: SignalLike | None = None,
    texture: tuple[Any, SignalLike] | None = None,
    frames: SignalLike | None = None,
    map: IndexLike | None = None,
    linked: bool = True,
    limits: tuple[float, float] | None = None,
    names: Sequence[str] | None = None,
    title: str = "",
    up: Direction = "y",
    front: Direction | None = None,
) -> Page:
    """A page with shapes side by side that turn under the mouse, works offline, and shows itself in notebooks.

    Under the mouse a vertex is named, with its value, and marked on every other shape too: where ``map`` says, or where shapes
    have equally many vertices, at the one of the same number. With a map and no layer, the first shape is coloured by position; the
    second wears what the first does at the matched vertices. Of a list of shapes, a layer is a list with an entry (or None) each.

    Positions are kept within a 131070th of the shape's extent, functions within one of the scale.

    Args:
        shapes: a mesh or cloud, whatever :func:`geodl.data.as_shape` takes, or a list of them, or a
            :class:`~geodl.matching.Match` that holds what it matched. A shape's own ``color`` is worn if nothing else is given.
        color: ``[V, 3]`` or ``[V, 1]``, floats in 0..1 or uint8, sRGB; ``[T, V, 3]`` of frames.
        scalar: ``[V]``, or ``[V, C]`` for a slider over channels; finite. All shapes have one scale.
        label: ``[V]`` integers. A label has the same colour in every picture; negative ones (no label) are grey.
        vectors: ``[V, 3]``, in the unit of the positions; the longest are drawn as long as a twentieth of the shape. Of more than
            3,000 vertices every k-th has its line.
        texture: an image ``[3, H, W]`` as of :func:`geodl.viz.images`, and its coordinates ``uv [V, 2]``: (0, 0) is its lower left.
        frames: positions ``[T, V, 3]`` for a slider over time.
        map: of two shapes: ``[V2]``, a vertex of the first for every vertex of the second (p2p_21), -1 for none.
        linked: whether shapes turn together and answer one another under the mouse.
        limits: the ends of the scale of ``scalar``; if None, its smallest and largest value.
        names: of the shapes, written below them.
        title: of the page.
        up, front: axes such as "y" or "-z", or directions ``[3]``; see :func:`geodl.viz.correspondence`.

    Returns:
        The page: ``.save(path)``, ``.open()`` in the browser, ``.html``.

    Raises:
        ValueError, IndexError: no shape, one that is empty or not finite, layers that do not fit it; the message names which.
        TypeError: what is no shape.
    """
    if isinstance(shapes, Match):
        map, held = shapes.p2p_21, getattr(shapes, "shapes", None)
        if held is None:
            raise ValueError("the match does not hold its shapes: show([shape_1, shape_2], map=found.p2p_21)")
        shapes = [shape.mesh for shape in held]
    several = isinstance(shapes, list)
    given = list(shapes) if several else [shapes]
    if not given:
        raise ValueError("shapes is empty: there is nothing to show")

    def each(argument: str, layer: Any) -> list[Any]:
        if layer is None or not several:
            return [layer] * len(given)
        if not isinstance(layer, Sequence) or len(layer) != len(given):
            found = f"{len(layer)} entries" if isinstance(layer, Sequence) else type(layer).__name__
            raise ValueError(
                f"{argument} must be a list with one entry for each of the {len(given)} shapes, not {found}"
            )
        return list(layer)

    columns = [
        each(name, layer)
        for name, layer in (
            ("color", color),
            ("scalar", scalar),
            ("label", label),
            ("vectors", vectors),
            ("texture", texture),
            ("frames", frames),
        )
    ]
    if names is not None and len(names) != len(given):
        raise ValueError(f"there are {len(given)} shapes but {len(names)} names")
    dressed = [
        _dressed(f"shape {number}" if several else "shape", shape, *layers)
        for number, (shape, *layers) in enumerate(zip(given, *columns, strict=True))
    ]
    onto = None if map is None else _checked_map(map, dressed)
    if onto is not None and all(body.bare for body in dressed):
        dressed[0].color = position_colors(dressed[0].shape, up, front)[None]

    scalars = [body.scalar for body in dressed if body.scalar is not None]
    if limits is not None and not scalars:
        raise ValueError("limits are those of scalar, which is not given")
    scale = ends_of_scale(scalars, limits) if scalars else None
    labels = [body.label for body in dressed if body.label is not None]
    legend = torch.unique(torch.cat(labels)) if labels else None
    # None dwarfs another: all are drawn in units of sqrt(area), or, where one has no area, of their extent.
    flat = any(not body.area > 0 for body in dressed)
    sizes = [body.extent if flat else math.sqrt(body.area) for body in dressed]
    data = Packed()
    described = [
        _described(data, body, sizes[number], "" if names is None else str(names[number]), scale, legend)
        for number, body in enumerate(dressed)
    ]
    if onto is not None and dressed[1].bare:
        described[1]["carried"] = True
    steps = max(body.steps for body in dressed)
    if steps > _MOST_FRAMES:
        raise ValueError(f"a page shows at most {_MOST_FRAMES} channels or frames, not {steps}")
    scene = {
        "shapes": described,
        "map": None if onto is None else data.integers(_narrow(onto[:, None], len(dressed[0].pos[0]))),
        "linked": linked,
        "limits": scale,
        "ramp": SEQUENTIAL,
        "legend": None
        if legend is None
        else [[str(n), _hex(c)] for n, c in zip(legend.tolist(), label_colors(legend).tolist(), strict=True)],
        "turn": View.of(up, front).axes.ravel().tolist(),
        "radius": max(body.reach / size for body, size in zip(dressed, sizes, strict=True)),
        "steps": steps,
    }
    return Page.of(scene, data, title, "frame" if any(body.moves for body in dressed) else "channel")


@dataclass
class _Dressed:
    """A shape with what it wears, all of it checked."""

    shape: Surface | Any
    pos: Tensor  # [T, V, 3]
    color: Tensor | None = None  # [T, V, 3]
    scalar: Tensor | None = None  # [V, C]
    label: Tensor | None = None  # [V]
    vectors: Tensor | None = None  # [V, 3]
    image: Any = None  # [H, W, 3] uint8
    uv: Tensor | None = None  # [V, 2]

    @property
    def face(self) -> Tensor | None:
        found: Tensor | None = getattr(self.shape, "face", None)
        return found

    @property
    def bare(self) -> bool:
        return self.color is None and self.scalar is None and self.label is None and self.image is None

    @property
    def moves(self) -> bool:
        return len(self.pos) > 1 or (self.color is not None and len(self.color) > 1)

    @property
    def steps(self) -> int:
        channels = 1 if self.scalar is None else self.scalar.shape[1]
        return max(len(self.pos), channels, 1 if self.color is None else len(self.color))

    @property
    def centre(self) -> Tensor:
        return (self.pos[0].amin(0) + self.pos[0].amax(0)) / 2

    @property
    def area(self) -> float:
        return 0.0 if self.face is None else float(surface_area(self.shape))

    @property
    def extent(self) -> float:
        return float((self.pos[0].amax(0) - self.pos[0].amin(0)).norm()) / 2 or 1.0

    @property
    def reach(self) -> float:
        return float((self.pos - self.centre).norm(dim=2).max()) or 1.0


def _dressed(
    argument: str, given: Any, color: Any, scalar: Any, label: Any, vectors: Any, texture: Any, frames: Any
) -> _Dressed:
    one_layer(color=color, scalar=scalar, label=label, texture=texture)
    try:
        given = as_shape(given)
    except TypeError as error:
        raise TypeError(f"{argument}: {error}") from error
    shape = _drawable(argument, given)
    vertices = shape.pos.shape[0]
    body = _Dressed(shape, shape.pos[None])
    bare = color is None and scalar is None and label is None and texture is None
    own = getattr(given, "color", None) if bare else None
    if own is not None:
        try:
            body.color = _frames_of_color(own, vertices)
        except ValueError as error:
            warnings.warn(f"{argument} is drawn without its own color: {error}", stacklevel=3)
    try:
        if color is not None:
            body.color = _frames_of_color(color, vertices)
        if scalar is not None:
            body.scalar = checked_scalar("scalar", scalar, vertices).reshape(vertices, -1)
        if label is not None:
            body.label = checked_label("label", label, vertices)
        if vectors is not None:
            body.vectors = _numbers("vectors", vectors, [vertices, 3])
        if texture is not None:
            image, uv = texture
            body.image, body.uv = (
                rgb("the image of texture", image),
                _numbers("the uv of texture", uv, [vertices, 2]),
            )
        if frames is not None:
            count = len(as_signal("frames", frames))
            body.pos = _numbers("frames", frames, [max(count, 1), vertices, 3])
    except ValueError as error:
        raise ValueError(f"{argument}: {error}") from error
    return body


def _frames_of_color(color: Any, vertices: int) -> Tensor:
    worn = checked_color("color", color, vertices)
    return worn[None] if worn.dim() == 2 else worn


def _drawable(argument: str, shape: Any) -> Any:
    """A mesh or cloud in float64 on the CPU that can be drawn, or an error that names it."""
    if getattr(shape, "face", None) is not None:
        return checked(argument, shape)
    pos = getattr(shape, "pos", None)
    if pos is None or pos.dim() != 2 or pos.shape[1] != 3:
        raise ValueError(f"{argument} must have positions [V, 3], it is a {type(shape).__name__} without")
    if not len(pos):
        raise ValueError(f"{argument} has no points: there is nothing to draw")
    bad = ~torch.isfinite(pos).all(1)
    if bool(bad.any()):
        raise ValueError(
            f"{argument}: {int(bad.sum())} points are NaN or infinite, the first is {int(bad.nonzero()[0])}"
        )
    return _Points(pos.detach().cpu().double())


@dataclass(frozen=True)
class _Points:
    pos: Tensor


def _numbers(argument: str, values: Any, shape: list[int]) -> Tensor:
    made = as_signal(argument, values).detach().cpu().double()
    if list(made.shape) != shape:
        raise ValueError(f"{argument} must have shape {shape}, not {list(made.shape)}")
    if not bool(torch.isfinite(made).all()):
        raise ValueError(f"{argument}: {int((~torch.isfinite(made)).sum())} entries are NaN or infinite")
    return made


def _checked_map(onto: IndexLike, dressed: list[_Dressed]) -> Tensor:
    if len(dressed) != 2:
        raise ValueError(f"a map joins two shapes, but there are {len(dressed)}")
    made = checked_map("map", onto, dressed[1].shape, dressed[0].shape)
    return torch.where(made < 0, dressed[0].pos.shape[1], made)


def _described(
    data: Packed,
    body: _Dressed,
    size: float,
    name: str,
    scale: tuple[float, float] | None,
    legend: Tensor | None,
) -> dict[str, Any]:
    frames, vertices = body.pos.shape[:2]
    made: dict[str, Any] = {
        "name": name,
        "frames": frames,
        # Pages count in float32, which is too coarse far from the origin.
        "centre": [0.0, 0.0, 0.0],
        "size": size,
        "pos": data.floats((body.pos - body.centre).reshape(-1, 3).numpy()),
        "face": None if body.face is None else data.integers(_narrow(body.face.T, vertices)),
    }
    if body.color is not None:
        made["color"] = data.integers((255 * body.color).round().to(torch.uint8).reshape(-1, 3).numpy())
    if body.scalar is not None and scale is not None:
        share = ((body.scalar - scale[0]) / (scale[1] - scale[0])).clamp(0, 1)
        made["scalar"] = data.integers((65535 * share).round().T.reshape(-1, 1).numpy().astype(np.uint16))
    if body.label is not None and legend is not None:
        made["label"] = data.integers(_narrow(torch.searchsorted(legend, body.label)[:, None], len(legend)))
    if body.vectors is not None:
        some = torch.arange(0, vertices, -(-vertices // _MOST_VECTORS))
        longest = float(body.vectors.norm(dim=1).max()) or 1.0
        start, way = body.pos[0][some] - body.centre, body.vectors[some] * (0.1 * body.reach / longest)
        made["lines"] = data.floats(torch.stack([start, start + way], dim=1).reshape(-1, 3).numpy())
    if body.uv is not None:
        made["uv"] = data.floats(body.uv.numpy())
        # The first row of the image is its uppermost, of a texture the lowest.
        made["image"] = data.integers(np.ascontiguousarray(body.image[::-1]).reshape(-1, 3))
        made["image_size"] = list(body.image.shape[:2])
    return made


def _narrow(index: Tensor, largest: int) -> Any:
    return index.contiguous().numpy().astype(np.uint16 if largest <= 65535 else np.uint32)


def _hex(color: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in color)
