"""Grid: a signal on a regular grid as PyG Data."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

__all__ = ["Grid"]


class Grid(Data):
    """A signal on a regular grid of 1, 2 or 3 dimensions: an image, a sound, a volume.

    It is a :class:`torch_geometric.data.Data` whose points are its nodes; grids of one size are batched as ``x [B, C, *size]``, as
    grid networks read them.

    Args:
        x: ``[C, *size]``, floating point.
        **attributes: anything else that belongs to it, such as the label ``y [1]``.

    Raises:
        ValueError: x has no axis beside the channels, or more than three, or is not floating point.
    """

    def __init__(self, x: Tensor | None = None, **attributes: Any) -> None:
        if x is not None:  # PyG's batching makes an empty one and fills it
            if not 2 <= x.dim() <= 4:
                raise ValueError(f"x must have shape [C, *size] with 1 to 3 axes, not {list(x.shape)}")
            if not x.is_floating_point():
                raise ValueError(f"x must be floating point, not {x.dtype}")
            # Said outright, as PyG would count the nodes along the axis that batches are put together along.
            attributes.setdefault("num_nodes", math.prod(x.shape[1:]))
        super().__init__(x=x, **attributes)

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return None if key == "x" else super().__cat_dim__(key, value, *args, **kwargs)

    @property
    def grid_size(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(self.x.shape[1:])

    def to_graph(self, radius: float = 1.0) -> Data:
        """The same signal on the graph of the grid's points.

        Args:
            radius: how far neighbours are apart at most, in steps of the grid: 1 gives 4 neighbours in the plane, 1.5 gives 8.

        Returns:
            Data with ``x [V, C]``, ``pos [V, d]`` (places along each axis), ``edge_index [2, E]`` and all other attributes.

        Raises:
            ValueError: a radius that is not positive.
        """
        if not radius > 0:
            raise ValueError(f"radius must be positive, got {radius}")
        axes = [torch.arange(length, device=self.x.device) for length in self.grid_size]
        place = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)
        number = torch.arange(len(place), device=self.x.device).view(self.grid_size)
        ends = []
        reach = torch.arange(-math.floor(radius), math.floor(radius) + 1, device=self.x.device)
        for step in torch.cartesian_prod(*[reach] * len(axes)).view(-1, len(axes)):
            if 0 < float(step.square().sum()) <= radius**2:
                there = place + step
                inside = ((there >= 0) & (there < torch.tensor(self.grid_size, device=there.device))).all(1)
                ends.append(torch.stack([number[tuple(there[inside].T)], number.flatten()[inside]]))
        edge_index = torch.cat(ends, 1) if ends else number.new_zeros(2, 0)
        others = {name: value for name, value in self.to_dict().items() if name != "x"}
        return Data(
            x=self.x.flatten(1).t().contiguous(), edge_index=edge_index, pos=place.to(self.x.dtype), **others
        )
