"""precompute: every operator once, whatever is killed, broken or shared among processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import trimesh

from geodl.data import Mesh, OperatorCache, PrecomputeReport, precompute
from geodl.geometry import gradient, spectrum

ROOT = Path(__file__).parents[2]
# Seconds that a process may take on a machine with other things to do.
PATIENCE = 180


def ball(number: int) -> Mesh:
    made = trimesh.creation.icosphere(2)
    pos = torch.tensor(made.vertices) * torch.tensor([1.0, 1.0 + number / 10, 0.8])
    return Mesh(pos.float(), torch.tensor(made.faces).long().t().contiguous(), name=f"ball{number}")


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("workers", "context"), [(0, "spawn"), (2, "fork"), pytest.param(2, "spawn", marks=pytest.mark.slow)]
)
def test_all_operators_of_all_shapes(tmp_path: Path, workers: int, context: str) -> None:
    shapes = [ball(number) for number in range(5)]
    cache = OperatorCache(tmp_path)
    options = {"workers": workers, "multiprocessing_context": context, "progress": False}
    report = precompute(shapes, cache, k=9, **options)  # type: ignore[arg-type]
    assert isinstance(report, PrecomputeReport)
    assert (report.shapes, report.computed, report.failed) == (5, 15, {})
    assert "5 shapes in" in str(report) and "FAILED" not in str(report)
    before = cache.computed
    for shape in shapes:
        assert torch.equal(cache.spectrum(shape, 9).evals, spectrum(shape, 9).evals)
        assert torch.equal(cache.gradient(shape).values, gradient(shape).values)
        cache.laplacian(shape)
    assert cache.computed == before  # all were read


def test_what_is_there_is_not_done_again(tmp_path: Path) -> None:
    shapes = [ball(number) for number in range(4)]
    cache = OperatorCache(tmp_path)
    assert precompute(shapes[:2], cache, k=9, workers=0, progress=False).computed == 6
    assert precompute(shapes, cache, k=9, workers=0, progress=False).computed == 6
    assert precompute(shapes, cache, k=9, workers=0, progress=False).computed == 0
    next(tmp_path.glob("gradient-*")).unlink()
    assert precompute(shapes, cache, k=9, workers=0, progress=False).computed == 1
    assert precompute(shapes, cache, k=None, gradient=False, progress=False, workers=0).computed == 0
    kinds = precompute(
        shapes,
        cache,
        k=None,
        gradient=False,
        others={"laplacian": {"kind": "cotangent"}},
        progress=False,
        workers=0,
    )
    assert kinds.computed == 4


def test_torchrun_divides_the_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [ball(number) for number in range(5)]
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, number in ((0, 3), (1, 2)):
        monkeypatch.setenv("RANK", str(rank))
        report = precompute(shapes, OperatorCache(tmp_path), k=9, workers=0, progress=False)
        assert (report.shapes, report.computed) == (number, 3 * number)
    monkeypatch.setenv("WORLD_SIZE", "9")
    monkeypatch.setenv("RANK", "8")
    assert (
        precompute(shapes, OperatorCache(tmp_path), progress=False).shapes == 0
    )  # more processes than shapes
    monkeypatch.setenv("RANK", "9")
    with pytest.raises(ValueError, match="RANK is 9 but WORLD_SIZE is 9"):
        precompute(shapes, OperatorCache(tmp_path))
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(ValueError, match="RANK must be a number, not 'first'"):
        precompute(shapes, OperatorCache(tmp_path))


SCRIPT = """
import os, sys, time, torch, trimesh
from pathlib import Path
from geodl.data import Mesh, OperatorCache, PrecomputeReport, precompute

class Slow:
    def __len__(self):
        return 10

    def __getitem__(self, number):
        (Path(sys.argv[1]) / f"{os.getpid()}.pid").touch()
        made = trimesh.creation.icosphere(2)
        pos = torch.tensor(made.vertices) * torch.tensor([1.0, 1.0 + number / 10, 0.8])
        time.sleep(600 if number in (6, 7) and "--endless" in sys.argv else 0.05)
        return Mesh(pos.float(), torch.tensor(made.faces).long().t().contiguous())

