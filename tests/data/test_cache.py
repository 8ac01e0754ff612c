"""OperatorCache: what was computed once is read back bit for bit, and nothing else is ever read."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from geodl.data import Mesh, OperatorCache

INPUTS = {"pos": torch.arange(12.0).reshape(4, 3), "radius": 0.5, "rings": 3, "kind": "polar", "closed": True}


class Counted:
    """A computation that counts its calls."""

    def __init__(self, result: dict[str, torch.Tensor]) -> None:
        self.result, self.calls = result, 0

    def __call__(self) -> dict[str, torch.Tensor]:
        self.calls += 1
        return self.result


def test_second_time_is_read(tmp_path: Path) -> None:
    whole = torch.randn(6, 4)
    compute = Counted(
        {
            "weight": whole[:, ::2],  # not contiguous, and shares its memory with the next
            "whole": whole,
            "index": torch.arange(5),
            "none": torch.zeros(0, 3),
            "scalar": torch.tensor(2.5, dtype=torch.float64),
            "half": torch.randn(3).bfloat16(),
            "mask": torch.tensor([True, False]),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = OperatorCache(tmp_path).get("op", INPUTS, compute)
        again = OperatorCache(tmp_path).get("op", INPUTS, compute)
    assert compute.calls == 1
    for name, tensor in compute.result.items():
        for kept in (first, again):
            assert torch.equal(kept[name], tensor) and kept[name].dtype == tensor.dtype
            assert kept[name].is_contiguous()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pos", INPUTS["pos"] + torch.eye(4, 3) * 1e-6),  # no tolerance
        ("pos", INPUTS["pos"].double()),
        ("pos", INPUTS["pos"].reshape(3, 4)),
        ("radius", 0.5 + 1e-16 * 2),
        ("rings", 3.0),
        ("rings", "3"),
        ("closed", 1),
        ("kind", "cartesian"),
        ("other", None),
    ],
)
def test_any_change_of_content_is_another_entry(tmp_path: Path, name: str, value: object) -> None:
    compute = Counted({"x": torch.zeros(1)})
    cache = OperatorCache(tmp_path)
    cache.get("op", INPUTS, compute)
    cache.get("op", INPUTS | {name: value}, compute)  # type: ignore[operator]
    assert compute.calls == 2 and len(list(tmp_path.iterdir())) == 2


def test_content_counts_not_layout_nor_order(tmp_path: Path) -> None:
    compute = Counted({"x": torch.zeros(1)})
    cache = OperatorCache(tmp_path)
    cache.get("op", INPUTS, compute)
    transposed = INPUTS["pos"].t().contiguous().t()  # type: ignore[attr-defined]
    cache.get("op", dict(reversed((INPUTS | {"pos": transposed}).items())), compute)
    assert compute.calls == 1
    cache.get("op-2", INPUTS, compute)
    assert compute.calls == 2


def test_a_new_version_computes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Counted({"x": torch.zeros(1)})
    OperatorCache(tmp_path).get("op", INPUTS, compute)
    monkeypatch.setattr("geodl.__version__", "999")
    OperatorCache(tmp_path).get("op", INPUTS, compute)
    assert compute.calls == 2


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


def empty(_: bytes) -> bytes:
    return b""


def huge_header(data: bytes) -> bytes:
    return b"\xff" * 8 + data[8:]


def other_content(_: bytes) -> bytes:
    from safetensors.torch import save

    return save({"x": torch.zeros(100)})


@pytest.mark.parametrize("damage", [cut, flip, empty, huge_header, other_content])
def test_damaged_entries_are_computed_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    compute = Counted({"x": torch.randn(100)})
    cache = OperatorCache(tmp_path)
    cache.get("op", INPUTS, compute)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(RuntimeWarning, match="is damaged") as warned:
        assert torch.equal(cache.get("op", INPUTS, compute)["x"], compute.result["x"])
    assert str(path) in str(warned[0].message)
    assert torch.equal(cache.get("op", INPUTS, compute)["x"], compute.result["x"])  # and is whole again
    assert compute.calls == 2


WRITER = """
import os, sys, time, torch
from geodl.data import OperatorCache
where, how = sys.argv[1:]
cache = OperatorCache(where)
if how == "stuck":  # the bytes are written, the file has not been renamed
    def fsync(_):
        print("writing", flush=True)
        time.sleep(600)
    os.fsync = fsync
