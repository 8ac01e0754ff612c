"""Triton's kernels where there is no GPU: everything that the host does for a launch, and then nothing.

Signatures are looked up and grids counted as ever; what would be compiled, and what would run, is nothing. So operators cost what
they cost the host of a GPU (but for the switch of devices, and for what PyTorch asks of CUDA), and results are not written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

from geodl.ops import use_backend
from geodl.ops.core import dispatch


@contextmanager
def doing_nothing() -> Iterator[None]:
    """Within it operators on the CPU take their way to a GPU."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import CompiledKernel
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    class Nothing(CompiledKernel):
        """A compiled kernel."""

        function = packed_metadata = None

        def __init__(self) -> None:
            pass

        def launch_metadata(self, *given: Any) -> None:
            return None

        def run(self, *given: Any) -> None:
            return None

    def compiled(self: Any, key: Any, signature: Any, device: Any, *given: Any) -> Nothing:
        kernel: Nothing = self.device_caches[device][0].setdefault(key, Nothing())
        return kernel

    gpu = SimpleNamespace(
        get_current_device=lambda: 0,
        get_current_stream=lambda device: 0,
        get_current_target=lambda: GPUTarget("cuda", 90, 32),
    )
    with (
        mock.patch.object(JITFunction, "_do_compile", compiled),
        mock.patch.object(dispatch, "triton_interpreted", lambda: True),
        mock.patch.object(driver, "_active", gpu),
        use_backend("triton"),
    ):
        yield


@contextmanager
def left_out() -> Iterator[None]:
    """Within it operators stop where a launch would begin: what is then missing of their time is what launches take."""
    from geodl.ops.triton.kernel import Kernel

    with mock.patch.object(Kernel, "__getitem__", lambda self, grid: lambda *given, **constants: None):
        yield


@contextmanager
def by_triton() -> Iterator[None]:
    """Within it every launch is Triton's own, as ``kernel[grid](...)`` of its ``jit``."""
    from geodl.ops.triton.kernel import Kernel

    with mock.patch.object(Kernel, "__getitem__", lambda self, grid: self.jit[grid]):
        yield
