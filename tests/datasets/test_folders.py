"""Folders of one's own: every layout, every kind of file, and what is wrong with them by name."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from geodl.data import DataLoader, Mesh, PointCloud
from geodl.datasets import SegmentationFolder, ShapeFolder


def shape(name: str, number: int) -> Mesh:
    made = trimesh.creation.box() if name == "box" else trimesh.creation.icosphere(1)
    made.apply_scale(1 + 0.1 * number)
    return Mesh(torch.tensor(made.vertices).float(), torch.tensor(made.faces).t().contiguous())


def save(path: Path, mesh: Mesh) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, mesh.pos.numpy())
    else:
        mesh.save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, ten shapes each, in off, ply and npy; and files that are no shapes."""
    for name in ("box", "ball"):
        for number in range(10):
            ending = ("off", "ply", "npy")[number % 3]
            save(tmp_path / name / f"{name}{number}.{ending}", shape(name, number))
        (tmp_path / name / f"._{name}0.off").write_bytes(b"not a shape")
        (tmp_path / name / "readme.md").write_text("mine")
    (tmp_path / ".cache").mkdir()
    return tmp_path


def test_a_folder_a_class(folder: Path) -> None:
    whole = ShapeFolder(folder)
    assert whole.classes == ["ball", "box"] and len(whole) == 20 and whole.num_classes == 2
    assert whole.names[0] == "ball/ball0.off" and whole.labels.tolist() == [0] * 10 + [1] * 10
    assert isinstance(whole[0], Mesh) and isinstance(whole[2], PointCloud) and whole[-1].y.tolist() == [1]
    assert torch.equal(whole[3].pos, shape("ball", 3).pos)
    train, test = ShapeFolder(folder, "train"), ShapeFolder(folder, "test")
    assert len(train) == 16 and test.labels.bincount().tolist() == [2, 2]
    assert sorted(train.names + test.names) == sorted(whole.names)
    assert ShapeFolder(folder, "train").names == train.names != ShapeFolder(folder, "train", seed=1).names
    assert len(ShapeFolder(folder, "val", val_share=0.3)) == 6


def test_shapes_as_clouds_pack(folder: Path) -> None:
    clouds = ShapeFolder(folder, num_points=8)
    batch = next(iter(DataLoader(clouds, batch_size=20)))
    assert batch.pos.shape == (160, 3) and batch.ptr.tolist() == [*range(0, 161, 8)]
    assert torch.equal(clouds[0].pos, ShapeFolder(folder, num_points=8)[0].pos)
    assert float(clouds[0].pos.norm(dim=1).max()) == pytest.approx(1)
    assert sorted(clouds[0].to_dict()) == ["name", "pos", "y"]
    with pytest.raises(ValueError, match=r"box/box2\.npy has 8 points, but 9 are asked for"):
        list(ShapeFolder(folder, num_points=9))
    again = pickle.loads(pickle.dumps(clouds))
    assert torch.equal(again[5].pos, clouds[5].pos)


@pytest.mark.parametrize("layout", ["{split}/{name}", "{name}/{split}"])
def test_folders_that_tell_splits(tmp_path: Path, layout: str) -> None:
    for split, count in (("train", 3), ("test", 2)):
        for name in ("box", "ball"):
            for number in range(count):
                save(tmp_path / layout.format(split=split, name=name) / f"{number}.off", shape(name, number))
    assert len(ShapeFolder(tmp_path, "train")) == 6 and len(ShapeFolder(tmp_path, "test")) == 4
    assert ShapeFolder(tmp_path).classes == ["ball", "box"]
    with pytest.raises(ValueError, match="no shapes are of the split 'val': there are 4 test, 6 train"):
        ShapeFolder(tmp_path, "val")


def test_split_folders_however_they_are_spelled(tmp_path: Path) -> None:
    save(tmp_path / "Test" / "box" / "0.off", shape("box", 0))
    assert ShapeFolder(tmp_path, "test").classes == ["box"]
    (tmp_path / "Test" / "lamp").mkdir()
    with pytest.warns(UserWarning, match="lamp has no shapes and is left out"):
        ShapeFolder(tmp_path)
    (tmp_path / "validation").mkdir()
    with pytest.raises(
        ValueError, match="has test and beside them 'validation', which is none of train, val, test"
    ):
        ShapeFolder(tmp_path)


def test_a_list(folder: Path) -> None:
    lines = ["file,label,split", "box/box0.off,cube,train", "ball/ball0.off, round, test", ""]
    (folder / "list.csv").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    found = ShapeFolder(folder / "list.csv")
    assert found.classes == ["cube", "round"] and found.names == ["box/box0.off", "ball/ball0.off"]
    assert ShapeFolder(folder / "list.csv", "test").labels.tolist() == [1]
    for text, trouble in {
        "file,class\nbox/box0.off,a": "has no column 'label'; its first line names file, class",
        "file,label\nbox/none.off,a": "line 2: there is no file .*none.off",
        "file,label,split\nbox/box0.off,a,rest": "line 2: 'rest' is none of train, val, test",
        "file,label\n,a": "line 2: it names no file",
        "file,label\nbox/box0.off,": "says no label of box/box0.off",
        "file,label,split\nbox/box0.off,a,train\nball/ball0.off,a,": "ball/ball0.off does not",
        "file,label": "lists no shapes",
    }.items():
        (folder / "list.csv").write_text(text)
        with pytest.raises((ValueError, FileNotFoundError), match=trouble):
            ShapeFolder(folder / "list.csv", "train")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "utf-8"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_list_as_spreadsheets_write_it(folder: Path, encoding: str, mark: str) -> None:
    lines = ["File,Label,Split", "box\\box0.off,Würfel,train", "ball/ball0.off,rund,test"]
    (folder / "list.csv").write_bytes("\r\n".join(lines).replace(",", mark).encode(encoding))
    found = ShapeFolder(folder / "list.csv")
    assert found.classes == ["Würfel", "rund"] and found.names == ["box/box0.off", "ball/ball0.off"]


