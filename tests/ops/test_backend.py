"""Which backend runs: forced, by device and dtype, and when one is missing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import geodl.ops
from geodl.ops import Neighbors, aggregate, backends, use_backend
from geodl.ops.aggregate import scatter_sum
from geodl.ops.core import dispatch as backend
from geodl.ops.core import memory

NEIGHBORS = Neighbors(torch.tensor([0, 2]), torch.tensor([0, 1]), 2)


def test_lists_every_backend_with_a_reason():
    found = backends()
    assert list(found) == ["reference", "native", "triton"]
    assert found["reference"] == "available" and all(found.values())


def test_refuses_an_unknown_backend():
    expected = "backend must be one of reference, native, triton, not 'cuda'"
    with pytest.raises(ValueError, match=expected), use_backend("cuda"):
        pass


def test_refuses_a_backend_that_is_missing(monkeypatch):
    monkeypatch.setattr(backend, "_native_missing", "the extension is not built")
    assert backends()["native"] == "the extension is not built"
    expected = "'native' cannot run here: the extension is not built"
    with pytest.raises(ValueError, match=expected), use_backend("native"):
        pass


def test_warns_once_and_runs_the_reference_without_the_extension(monkeypatch):
    monkeypatch.setattr(backend, "native", None)
    monkeypatch.setattr(backend, "_native_missing", "the extension is not built")
    monkeypatch.setattr(backend, "_warned", False)
    x = torch.tensor([[1.0], [2.0]])
    expected = "slow reference operators: the extension is not built"
    with pytest.warns(RuntimeWarning, match=expected) as caught:
        assert aggregate(x, NEIGHBORS).item() == aggregate(x, NEIGHBORS).item() == 3
    assert len(caught) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["reference", "native"])
def test_half_precision_is_accumulated_in_float32(dtype, name):
    """4,000 neighbours of 1, of which half precision alone would make 256 or 2048."""
    if backends()[name] != "available":
        pytest.skip(backends()[name])
    many = Neighbors(torch.tensor([0, 4000]), torch.zeros(4000, dtype=torch.int64), 1)
    x = torch.ones(1, 1, dtype=dtype, requires_grad=True)
    with use_backend(name):
        out = aggregate(x, many)
        (gradient,) = torch.autograd.grad(out, x, torch.ones_like(out))
        mean, largest = aggregate(x, many, reduce="mean"), aggregate(x, many, reduce="max")
    assert out.dtype == gradient.dtype == mean.dtype == largest.dtype == dtype
    assert out.item() == gradient.item() == 4000 and mean.item() == largest.item() == 1


def test_nests_and_restores_after_an_error():
    x = torch.zeros(1)
    default = backend.select(x)
    with pytest.raises(RuntimeError, match="inside"), use_backend("reference"):
        with use_backend("reference"):
            assert backend.select(x) == "reference"
        raise RuntimeError("inside")
    assert backend.select(x) == default


def test_forces_its_own_thread_alone():
    chosen = []
    default = backend.select(torch.zeros(1))
    with use_backend("reference"):
        thread = threading.Thread(target=lambda: chosen.append(backend.select(torch.zeros(1))))
        thread.start()
        thread.join()
    assert chosen == [default]


def test_a_backward_pass_runs_where_its_forward_pass_ran(monkeypatch):
    """Whatever the thread or the time: with the extension gone, only what is forced to the reference can run."""
    x = torch.ones(2, 1, requires_grad=True)
    seen = []
    monkeypatch.setitem(
        scatter_sum._implementations, "reference", lambda g, *rest: seen.append(1) or torch.zeros(2, 1)
    )
    with use_backend("reference"):
        out = aggregate(x, NEIGHBORS)
    out.sum().backward()
    assert seen == [1]


def test_arguments_are_checked_whatever_the_backend():
    expected = r"neighbors have 2 sources but x has shape \[3, 1\]"
    for name in (name for name, reason in backends().items() if reason == "available"):
        with use_backend(name), pytest.raises(ValueError, match=expected):
            aggregate(torch.zeros(3, 1), NEIGHBORS)


def test_import_is_light():
    """Importing the operators loads neither Triton nor anything that only a caller's choice needs."""
    code = "import sys, torch; had = set(sys.modules); import geodl.ops; print(*(set(sys.modules) - had))"
    root = Path(geodl.ops.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"triton", "scipy", "torch_geometric", "lightning", "open3d", "matplotlib", "trimesh"}


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_triton_needs_a_gpu_or_the_interpreter(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device" in backends()["triton"]
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    for too_old, answer in ((False, "available"), (True, "install a newer Triton")):
        monkeypatch.setattr(backend, "_interpreter_is_too_old", lambda too_old=too_old: too_old)
        assert answer in backends()["triton"]


@pytest.mark.parametrize(
    ("triton", "numpy", "too_old"),
    [("3.2.0", "2.4.6", True), ("3.2.0", "2.3.5", False), ("3.7.1", "2.4.6", False)],
)
def test_an_interpreter_too_old_for_numpy_is_known(monkeypatch, triton, numpy, too_old):
    for name, release in (("triton", triton), ("numpy", numpy)):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__version__=release))
    assert backend._interpreter_is_too_old.__wrapped__() is too_old


@pytest.mark.skipif(backend.native is None, reason="the C++ extension is not built")
def test_large_pages_keep_what_was_written():
    """And are asked for within the tensor alone, at whatever address it starts and however short it is."""
    whole = torch.arange(2 * memory.HUGE // 4, dtype=torch.int32)
    for part in (whole, whole[1000:-1000], whole[:5], whole[:0]):
        backend.native.use_huge_pages(part.data_ptr(), part.nbytes)
        assert memory.in_huge_pages(part) is part
    assert torch.equal(whole, torch.arange(len(whole), dtype=torch.int32))