else:
    print("writing", flush=True)
number = 0
while True:
    cache.get("op", {"number": number}, lambda: {"x": torch.full((200_000,), float(number))})
    number += 1
"""


def killed_writer(folder: Path, how: str, entries: int = 0, after: float = 0.0) -> None:
    """Killed so many seconds after it has written so many entries more."""
    wanted = len(list(folder.glob("*.safetensors"))) + entries
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), how],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"writing\n"
        until = time.monotonic() + 60
        while len(list(folder.glob("*.safetensors"))) < wanted:
            assert time.monotonic() < until and process.poll() is None
            time.sleep(1e-3)
        time.sleep(after)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


@pytest.mark.slow
def test_killed_in_the_middle_of_a_write(tmp_path: Path) -> None:
    killed_writer(tmp_path, "stuck")
    (temporary,) = tmp_path.iterdir()
    assert temporary.name.endswith(".tmp") and temporary.stat().st_size > 0
    name, node, _, thread, end = temporary.name.rsplit(".", 4)
    elsewhere = temporary.with_name(f"{name}.not-{node}.1.{thread}.{end}")
    elsewhere.write_bytes(b"")
    running = temporary.with_name(f"{name}.{node}.{os.getpid()}.{thread}.{end}")
    running.write_bytes(b"")
    compute = Counted({"x": torch.zeros(200_000)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OperatorCache(tmp_path).get("op", {"number": 0}, compute)
    assert compute.calls == 1  # what was half written is not read
    assert not temporary.exists()  # its process is gone
    assert elsewhere.exists() and running.exists()  # these might belong to processes that still write
    os.utime(elsewhere, (time.time() - 7200,) * 2)
    OperatorCache(tmp_path)
    assert not elsewhere.exists() and running.exists()
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


@pytest.mark.slow
def test_killed_at_any_time(tmp_path: Path) -> None:
    for entries in (0, 1):
        killed_writer(tmp_path, "running", entries, after=random.uniform(0, 0.02))
    entries = len(list(tmp_path.glob("*.safetensors")))
    assert entries > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no entry is damaged
        for number in range(entries):
            x = OperatorCache(tmp_path).get("op", {"number": number}, lambda: {"x": torch.zeros(0)})["x"]
            assert torch.equal(x, torch.full((200_000,), float(number)))


@pytest.mark.slow
def test_several_processes_at_once(tmp_path: Path) -> None:
    script = (
        "import sys, torch\nfrom geodl.data import OperatorCache\ncache = OperatorCache(sys.argv[1])\n"
        "for n in range(20):\n"
        "    x = cache.get('op', {'n': n}, lambda: {'x': torch.full((50_000,), float(n))})['x']\n"
        "    assert torch.equal(x, torch.full((50_000,), float(n)))\n"
    )
    command = [sys.executable, "-W", "error:::geodl", "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 20


def test_a_full_disk_costs_only_the_keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(RuntimeWarning, match="cannot be kept: no space left"):
        kept = OperatorCache(tmp_path).get("op", INPUTS, Counted({"x": torch.ones(3)}))
    assert torch.equal(kept["x"], torch.ones(3)) and list(tmp_path.iterdir()) == []


def test_a_failed_computation_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> dict[str, torch.Tensor]:
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        OperatorCache(tmp_path).get("op", INPUTS, fail)
    assert list(tmp_path.iterdir()) == []


def test_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert OperatorCache().folder == tmp_path / "xdg" / "geodl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert OperatorCache().folder == tmp_path / ".cache" / "geodl"


def test_errors(tmp_path: Path) -> None:
    cache = OperatorCache(tmp_path)
    with pytest.raises(ValueError, match="letters, digits"):
        cache.get("../op", INPUTS, Counted({}))
    with pytest.raises(TypeError, match="input 'list' must be a tensor, a number or a string, not list"):
        cache.get("op", {"list": [1]}, Counted({}))  # type: ignore[dict-item]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_charts_and_templates(tmp_path: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    from geodl.geometry import geodesic_charts, polar_template
    from geodl.geometry.native import native

    try:
        native()
    except RuntimeError as error:
        pytest.skip(f"needs the geometry extension: {error}")
    steps = torch.linspace(0, 1, 7, dtype=dtype)
    x, y = torch.meshgrid(steps, steps, indexing="ij")
    pos = torch.stack([x, y, x * y], dim=2).reshape(-1, 3)
    v = torch.arange(49).reshape(7, 7)
    corners = [v[:-1, :-1], v[1:, :-1], v[1:, 1:], v[:-1, 1:]]
    a, b, c, d = (corner.reshape(-1) for corner in corners)
    mesh = Mesh(pos, torch.cat([torch.stack([a, b, c]), torch.stack([a, c, d])], dim=1))
    charts = geodesic_charts(mesh, 0.4)
    template = polar_template(mesh, charts, 2, 4)
    for reading in (False, True):
        if reading:
            monkeypatch.setattr("geodl.data.cache.geodesic_charts", None)
            monkeypatch.setattr("geodl.data.cache.polar_template", None)
        cache = OperatorCache(tmp_path)
        kept, windows = cache.charts(mesh, 0.4), cache.polar_template(mesh, 0.4, 2, 4)
        assert kept.coords.dtype == dtype and kept.frames is not None and kept.centers is None
        assert all(map(torch.equal, kept.tensors(), charts.tensors()))
        assert (kept.kind, kept.report) == (charts.kind, charts.report)
        by_count = cache.charts(mesh, size=9)
        assert int(by_count.neighbors.degree().min()) >= 9
        assert charts.radius is not None
        varying = cache.charts(mesh, charts.radius * 0.5)
        assert not torch.equal(varying.neighbors.rowptr, by_count.neighbors.rowptr)
        assert cache.computed == (0 if reading else 4)
        assert torch.equal(windows.neighbors.col, template.neighbors.col)
        assert torch.equal(windows.weight, template.weight)
        assert windows.index is not None and template.index is not None
        assert torch.equal(windows.index, template.index)
        assert (windows.rings, windows.rays) == (2, 4)


def saddle(dtype: torch.dtype, size: int = 7) -> Mesh:
    steps = torch.linspace(0, 1, size, dtype=dtype)
    x, y = torch.meshgrid(steps, steps, indexing="ij")
    v = torch.arange(size * size).reshape(size, size)
    a, b, c, d = (part.reshape(-1) for part in (v[:-1, :-1], v[1:, :-1], v[1:, 1:], v[:-1, 1:]))
    pos = torch.stack([x, y, x * y], dim=2).reshape(-1, 3)
    return Mesh(pos, torch.cat([torch.stack([a, b, c]), torch.stack([a, c, d])], dim=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [None, "cotangent", "points"])
def test_laplacian_and_spectrum(
    tmp_path: Path, dtype: torch.dtype, kind: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geodl.geometry import laplacian, spectrum

    mesh = saddle(dtype)
    made, solved = laplacian(mesh, kind), spectrum(mesh, 5, kind)
    for reading in (False, True):
        if reading:
            monkeypatch.setattr("geodl.data.cache.laplacian", None)
            monkeypatch.setattr("geodl.data.cache.spectrum", None)
        cache = OperatorCache(tmp_path)
        matrix, found = cache.laplacian(mesh, kind), cache.spectrum(mesh, 5, kind)
        assert cache.computed == (0 if reading else 2)
        assert abs(matrix.matrix() - made.matrix()).max() == 0
        assert torch.equal(matrix.mass, made.mass) and matrix.report == made.report
        assert found.evecs.dtype == torch.float64 and found.ptr is None
        for part in ("evals", "evecs", "mass"):
            assert torch.equal(getattr(found, part), getattr(solved, part))
        assert found.reports == solved.reports
    assert cache.laplacian(mesh, kind).report.kind == (kind or "tufted")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient(tmp_path: Path, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    from geodl.geometry import gradient

    mesh = saddle(dtype)
    made = gradient(mesh)
    for reading in (False, True):
        if reading:
            monkeypatch.setattr("geodl.data.cache.gradient", None)
        found = OperatorCache(tmp_path).gradient(mesh)
        assert found.values.dtype == dtype and torch.equal(found.values, made.values)
        assert torch.equal(found(mesh.pos), made(mesh.pos))


def test_spectra_of_graphs_and_of_other_parameters(tmp_path: Path) -> None:
    from torch_geometric.data import Data

    from geodl.geometry import spectrum

    cache = OperatorCache(tmp_path)
    ring = torch.stack([torch.arange(9), torch.arange(1, 10) % 9])
    graph = Data(edge_index=ring, num_nodes=9)
    torch.testing.assert_close(cache.spectrum(graph, 4).evals, spectrum(graph, 4).evals, rtol=0, atol=0)
    larger = Data(edge_index=ring, num_nodes=12)  # three nodes more, each with an eigenvalue 0
    assert int((cache.spectrum(larger, 6).evals < 1e-9).sum()) == 4
    weighted = Data(edge_index=ring, edge_weight=torch.full((9,), 2.0), num_nodes=9)
    torch.testing.assert_close(cache.spectrum(weighted, 4).evals, 2 * cache.spectrum(graph, 4).evals)
    mesh = saddle(torch.float64)
    assert not torch.equal(cache.spectrum(mesh, 5, "cotangent").evals, cache.spectrum(mesh, 5).evals)


def test_one_entry_for_one_thing(tmp_path: Path) -> None:
    """A kind that is named is that which is chosen; a shorter spectrum is the beginning of a longer one."""
    mesh = saddle(torch.float64)
    cache = OperatorCache(tmp_path)
    long = cache.spectrum(mesh, 8)
    assert cache.computed == 2  # with the Laplacian
    short = cache.spectrum(mesh, 5, "tufted")
    assert cache.computed == 2 and short.evals.shape == (5,) and short.evecs.shape == (len(mesh.pos), 5)
    assert torch.equal(short.evals, long.evals[:5]) and torch.equal(short.evecs, long.evecs[:, :5])
    assert cache.spectrum(mesh, 9).evals.shape == (9,) and cache.computed == 3
    assert cache.spectrum(mesh, 9).evals.shape == (9,) and cache.computed == 3
    assert {entry.name.split("-")[0] for entry in cache.entries()} == {"laplacian", "spectrum"}


def test_radius_of_charts_is_kept(tmp_path: Path) -> None:
    from geodl.geometry import chart_radius

    mesh = saddle(torch.float64)
    cache = OperatorCache(tmp_path)
    radius = cache.chart_radius(mesh, 5)
    assert radius == chart_radius(mesh, 5) == OperatorCache(tmp_path).chart_radius(mesh, 5)
    by_size, by_radius = (
        cache.polar_template(mesh, rings=2, rays=4, size=5),
        cache.polar_template(mesh, radius, 2, 4),
    )
    assert torch.equal(by_size.weight, by_radius.weight) and cache.computed == 3
    with pytest.raises(ValueError, match="a template needs a radius or a size, not neither"):
        cache.polar_template(mesh)


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    compute = Counted({"x": torch.zeros(500)})

    def keep(cache: OperatorCache, number: int) -> str:
        before = {entry.name for entry in cache.entries()}
        cache.get("op", {"number": number}, compute)
        return "".join({entry.name for entry in cache.entries()} - before)

    names = [keep(OperatorCache(tmp_path), number) for number in range(4)]
    for number, name in enumerate(names):
        os.utime(tmp_path / f"{name}.safetensors", (1000.0 + number,) * 2)
    cache = OperatorCache(tmp_path, max_bytes=10_000)
    assert keep(cache, 0) == ""  # is there, and used now
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        newest = keep(cache, 4)
    assert {entry.name for entry in cache.entries()} == {names[0], names[2], names[3], newest}
    with pytest.warns(RuntimeWarning, match="is full with 0 MB: what this process made is removed again"):
        for number in range(5, 9):
            keep(cache, number)
    assert sum(entry.bytes for entry in cache.entries()) <= 10_000
    with pytest.raises(ValueError, match="max_bytes must be positive, got 0"):
        OperatorCache(tmp_path, max_bytes=0)


def test_verify_and_clear(tmp_path: Path) -> None:
    cache = OperatorCache(tmp_path)
    for number in range(3):
        cache.get("op", {"number": number}, Counted({"x": torch.zeros(10)}))
    spoiled = cache.entries()[1]
    path = tmp_path / f"{spoiled.name}.safetensors"
    path.write_bytes(flip(path.read_bytes()))
    assert cache.verify() == [spoiled.name] and cache.verify() == []
    assert [entry.bytes > 40 and time.time() - entry.used < 60 for entry in cache.entries()] == [True, True]
    weights = tmp_path / "my-model.safetensors"
    weights.write_bytes(b"not the cache's")
    assert cache.verify() == []
    cache.clear()
    assert cache.entries() == [] and weights.exists()


def test_entries_are_readable_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        OperatorCache(tmp_path).get("op", INPUTS, Counted({"x": torch.zeros(1)}))
    finally:
        os.umask(before)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"the cache folder .*file/cache cannot be made: Not a directory"):
        OperatorCache(tmp_path / "file" / "cache")


FILLER = """
import random, sys, torch, warnings
from geodl.data import OperatorCache
warnings.filterwarnings("ignore", "the cache")
cache = OperatorCache(sys.argv[1], max_bytes=2_000_000)
print("running", flush=True)
while True:
    n = random.randrange(30)
    x = cache.get("op", {"n": n}, lambda: {"x": torch.full((50_000,), float(n))})["x"]
    assert torch.equal(x, torch.full((50_000,), float(n)))