def test_a_list_contradicts_itself_or_is_not_given(tmp_path: Path) -> None:
    save(tmp_path / "a.off", shape("box", 0))
    (tmp_path / "list.csv").write_text("file,label\na.off,cube\na.off,cube\n")
    assert len(ShapeFolder(tmp_path / "list.csv")) == 2
    with pytest.raises(
        ValueError, match=r"no shapes in folders of classes: give .*list\.csv, if that lists them"
    ):
        ShapeFolder(tmp_path)
    (tmp_path / "list.csv").write_text("file,label\na.off,cube\na.off,ball\n")
    with pytest.raises(ValueError, match=r"list\.csv lists a\.off twice, and not as the same"):
        ShapeFolder(tmp_path / "list.csv")


def test_labels_as_programs_write_them(tmp_path: Path) -> None:
    """A column of numpy, and text of an editor with a mark before it."""
    for name in ("a", "b"):
        save(tmp_path / f"{name}.off", shape("box", 0))
    np.save(tmp_path / "a.npy", np.arange(8, dtype=np.uint16)[:, None])
    (tmp_path / "b.txt").write_bytes("\r\n".join("01234567").encode("utf-8-sig"))
    for one in SegmentationFolder(tmp_path):
        assert one.y.tolist() == list(range(8))


def test_what_is_wrong_with_a_folder(tmp_path: Path, folder: Path) -> None:
    for of in (ShapeFolder, SegmentationFolder):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            of(folder / "none")
        with pytest.raises(ValueError, match="has no shapes: expected"):
            of(folder / ".cache")
        with pytest.raises(ValueError, match="split must be 'train', 'val', 'test' or None, not 'all'"):
            of(folder, "all")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="must leave some to train on, got"):
            of(folder, "train", test_share=0.8, val_share=0.2)
        with pytest.raises(ValueError, match="num_points must be at least 1, got 0"):
            of(folder, num_points=0)
    (folder / "box" / "box0.off").write_text("OFF\n8 12")
    with pytest.raises(ValueError, match=r"box0\.off: truncated or damaged"):
        ShapeFolder(folder)[10]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Labels in every place: beside as txt, seg and npy, within a ply; of vertices, faces and points."""
    mesh = shape("ball", 0)
    north = (mesh.pos[:, 2] > 0).long()
    of_faces = (mesh.pos[mesh.face].mean(0)[:, 2] > 0).long()
    save(tmp_path / "a.off", mesh)
    np.savetxt(tmp_path / "a.txt", north.numpy(), fmt="%d")
    save(tmp_path / "b.obj", mesh)
    np.savetxt(tmp_path / "b.seg", of_faces.numpy(), fmt="%d")
    save(tmp_path / "c.off", mesh)
    np.save(tmp_path / "c.npy", 3 * north.numpy())
    Mesh(mesh.pos, mesh.face, y=north).save(tmp_path / "d.ply")
    Mesh(mesh.pos, mesh.face, face_y=of_faces).save(tmp_path / "e.ply")
    np.save(tmp_path / "f.npy", mesh.pos.numpy())
    np.savetxt(tmp_path / "f.txt", north.numpy() - 1, fmt="%d")
    return tmp_path


def test_labels_beside_and_within(labelled: Path) -> None:
    found = SegmentationFolder(labelled)
    assert found.names == ["a.off", "b.obj", "c.off", "d.ply", "e.ply", "f.npy"] and found.num_classes == 4
    mesh = found[0]
    north = (mesh.pos[:, 2] > 0).long()
    of_faces = (mesh.pos[mesh.face].mean(0)[:, 2] > 0).long()
    expected: list[Any] = [north, of_faces, 3 * north, north, of_faces, north - 1]
    for one, y in zip(found, expected, strict=True):
        assert torch.equal(one.y, y), one.name
    assert len(SegmentationFolder(labelled, "test", test_share=0.5)) == 3


def test_a_list_of_labelled_shapes_is_split(labelled: Path) -> None:
    lines = ["file,labels", *("a.off,a.txt" for _ in range(5)), ""]
    (labelled / "list.csv").write_text("\n".join(lines))
    train, test = (SegmentationFolder(labelled / "list.csv", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (4, 1) and test[0].y.shape == (42,)
    assert "list.csv" not in SegmentationFolder(labelled).names


def test_points_take_the_labels_of_where_they_lie(labelled: Path) -> None:
    clouds = SegmentationFolder(labelled, num_points=40)
    for name, cloud in zip(clouds.names, clouds, strict=True):
        north = cloud.pos[:, 2] > 0.2
        known = cloud.y[north]
        assert cloud.pos.shape == (40, 3) and cloud.y.shape == (40,)
        assert int(north.sum()) > 5 and bool((known == known.max()).float().mean() > 0.9), name


def test_what_is_wrong_with_labels(labelled: Path) -> None:
    (labelled / "a.txt").write_text("0 1 1")
    found = SegmentationFolder(labelled)
    with pytest.raises(ValueError, match=r"a\.txt has 3 labels but a\.off has 42 vertices and 80 faces"):
        found[0]
    (labelled / "a.txt").write_text("0.5 1 1")
    with pytest.raises(ValueError, match=r"a\.txt holds no labels: labels must be whole numbers"):
        found[0]
    (labelled / "a.txt").unlink()
    with pytest.raises(
        ValueError, match=r"a\.off has no labels: expected a property `label`, or a file beside it"
    ):
        SegmentationFolder(labelled)[0]
