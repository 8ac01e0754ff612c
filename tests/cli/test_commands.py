"""Every command on good and on bad input; help, interrupts and exit codes of the process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from geodl.cli import main
from geodl.cli.inputs import read_index, read_values
from geodl.data import Mesh, PointCloud

ROOT = Path(__file__).parents[2]
Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "users"))


def ball(path: Path, stretch: float = 1.0, subdivisions: int = 2) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions)
    mesh = Mesh(
        torch.tensor(made.vertices * [1, stretch, 0.8], dtype=torch.float32), torch.tensor(made.faces).T
    )
    mesh.save(path)
    return mesh


def refused(said: Said, *arguments: object) -> str:
    """What a command says that ends with 1."""
    said.readouterr()
    assert main([str(argument) for argument in arguments]) == 1
    told = said.readouterr().err
    assert told.startswith("geodl: ") or "\ngeodl: " in told, told
    return told


def test_view(tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, out = tmp_path / "one.off", tmp_path / "two.ply", tmp_path / "page.html"
    mesh = ball(one)
    ball(two, 1.5)
    np.savetxt(tmp_path / "map.txt", np.arange(162), fmt="%d")
    assert main(["view", str(one), str(two), "--map", str(tmp_path / "map.txt"), "-o", str(out)]) == 0
    assert "<title>one.off, two.ply</title>" in out.read_text()
    np.save(tmp_path / "height.npy", mesh.pos[:, 1])
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main(["view", str(one), "--scalar", str(tmp_path / "height.npy")]) == 0
    shown = Path(opened[0].removeprefix("file://"))
    assert shown.is_file() and f"wrote {shown}" in capsys.readouterr().out
    shown.unlink()
    assert "is there already" in refused(capsys, "view", one, "-o", out)
    assert "no folder" in refused(capsys, "view", one, "-o", tmp_path / "none" / "a.html")
    assert "none.off" in refused(capsys, "view", tmp_path / "none.off", "-o", tmp_path / "b.html")
    (tmp_path / "words.txt").write_text("one\ntwo\n")
    told = refused(capsys, "view", one, "--scalar", tmp_path / "words.txt", "-o", tmp_path / "b.html")
    assert "words.txt does not hold numbers" in told and not (tmp_path / "b.html").exists()


def test_info_repair_convert(tmp_path: Path, capsys: Said) -> None:
    good, bad, empty = tmp_path / "good.ply", tmp_path / "bad.off", tmp_path / "empty.off"
    mesh = ball(good)
    twice = torch.cat([mesh.face, mesh.face[:, :3], torch.tensor([[0], [0], [1]])], 1)
    Mesh(mesh.pos, twice).save(bad)
    empty.write_text("")
    assert main(["info", str(good), str(bad)]) == 0
    told = capsys.readouterr().out
    assert "closed and clean" in told and "good.ply: Mesh, float32" in told and "area " in told
    assert "more than two faces" in told
    assert "empty.off" in refused(capsys, "info", good, empty)
    assert main(["repair", str(bad), str(tmp_path / "whole.ply")]) == 0
    assert "removed" in capsys.readouterr().out
    assert Mesh.load(tmp_path / "whole.ply").face.shape == mesh.face.shape
    assert "is there already" in refused(capsys, "repair", bad, good)
    assert "empty.off" in refused(capsys, "repair", empty, tmp_path / "no.ply")
    assert main(["convert", str(good), str(tmp_path / "made.obj")]) == 0
    assert torch.equal(Mesh.load(tmp_path / "made.obj").pos, mesh.pos)
    assert main(["convert", str(good), str(tmp_path / "points.xyz")]) == 0
    assert "320 are left out" in capsys.readouterr().out
    assert torch.equal(PointCloud.load(tmp_path / "points.xyz").pos, mesh.pos)
    assert "word" in refused(capsys, "convert", good, tmp_path / "made.word")


def test_numbers_of_files(tmp_path: Path) -> None:
    file, text = tmp_path / "a.npy", tmp_path / "a.txt"
    for made in (np.array([True, False]), np.array([1, 0], ">f4"), np.array([1, 0], "uint16")):
        np.save(file, made)
        assert read_index(file).tolist() == [1, 0]
    text.write_bytes(b"\xef\xbb\xbf1\n0\n")
    assert read_index(text).tolist() == [1, 0]
    np.save(file, np.array([1, np.inf]))
    with pytest.raises(ValueError, match="must hold whole numbers"):
        read_index(file)
    with file.open("wb") as opened:
        np.savez(opened, one=np.arange(2))
    with pytest.raises(ValueError, match="an npz file of several arrays"):
        read_values(file)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Balls and boxes, with labels of the upper and the lower half."""
    root = tmp_path / "classes"
    for name, made in (("ball", trimesh.creation.icosphere(1)), ("box", trimesh.creation.box().subdivide())):
        (root / name).mkdir(parents=True)
        for number in range(6):
            mesh = Mesh.from_trimesh(made.copy().apply_scale([1 + 0.03 * number, 1, 1.2]))
            mesh.save(root / name / f"{name}{number}.off")
            np.savetxt(root / name / f"{name}{number}.txt", mesh.pos[:, 2] > 0, fmt="%d")
    return root


