"""FAUST: the official layout, read from files that the tests write, and from the real ones where they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from geodl.data import DataLoader, Mesh
from geodl.datasets import FAUST


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as FAUST has them, with a sphere of 6890 vertices and 13776 faces in the place of people."""
    root = tmp_path_factory.mktemp("faust") / "MPI-FAUST"
    (root / "training" / "registrations").mkdir(parents=True)
    body = sphere_of_faust_size()
    for number in (*range(3), 79, *range(80, 100)):
        body.pos[0, 0] = 1 + number / 100
        body.save(root / "training" / "registrations" / f"tr_reg_{number:03d}.ply")
    for number in range(3, 79):  # the layout is what counts: one file, many names
        (root / "training" / "registrations" / f"tr_reg_{number:03d}.ply").symlink_to("tr_reg_002.ply")
    return root


def sphere_of_faust_size() -> Mesh:
    """A latitude-longitude sphere with 84 rings of 82 vertices and two poles: 6890 vertices, 13776 faces."""
    rings, around = 84, 82
    latitude = torch.linspace(0, torch.pi, rings + 2)[1:-1, None].expand(rings, around)
    longitude = (torch.arange(around) * (2 * torch.pi / around)).expand(rings, around)
    pos = torch.stack(
        [latitude.sin() * longitude.cos(), latitude.sin() * longitude.sin(), latitude.cos()], dim=2
    )
    pos = torch.cat([pos.reshape(-1, 3), torch.tensor([[0.0, 0, 1], [0, 0, -1]])])
    a = torch.arange(rings * around).reshape(rings, around)
    b = a.roll(-1, 1)
    quads = torch.cat([torch.stack([a[:-1], a[1:], b[1:]]), torch.stack([a[:-1], b[1:], b[:-1]])], dim=1)
    north = torch.stack([torch.full((around,), rings * around), a[0], b[0]])
    south = torch.stack([torch.full((around,), rings * around + 1), b[-1], a[-1]])
    return Mesh(pos, torch.cat([quads.reshape(3, -1), north, south], dim=1))


def test_splits_subjects_and_poses(official: Path) -> None:
    train, test, everything = (FAUST(official, split=split) for split in ("train", "test", None))
    assert (len(train), len(test), len(everything)) == (80, 20, 100)
    assert test[0].name == "tr_reg_080" and (test[0].subject, test[0].pose) == (8, 0)
    assert train[79].name == "tr_reg_079" and (train[79].subject, train[79].pose) == (7, 9)
    assert test[-1].name == "tr_reg_099"
    assert test.reference.name == "tr_reg_000" and test.num_classes == 6890
    assert torch.equal(test[5].y, torch.arange(6890)) and torch.equal(test[5].face, test.reference.face)
    assert test[5].pos[0, 0] == torch.tensor(1.85)  # each its own file
    with pytest.raises(IndexError):
        test[20]
    assert len(list(test)) == 20


def test_root_may_be_the_folder_above(official: Path) -> None:
    assert (
        FAUST(official.parent, split="test")[3].name == FAUST(official, split="test")[3].name == "tr_reg_083"
    )


def test_pairs_of_registrations(official: Path) -> None:
    pairs = FAUST(official, split="test").pairs()
    assert len(pairs) == 20 * 19 and pairs[1].name == "tr_reg_080-tr_reg_082"
    assert torch.equal(pairs[1].source_vertices, torch.arange(6890))
    assert torch.equal(pairs[1].target_vertices, torch.arange(6890))


def test_transform_and_batches(official: Path) -> None:
    def lift(mesh: Mesh) -> Mesh:
        mesh.pos = mesh.pos + 1
        return mesh

    plain, lifted = FAUST(official, split="test"), FAUST(official, split="test", transform=lift)
    for _ in range(2):  # what is kept in memory is not what the transform has changed
        assert torch.equal(lifted[1].pos, plain[1].pos + 1)
    batch = next(iter(DataLoader(lifted, batch_size=3)))
    assert batch.pos.shape == (3 * 6890, 3) and batch.subject.tolist() == [8, 8, 8]
    assert batch.name == ["tr_reg_080", "tr_reg_081", "tr_reg_082"]


def test_missing_data_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"(?s)No FAUST at .*nowhere: it is no folder.*Register at https"
    ):
        FAUST(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="neither training/registrations nor MPI-FAUST"):
        FAUST(tmp_path)
    folder = tmp_path / "training" / "registrations"
    folder.mkdir(parents=True)
    for number in range(100):
        if number not in (7, 81):
            (folder / f"tr_reg_{number:03d}.ply").touch()
    with pytest.raises(FileNotFoundError, match=r"lacks tr_reg_007\.ply, tr_reg_081\.ply\.\n"):
        FAUST(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"lacks tr_reg_081\.ply\.\n"):
        FAUST(tmp_path, split="test")
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"tr_reg_004\.ply and 95 more files"):
        FAUST(tmp_path)


def test_damaged_files_are_named(official: Path, tmp_path: Path) -> None:
    folder = tmp_path / "training" / "registrations"
    folder.mkdir(parents=True)
    for number in range(100):
        (folder / f"tr_reg_{number:03d}.ply").symlink_to(official / "training/registrations/tr_reg_000.ply")

    def replace(number: int, mesh: Mesh) -> Path:
        path = folder / f"tr_reg_{number:03d}.ply"
        path.unlink()
        mesh.save(path)
        return path

    body = sphere_of_faust_size()
    cut = replace(80, body)
    cut.write_bytes(cut.read_bytes()[:-100])
    replace(81, Mesh(body.pos, body.face[:, 1:]))
    replace(82, Mesh(body.pos, body.face.flip(1)))
    test = FAUST(tmp_path, split="test")
    with pytest.raises(ValueError, match=r"tr_reg_080\.ply: truncated or damaged"):
        test[0]
    with pytest.raises(ValueError, match=r"tr_reg_081\.ply has 6890 vertices and 13775 faces"):
        test[1]
    with pytest.raises(ValueError, match=r"tr_reg_082\.ply has other faces than tr_reg_000\.ply"):
        test[2]
    assert test[3].num_nodes == 6890


def test_arguments(official: Path) -> None:
    with pytest.raises(ValueError, match="variant must be one of 'registrations', 'remeshed', not 'scans'"):
        FAUST(official, variant="scans")
    with pytest.raises(ValueError, match="split must be 'train', 'test' or None, not 'validation'"):
        FAUST(official, split="validation")  # type: ignore[arg-type]


def test_the_real_ones(shared_data: Path) -> None:
    if not (shared_data / "MPI-FAUST").is_dir():
        pytest.skip("the data folder has no MPI-FAUST")
    faust = FAUST(shared_data)
    heights = []
    for mesh in faust:
        assert (
            mesh.pos.shape == (6890, 3) and mesh.face.shape == (3, 13776) and mesh.pos.dtype == torch.float32
        )
        heights.append(float(mesh.pos[:, 1].max() - mesh.pos[:, 1].min()))
    assert len(heights) == 100
    assert 1.4 < heights[0] < 2.1  # tr_reg_000 stands: metres