report = precompute(Slow(), OperatorCache(sys.argv[1]), k=9, workers=2, multiprocessing_context="fork")
print(report.shapes, report.computed, len(report.failed))
"""


def start(folder: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), *options],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, f"waited for {PATIENCE} seconds"
        time.sleep(0.1)


def alive(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_resumes(tmp_path: Path, how: signal.Signals) -> None:
    run = start(tmp_path, "--endless")  # both workers come to a shape that takes ten minutes
    wait_until(lambda: len(entries(tmp_path)) >= 4)
    run.send_signal(how)
    assert run.wait(PATIENCE) != 0
    workers = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert len(workers) == 2
    wait_until(lambda: not any(alive(worker) for worker in workers))  # nobody goes on without the parent
    if how == signal.SIGINT:
        assert not list(tmp_path.glob(".*.tmp"))
    there = len(entries(tmp_path))
    assert 4 <= there < 30
    shapes = [ball(number) for number in range(10)]
    again = precompute(shapes, OperatorCache(tmp_path), k=9, workers=0, progress=False)
    assert (again.computed, again.failed) == (30 - there, {})
    assert len(entries(tmp_path)) == 30


@pytest.mark.slow
def test_two_machines_at_once(tmp_path: Path) -> None:
    runs = [start(tmp_path, RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK="0") for rank in (0, 1)]
    for run in runs:
        assert run.communicate(timeout=PATIENCE)[0].split() == ["5", "15", "0"]
    assert len(entries(tmp_path)) == 30


class Broken:
    """Shapes of which some cannot be read, computed with, or survived."""

    names = ("good", "unreadable", "infinite", "deadly", "flat", "better")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Mesh:
        mesh = ball(index)
        mesh.name = self.names[index]
        if mesh.name == "unreadable":
            raise ValueError("unreadable.off: truncated or damaged off file")
        if mesh.name == "infinite":
            mesh.pos[3] = float("inf")
        if mesh.name == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        if mesh.name == "flat":
            mesh.pos[:] = 1.0
        return mesh


def test_broken_shapes_are_named_and_stop_nobody(tmp_path: Path) -> None:
    cache = OperatorCache(tmp_path)
    report = precompute(Broken(), cache, k=9, workers=2, multiprocessing_context="fork", progress=False)
    assert set(report.failed) == {"unreadable", "infinite", "deadly", "flat"}
    assert report.failed["unreadable"] == "ValueError: unreadable.off: truncated or damaged off file"
    assert "vertex 3 is not finite" in report.failed["infinite"]
    assert report.failed["deadly"] == "its process died (signal 9)"
    assert report.computed == 6 and len(entries(tmp_path)) == 6
    assert "4 shapes FAILED:" in str(report) and "  deadly: its process died" in str(report)


def test_unnamed_shapes_are_named_by_their_number(tmp_path: Path) -> None:
    bad = ball(1)
    bad.pos[:] = 1.0
    del bad.name
    report = precompute([ball(0), bad], OperatorCache(tmp_path), k=9, workers=0, progress=False)
    assert list(report.failed) == ["shape 1"]


def test_a_full_disk_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        report = precompute([ball(0)], OperatorCache(tmp_path), k=9, workers=0, progress=False)
    assert "cannot be kept" in report.failed["ball0"]


def test_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("geodl.data.progress._FIRST", 0)
    precompute([ball(0)], OperatorCache(tmp_path), k=9, workers=0)
    assert capsys.readouterr().err.startswith("operators of shapes: 1 of 1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    precompute([ball(0)], OperatorCache(tmp_path), k=9, workers=0)
    assert capsys.readouterr().err == ""


def test_bad_arguments(tmp_path: Path) -> None:
    cache = OperatorCache(tmp_path)
    with pytest.raises(ValueError, match="no operator 'shot'"):
        precompute([], cache, others={"shot": {}})
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        precompute([], cache, workers=-1)
    assert precompute([], cache, progress=False).shapes == 0
    shape = ball(0)
    shape.made_by = lambda: None
    with pytest.raises(ValueError, match=r"cannot be sent to other processes \(.*lambda"):
        precompute([shape], cache, progress=False)
