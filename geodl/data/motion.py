"""Motion: how the joints of a skeleton turn over time, as PyG Data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from geodl.data.bvh import read_bvh, write_bvh
from geodl.data.skeleton import Skeleton
from geodl.ops.remembered import remembered

__all__ = ["Motion", "forward_kinematics", "global_rotations"]


def forward_kinematics(
    rotation: Tensor, translation: Tensor, skeleton: Skeleton, offsets: Tensor | None = None
) -> Tensor:
    r"""Positions of all joints, differentiable in all arguments.

    .. math:: p_j = p_{\pi(j)} + G_{\pi(j)} o_j, \quad G_j = G_{\pi(j)} R_j

    with :math:`\pi(j)` the parent of joint j, :math:`o_j` its offset and :math:`R_j` its rotation; a root lies at its translation.

    Args:
        rotation: ``[..., J, 3, 3]``, of each joint relative to its parent.
        translation: ``[..., R, 3]``, the places of the roots, in the order of the joints.
        skeleton: of J joints and R roots.
        offsets: ``[..., J, 3]`` instead of those of the skeleton; rows of roots are not read.

    Returns:
        ``[..., J, 3]``, in the unit of the translation.

    Raises:
        ValueError: shapes that do not fit.
    """
    return _place(rotation, translation, skeleton, offsets)[0]


def global_rotations(rotation: Tensor, skeleton: Skeleton) -> Tensor:
    """Rotations ``[..., J, 3, 3]`` of all joints relative to the world, of those relative to their parents.

    Raises:
        ValueError: shapes that do not fit.
    """
    return _turned(rotation, skeleton)


def _turned(rotation: Tensor, skeleton: Skeleton) -> Tensor:
    _check_rows("rotation", rotation, (skeleton.num_joints, 3, 3), "one matrix a joint")
    if torch.compiler.is_compiling():
        nowhere = rotation.new_zeros(skeleton.num_joints, 3)
        return _jump(rotation, nowhere, nowhere, skeleton)[1]
    turned = [rotation[..., skeleton.roots, :, :]]
    for joints, above in skeleton.levels[1:]:
        turned.append(turned[-1][..., above, :, :] @ rotation[..., joints, :, :])
    return torch.cat(turned, -3)[..., _order(skeleton), :, :]


def _place(
    rotation: Tensor, translation: Tensor, skeleton: Skeleton, offsets: Tensor | None
) -> tuple[Tensor, Tensor]:
    joints = skeleton.num_joints
    offsets = skeleton.offsets if offsets is None else offsets
    _check_rows("rotation", rotation, (joints, 3, 3), "one matrix a joint")
    _check_rows("offsets", offsets, (joints, 3), "one row a joint")
    if torch.compiler.is_compiling():
        return _jump(rotation, offsets, translation, skeleton)
    roots = len(skeleton.roots)
    _check_rows("translation", translation, (roots, 3), "one row a root")
    turned = _turned(rotation, skeleton)
    above = skeleton.parents.clamp(min=0)
    bone = (turned[..., above, :, :] @ offsets[..., None])[..., 0]
    leading = torch.broadcast_shapes(translation.shape[:-2], bone.shape[:-2])
    placed = [translation.expand(*leading, roots, 3)]
    for level, parents in skeleton.levels[1:]:
        placed.append(placed[-1][..., parents, :] + bone[..., level, :])
    return torch.cat(placed, -2)[..., _order(skeleton), :], turned


def _jump(
    rotation: Tensor, offsets: Tensor, translation: Tensor, skeleton: Skeleton
) -> tuple[Tensor, Tensor]:
    """The same in a graph, where nobody knows the tree: each joint doubles the number of those above it that it has met."""
    parents = skeleton.parents
    rank = ((parents < 0).cumsum(0) - 1).clamp(min=0)
    place = torch.where((parents < 0)[:, None], translation[..., rank, :], offsets)
    turned, above = rotation, parents
    for _ in range((skeleton.num_joints - 1).bit_length()):
        met, up = (above >= 0)[:, None], above.clamp(min=0)
        over = turned[..., up, :, :]
        place = torch.where(met, place[..., up, :] + (over @ place[..., None])[..., 0], place)
        turned = torch.where(met[..., None], over @ turned, turned)
        above = torch.where(above >= 0, above[up], above)
    return place, turned


def _order(skeleton: Skeleton) -> Tensor:
    """Where each joint stands when they are listed level by level."""
    return remembered(
        skeleton, "order", lambda: torch.cat([joints for joints, _ in skeleton.levels]).argsort()
    )


def _check_rows(name: str, value: Tensor, rows: tuple[int, ...], told: str) -> None:
    if value.shape[-len(rows) :] != rows:
        form = ", ".join(map(str, rows))
        raise ValueError(f"{name} must have shape [..., {form}], {told}, not {list(value.shape)}")


class Motion(Data):
    r"""A skeleton that moves: the rotation of every joint and the place of every root, frame by frame.

    It is a :class:`torch_geometric.data.Data` whose points are its frames. Motions of one tree, with bones of any lengths, are
    packed by :func:`~geodl.data.collate` frame after frame, with ``batch [F]`` and ``ptr``.

    Args:
        skeleton: of J joints and R roots.
        rotation: ``[F, J, 3, 3]`` floating point, of each joint relative to its parent.
        translation: ``[F, R, 3]``, the place of each root, in the unit of the skeleton.
        frame_time: seconds from one frame to the next.
        **attributes: anything else that belongs to it. ``offsets [F, J, 3]``, if given, takes the place of the skeleton's, for
            joints that move from their place on the parent.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, no frames, or a frame time that is not positive.
    """

    def __init__(
        self,
        skeleton: Skeleton | None = None,
        rotation: Tensor | None = None,
        translation: Tensor | None = None,
        frame_time: float = 1 / 30,
        **attributes: Any,
    ) -> None:
        # PyG's batching makes an empty one and fills it.
        if skeleton is None or rotation is None or translation is None:
            super().__init__(**attributes)
            return
        _check(skeleton, rotation, translation, attributes.get("offsets"))
        frame_time = float(frame_time)
        if not 0 < frame_time < float("inf"):
            raise ValueError(f"frame_time must be positive and finite, got {frame_time}")
        attributes.setdefault("num_nodes", rotation.shape[0])
        super().__init__(
            skeleton=skeleton,
            rotation=rotation,
            translation=translation,
            frame_time=frame_time,
            **attributes,
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Motion:
        """Read a BVH file, in float64 and the unit of the file.

        Channels may stand in any order, and be missing: a joint turns about the axes of its rotation channels, one after the other
        as they are listed. Position channels take the place of the joint's offset, along their axes; where those of joints
        beneath a root differ from it, the motion has ``offsets``. The end site of a joint becomes a joint named "<joint> End
        Site" that does not turn. Keywords may be in any case, ends of lines and spaces of any kind.

        Raises:
            FileNotFoundError: no such file.
            ValueError: it is no BVH file; it is cut short or damaged; a number is NaN or infinite. The message names the file.
        """
        skeleton, rotation, translation, offsets, frame_time = read_bvh(Path(path))
        moved = {} if offsets is None else {"offsets": offsets}
        return cls(skeleton, rotation, translation, frame_time, **moved)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a BVH file, whole or not at all (a temporary file is renamed at the end).

        What :meth:`load` reads of it is this motion to 12 digits, its joints in the order of the file: each followed by all that
        hangs on it.

        Raises:
            ValueError: NaN or infinite numbers, matrices that are no rotations, a name with braces or line breaks, or a packed
                batch.
            FileNotFoundError: no such folder.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"{path.parent}: no such folder to save {path.name} in")
        self._check_single()
        offsets = self.to_dict().get("offsets")
        write_bvh(path, self.skeleton, self.rotation, self.translation, offsets, float(self.frame_time))

    @property
    def num_frames(self) -> int:
        return int(self.rotation.shape[0])

    def positions(self) -> Tensor:
        """``[F, J, 3]``: where every joint is, by :func:`forward_kinematics`."""
        return self._placed()[0]

    def global_rotations(self) -> Tensor:
        """``[F, J, 3, 3]``: how every joint is turned in the world."""
        return self._placed()[1]

    def clip(self, start: int, stop: int) -> Motion:
        """Frames ``start`` to ``stop - 1``; whatever else has a row a frame is cut too.

        Raises:
            ValueError: no frames are left, or there are not so many.
        """
        self._check_single()
        frames = self.num_frames
        if not 0 <= start < stop <= frames:
            raise ValueError(f"a clip must lie within frames 0..{frames}, not {start}..{stop}")
        values: dict[str, Any] = {
            name: value[start:stop]
            if isinstance(value, Tensor) and value.dim() and value.shape[0] == frames
            else value
            for name, value in self.to_dict().items()
        }
        return Motion(**{**values, "num_nodes": stop - start})

    def select(self, joints: Sequence[int] | Sequence[str]) -> Motion:
        """The same motion of some of the joints: each is where it was, turned as it was in the world, and hangs on the nearest one
        above it that is left.

        Where a joint then moves from its place on its parent, as the joint between them turned, the motion has ``offsets``.

        Args:
            joints: numbers or names, in an order in which parents stand before their children.

        Raises:
            KeyError: there is no joint of that name.
            IndexError: there is no joint of that number.
            ValueError: no joints, one twice, or a child before its parent.
        """
        self._check_single()
        names, parents = self.skeleton.names, self.skeleton.parents.tolist()
        kept = [self.skeleton.number(j) if isinstance(j, str) else range(len(names))[j] for j in joints]
        if not kept or len(set(kept)) < len(kept):
            raise ValueError(f"joints must name at least one joint and none twice, not {list(joints)}")
        above = []
        for joint in kept:
            while (joint := parents[joint]) >= 0 and joint not in kept:
                pass
            above.append(kept.index(joint) if joint >= 0 else -1)
        position, turned = (value[:, kept] for value in self._placed())
        parent = torch.tensor(above, device=position.device)
        inner, root = parent >= 0, parent < 0
        rotation, local = turned.clone(), position.clone()
        back = turned[:, parent[inner]].mT
        rotation[:, inner] = back @ turned[:, inner]
        local[:, inner] = (back @ (position[:, inner] - position[:, parent[inner]])[..., None])[..., 0]
        rest = self.skeleton.offsets[kept]
        rest = torch.where(root[:, None], rest, local.mean(0))
        moved = (local - rest)[:, inner].abs()
        rigid = not moved.numel() or float(moved.max()) <= 1e-5 * float(rest[inner].abs().max())
        values: dict[str, Any] = self.to_dict() | {
            "skeleton": Skeleton(tuple(names[j] for j in kept), parent, rest),
            "rotation": rotation,
            "translation": position[:, root],
        }
        values.pop("offsets", None)
        return Motion(**(values if rigid else values | {"offsets": local}))

    def scaled(self, factor: float) -> Motion:
        """The same with all lengths multiplied, such as 0.01 from centimetres to metres.

        Raises:
            ValueError: a factor that is not positive and finite.
        """
        self._check_single()
        if not 0 < factor < float("inf"):
            raise ValueError(f"factor must be positive and finite, got {factor}")
        skeleton = self.skeleton
        values: dict[str, Any] = self.to_dict()
        lengths = {name: factor * values[name] for name in ("translation", "offsets") if name in values}
        bones = Skeleton(skeleton.names, skeleton.parents, factor * skeleton.offsets)
        return Motion(**(values | lengths | {"skeleton": bones}))

    def as_float32(self) -> Motion:
        """The same in float32, as networks read it."""
        self._check_single()
        values: dict[str, Any] = {
            name: value.to(dtype=torch.float32)
            if isinstance(value, Skeleton) or (isinstance(value, Tensor) and value.is_floating_point())
            else value
            for name, value in self.to_dict().items()
        }
        return Motion(**values)

    def _check_single(self) -> None:
        if len(self.skeleton.split()) > 1:
            raise ValueError("a packed batch is no single motion: take it apart first")

    def _placed(self) -> tuple[Tensor, Tensor]:
        skeleton, offsets = self.skeleton, self.to_dict().get("offsets")
        if (parts := skeleton.split())[1:]:  # a packed batch: the bones of each motion are its own
            skeleton = parts[0]
            if not all(skeleton.same_tree(part) for part in parts):
                raise ValueError("motions of different trees are packed: take the batch apart first")
            if offsets is None:
                offsets = torch.stack([part.offsets for part in parts])[self.batch]
        return _place(self.rotation, self.translation, skeleton, offsets)


def _check(skeleton: Skeleton, rotation: Tensor, translation: Tensor, offsets: Tensor | None) -> None:
    joints, roots = skeleton.num_joints, len(skeleton.roots)
    if rotation.dim() != 4 or rotation.shape[1:] != (joints, 3, 3):
        raise ValueError(f"rotation must have shape [F, {joints}, 3, 3], not {list(rotation.shape)}")
    frames = rotation.shape[0]
    if not frames:
        raise ValueError("rotation has no frames: a motion needs at least one")
    given = {"translation": (translation, (frames, roots, 3))}
    if offsets is not None:
        given["offsets"] = (offsets, (frames, joints, 3))
    for name, (value, form) in given.items():
        if tuple(value.shape) != form:
            raise ValueError(f"{name} must have shape {list(form)}, not {list(value.shape)}")
    for name, value in (("rotation", rotation), *((name, value) for name, (value, _) in given.items())):
        if not value.is_floating_point() or value.dtype != skeleton.offsets.dtype:
            raise ValueError(f"{name} is {value.dtype} but the skeleton is {skeleton.offsets.dtype}")
        if value.device != skeleton.offsets.device:
            raise ValueError(f"{name} is on {value.device} but the skeleton is on {skeleton.offsets.device}")
