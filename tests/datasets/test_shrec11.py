"""SHREC11 in MeshCNN's layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geodl.data import DataLoader
from geodl.datasets import SHREC11
from tests.datasets.layouts import template


def write(folder: Path) -> None:
    for kind in ("alien", "ants"):
        for part, names in (("train", ("T12", "T3")), ("test", ("T7",))):
            (folder / kind / part).mkdir(parents=True)
            for name in names:
                template().save(folder / kind / part / f"{name}.obj")


def test_layout(tmp_path: Path) -> None:
    write(tmp_path / "shrec_16")
    train, both = SHREC11(tmp_path, "train"), SHREC11(tmp_path / "shrec_16")
    assert train.names == ["alien/T12", "alien/T3", "ants/T12", "ants/T3"] and train.labels.tolist() == [
        0,
        0,
        1,
        1,
    ]
    assert both.names[4:] == ["alien/T7", "ants/T7"] and both.classes == ["alien", "ants"]
    assert torch.allclose(both[-1].pos, template().pos) and both[-1].y.tolist() == [1]
    batch = next(iter(DataLoader(train, batch_size=4)))
    assert batch.y.tolist() == [0, 0, 1, 1] and batch.face.max() == 4 * 42 - 1
    with pytest.raises(IndexError):
        both[6]


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no folders CLASS/train(.|\n)*MeshCNN"):
        SHREC11(tmp_path)
    write(tmp_path)
    (tmp_path / "ants" / "test" / "T7.obj").unlink()
    with pytest.raises(FileNotFoundError, match="ants/test has no obj files"):
        SHREC11(tmp_path)
    (tmp_path / "ants" / "train" / "T3.obj").write_text("v 0 0\n")
    with pytest.raises(ValueError, match=r"T3\.obj"):
        SHREC11(tmp_path, "train")[3]


def test_published(shared_data: Path) -> None:
    train, test = SHREC11(shared_data, "train"), SHREC11(shared_data, "test")
    assert train.num_classes == 30 and train.labels.bincount().tolist() == [16] * 30
    assert test.labels.bincount().tolist() == [4] * 30
    for k in range(0, 120, 17):
        assert 400 <= test[k].face.shape[1] <= 520
