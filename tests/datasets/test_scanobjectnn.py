"""ScanObjectNN: files as its authors wrote them, and what is wrong with one."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from geodl.data import DataLoader, FixedPoints
from geodl.datasets import ScanObjectNN
from geodl.datasets.scanobjectnn import SCANOBJECTNN

FILES = {
    "objectonly": "main_split_nobg/{}_objectdataset.h5",
    "bg": "main_split/{}_objectdataset.h5",
    "hardest": "main_split/{}_objectdataset_augmentedrot_scale75.h5",
}


def write(path: Path, count: int, points: int = 2048, **changed: Any) -> dict[str, np.ndarray]:
    """A file in the official form; ``changed`` replaces an array, or leaves it out where None."""
    h5py = pytest.importorskip("h5py")
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(count)
    arrays: dict[str, Any] = {
        "data": random.normal(size=(count, points, 3)).astype(np.float32) * 0.3 + 1,
        "label": (np.arange(count) * 4 % 15).astype(np.int32),
        "mask": np.where(random.random((count, points)) < 0.2, -1, 7).astype(np.int32),
        **changed,
    }
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            if array is not None:
                file.create_dataset(key, data=array, compression="gzip")
    return arrays


def write_all(root: Path) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    written = {}
    for number, (variant, place) in enumerate(FILES.items()):
        for part, count in (("training", 3 + number), ("test", 2)):
            written[variant, part] = write(root / place.format(part), count)
    return written


@pytest.mark.parametrize("variant", FILES)
@pytest.mark.parametrize("inside", ["", "h5_files", "ScanObjectNN/h5_files"])
def test_official_files(variant: Any, inside: str, tmp_path: Path) -> None:
    written = write_all(tmp_path / inside)
    train, test = (ScanObjectNN(tmp_path, split, variant, num_points=1000) for split in ("train", "test"))
    arrays = written[variant, "training"]
    assert len(train) == len(arrays["data"]) and len(test) == 2 and train.num_classes == 15
    assert train.labels.tolist() == arrays["label"].tolist()
    item = train[2]
    points = arrays["data"][2].astype(np.float64)
    points = points - points.mean(0)
    expected = torch.tensor(points / np.linalg.norm(points, axis=1).max())[:1000]
    torch.testing.assert_close(item.pos.double(), expected, atol=1e-6, rtol=0)
    assert item.pos.dtype == torch.float32 and item.y.tolist() == [8] and item.name.endswith("/0002")
    assert item.foreground.dtype == torch.bool
    assert item.foreground.tolist() == (arrays["mask"][2, :1000] != -1).tolist()
    both = ScanObjectNN(tmp_path, variant=variant)
    assert len(both) == len(train) + 2 and both.names[-1].startswith("test_objectdataset")


def test_classes_are_those_of_the_official_list() -> None:
    assert len(set(SCANOBJECTNN)) == 15
    assert [SCANOBJECTNN[k] for k in (0, 4, 9, 14)] == ["bag", "chair", "table", "toilet"]


def test_batches_and_other_points_in_every_epoch(tmp_path: Path) -> None:
    write_all(tmp_path)
    data = ScanObjectNN(tmp_path, "train", "bg", num_points=2048, transform=FixedPoints(64))
    batch = next(iter(DataLoader(data, batch_size=4)))
    assert batch.pos.shape == (256, 3) and batch.foreground.shape == (256,) and batch.y.shape == (4,)
    assert not torch.equal(data[0].pos, data[0].pos)


def test_without_a_mask(tmp_path: Path) -> None:
    write(tmp_path / FILES["objectonly"].format("test"), 2, mask=None)
    item = ScanObjectNN(tmp_path, "test", "objectonly")[0]
    assert "foreground" not in item and item.pos.shape == (1024, 3)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / FILES["bg"].format("training")
    clouds = np.zeros((3, 64, 3), np.float32)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"data": None}, "is damaged.*data"),
        ({"label": None}, "is damaged.*label"),
        ({"data": clouds[:, :, :2]}, r"data has shape \[3, 64, 2\] for 3 labels"),
        ({"data": clouds[0]}, r"data has shape \[64, 3\] for 3 labels"),
        ({"data": clouds[:2]}, r"data has shape \[2, 64, 3\] for 3 labels"),
        ({"label": np.array([0, 15, 1])}, r"labels 0\.\.15 are not those of the 15 classes"),
        ({"label": np.array([0, -1, 1])}, r"labels -1\.\.1 are not"),
    ]
    for changed, trouble in wrong:
        write(path, 3, **changed)
        with pytest.raises(ValueError, match=rf"training_objectdataset.h5(:| ){trouble}|.*{trouble}"):
            ScanObjectNN(tmp_path, "train", "bg")
    wrong = [
        ({"mask": np.zeros((3, 9))}, "shape 1 has 2048 points but 9 rows of mask"),
        ({"mask": np.zeros((1, 2048))}, "shape 1 is damaged"),
        ({"data": np.full((3, 64, 3), np.nan)}, "point 0 is not finite"),
        ({"data": clouds[:, :0]}, "has no points"),
    ]
    for changed, trouble in wrong:
        write(path, 3, **{"mask": None, **changed})
        with pytest.raises(ValueError, match=trouble):
            ScanObjectNN(tmp_path, "train", "bg")[1]
    write(path, 3, points=100)
    with pytest.raises(ValueError, match="has 100 points, but 1024 are asked for"):
        ScanObjectNN(tmp_path, "train", "bg")[0]
    whole = path.read_bytes()
    for length in (0, 700, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"training_objectdataset.h5 is damaged"):
            ScanObjectNN(tmp_path, "train", "bg")


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"it has no folder main_split_nobg(.|\n)*hkust-vgd"):
        ScanObjectNN(tmp_path, variant="objectonly")
    with pytest.raises(FileNotFoundError, match="it is no folder"):
        ScanObjectNN(tmp_path / "nothing")
    (tmp_path / "main_split").mkdir()
    with pytest.raises(FileNotFoundError, match=r"lacks training_objectdataset_augmentedrot_scale75.h5"):
        ScanObjectNN(tmp_path)
    with pytest.raises(ValueError, match="variant must be one of"):
        ScanObjectNN(tmp_path, variant="easy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="split must be"):
        ScanObjectNN(tmp_path, "val")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_points must be at least 1"):
        ScanObjectNN(tmp_path, num_points=0)


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return imported(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"ScanObjectNN needs h5py: pip install h5py"):
        ScanObjectNN(tmp_path)
