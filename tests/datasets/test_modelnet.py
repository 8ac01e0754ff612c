"""ModelNet: each form as its authors wrote it, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from geodl.data import DataLoader, Mesh
from geodl.datasets import ModelNet, ModelNetOccupancy
from geodl.datasets.modelnet import MODELNET10, MODELNET40

# A box of 4 x 2 x 1 as in ModelNet40, where some headers run into the numbers.
BOX = """8 12 0
0 0 0
4 0 0
4 2 0
0 2 0
0 0 1
4 0 1
4 2 1
0 2 1
3 0 2 1
3 0 3 2
3 4 5 6
3 4 6 7
3 0 1 5
3 0 5 4
3 1 2 6
3 1 6 5
3 2 3 7
3 2 7 6
3 3 0 4
3 3 4 7
"""


def write_meshes(folder: Path) -> None:
    for name in MODELNET10:
        for part, numbers in (("train", (1, 2)), ("test", (3,))):
            (folder / name / part).mkdir(parents=True)
            for number in numbers:
                header = "OFF" if number == 1 else "OFF\n"
                (folder / name / part / f"{name}_{number:04d}.off").write_text(header + BOX)


def write_text(folder: Path, points: int = 40) -> None:
    folder.mkdir()
    names = {"train": [f"{name}_0001" for name in MODELNET40], "test": ["night_stand_0002", "xbox_0104"]}
    for part, listed in names.items():
        (folder / f"modelnet40_{part}.txt").write_text("\n".join(listed) + "\n")
        tens = [name for name in listed if name.rpartition("_")[0] in MODELNET10]
        (folder / f"modelnet10_{part}.txt").write_text("\n".join(tens))
        for name in listed:
            path = folder / name.rpartition("_")[0] / f"{name}.txt"
            path.parent.mkdir(exist_ok=True)
            rows = torch.randn(points, 6).clamp(-1, 1)
            path.write_text("".join(",".join(f"{v:.6f}" for v in row) + "\n" for row in rows.tolist()))
    (folder / "modelnet40_shape_names.txt").write_text("\n".join(MODELNET40))


def write_hdf5(folder: Path, points: int = 64) -> dict[str, np.ndarray]:
    h5py = pytest.importorskip("h5py")
    folder.mkdir()
    written = {}
    for part, count in (("train0", 3), ("train1", 2), ("test0", 2)):
        data = np.random.default_rng(count).normal(size=(count, points, 3)).astype(np.float32)
        label = np.array(
            [[MODELNET40.index("chair")], [MODELNET40.index("xbox")], [MODELNET40.index("toilet")]][:count],
            "u1",
        )
        with h5py.File(folder / f"ply_data_{part}.h5", "w") as file:
            file.create_dataset("data", data=data, compression="gzip")
            file.create_dataset("label", data=label, compression="gzip")
            file.create_dataset("normal", data=-data)
        written[part] = data
    for part, numbers in (("train", (0, 1)), ("test", (0,))):
        lines = [f"data/modelnet40_ply_hdf5_2048/ply_data_{part}{number}.h5\n" for number in numbers]
        (folder / f"{part}_files.txt").write_text("".join(lines))
    (folder / "shape_names.txt").write_text("\n".join(MODELNET40) + "\n")
    return written


def in_unit_ball(pos: torch.Tensor) -> bool:
    return float(pos.norm(dim=1).max()) <= 1 + 1e-6


def test_classes() -> None:
    assert len(MODELNET10) == 10 and len(set(MODELNET40)) == 40 and set(MODELNET10) < set(MODELNET40)
    assert MODELNET40[0] == "airplane" and MODELNET40[39] == "xbox" and sorted(MODELNET10) == MODELNET10


def test_meshes(tmp_path: Path) -> None:
    write_meshes(tmp_path / "ModelNet10")
    train, test = (ModelNet(tmp_path, "10", split, num_points=2000) for split in ("train", "test"))  # type: ignore[arg-type]
    assert len(train) == 20 and len(test) == 10 and train.num_classes == 10
    assert train.labels.tolist() == [k for k in range(10) for _ in range(2)]
    assert [train.names[k] for k in (0, 3)] == ["bathtub_0001", "bed_0002"]
    item = train[4]
    assert item.y.tolist() == [2] and item.pos.dtype == torch.float32 and in_unit_ball(item.pos)
    # By area: of 28, 16 are above and below.
    upright = item.normal[:, 2].abs() > 0.9
    assert float(upright.double().mean()) == pytest.approx(16 / 28, abs=0.04)
    # On the box: along its normal, a point lies on one of six planes.
    along = (item.pos * item.normal).sum(1)
    for axis in range(3):
        on = along[item.normal[:, axis].abs() > 0.9]
        assert len(on.mul(1e4).round().unique()) <= 4
    assert torch.equal(item.pos, ModelNet(tmp_path, "10", "train", num_points=2000)[4].pos)
    assert not torch.equal(item.pos, train[5].pos)


def test_header_that_runs_into_its_numbers(tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.off" for k in range(3)]
    for path, header in zip(paths, ("OFF\n", "OFF", "OFF "), strict=True):
        path.write_text(header + BOX)
    meshes = [Mesh.load(path) for path in paths]
    assert all(torch.equal(mesh.pos, meshes[0].pos) and mesh.face.shape == (3, 12) for mesh in meshes)


def test_damaged_meshes_are_named(tmp_path: Path) -> None:
    write_meshes(tmp_path)
    data = ModelNet(tmp_path, "10")
    bed = tmp_path / "bed" / "train" / "bed_0001.off"
    for text, trouble in (
        ("OFF" + BOX[:80], "bed_0001.off"),
        ("", "bed_0001.off"),
        ("PLY\n" + BOX, "bed_0001.off"),
        ("OFF" + BOX.replace("4 2 1", "4 nan 1"), "bed_0001.off"),
        ("OFF 3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n", "bed_0001.off: the mesh has no area"),
    ):
        bed.write_text(text)
        with pytest.raises(ValueError, match=trouble):
            data[data.names.index("bed_0001")]
    for path in (tmp_path / "sofa" / "test").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="sofa/test has no off files"):
        ModelNet(tmp_path, "10")
    with pytest.raises(FileNotFoundError, match="airplane/train has no off files"):
        ModelNet(tmp_path, "40")


def test_resampled_text(tmp_path: Path) -> None:
    folder = tmp_path / "modelnet40_normal_resampled"
    write_text(folder)
    train, test = (
        ModelNet(tmp_path, "40", "train", num_points=30),
        ModelNet(folder, "40", "test", num_points=30),
    )
    assert (
        len(train) == 40
        and train.labels.tolist() == list(range(40))
        and test.names == ["night_stand_0002", "xbox_0104"]
    )
    rows = np.loadtxt(folder / "vase" / "vase_0001.txt", delimiter=",")
    points = rows[:, :3] - rows[:, :3].mean(0)
    item = train[MODELNET40.index("vase")]
    torch.testing.assert_close(
        item.pos.double(), torch.tensor(points / np.linalg.norm(points, axis=1).max())[:30], atol=1e-6, rtol=0
    )
    torch.testing.assert_close(item.normal.double(), torch.tensor(rows[:30, 3:]), atol=1e-6, rtol=0)
    ten = ModelNet(tmp_path, "10", num_points=10)
    assert len(ten) == 11 and ten.classes == MODELNET10 and int(ten[10].y) == MODELNET10.index("night_stand")
    batch = next(iter(DataLoader(ten, batch_size=11)))
    assert (
        batch.pos.shape == (110, 3)
        and batch.y.shape == (11,)
        and batch.ptr.tolist() == list(range(0, 111, 10))
    )


def test_damaged_text_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "set")
    data = ModelNet(tmp_path / "set", "40", "test", num_points=41)
    with pytest.raises(ValueError, match=r"xbox_0104.txt has 40 points, but 41 are asked for"):
        data[1]
    path = tmp_path / "set" / "xbox" / "xbox_0104.txt"
    rows = path.read_text().splitlines()
    for text, trouble in (
        ("\n".join([*rows[:5], rows[5][:20]]), "xbox_0104.txt is damaged"),
        ("\n".join([*rows[:5], "a,b,c,d,e,f"]), "xbox_0104.txt is damaged"),
        ("\n".join([*rows[:5], "nan,0,0,0,0,1"]), "xbox_0104.txt: point 5 is not finite"),
        ("\n".join(row.rpartition(",")[0] for row in rows), "xbox_0104.txt has 5 numbers a point"),
        ("", "xbox_0104.txt has no points"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=trouble):
            ModelNet(tmp_path / "set", "40", "test", num_points=5)[1]
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks xbox/xbox_0104.txt"):
        ModelNet(tmp_path / "set", "40", "test")
    (tmp_path / "set" / "modelnet40_test.txt").write_text("rocket_0001\n")
    with pytest.raises(ValueError, match="names rocket_0001, whose class is none of ModelNet40"):
        ModelNet(tmp_path / "set", "40", "test")


def test_hdf5(tmp_path: Path) -> None:
    written = write_hdf5(tmp_path / "modelnet40_ply_hdf5_2048")
    train = ModelNet(tmp_path, "40", "train", num_points=50)
    assert [train.classes[k] for k in train.labels] == ["chair", "xbox", "toilet", "chair", "xbox"]
    points = written["train1"][1].astype(np.float64)
    points = points - points.mean(0)
    item = train[4]
    expected = torch.tensor(points / np.linalg.norm(points, axis=1).max())[:50]
    torch.testing.assert_close(item.pos.double(), expected, atol=1e-6, rtol=0)
    assert torch.equal(item.normal, -torch.from_numpy(written["train1"][1][:50]))
    ten = ModelNet(tmp_path, "10", num_points=50)
    assert [ten.classes[k] for k in ten.labels] == ["chair", "toilet", "chair", "chair"]


def test_damaged_hdf5_is_named(tmp_path: Path) -> None:
    write_hdf5(tmp_path / "set")
    path = tmp_path / "set" / "ply_data_train1.h5"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(ValueError, match=r"ply_data_train1.h5 is damaged"):
        ModelNet(tmp_path / "set", "40", "train")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks ply_data_train1.h5"):
        ModelNet(tmp_path / "set", "40", "train")


def test_arguments(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"none of its forms is there(.|\n)*modelnet.cs.princeton.edu"
    ):
        ModelNet(tmp_path)
    with pytest.raises(FileNotFoundError, match="it is no folder"):
        ModelNet(tmp_path / "nothing")
    with pytest.raises(ValueError, match="variant must be"):
        ModelNet(tmp_path, "30")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="split must be"):
        ModelNet(tmp_path, "10", "val")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_points must be at least 1"):
        ModelNet(tmp_path, "10", num_points=0)


def write_grids(path: Path) -> np.ndarray:
    grids = np.zeros((3, 30, 30, 30), np.int32)
    grids[0, 10:20, 5:25, 14:16] = 1
    grids[1, 3, 4, 5] = 1
    labels = np.array([2, 9, 0])
    np.savez_compressed(path, X_train=grids, y_train=labels, X_test=grids[:1], y_test=labels[1:2])
    return grids


def test_points_of_an_occupancy_grid_lie_on_its_surface(tmp_path: Path) -> None:
    write_grids(tmp_path / "occupancy_30.npz")
    data = ModelNetOccupancy(tmp_path, "train", num_points=3000)
    assert len(data) == 3 and data.classes[2] == "chair" and data[0].y.tolist() == [2]
    box = data[0]
    assert in_unit_ball(box.pos)
    size = box.pos.max(0).values - box.pos.min(0).values
    torch.testing.assert_close(size / size[2], torch.tensor([5.0, 10.0, 1.0]), atol=0.05, rtol=0)
    # By area: 2 x 200 of 2 x (200 + 20 + 40) above and below.
    assert float((box.normal[:, 2] != 0).double().mean()) == pytest.approx(200 / 260, abs=0.03)
    assert data[1].pos.shape == (3000, 3)  # a single voxel
    assert torch.equal(box.pos, ModelNetOccupancy(tmp_path, num_points=3000)[0].pos)
    with pytest.raises(ValueError, match="grid train/0002 is empty"):
        data[2]


def test_damaged_occupancy_is_named(tmp_path: Path) -> None:
    path = tmp_path / "occupancy_30.npz"
    with pytest.raises(FileNotFoundError, match=r"No occupancy_30.npz"):
        ModelNetOccupancy(tmp_path)
    write_grids(path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="is damaged"):
        ModelNetOccupancy(path)
    np.savez(path, X_train=np.zeros((1, 30, 30, 30)), y_train=np.array([10]))
    with pytest.raises(ValueError, match=r"y_train holds 10\.\.10, but there are 10 classes"):
        ModelNetOccupancy(path, "train")
    with pytest.raises(ValueError, match="lacks an array"):
        ModelNetOccupancy(path, "test")


def test_official_split_of_the_occupancy_grids(shared_data: Path) -> None:
    test = ModelNetOccupancy(shared_data, "test")
    assert len(test) == 908
    assert test.labels.bincount().tolist() == [50, 100, 100, 86, 86, 100, 86, 100, 100, 100]
    for k in range(0, 908, 150):
        assert in_unit_ball(test[k].pos) and test[k].pos.shape == (1024, 3)