def test_train_predict_evaluate_a_classifier(classes: Path, tmp_path: Path, capsys: Said) -> None:
    run, shape = tmp_path / "run", classes / "box" / "box0.off"
    arguments = ["train", "classify", str(classes), "-o", str(run), "--epochs", "2", "--batch-size", "4"]
    arguments += ["--network", "PointNet", "--points", "24"]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "that were not trained on" in said.out and "epoch 2 of 2: loss" in said.err
    assert not re.search("Tip|TPU|LeafSpec|num_workers|deprecated", said.err)
    assert json.loads((run / "run.json").read_text())["classes"] == ["ball", "box"]
    assert "accuracy" in json.loads((run / "result.json").read_text())
    assert main(["predict", str(run), str(shape)]) == 0
    assert re.search(r"box0.off: (ball|box) \(\d+%\)", capsys.readouterr().out)
    assert main(["evaluate", "run", str(run), str(classes)]) == 0
    assert "12 shapes: " in capsys.readouterr().out
    assert "has ended: name another folder" in refused(capsys, *arguments)
    assert "no run.json" in refused(capsys, "predict", tmp_path, shape)
    assert "none.off" in refused(capsys, "predict", run, tmp_path / "none.off")
    (run / "weights.safetensors").unlink()
    assert "has not ended" in refused(capsys, "evaluate", "run", run, classes)
    assert main(arguments) == 0, "the same arguments go on"
    assert f"going on in {run}" in capsys.readouterr().out
    (run / "weights.safetensors").unlink()
    assert "another run's files" in refused(capsys, *arguments, "--seed", "1")
    assert "another run's files" in refused(capsys, *arguments[:-1], "25")
    assert "there is no folder" in refused(capsys, "train", "classify", tmp_path / "none")


def test_train_predict_evaluate_a_segmentation(classes: Path, tmp_path: Path, capsys: Said) -> None:
    run, labels = tmp_path / "run", tmp_path / "labels"
    shapes = [str(classes / "ball" / f"ball{k}.off") for k in (0, 1)]
    assert main(["train", "segment", str(classes), "-o", str(run), "--epochs", "1", "-k", "12"]) == 0
    assert main(["predict", str(run), *shapes, "-o", str(labels)]) == 0
    assert (
        np.isin(np.loadtxt(labels / "ball0.txt"), [0, 1]).all()
        and len(np.loadtxt(labels / "ball1.txt")) == 42
    )
    assert main(["evaluate", "run", str(run), str(classes)]) == 0
    assert "intersection over union" in capsys.readouterr().out
    assert "another run's files" in refused(capsys, "predict", run, *shapes, "-o", labels)
    assert "would write ball0.txt" in refused(
        capsys, "predict", run, shapes[0], shapes[0], "-o", tmp_path / "c"
    )
    assert not (tmp_path / "c").exists()
    (tmp_path / "empty").mkdir()
    assert "has no shapes" in refused(capsys, "train", "segment", tmp_path / "empty", "-o", tmp_path / "r")


