"""The RNA set in its official layout."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from geodl.data import DataLoader
from geodl.datasets import RNA
from geodl.geometry import gradient, spectrum
from tests.datasets.layouts import template, write_rna


def test_layout(tmp_path: Path) -> None:
    write_rna(tmp_path / "RNA-Surface-Segmentation-Dataset")
    both, train = RNA(tmp_path), RNA(tmp_path / "RNA-Surface-Segmentation-Dataset", "train")
    assert both.names == ["1ABC_A", "2DEF_B", "3GHI_9"] and train.names == both.names[:2]
    assert len(both) == 3 and both.num_classes == 259
    mesh = both[1]
    assert (
        torch.allclose(mesh.pos, template(1).pos)
        and mesh.pos.dtype == torch.float32
        and mesh.name == "2DEF_B"
    )
    assert mesh.y.dtype == torch.int64 and mesh.y.tolist() == [-1] + [258] * 41
    batch = next(iter(DataLoader(train, batch_size=2)))
    assert batch.y.shape == (84,) and batch.face.max() == 83
    again = pickle.loads(pickle.dumps(train))
    assert torch.equal(again[-1].pos, train[-1].pos)
    with pytest.raises(IndexError):
        both[3]


def test_transforms_do_not_touch_what_is_kept(tmp_path: Path) -> None:
    write_rna(tmp_path)

    def tidy(mesh):  # type: ignore[no-untyped-def]
        mesh.pos = mesh.pos * 2
        return mesh

    twice = RNA(tmp_path, "test", transform=tidy)
    assert torch.equal(twice[0].pos, twice[0].pos) and torch.allclose(twice[0].pos, 2 * template().pos)


def test_a_part_is_asked_for(tmp_path: Path) -> None:
    write_rna(tmp_path)
    (tmp_path / "labels" / "1ABC_A.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lacks 1 of the 2 shapes(.|\n)*labels/1ABC_A\.txt(.|\n)*part=True"
    ):
        RNA(tmp_path, "train")
    assert RNA(tmp_path, "train", part=True).names == ["2DEF_B"]
    (tmp_path / "off" / "2DEF_B.off").unlink()
    with pytest.raises(FileNotFoundError, match="lacks 2 of the 2 shapes"):
        RNA(tmp_path, "train", part=True)
    assert len(RNA(tmp_path, "test")) == 1


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No RNA-Surface-Segmentation-Dataset at(.|\n)*git clone"):
        RNA(tmp_path)
    write_rna(tmp_path)
    with pytest.raises(ValueError, match="split must be"):
        RNA(tmp_path, "validation")  # type: ignore[arg-type]
    labels = tmp_path / "labels" / "1ABC_A.txt"
    for text, message in (
        ("3\n" * 40, r"1ABC_A\.txt has 40 labels, but 1ABC_A\.off has 42 vertices"),
        ("3\n" * 41 + "259\n", r"line 42 is 259, but labels are -1 \(none\) to 258"),
        ("-2\n" + "3\n" * 41, "line 1 is -2"),
        ("3\n" * 41 + "x\n", "is damaged"),
        ("3\n" * 41 + "2.5\n", "is damaged"),
        ("3\n" * 41 + "9" * 30, "is damaged"),
        ("", "has 0 labels"),
    ):
        labels.write_text(text)
        with pytest.raises(ValueError, match=message):
            RNA(tmp_path)[0]
    off = tmp_path / "off" / "2DEF_B.off"
    off.write_bytes(off.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"2DEF_B\.off"):
        RNA(tmp_path)[1]
    (tmp_path / "train.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"train\.txt is empty"):
        RNA(tmp_path)
    (tmp_path / "train.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks train\.txt"):
        RNA(tmp_path)


def test_published(shared_data: Path) -> None:
    train, test = RNA(shared_data, "train", part=True), RNA(shared_data / "RNA", "test", part=True)
    assert len(train) >= 40 and len(test) >= 10 and not set(train.names) & set(test.names)
    for mesh in (train[0], train[39], test[-1]):
        assert 12_000 < mesh.pos.shape[0] == mesh.y.shape[0] < 18_000
        assert mesh.y.min() >= -1 and mesh.y.max() <= 258 and mesh.y.unique().numel() > 50


def test_operators_of_meshes_as_published(shared_data: Path, tmp_path: Path) -> None:
    """With vertices of nearly no area, with several components and vertices of no face: finite, and modes orthonormal."""
    (tmp_path / "train.txt").write_text("5DGF_3.off\n5LZB_B.off\n1N8R_B.off\n")
    for place in ("off", "labels"):
        (tmp_path / place).symlink_to(shared_data / "RNA" / place)
    for mesh in RNA(tmp_path, "train"):
        modes = spectrum(mesh, 16)
        gram = modes.evecs.T @ (modes.mass[:, None] * modes.evecs)
        assert torch.allclose(gram, torch.eye(16, dtype=gram.dtype), atol=1e-6)
        assert modes.evals[0].abs() < 1e-6 * modes.evals[-1] and modes.mass.min() >= 0
        assert gradient(mesh).values.isfinite().all()
