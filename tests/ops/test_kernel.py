"""What is launched again: only what Triton would launch, for every signature that it tells apart."""

from __future__ import annotations

import importlib.util
import random
from types import SimpleNamespace

import pytest
import torch

if importlib.util.find_spec("triton") is None:
    pytest.skip("needs Triton", allow_module_level=True)

from triton.backends.compiler import GPUTarget
from triton.compiler import CompiledKernel
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from geodl.ops.triton import kernel as module
from geodl.ops.triton.kernel import Kernel, kernel

if not module._is_known:
    pytest.skip("another Triton: every launch is Triton's own", allow_module_level=True)


def _copy(x, weight, count, rows, BLOCK: tl.constexpr):  # noqa: F821
    pass


class Stub(CompiledKernel):
    packed_metadata = None

    def __init__(self, calls):
        self.function, self.calls = object(), calls

    def launch_metadata(self, *given):
        return None

    def run(self, *given):
        self.calls.append((self, given))


@pytest.fixture
def launches(monkeypatch):
    """A kernel of which nothing is compiled; its launches, and how many signatures Triton has compiled for."""
    calls, compiled = [], []

    def compile_stub(self, key, signature, device, *given):
        compiled.append(key)
        return self.device_caches[device][0].setdefault(key, Stub(calls))

    gpu = SimpleNamespace(
        get_current_device=lambda: 0,
        get_current_stream=lambda device: 7,
        get_current_target=lambda: GPUTarget("cuda", 90, 32),
    )
    monkeypatch.setattr(JITFunction, "_do_compile", compile_stub)
    monkeypatch.setattr(driver, "_active", gpu)
    return Kernel(JITFunction(_copy, do_not_specialize=["rows"])), calls, compiled


ROOM = torch.zeros(64)
GIVEN = dict(x=ROOM, weight=None, count=5, rows=7, BLOCK=4, num_warps=4)


def launch(made, **changes):
    given = GIVEN | changes
    arguments = [given.pop(name) for name in ("x", "weight", "count", "rows")]
    return made[(3, 2)](*arguments, **given)


@pytest.mark.parametrize(
    "changes",
    [
        dict(x=ROOM[1:]), dict(x=ROOM.double()), dict(weight=ROOM), dict(count=1), dict(count=16), dict(count=0),
        dict(count=2**31), dict(count=2**63), dict(count=-5 - 2**31), dict(rows=2**31), dict(BLOCK=8), dict(num_warps=8),
    ],
    ids=lambda changes: "-".join(f"{k}{v}" if isinstance(v, int) else k for k, v in changes.items()),
)  # fmt: skip
def test_another_signature_is_another_kernel(launches, changes):
    made, calls, compiled = launches
    first, other = launch(made), launch(made, **changes)
    assert first is not other and len(compiled) == 2
    assert launch(made) is first and launch(made, **changes) is other
    assert [called for called, _ in calls] == [first, other, first, other] and len(compiled) == 2


@pytest.mark.parametrize(
    "changes",
    [dict(x=ROOM[4:]), dict(count=7), dict(rows=1), dict(rows=16), dict(x=torch.nn.Parameter(ROOM))],
)
def test_what_triton_does_not_tell_apart_is_launched_again(launches, changes, monkeypatch):
    made, calls, _ = launches
    first = launch(made)
    monkeypatch.setattr(JITFunction, "run", None)
    assert launch(made, **changes) is first
    *place, stream, function, _, _, _, _, x, weight, count, rows, block = calls[-1][1]
    given = GIVEN | changes
    assert place == [3, 2, 1] and stream == 7 and function is first.function
    assert x is given["x"] and (weight, count, rows, block) == (None, given["count"], given["rows"], 4)


def test_never_launches_what_triton_would_not(launches):
    """Of random arguments, through what was compiled before and through Triton."""
    made, _, _ = launches
    draw = random.Random(0)
    numbers = [
        0,
        1,
        2,
        16,
        17,
        -1,
        -16,
        2**31 - 1,
        2**31,
        2**31 + 16,
        2**62,
        -(2**31),
        -(2**31) - 1,
        2**63,
        2**64 - 16,
    ]
    rooms = [ROOM[k:].to(dtype) for k in (0, 1, 4) for dtype in (torch.float32, torch.int64)] + [
        ROOM[1:],
        ROOM[2:],
    ]
    for _ in range(500):
        changes = dict(
            x=draw.choice(rooms), weight=draw.choice([None, *rooms]), count=draw.choice(numbers), rows=draw.choice(numbers)
        )  # fmt: skip
        given = GIVEN | changes
        found = launch(made, **changes)
        arguments = [given.pop(name) for name in ("x", "weight", "count", "rows")]
        assert found is made.jit[(3, 2)](*arguments, **given)


def test_launches_that_somebody_listens_to_are_tritons_own(launches, monkeypatch):
    made, _, _ = launches
    launch(made)
    monkeypatch.setattr(module.knobs.runtime.launch_enter_hook, "calls", [lambda metadata: None])
    with pytest.raises(TypeError):
        monkeypatch.setattr(JITFunction, "run", None)
        launch(made)


@pytest.mark.parametrize("missing", ["packed_metadata", "function"])
def test_without_what_is_remembered_every_launch_is_tritons_own(launches, monkeypatch, missing):
    made, calls, _ = launches
    monkeypatch.setattr(Stub, missing, property(lambda self: self.nothing), raising=False)
    monkeypatch.setattr(Stub, "__init__", lambda self, calls: setattr(self, "calls", calls))
    monkeypatch.setattr(JITFunction, "run", lambda self, *given, grid, warmup, **options: Stub(calls))
    launch(made), launch(made)
    assert not made.compiled


def test_other_releases_and_the_interpreter_launch_by_triton(monkeypatch):
    monkeypatch.setattr(module, "_is_known", False)
    assert not Kernel(JITFunction(_copy))._is_direct
    monkeypatch.undo()
    monkeypatch.setattr(module.knobs.runtime, "interpret", True)
    assert not kernel()(_copy)._is_direct
