"""What shapes know of themselves is the same to the last bit for any number of threads, as caches and their keys need it to be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from geodl.geometry.repeatable import angle, total

ROOT = Path(__file__).parents[2]

# Has MKL take the kernels of Intel's processors on those of others too.
INTEL = "int mkl_serv_intel_cpu_true(void) { return 1; }\nint mkl_serv_intel_cpu(void) { return 1; }\n"


@pytest.fixture(params=["this", pytest.param("Intel", marks=pytest.mark.slow)])
def processor(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """What the environment of a process holds that is to run as on this processor."""
    if request.param == "this":
        return {}
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None or not torch.backends.mkl.is_available():
        pytest.skip("needs Linux, a C compiler and MKL")
    (tmp_path / "intel.c").write_text(INTEL)
    subprocess.run([compiler, "-shared", "-fPIC", "intel.c", "-o", "intel.so"], cwd=tmp_path, check=True)
    return {"LD_PRELOAD": str(tmp_path / "intel.so")}


def started(threads: int, processor: dict[str, str]) -> subprocess.Popen[str]:
    """In a process of its own: OpenMP, MKL and OpenBLAS read their numbers of threads when they are loaded."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.geometry.digests", str(threads)],
        cwd=ROOT,
        # Threads that wait must not keep the cores from the others.
        env=os.environ | {"OMP_WAIT_POLICY": "passive"} | dict.fromkeys(names, str(threads)) | processor,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_no_number_of_threads_changes_a_bit(processor: dict[str, str]) -> None:
    runs = [started(threads, processor) for threads in (1, 2)]
    texts = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    # Of a process with one thread, and of one with two that torch uses all of, and that then asks for five.
    alone, *others = [
        dict(line.split(": ") for line in part.splitlines()) for text in texts for part in text.split("\n\n")
    ]
    assert len(alone) > 30 and len(others) == 2
    assert [[name for name in alone if alone[name] != other[name]] for other in others] == [[], []]


@pytest.mark.parametrize("entries", [0, 1, 16_385, 100_001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_and_angles_are_those_of_torch(entries: int, dtype: torch.dtype) -> None:
    y, x = torch.randn(2, entries, dtype=dtype)
    # A sum of n rounded terms in two levels is off by at most (128 + n / 128) / 2 roundings of the sum of sizes.
    bound = (128 + entries / 128) / 2 * torch.finfo(dtype).eps * float(x.double().abs().sum())
    assert abs(float(total(x)) - float(x.double().sum())) <= bound
    # Sleef promises one unit in the last place, and so does the C library.
    torch.testing.assert_close(angle(y, x), torch.atan2(y, x), rtol=2 * torch.finfo(dtype).eps, atol=0)
    rows = torch.randn(3, 20_000, dtype=dtype, requires_grad=True)
    total(rows).backward()
    assert rows.grad is not None and torch.equal(rows.grad, torch.ones_like(rows))
    assert angle(rows, rows.detach()).shape == rows.shape
