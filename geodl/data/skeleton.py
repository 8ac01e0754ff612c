"""Skeleton: joints that hang on one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor

from geodl.ops.core.structure import Fixed, Layout, Rows, Structure
from geodl.ops.remembered import remembered

__all__ = ["Skeleton"]


class _Parents(Rows):
    """Numbers of joints, of which -1 is none and stays so in a batch."""

    def cat(self, values: Sequence[Tensor], begins: Sequence[Any]) -> Tensor:
        moved = [torch.where(v < 0, v, v + begin[self.of]) for v, begin in zip(values, begins, strict=True)]
        return torch.cat(moved)

    def take(self, value: Tensor, begin: Any, size: Any) -> Tensor:
        taken = value.narrow(0, begin[self.of], size[self.of])
        return torch.where(taken < 0, taken, taken - begin[self.of])


@dataclass(eq=False)
class Skeleton(Structure):
    """A tree of joints, or several trees, at rest: where each joint lies from its parent.

    ``Skeleton.cat`` puts skeletons side by side, as :func:`~geodl.data.collate` does.

    Args:
        names: J names.
        parents: ``[J]`` int64, the joint that each hangs on; -1 at roots. Parents stand before their children.
        offsets: ``[J, 3]`` floating point: from the parent to the joint in the axes of the parent, from the origin to a root, in
            the unit of the source.

    Raises:
        ValueError: no joints, another number of names or offsets, wrong shape or dtype, or a parent that does not stand before
            its child.
    """

    names: tuple[str, ...]
    parents: Tensor
    offsets: Tensor

    layout: ClassVar[Layout] = {
        "names": Fixed(lambda names: tuple(chain.from_iterable(names)), read=False),
        "parents": _Parents("joints"),
        "offsets": Rows("joints"),
    }

    def check(self) -> None:
        joints = len(self.names)
        if not joints:
            raise ValueError("names is empty: a skeleton needs at least one joint")
        if self.parents.dtype != torch.int64 or self.parents.shape != (joints,):
            raise ValueError(
                f"parents must be int64 [{joints}], one a name, not {self.parents.dtype} {list(self.parents.shape)}"
            )
        if not self.offsets.is_floating_point() or self.offsets.shape != (joints, 3):
            raise ValueError(
                f"offsets must be floating point [{joints}, 3], not {self.offsets.dtype} {list(self.offsets.shape)}"
            )
        if self.offsets.device != self.parents.device:
            raise ValueError(f"parents is on {self.parents.device} but offsets is on {self.offsets.device}")
        own = torch.arange(joints, device=self.parents.device)
        if bool((wrong := (self.parents >= own) | (self.parents < -1)).any()):
            joint = int(wrong.nonzero()[0])
            raise ValueError(
                f"joint {joint} ({self.names[joint]}) has the parent {int(self.parents[joint])}: "
                "parents stand before their children, and -1 marks a root"
            )

    @property
    def num_joints(self) -> int:
        return len(self.names)

    @property
    def roots(self) -> Tensor:
        """``[R]`` int64: the joints without a parent (remembered)."""
        return remembered(self, "roots", lambda: (self.parents < 0).nonzero()[:, 0])

    @property
    def edge_index(self) -> Tensor:
        """``[2, 2 (J - R)]`` int64: every bone both ways, as a graph of the joints lists them (remembered)."""

        def make() -> Tensor:
            child = (self.parents >= 0).nonzero()[:, 0]
            bone = torch.stack([self.parents[child], child])
            return torch.cat([bone, bone.flip(0)], 1)

        return remembered(self, "edge_index", make)

    @property
    def bone_lengths(self) -> Tensor:
        """``[J]``: the distance of each joint from its parent; 0 at roots."""
        return torch.where(self.parents < 0, 0.0, self.offsets.norm(dim=1))

    @property
    def levels(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Joints by their depth, from the roots on, and of each the place of its parent in the level before (remembered)."""

        def make() -> tuple[tuple[Tensor, Tensor], ...]:
            parents = self.parents.tolist()
            depth: list[int] = []
            place: list[int] = []
            found: list[tuple[list[int], list[int]]] = []
            for joint, parent in enumerate(parents):
                depth.append(0 if parent < 0 else depth[parent] + 1)
                if depth[joint] == len(found):
                    found.append(([], []))
                joints, above = found[depth[joint]]
                place.append(len(joints))
                joints.append(joint)
                above.append(0 if parent < 0 else place[parent])
            device = self.parents.device
            return tuple(
                (torch.tensor(joints, device=device), torch.tensor(above, device=device))
                for joints, above in found
            )

        return remembered(self, "levels", make)

    def number(self, name: str) -> int:
        """The joint of this name, the first if there are several.

        Raises:
            KeyError: there is none.
        """
        if name not in self.names:
            raise KeyError(f"there is no joint {name!r} among {', '.join(self.names)}")
        return self.names.index(name)

    def same_tree(self, other: Skeleton) -> bool:
        """Whether the other has the same joints on the same parents; where they lie may differ."""
        return self.names == other.names and self.parents.tolist() == other.parents.tolist()