def test_train_correspond_makes_weights_for_match(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "meshes").mkdir()
    for number in range(3):
        ball(tmp_path / "meshes" / f"{number}.off", 1.3 + 0.1 * number)
    meshes, run = tmp_path / "meshes", tmp_path / "run"
    arguments = ["train", "correspond", str(meshes), "-o", str(run), "--epochs", "1", "--batch-size", "3"]
    assert main([*arguments, "-k", "100"]) == 0
    assert "holds a network of features" in refused(capsys, "predict", run, meshes / "0.off")
    assert "has 3 meshes, but a batch has 4" in refused(
        capsys, "train", "correspond", meshes, "-o", tmp_path / "r"
    )
    out = ["-o", str(tmp_path / "out"), "--weights", str(run / "weights.safetensors"), "--no-picture"]
    assert main(["match", str(meshes / "0.off"), str(meshes / "1.off"), "-k", "60", *out]) == 0


def test_evaluate_a_map(tmp_path: Path, capsys: Said) -> None:
    ball(tmp_path / "one.off")
    for name, numbers in (("true", np.arange(162)), ("short", np.arange(5)), ("far", np.arange(162) + 9)):
        np.savetxt(tmp_path / f"{name}.txt", numbers, fmt="%d")
    shape, true = tmp_path / "one.off", tmp_path / "true.txt"
    assert main(["evaluate", "map", str(true), str(shape), str(true)]) == 0
    assert re.search(r"\b0\.0", capsys.readouterr().out)
    assert "has 5 lines" in refused(capsys, "evaluate", "map", tmp_path / "short.txt", shape, true)
    refused(capsys, "evaluate", "map", tmp_path / "far.txt", shape, true)


