"""MNIST, handwritten digits, and scikit-learn's small set of them."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from geodl.data import Grid

__all__ = ["MNIST", "Digits"]

Split = Literal["train", "test"]


class DigitImages(Dataset[Grid]):
    """Images with a digit each; all of them are in memory.

    Attributes:
        x: ``[N, 1, H, W]`` float32, 0 (paper) to 1 (ink).
        y: ``[N]`` int64, the digits.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> Grid:
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} images, and no number {index}")
        return Grid(self.x[index], y=self.y[index].view(1))


class MNIST(DigitImages):
    """MNIST: 60,000 images of 28 x 28 to train with and 10,000 to test.

    An item is a :class:`~geodl.data.Grid` with ``x [1, 28, 28]`` and ``y [1]``; ``.x [N, 1, 28, 28]`` and ``.y [N]`` are the whole
    set.

    Args:
        root: ``mnist.npz`` (as Keras has it), or the folder that holds it, or one with the four idx files
            (``train-images-idx3-ubyte`` ..., packed by gzip or not).
        split: "train" or "test".

    Raises:
        ValueError: no such split, or a damaged file.
        FileNotFoundError: files are missing; the message says which, and how to get them.

    LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998.
    """

    def __init__(self, root: str | os.PathLike[str], split: Split = "train") -> None:
        _check(split)
        root = Path(root)
        archive = root if root.is_file() else root / "mnist.npz"
        images, labels = _from_npz(archive, split) if archive.is_file() else _from_idx(root, split)
        if images.ndim != 3 or images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{root}: images of shape {images.shape} and labels of {labels.shape} are no MNIST"
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() <= 9:
            raise ValueError(f"{root}: labels go from {labels.min()} to {labels.max()}, digits from 0 to 9")
        self.x = torch.from_numpy(images.astype(np.float32))[:, None] / 255
        self.y = torch.from_numpy(labels.astype(np.int64))


class Digits(DigitImages):
    """The 1,797 images of 8 x 8 that come with scikit-learn: no download. The last fifth, by other writers, is to test with.

    An item is a :class:`~geodl.data.Grid` with ``x [1, 8, 8]`` and ``y [1]``; ``.x [N, 1, 8, 8]`` and ``.y [N]`` are the whole set.

    Args:
        split: "train" (1,437 images) or "test" (360).

    Raises:
        ValueError: no such split.
        ImportError: scikit-learn is not installed.

    Alpaydin, Kaynak, "Optical recognition of handwritten digits", UCI machine learning repository, 1998.
    """

    def __init__(self, split: Split = "train") -> None:
        _check(split)
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ImportError("Digits needs scikit-learn: pip install scikit-learn") from error
        images, labels = load_digits(return_X_y=True)
        part = slice(None, 1437) if split == "train" else slice(1437, None)
        self.x = torch.from_numpy(images[part].astype(np.float32)).view(-1, 1, 8, 8) / 16
        self.y = torch.from_numpy(labels[part].astype(np.int64))


def _check(split: str) -> None:
    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", not {split!r}')


def _from_npz(path: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[f"x_{split}"], archive[f"y_{split}"]
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no archive of MNIST: {error}") from error


def _from_idx(root: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    name = "train" if split == "train" else "t10k"
    found = []
    for kind in (f"{name}-images-idx3-ubyte", f"{name}-labels-idx1-ubyte"):
        # The last part of the name is written with a dot, too.
        names = [kind, f"{kind}.gz", kind.replace("-idx", ".idx"), kind.replace("-idx", ".idx") + ".gz"]
        path = next((root / other for other in names if (root / other).is_file()), None)
        if path is None:
            raise FileNotFoundError(f"there is neither mnist.npz nor {kind} in {root}\n{_INSTRUCTIONS}")
        found.append(_read_idx(path))
    return found[0], found[1]


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """An array of bytes: two zeros, 8 for the type, the number of axes, their lengths (big-endian), the numbers."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, axes = struct.unpack(">HBB", raw[:4])
        shape = struct.unpack(f">{axes}I", raw[4 : 4 + 4 * axes])
    except (OSError, EOFError, struct.error) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    begin = 4 + 4 * axes
    if zeros or kind != 8 or len(raw) - begin != math.prod(shape):
        raise ValueError(
            f"{path} is damaged: {len(raw)} bytes are not an array of bytes of shape {list(shape)}"
        )
    return np.frombuffer(raw, np.uint8, offset=begin).reshape(shape)


_INSTRUCTIONS = """\
Get MNIST in one of two forms and pass its folder, MNIST(root="..."):
  1. mnist.npz, from https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz, or
  2. the four files *-ubyte.gz, from https://ossci-datasets.s3.amazonaws.com/mnist/.
datasets/mnist/README.md says more."""
