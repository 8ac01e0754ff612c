"""geodl match, precompute and cache from end to end."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from geodl import cli
from geodl.data import InvariantSignal, Mesh, OperatorCache, PointCloud
from geodl.datasets import Puppets
from geodl.models import FunctionalMapNet, save_weights
from geodl.training import FunctionalMapData
from geodl.viz import use_renderer


@pytest.fixture(autouse=True)
def users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users"))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    shapes = Puppets(2, 2, num_vertices=1500)
    paths = tmp_path / "one.off", tmp_path / "two.ply"
    for path, mesh in zip(paths, (shapes[0], shapes[1]), strict=True):
        Mesh(mesh.pos, mesh.face).save(path)
    return paths


def test_match_writes_maps_trust_and_picture(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with use_renderer("matplotlib"):
        assert cli.main(["match", *map(str, files), "-o", str(out), "-k", "60"]) == 0
    said = capsys.readouterr().out
    assert "two.ply -> one.off: good" in said
    meshes = [Mesh.load(path) for path in files]
    p2p = torch.tensor([int(line) for line in (out / "p2p_21.txt").read_text().split()])
    back = torch.tensor([int(line) for line in (out / "p2p_12.txt").read_text().split()])
    assert p2p.shape[0] == meshes[1].pos.shape[0] and back.shape[0] == meshes[0].pos.shape[0]
    near = meshes[0].pos[p2p] - meshes[0].pos
    assert float(near.norm(dim=1).mean()) < 0.1 * float(meshes[0].pos.amax() - meshes[0].pos.amin())
    told = json.loads((out / "match.json").read_text())
    assert told["trust"]["verdict"] == "good" and told["vertices"] == [p2p.shape[0], back.shape[0]]
    assert (out / "match.png").stat().st_size > 1000


def test_match_with_weights(files: tuple[Path, Path], tmp_path: Path) -> None:
    weights = save_weights(FunctionalMapNet(InvariantSignal.channels), tmp_path / "net.safetensors")
    arguments = ["match", *map(str, files), "-o", str(tmp_path / "out"), "-k", "60", "--no-picture"]
    assert cli.main([*arguments, "--weights", str(weights)]) == 0
    assert not (tmp_path / "out" / "match.png").exists()
    arguments[4] = str(tmp_path / "none")
    assert cli.main([*arguments, "--features", "none"]) == 0


def test_a_page_and_folders_of_other_runs(
    files: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["match", *map(str, files), "-k", "30", "--no-picture", "--repair", "--html"]
    for folder in ("match-one-two", "match-one-two-2"):
        assert cli.main(arguments) == 0
        assert "two.ply matched to one.off" in (tmp_path / folder / "match.html").read_text()
    assert cli.main([*arguments, "-o", "match-one-two"]) == 1
    assert "match-one-two holds another run's files" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.main([*arguments, "-o", "file"]) == 1
    assert cli.main(["match", "none.off", str(files[1]), "-o", "fresh"]) == 1 and not Path("fresh").exists()


def test_landmarks(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("10 10\n500 500\n900 900\n")
    arguments = ["match", *map(str, files), "-k", "30", "--no-picture", "--landmarks", str(pairs)]
    assert cli.main([*arguments, "-o", str(tmp_path / "out")]) == 0
    pairs.write_text("1 2 3\n")
    assert cli.main([*arguments, "-o", str(tmp_path / "again")]) == 1
    assert "two vertices a line" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["nearest", "precise", "functional"])
def test_transfer(
    kind: str, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (Mesh.load(path).pos for path in files)
    values = tmp_path / "height.npy"
    np.save(values, one[:, 1])
    arguments = [
        "match",
        *map(str, files),
        "-k",
        "60",
        "--no-picture",
        "--transfer",
        str(values),
        "--kind",
        kind,
    ]
    assert cli.main([*arguments, "-o", str(tmp_path / "out")]) == 0
    carried = np.loadtxt(tmp_path / "out" / "transferred.txt")
    assert np.corrcoef(carried, two[:, 1])[0, 1] > 0.95
    np.save(values, one[:5, 1])
    assert cli.main([*arguments, "-o", str(tmp_path / "again")]) == 1
    assert "has 5 lines but shape 1 has" in capsys.readouterr().err


def test_a_cloud_carries_values_to_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cloud, values = tmp_path / "cloud.ply", tmp_path / "values.npy"
    pos = torch.randn(300, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2, 3])
    PointCloud(pos).save(cloud)
    np.save(values, pos[:, 0])
    arguments = ["match", str(cloud), str(cloud), "-k", "20", "--no-picture", "--transfer", str(values)]
    assert cli.main([*arguments, "-o", str(tmp_path / "out")]) == 0
    p2p = np.loadtxt(tmp_path / "out" / "p2p_21.txt", dtype=int)
    assert np.allclose(np.loadtxt(tmp_path / "out" / "transferred.txt"), pos[p2p, 0])
    for more, why in ((["--kind", "precise"], "shape 1 is a cloud"), (["--html", "--up", "w"], "up")):
        assert cli.main([*arguments, *more, "-o", str(tmp_path / "again")]) == 1
        assert why in capsys.readouterr().err


def test_with_repair_numbers_stay_those_of_the_files(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mesh = Mesh.load(files[0])
    stray = torch.cat([mesh.pos.new_tensor([[9.0, 9, 9]]), mesh.pos])  # without a face: repair leaves it out
    bad = tmp_path / "bad.off"
    Mesh(stray, mesh.face + 1).save(bad)
    height, pairs = tmp_path / "height.npy", tmp_path / "pairs.txt"
    np.save(height, stray[:, 1])
    pairs.write_text("11 11\n501 501\n901 901\n")
    arguments = [
        "match",
        str(bad),
        str(bad),
        "-k",
        "30",
        "--no-picture",
        "--repair",
        "--landmarks",
        str(pairs),
    ]
    arguments += ["--transfer", str(height), "--kind", "nearest"]
    assert cli.main([*arguments, "-o", str(tmp_path / "out")]) == 0
    p2p = np.loadtxt(tmp_path / "out" / "p2p_21.txt", dtype=int)
    assert len(p2p) == len(stray) and p2p[0] == -1
    assert (p2p[1:] == np.arange(1, len(stray))).mean() > 0.95
    carried = np.loadtxt(tmp_path / "out" / "transferred.txt")
    assert np.isnan(carried[0]) and np.allclose(carried[1:], stray[p2p[1:], 1])
    pairs.write_text("0 11\n1 1\n")
    assert cli.main([*arguments, "-o", str(tmp_path / "again")]) == 1
    assert "landmark 0 of shape 1 was left out by --repair" in capsys.readouterr().err


def test_bad_input_is_named(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["match", str(files[0]), str(tmp_path / "none.off")]) == 1
    assert "none.off" in capsys.readouterr().err
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no weights")
    assert cli.main(["match", *map(str, files), "--weights", str(damaged)]) == 1
    assert "does not hold weights of FunctionalMapNet" in capsys.readouterr().err


def test_precompute(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.off").write_text("OFF\n1 1 0\n")
    cache = ["--cache", str(tmp_path / "cache"), "-k", "10", "--workers", "0"]
    assert cli.main(["precompute", str(tmp_path), *cache]) == 1
    said = capsys.readouterr().out
    assert "3 shapes" in said and "bad.off" in said
    assert cli.main(["precompute", *map(str, files), *cache]) == 0
    assert "0 operators were computed" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert cli.main(["precompute", str(tmp_path / "empty")]) == 1


def test_what_was_precomputed_is_used_by_match_and_by_training(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the cache filled, an operator that is computed all the same is a fault."""
    assert cli.main(["precompute", *map(str, files), "--workers", "0"]) == 0
    for name in ("laplacian", "spectrum", "gradient"):
        monkeypatch.setattr(f"geodl.data.cache.{name}", None)
    assert cli.main(["match", *map(str, files), "-o", str(tmp_path / "out"), "--no-picture"]) == 0
    data = FunctionalMapData([Mesh.load(path) for path in files], [], k=100)
    data.setup()
    assert data.operators.cache.computed == 0 and data.ready["train"][0].spectrum.evals.shape == (100,)


def test_cache_is_shown_verified_and_cleared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "cache"
    cache = OperatorCache(folder)
    for number in range(2):
        cache.get("spectrum", {"number": number}, lambda: {"x": torch.zeros(2**18)})
    assert cli.main(["cache", "--cache", str(folder)]) == 0
    said = capsys.readouterr().out
    assert (
        f"2 entries of 2.0 MB in {folder}, at most 10240 MB" in said
        and "spectrum: 2, 2.0 MB, last used 20" in said
    )
    spoiled = folder / f"{cache.entries()[0].name}.safetensors"
    spoiled.write_bytes(spoiled.read_bytes()[:-1])
    assert cli.main(["cache", "verify", "--cache", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "1 of 2 entries" in said and f"removed {spoiled.stem}: it was damaged" in said
    assert cli.main(["cache", "clear", "--cache", str(folder)]) == 0
    assert "removed 1 entries" in capsys.readouterr().out and cache.entries() == []
    (tmp_path / "file").write_text("")
    assert cli.main(["cache", "--cache", str(tmp_path / "file" / "cache")]) == 1
    assert "file/cache cannot be made: Not a directory" in capsys.readouterr().err