def test_texture(tmp_path: Path, capsys: Said) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow: pip install matplotlib")
    draw = np.random.default_rng(0)
    image.fromarray(draw.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    ball(tmp_path / "ball.off", subdivisions=3)
    out = tmp_path / "worn.ply"
    arguments = ["texture", str(tmp_path / "a.png")]
    assert main([*arguments, str(tmp_path / "ball.off"), "-o", str(out), "--steps", "1"]) == 0
    assert Mesh.load(out).color.shape == (642, 3)
    assert main([*arguments, "-o", str(tmp_path / "b.png"), "--steps", "1", "--size", "32"]) == 0
    assert "is there already" in refused(capsys, *arguments, "-o", out)
    assert "must end in .png" in refused(capsys, *arguments, "-o", tmp_path / "c.ply")
    image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    assert "constant" in refused(capsys, "texture", tmp_path / "red.png", "-o", tmp_path / "c.png")


def test_models(capsys: Said) -> None:
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^DiffusionNet .*published weights", told, re.MULTILINE) and "LeNet5" in told
    assert re.search(r"^LeNet5 .*weights included", told, re.MULTILINE)
    assert main(["models", "GCN"]) == 0
    assert "Kipf" in capsys.readouterr().out
    assert main(["models", "LeNet5"]) == 0
    assert "Weights come with geodl" in capsys.readouterr().out
    assert "there is no network Unknown" in refused(capsys, "models", "Unknown")


def test_doctor(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodl.viz.renderers", lambda: {"open3d": "not installed", "matplotlib": "available"})
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert "operators, reference: available" in told and "self-test: all right" in told
    assert "pictures, open3d: not installed" in told and re.search(r"torch \d", told)
    monkeypatch.setattr("geodl.geometry.spectrum", lambda *_: type("S", (), {"evals": torch.arange(4.0)}))
    assert main(["doctor"]) == 1


def test_arguments_that_are_none_end_with_2(capsys: Said) -> None:
    for arguments in ([], ["unknown"], ["match", "one"], ["train", "sing", "."], ["cache", "burn"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "usage: geodl" in capsys.readouterr().err


def test_verbose_says_where_an_error_happened(
    tmp_path: Path, capsys: Said, caplog: pytest.LogCaptureFixture
) -> None:
    refused(capsys, "info", tmp_path / "none.off", "-vv")
    refused(capsys, "models", "Unknown", "-vv")
    assert "where it happened" in caplog.text


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom geodl.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'scipy', 'lightning', 'rich') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.endswith("[]\n") and "Exit codes" in done.stdout
    # Processor time, which does not depend on who else is at work; torch alone takes more than a second.
    before = os.times()
    subprocess.run(
        [sys.executable, "-m", "geodl.cli", "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 1


@pytest.mark.skipif(os.name != "posix", reason="processes are forked as POSIX has it")
def test_the_process_ends_with_the_exit_code_of_its_work() -> None:
    for arguments, code in (
        (["--version"], 0),
        (["cache", "burn"], 2),
        (["view", "none.off", "-o", str(ROOT / "README.md")], 1),
    ):
        done = subprocess.run([sys.executable, "-m", "geodl.cli", *arguments], capture_output=True, cwd=ROOT)
        assert done.returncode == code, done.stderr


def at_work(work: str, before: str = "pass") -> list[str]:
    """A process of the geodl command that does something else."""
    program = (
        "import os, signal, sys, time\nimport geodl.cli.models as page\nfrom geodl.cli import entry\n"
        f"{before}\ndef run(chosen):\n    print(os.getpid(), flush=True)\n    {work}\n"
        "page.run = run\nsys.argv = ['geodl', 'models']\nsys.exit(entry())\n"
    )
    return [sys.executable, "-c", program]


forks = pytest.mark.skipif(
    os.name != "posix" or sys.platform == "darwin", reason="the command is one process here"
)


@forks
def test_a_crash_is_said() -> None:
    done = subprocess.run(
        at_work("os.kill(os.getpid(), signal.SIGKILL)"), capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 137 and done.stderr == "geodl: ended by signal SIGKILL\n"


@forks
def test_an_ignored_interrupt_stays_ignored_and_a_swallowed_one_counts() -> None:
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    work = "os.kill(os.getppid(), 2); os.kill(os.getpid(), 2); time.sleep(0.1)"
    assert subprocess.run(at_work(work, ignored), stdout=subprocess.DEVNULL, cwd=ROOT).returncode == 0
    work = "\n    try: os.kill(os.getpid(), 2); time.sleep(1)\n    except BaseException: raise RuntimeError('native')"
    assert subprocess.run(at_work(work), capture_output=True, cwd=ROOT).returncode == 130


@forks
def test_work_ends_with_a_command_that_is_killed() -> None:
    going = subprocess.Popen(at_work("time.sleep(60)"), stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert going.stdout is not None and going.stdout.readline()
    going.kill()
    began = time.monotonic()
    assert going.stdout.read() == "" and time.monotonic() - began < 20, "the pipe ends with the work"
    going.wait()


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
@pytest.mark.parametrize("native", [False, True], ids=["python", "native"])
def test_an_interrupt_ends_it_within_a_second(native: bool, tmp_path: Path) -> None:
    # A loop in C that holds the interpreter for hours, as another library's kernel may: no thread and no handler runs.
    work = "max(range(10**12))" if native else "import time; time.sleep(60)"
    program = (
        "import sys\nimport geodl.cli.models as page\nfrom geodl.cli import entry\n"
        f"def run(chosen):\n    print('begun', flush=True)\n    {work}\n"
        "page.run = run\nsys.argv = ['geodl', 'models']\nsys.exit(entry())\n"
    )
    going = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert going.stdout is not None and going.stdout.readline() == "begun\n"
    going.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, told = going.communicate(timeout=30)
    assert going.returncode == 130 and told == "geodl: interrupted\n"
    assert time.monotonic() - began < 10  # 0.7 s where the machine is quiet
