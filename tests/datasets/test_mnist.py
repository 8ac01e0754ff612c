"""MNIST in its two layouts, and scikit-learn's digits."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from geodl.datasets import MNIST, Digits

RNG = np.random.default_rng(0)
IMAGES = {
    "train": RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8),
    "test": RNG.integers(0, 256, (2, 28, 28), dtype=np.uint8),
}
LABELS = {"train": np.arange(5, dtype=np.uint8), "test": np.array([9, 0], dtype=np.uint8)}


def write_idx(path: Path, array: np.ndarray) -> None:
    raw = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def layout(folder: Path, kind: str) -> Path:
    if kind == "npz":
        arrays = {
            f"{name}_{split}": source[split]
            for name, source in (("x", IMAGES), ("y", LABELS))
            for split in IMAGES
        }
        np.savez(folder / "mnist.npz", **arrays)
        return folder
    for split, name in (("train", "train"), ("test", "t10k")):
        write_idx(folder / f"{name}-images{kind}", IMAGES[split])
        write_idx(folder / f"{name}-labels{kind.replace('idx3', 'idx1')}", LABELS[split])
    return folder


@pytest.mark.parametrize("kind", ["npz", "-idx3-ubyte", "-idx3-ubyte.gz", ".idx3-ubyte"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_every_layout_gives_the_same_images(tmp_path: Path, kind: str, split: str) -> None:
    data = MNIST(layout(tmp_path, kind), split)  # type: ignore[arg-type]
    assert len(data) == len(LABELS[split]) and data.y.tolist() == LABELS[split].tolist()
    assert torch.equal((data.x * 255).round().byte(), torch.from_numpy(IMAGES[split])[:, None])
    item = data[-1]
    assert item.grid_size == (28, 28) and torch.equal(item.x, data.x[-1]) and item.y.tolist() == [data.y[-1]]
    with pytest.raises(IndexError, match="no number"):
        data[len(data)]


def test_the_archive_itself_may_be_named(tmp_path: Path) -> None:
    assert len(MNIST(layout(tmp_path, "npz") / "mnist.npz")) == 5


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither mnist.npz nor train-images[\s\S]*Get MNIST"):
        MNIST(tmp_path)
    layout(tmp_path, "-idx3-ubyte.gz")
    images = tmp_path / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:100])
    with pytest.raises(ValueError, match="is damaged"):
        MNIST(tmp_path)
    (tmp_path / "mnist.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no archive of MNIST"):
        MNIST(tmp_path)
    np.savez(tmp_path / "mnist.npz", x_train=np.array([{}], dtype=object), y_train=LABELS["train"])
    with pytest.raises(ValueError, match="no archive of MNIST"):  # pickles are not read
        MNIST(tmp_path)
    with pytest.raises(ValueError, match="split must be"):
        MNIST(tmp_path, "val")  # type: ignore[arg-type]


def test_the_published_set(shared_data: Path) -> None:
    train, test = MNIST(shared_data / "MNIST"), MNIST(shared_data / "MNIST", "test")
    assert (len(train), len(test)) == (60000, 10000)
    assert torch.bincount(train.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert abs(float(train.x.mean()) - 0.1307) < 1e-4 and abs(float(train.x.std()) - 0.3081) < 1e-4


def test_scikit_learns_digits() -> None:
    pytest.importorskip("sklearn")
    train, test = Digits(), Digits("test")
    assert (len(train), len(test)) == (1437, 360) and train[3].grid_size == (8, 8)
    assert float(train.x.min()) == 0 and float(train.x.max()) == 1 and set(test.y.tolist()) == set(range(10))
