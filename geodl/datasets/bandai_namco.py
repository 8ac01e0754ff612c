"""BandaiNamco: motion capture of everyday actions in many styles."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from geodl.data import Motion
from geodl.data.bvh import END
from geodl.datasets.classification import ClassificationSet

__all__ = ["BandaiNamco"]

_SPLITS = ("train", "val", "test")
_FOLDS = 5
_METRE = 0.01


class _Take(NamedTuple):
    path: Path
    action: str
    style: str


class BandaiNamco(ClassificationSet):
    r"""Bandai-Namco Research's motion capture (Kobayashi et al. 2023): actions, each performed in every style.

    An item is a :class:`~geodl.data.Motion` (float32, metres, y up, 21 joints from the hips on) with ``y [1]``, ``action``,
    ``style`` and ``name`` ("walk_sad_001/64": the take and the clip's first frame).

    Takes are split by what they show: action a in style s is of the test set where :math:`(a + s) \bmod 5` is ``fold``,
    of the validation set where it is the next number, else of the training set. So every action is tested in styles, and every
    style in actions, in which it was never seen in training, and each class has about 60, 20 and 20 % of its takes in the splits.
    Actions that were performed in one style alone are left out.

    Args:
        root: the folder with ``data/*.bvh``, or one that holds it in the repository's layout.
        target: what ``y`` names: "action" or "style".
        split: "train", "val", "test", or None for all takes, in alphabetical order.
        frames: length of the clips that takes are cut into; None for whole takes. A take that is shorter is one clip.
        hop: frames from the beginning of one clip to that of the next; half the length if None.
        fold: which fifth is tested, 0 to 4.
        collection: number of the set, 1 or 2.
        transform: applied to a shallow copy of the motion at every access.

    Raises:
        ValueError: no such target, split, fold or collection, or lengths that are not positive; on access, a damaged file.
        FileNotFoundError: files are missing; the message says which, and how to get them.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        target: Literal["action", "style"] = "action",
        split: Literal["train", "val", "test"] | None = None,
        frames: int | None = None,
        hop: int | None = None,
        fold: int = 0,
        collection: int = 1,
        transform: Callable[[Motion], Motion] | None = None,
    ) -> None:
        if target not in ("action", "style"):
            raise ValueError(f"target must be 'action' or 'style', not {target!r}")
        if split not in (*_SPLITS, None):
            raise ValueError(f"split must be 'train', 'val', 'test' or None, not {split!r}")
        if not 0 <= fold < _FOLDS:
            raise ValueError(f"fold must lie in 0..{_FOLDS - 1}, got {fold}")
        if (frames is not None and frames < 1) or (hop is not None and hop < 1):
            raise ValueError(f"frames and hop must be positive, got {frames} and {hop}")
        takes = _find(Path(root), collection)
        seen = {
            take.action: {other.style for other in takes if other.action == take.action} for take in takes
        }
        actions = sorted(action for action, styles in seen.items() if len(styles) > 1)
        styles = sorted({style for action in actions for style in seen[action]})
        self._clips: list[tuple[_Take, int, int | None]] = []
        self._takes: dict[Path, Motion] = {}
        for take in takes:
            if take.action not in actions:
                continue
            part = (actions.index(take.action) + styles.index(take.style) - fold) % _FOLDS
            if split is not None and split != {0: "test", 1: "val"}.get(part, "train"):
                continue
            if frames is None:
                self._clips.append((take, 0, None))
            else:
                total, step = _num_frames(take.path), hop or max(1, frames // 2)
                starts = range(0, max(total - frames, 0) + 1, step)
                self._clips += [(take, start, min(start + frames, total)) for start in starts]
        classes = actions if target == "action" else styles
        super().__init__(
            [f"{take.path.stem.split('_', 1)[1]}/{start}" for take, start, _ in self._clips],
            [classes.index(getattr(take, target)) for take, _, _ in self._clips],
            classes,
            transform,
        )

    def __getstate__(self) -> dict[str, object]:
        return super().__getstate__() | {"_takes": {}}

    def _read(self, index: int) -> Motion:
        take, start, stop = self._clips[index]
        motion = self._takes.get(take.path)
        if motion is None:
            whole = Motion.load(take.path)
            # The first joint stands still at the origin, and the ends of the bones have no length.
            inner = [name for name in whole.skeleton.names[1:] if not name.endswith(END)]
            motion = self._takes[take.path] = whole.select(inner).scaled(_METRE).as_float32()
        clip = motion.clip(start, motion.num_frames if stop is None else stop)
        clip.action, clip.style = take.action, take.style
        return clip


def _find(root: Path, collection: int) -> list[_Take]:
    if collection not in (1, 2):
        raise ValueError(f"collection must be 1 or 2, got {collection}")
    name = f"Bandai-Namco-Research-Motiondataset-{collection}"
    for folder in (root, root / name, root / "dataset" / name):
        files = sorted((folder / "data").glob(f"dataset-{collection}_*.bvh"))
        if files:
            break
    else:
        trouble = f"has no data/dataset-{collection}_*.bvh" if root.is_dir() else "is no folder"
        raise FileNotFoundError(f"No Bandai-Namco motions at {root}: it {trouble}.\n{_INSTRUCTIONS}")
    takes = []
    for path in files:
        parts = path.stem.split("_")
        if len(parts) != 4:
            raise ValueError(f"{path}: the name is not dataset-{collection}_ACTION_STYLE_NUMBER.bvh")
        takes.append(_Take(path, parts[1], parts[2]))
    return takes


def _num_frames(path: Path) -> int:
    found = re.search(rb"^\s*Frames:\s*(\d+)", path.read_bytes(), re.MULTILINE | re.IGNORECASE)
    if found is None:
        raise ValueError(f"{path}: a damaged BVH file: it does not say how many frames it has")
    return int(found[1])


_INSTRUCTIONS = """\
The Bandai-Namco-Research-Motiondataset (CC BY-NC 4.0) is a repository:
  1. git clone https://github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset
  2. Pass the folder: BandaiNamco(root=".../Bandai-Namco-Research-Motiondataset").
     It holds dataset/Bandai-Namco-Research-Motiondataset-1/data/dataset-1_bow_active_001.bvh and others.
datasets/bandai-namco/README.md says more."""
