"""Packed batches: shapes of different sizes side by side, never padded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cache
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Batch, Data

from geodl.ops.core.structure import Structure

__all__ = ["DataLoader", "collate"]


def collate(shapes: Sequence[Data]) -> Batch:
    """Packs shapes into one batch; a network then gives each the numbers that it gives the shape alone.

    Tensors are concatenated as PyG does it: ``pos [V_1 + V_2 + ..., 3]``, ``face`` and ``edge_index`` with
    the vertices counted on, ``batch [V]`` (the shape of a vertex) and ``ptr [B + 1]`` (where shapes begin).
    Operators (:class:`~geodl.ops.Neighbors`, charts, windows, spectra and the like) become one that is block-diagonal.
    ``batch[i]`` and ``batch.to_data_list()`` give the shapes back, with the operators of each.

    Args:
        shapes: at least one shape, all with the same attributes.

    Raises:
        ValueError: no shapes, or an attribute that only some of them have.
    """
    if not shapes:
        raise ValueError("shapes is empty: a batch needs at least one shape")
    given = [shape.to_dict() for shape in shapes]
    names = given[0].keys()
    for number, attributes in enumerate(given):
        if odd := sorted(names ^ attributes.keys()):
            raise ValueError(
                f"shape {number} and shape 0 differ in having {', '.join(odd)}: cannot be packed"
            )
    operators = [name for name in names if isinstance(given[0][name], Structure)]
    tensors = {name: [each[name] for each in given] for name in names if name not in operators}
    batch = _plain_batch(shapes, tensors)
    if batch is None:
        batch = Batch.from_data_list(list(shapes), exclude_keys=operators)
    for name in operators:
        batch[name] = type(given[0][name]).cat([each[name] for each in given])
        # PyG takes a batch apart by these, and asks what is neither tensor nor list for its item.
        batch._slice_dict[name], batch._inc_dict[name] = range(len(shapes) + 1), None
    return batch


def _plain_batch(shapes: Sequence[Data], parts: Mapping[str, list[Any]]) -> Batch | None:
    """What ``Batch.from_data_list`` makes of shapes with these attributes, in a few calls an attribute instead of some a shape.

    None, where PyG may do more than that: for classes that pack in a way of their own, and attributes that are no plain tensors.
    """
    kind: Any = type(shapes[0])
    own = kind.__inc__ is not Data.__inc__ or kind.__cat_dim__ is not Data.__cat_dim__
    if own or issubclass(kind, Batch) or any(type(shape) is not kind for shape in shapes):
        return None
    for name, values in parts.items():
        if "batch" in name or name == "ptr" or not all(map(_is_plain, values)):
            return None
    counts = [[value.shape[0] for value in parts[name]] for name in ("x", "pos") if name in parts]
    if not counts or counts[0] != counts[-1]:
        return None
    batch = copy(_empty_batch(kind))
    batch.stores_as(shapes[0])
    batch._num_graphs, batch._slice_dict, batch._inc_dict = len(shapes), {}, {}
    ptr = _begins(counts[0])
    zeros = torch.zeros_like(ptr[:-1])
    for name, values in parts.items():
        along = batch.__cat_dim__(name, values[0])
        sizes = [value.shape[along] for value in values]
        packed = torch.cat(values, along)
        names_points = "index" in name or name == "face"
        if names_points:
            packed += _repeated(ptr[:-1], sizes, packed.device)
        batch[name] = packed
        batch._slice_dict[name] = ptr if sizes == counts[0] else _begins(sizes)
        batch._inc_dict[name] = ptr[:-1] if names_points else zeros
    device = packed.device
    batch.batch = _repeated(torch.arange(len(shapes)), counts[0], device)
    batch.ptr = ptr.to(device, copy=True)
    return batch


@cache
def _empty_batch(kind: type[Data]) -> Batch:
    # PyG makes classes and reads signatures for each.
    return Batch(_base_cls=kind)


def _is_plain(value: Any) -> bool:
    return type(value) is Tensor and value.dim() > 0 and value.layout is torch.strided


def _begins(sizes: Sequence[int]) -> Tensor:
    return torch.tensor([0, *accumulate(sizes)])


def _repeated(values: Tensor, sizes: Sequence[int], device: torch.device) -> Tensor:
    return values.repeat_interleave(torch.tensor(sizes), output_size=sum(sizes)).to(device)


class DataLoader(torch.utils.data.DataLoader[Any]):
    """A :class:`torch.utils.data.DataLoader` that packs shapes with :func:`collate`.

    Args:
        dataset: a sequence of shapes.
        batch_size: shapes in a batch.
        shuffle: draw the shapes in a new random order in every epoch.
        **options: those of :class:`torch.utils.data.DataLoader`, such as ``num_workers``.
    """

    def __init__(
        self,
        dataset: Dataset[Any] | Sequence[Data],
        batch_size: int = 1,
        shuffle: bool = False,
        **options: Any,
    ) -> None:
        options.pop("collate_fn", None)  # Lightning hands back what it finds when it rebuilds a loader
        super().__init__(dataset, batch_size, shuffle, collate_fn=collate, **options)  # type: ignore[arg-type]
