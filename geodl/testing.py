"""What must not matter to a network on shapes: one line tests a newcomer's layer."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools
import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch_geometric.data import Data

from geodl.data import collate
from geodl.geometry import Charts, Gradient, Spectrum
from geodl.ops import Neighbors, PolarWindows

__all__ = ["assert_invariant"]

Symmetry = Literal["frames", "rotation", "order", "batch", "scale"]
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
_FACTORS = (1e-3, 7.0, 1e3)
_POSITIONS, _DIRECTIONS = ("pos", "sample_pos"), ("normal",)
_INDICES = ("face", "edge_index")

Arguments = dict[str, Any]
Layer = Callable[..., Any]
Change = Callable[[str, Any], Any]


def assert_invariant(
    layer: Layer,
    *calls: Any,
    under: Symmetry,
    step: float | None = None,
    vectors: bool = False,
    tolerance: float | None = None,
) -> None:
    r"""Asserts that a layer or network does not depend on what means nothing.

    ======== ==========================================================================================================
    under    what is done to the arguments, and what must come out
    ======== ==========================================================================================================
    frames   the tangent frame of every point is turned by an angle of its own: polar :class:`Charts`,
             :class:`Gradient`, :class:`PolarWindows`. The same comes out.
    rotation positions and normals are turned, cartesian charts with them. The same comes out.
    scale    shapes are 1/1000, 7 and 1000 times as large: positions, :class:`Charts`, :class:`Gradient`,
             :class:`Spectrum`. The same comes out.
    order    points are numbered anew, and rows list their neighbours backwards. What has a row a point comes out in the
             new order, all else as before. Shapes of a packed batch stay apart.
    batch    the calls are packed into one. What comes out is what each call gives, one below the other.
    ======== ==========================================================================================================

    ::

        assert_invariant(conv, (x, neighbors), under="order")
        assert_invariant(conv, (x, charts), under="frames", step=2 * math.pi / 8)
        assert_invariant(network, (pos_1,), (pos_2,), (pos_3,), under="batch")
        assert_invariant(lambda mesh: network(VertexSignal()(mesh).x, spectrum(mesh, 9)), mesh, under="rotation")

    Arguments are tensors, operator types, PyG ``Data`` and sequences of these. Positions are what ``forward`` or ``Data`` calls
    ``pos``, normals what it calls ``normal``; a tensor with as many rows as there are points has a row a point. A ``ptr`` or
    ``batch`` that ``forward`` takes is filled in where calls are packed.

    Args:
        layer: a module or function. It is called as it is: in training mode, batch norm sees the whole batch.
        calls: the arguments of a call each, a tuple or one alone; at least two of them for ``batch``.
        under: one of the above.
        step: frames are turned by multiples of this angle alone, for filters with so many rays; any angle if not given.
        vectors: the last axis of the output holds vectors, with 3 coordinates in space (rotation) or 2 in the frame of the point
            (frames). They must turn along.
        tolerance: how far numbers may lie apart, relative to the largest of them; 1e-9 in float64, 1e-5 in float32, else 0.03.

    Raises:
        AssertionError: the layer does depend on it. It says by how much, and where.
        ValueError: the arguments have nothing that could be turned, scaled, numbered anew or packed.
    """
    if under not in get_args(Symmetry):
        raise ValueError(f"under must be one of {', '.join(get_args(Symmetry))}, not {under!r}")
    if vectors and under not in ("frames", "rotation"):
        raise ValueError(f"vectors turn under frames and rotation, not under {under}")
    if len(calls) < 1 + (under == "batch"):
        raise ValueError(f"{under} needs at least {1 + (under == 'batch')} calls, got {len(calls)}")
    signature = _signature(layer)
    bound: list[Arguments] = [
        dict(signature.bind(*(call if isinstance(call, tuple) else (call,))).arguments) for call in calls
    ]
    outputs = [_run(layer, arguments) for arguments in bound]
    compare = _Comparison(layer, under, tolerance)
    for arguments, before in zip(bound, outputs, strict=True):
        # Dropout, or a random sample, would be blamed on the symmetry.
        again = (
            f"{compare.name} gives different results for the same arguments (does it drop out? Call eval())"
        )
        compare.same(again, _run(layer, arguments), before)
    generator = torch.Generator().manual_seed(0)
    if under == "batch":
        expected = [torch.cat(parts) for parts in zip(*outputs, strict=True)]
        compare(_run(layer, _packed(layer, bound)), expected)
        return
    for arguments, before in zip(bound, outputs, strict=True):
        if under == "order":
            order = _new_order(arguments, generator)
            after = _run(layer, _changed(arguments, partial(_renumbered, order), under))
            compare(after, [_renumbered(order, "", y) for y in before])
        elif under == "scale":
            for factor in _FACTORS:
                after = _run(layer, _changed(arguments, partial(_scaled, factor), under))
                compare(after, before, f", {factor:g} times as large")
        elif under == "rotation":
            turn = _random_rotation(generator)
            after = _run(layer, _changed(arguments, partial(_rotated, turn), under))
            compare(after, [y @ turn.to(y).T if vectors else y for y in before])
        else:
            angle = _random_angles(arguments, step, generator)
            after = _run(layer, _changed(arguments, partial(_turned, angle), under))
            compare(after, [_turned_rows(angle, y) if vectors else y for y in before])


# --- calls ---


def _signature(layer: Layer) -> inspect.Signature:
    return inspect.signature(layer.forward if isinstance(layer, torch.nn.Module) else layer)


def _run(layer: Layer, arguments: Arguments) -> list[Tensor]:
    bound = inspect.BoundArguments(_signature(layer), OrderedDict(arguments))
    leaves = tree_leaves(layer(*bound.args, **bound.kwargs))
    found = [tensor.detach() for tensor in leaves if isinstance(tensor, Tensor)]
    if not found:
        raise ValueError("the layer returns no tensor that could be compared")
    return found


def _members(arguments: Arguments) -> list[tuple[str, Any]]:
    """What the arguments hold, sequences and ``Data`` opened."""
    found: list[tuple[str, Any]] = []
    for name, value in arguments.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            found += one.to_dict().items() if isinstance(one, Data) else [(name, one)]
    return found


def _changed(arguments: Arguments, change: Change, under: str) -> Arguments:
    """The arguments after ``change(name, value)`` of all that they hold."""

    def changed(name: str, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(changed(name, one) for one in value)
        if not isinstance(value, Data):
            return change(name, value)
        made = copy.copy(value)
        for key, one in value.to_dict().items():
            made[key] = change(key, one)
        return made

    after = {name: changed(name, value) for name, value in arguments.items()}
    if all(x is y for (_, x), (_, y) in zip(_members(arguments), _members(after), strict=True)):
        kinds = ", ".join(f"{name}: {type(value).__name__}" for name, value in arguments.items())
        raise ValueError(f"nothing among the arguments ({kinds}) changes under {under}")
    return after


# --- comparison ---


class _Comparison:
    """Raises where what comes out is not what must come out."""

    def __init__(self, layer: Layer, under: str, tolerance: float | None) -> None:
        self.name = type(layer).__name__ if isinstance(layer, torch.nn.Module) else "the function"
        self.under, self.tolerance = under, tolerance

    def __call__(self, found: list[Tensor], expected: list[Tensor], when: str = "") -> None:
        what = f"{self.name} is not invariant under {self.under}{when}"
        self.same(what, found, expected)

    def same(self, what: str, found: list[Tensor], expected: list[Tensor]) -> None:
        shapes = [[list(tensor.shape) for tensor in side] for side in (found, expected)]
        if shapes[0] != shapes[1]:
            raise AssertionError(f"{what}: shapes {shapes[0]} instead of {shapes[1]}")
        for one, two in zip(found, expected, strict=True):
            if one.numel():
                self._near(what, one, two)

    def _near(self, what: str, one: Tensor, two: Tensor) -> None:
        inexact = one.is_floating_point() or one.is_complex()
        usual = _TOLERANCE.get(one.abs().dtype, 0.03) if inexact else 0.0
        bound = usual if self.tolerance is None else self.tolerance
        wide = torch.complex128 if one.is_complex() else torch.float64
        one, two = (torch.atleast_1d(y.to(one.device, wide)) for y in (one, two))
        if not two.isfinite().all():
            raise AssertionError(f"{self.name} returns numbers that are not finite")
        largest = float(two.abs().max())
        error = (one - two).abs().nan_to_num(math.inf, math.inf)
        rows = (error > bound * largest).reshape(len(error), -1).any(1)
        if rows.any():
            place = tuple(int(index) for index in torch.unravel_index(error.argmax(), error.shape))
            share = float(error.max()) / (largest or 1)
            raise AssertionError(
                f"{what}: {int(rows.sum())} of {len(rows)} rows differ, most at {list(place)}: {one[place]:.6g} came "
                f"instead of {two[place]:.6g}: {share:.2g} of the largest number, where {bound:g} is allowed"
            )


# --- order ---


def _new_order(arguments: Arguments, generator: torch.Generator) -> Tensor:
    """A random order of the points, shape by shape: new point i was ``order[i]``."""
    sizes = _sizes(arguments)
    if max(sizes, default=0) < 2:
        raise ValueError(f"shapes with {sizes} points have no other order")
    begins = itertools.accumulate(sizes, initial=0)
    parts = [
        torch.randperm(size, generator=generator) + begin for size, begin in zip(sizes, begins, strict=False)
    ]
    return torch.cat(parts)


def _sizes(arguments: Arguments) -> list[int]:
    """How many points the shapes of a call have."""
    members = _members(arguments)
    for name, value in members:
        ptr = value if name == "ptr" else getattr(value, "ptr", None)
        if isinstance(ptr, Tensor):
            return [int(size) for size in ptr.diff()]
    for _, value in members:
        if isinstance(neighbors := getattr(value, "neighbors", value), Neighbors):
            return [neighbors.num_src]
    return [next((len(value) for _, value in members if isinstance(value, Tensor) and value.dim()), 0)]


def _renumbered(order: Tensor, name: str, value: Any) -> Any:
    """What stands for the same shape when new point i is the old ``order[i]``."""
    if name in _INDICES and isinstance(value, Tensor):
        return order.to(value.device).argsort()[value]
    if isinstance(value, Tensor):
        return value[order.to(value.device)] if _has_rows(value, order) and name != "ptr" else value
    if isinstance(value, Neighbors):
        return _renumbered_edges(value, order)[0]
    if isinstance(value, Spectrum):
        order = order.to(value.device)
        return dataclasses.replace(value, evecs=value.evecs[order], mass=value.mass[order])
    if not isinstance(getattr(value, "neighbors", None), Neighbors):
        return value
    neighbors, edge = _renumbered_edges(value.neighbors, order)
    changes: dict[str, Any] = {"neighbors": neighbors}
    for field in dataclasses.fields(value):
        one = getattr(value, field.name)
        if _has_rows(one, edge):
            changes[field.name] = one[edge]
        elif _has_rows(one, order):
            changes[field.name] = one[order.to(one.device)]
    return dataclasses.replace(value, **changes)


def _has_rows(value: Any, order: Tensor) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == len(order)


def _renumbered_edges(neighbors: Neighbors, order: Tensor) -> tuple[Neighbors, Tensor]:
    """The neighbourhoods, and the old edge of every new one."""
    if neighbors.num_dst != len(order) or neighbors.num_src != len(order):
        raise ValueError(
            f"neighbors have {neighbors.num_dst} rows and {neighbors.num_src} sources, but {len(order)} points are numbered anew"
        )
    # Every row lists its neighbours backwards, as their order means nothing either.
    place = order.to(neighbors.device).argsort()
    made = Neighbors.from_edge_index(place[neighbors.to_edge_index().flip(1)], len(order))
    assert made.order is not None
    return Neighbors(made.rowptr, made.col, made.num_src), neighbors.num_edges - 1 - made.order


# --- batch ---


def _packed(layer: Layer, calls: list[Arguments]) -> Arguments:
    """The arguments of all calls as those of one."""
    if len({tuple(call) for call in calls}) > 1:
        raise ValueError("the calls have different arguments")
    points = [sum(_sizes(call)) for call in calls]
    packed = {name: _cat(name, [call[name] for call in calls], points) for name in calls[0]}
    taken = _signature(layer).parameters
    sizes = torch.tensor([size for call in calls for size in _sizes(call)])
    device = next((value.device for _, value in _members(calls[0]) if isinstance(value, Tensor)), None)
    if "ptr" in taken:
        packed["ptr"] = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]).to(device)
    if "batch" in taken:
        packed["batch"] = torch.arange(len(sizes)).repeat_interleave(sizes).to(device)
    return {name: packed[name] for name in taken if name in packed}


def _cat(name: str, values: list[Any], points: list[int]) -> Any:
    first = values[0]
    if isinstance(first, Tensor) and name in _INDICES:
        begins = itertools.accumulate(points, initial=0)
        return torch.cat([value + begin for value, begin in zip(values, begins, strict=False)], dim=1)
    if isinstance(first, Tensor):
        return torch.cat(values)
    if isinstance(first, Data):
        return collate(values)
    if hasattr(type(first), "cat"):
        return type(first).cat(values)
    if isinstance(first, list):
        return [one for value in values for one in value]
    if any(value is not first and value != first for value in values):
        raise ValueError(f"{name} differs between the calls, and {type(first).__name__} cannot be packed")
    return first


# --- frames, rotation, scale ---


def _random_angles(arguments: Arguments, step: float | None, generator: torch.Generator) -> Tensor:
    """An angle a point, in float64."""
    framed = [
        value for _, value in _members(arguments) if isinstance(value, (Charts, Gradient, PolarWindows))
    ]
    if not framed:
        raise ValueError("frames need Charts, PolarWindows or a Gradient among the arguments")
    rays = {value.rays for value in framed if isinstance(value, PolarWindows)}
    if step is None and rays:
        step = 2 * math.pi / math.gcd(*rays)
    points = framed[0].neighbors.num_dst
    if step is None:
        return 2 * math.pi * torch.rand(points, dtype=torch.float64, generator=generator)
    steps = max(round(2 * math.pi / step), 1)
    return step * torch.randint(steps, (points,), generator=generator).double()


def _turned(angle: Tensor, _: str, value: Any) -> Any:
    if isinstance(value, Gradient) or (isinstance(value, Charts) and value.kind == "polar"):
        return value.rotate(angle.to(value.device))
    if not isinstance(value, PolarWindows):
        return value
    # The windows of a point lie side by side; turned by a ray, what ray a saw is seen by ray a + 1.
    steps = angle * value.rays / (2 * math.pi)
    if not torch.allclose(steps, steps.round(), atol=1e-6):
        raise ValueError(
            f"polar windows with {value.rays} rays turn by multiples of 2 pi / {value.rays} alone"
        )
    shift = steps.round().long().to(value.device)[value.neighbors.row, None]
    window = torch.arange(value.num_windows, device=value.device) if value.index is None else value.index
    ring, ray = window.div(value.rays, rounding_mode="floor"), window % value.rays
    if value.index is None:
        from_ray = ring * value.rays + (ray - shift) % value.rays
        return dataclasses.replace(value, weight=value.weight.gather(1, from_ray))
    return dataclasses.replace(value, index=ring * value.rays + (ray + shift) % value.rays)


def _turned_rows(angle: Tensor, y: Tensor) -> Tensor:
    if y.shape[-1] != 2 or y.shape[0] != len(angle):
        raise ValueError(
            f"vectors in {len(angle)} frames have shape [{len(angle)}, ..., 2], not {list(y.shape)}"
        )
    angle = angle.to(y).view(-1, *[1] * (y.dim() - 2))
    a, b = y.unbind(-1)
    return torch.stack([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], dim=-1)


def _random_rotation(generator: torch.Generator) -> Tensor:
    q, r = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator))
    q = q * r.diagonal().sign()
    turn: Tensor = q * torch.linalg.det(q)
    return turn


def _rotated(turn: Tensor, name: str, value: Any) -> Any:
    if isinstance(value, Tensor) and name in _POSITIONS + _DIRECTIONS:
        return (value.double() @ turn.to(value.device).T).to(value.dtype)
    if isinstance(value, Charts) and value.kind == "cartesian" and value.coords.shape[1] == 3:
        coords = value.coords.double() @ turn.to(value.device).T
        return dataclasses.replace(value, coords=coords.to(value.coords.dtype))
    return value


def _scaled(factor: float, name: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        return value * factor if name in _POSITIONS else value
    if isinstance(value, Charts):
        by = value.coords.new_tensor([factor, 1.0] if value.kind == "polar" else factor)
        radius = None if value.radius is None else value.radius * factor
        return dataclasses.replace(value, coords=value.coords * by, radius=radius)
    if isinstance(value, Gradient):
        return dataclasses.replace(value, values=value.values / factor)
    if isinstance(value, Spectrum):
        evals, evecs, mass = value.evals / factor**2, value.evecs / factor, value.mass * factor**2
        return dataclasses.replace(value, evals=evals, evecs=evecs, mass=mass)
    return value
