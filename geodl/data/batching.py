"""Packed batches: shapes of different sizes side by side, never padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
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
    names = set(shapes[0].keys())
    for number, shape in enumerate(shapes):
        if odd := sorted(names.symmetric_difference(shape.keys())):
            raise ValueError(
                f"shape {number} and shape 0 differ in having {', '.join(odd)}: cannot be packed"
            )
    operators = [name for name in names if isinstance(shapes[0][name], Structure)]
    batch = Batch.from_data_list(list(shapes), exclude_keys=operators)
    for name in operators:
        batch[name] = type(shapes[0][name]).cat([shape[name] for shape in shapes])
        # PyG takes a batch apart by these, and asks what is neither tensor nor list for its item.
        batch._slice_dict[name], batch._inc_dict[name] = range(len(shapes) + 1), None
    return batch


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