"""


@pytest.mark.slow
def test_beyond_its_limit_with_readers_and_processes_that_are_killed(tmp_path: Path) -> None:
    """Two processes fill ten entries' room with thirty, a third reads; one after the other is killed at any time."""
    command = [sys.executable, "-W", "error:::geodl", "-c", FILLER, str(tmp_path)]

    def started() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    running = [started() for _ in range(3)]
    chance = random.Random(0)
    until = time.monotonic() + 6
    try:
        for process in running:
            assert process.stdout is not None and process.stdout.readline() == b"running\n"
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.1, 0.5))
            k = chance.randrange(3)
            assert all(process.poll() is None for process in running), running[k].communicate()[1].decode()
            running[k].send_signal(signal.SIGKILL)
            running[k].communicate()
            running[k] = started()
    finally:
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    last = OperatorCache(tmp_path, max_bytes=2_000_000)
    assert last.verify() == [] and len(last.entries()) > 3
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors"}
    # A process that is killed between keeping an entry and making room leaves that much too much, no more.
    assert sum(entry.bytes for entry in last.entries()) <= 2_000_000 + 3 * 200_200


def test_batches_are_taken_apart_first(tmp_path: Path) -> None:
    from geodl.data import collate

    batch = collate([saddle(torch.float64), saddle(torch.float64)])
    with pytest.raises(ValueError, match=r"single shapes: take a batch apart with to_data_list\(\)"):
        OperatorCache(tmp_path).spectrum(batch, 3)
