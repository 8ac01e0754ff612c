"""How kernels are launched: the first time as Triton does, then by what Triton compiled for the same signature.

Triton binds, specialises, looks up and asks its settings in every launch, which takes the host longer than many a kernel takes
the GPU. ``kernel[grid](...)`` remembers under a signature what Triton's own launch has given back, and calls that the next time
with what Triton would pass (tests/ops/triton_compile.py compares the two calls for every kernel of the library). A launch that a
CUDA graph captures is the same call, too.

A compiled kernel may be wrong for another signature: it loads 16 bytes at once where a pointer was divisible by 16, has replaced
a number that was 1, and skips the rest of what a number divisible by 16 counts. So the signature tells apart whatever Triton does.

Triton's internals are touched here alone, and only in releases that were looked at. In others, in the interpreter, on other
devices than CUDA's, and while somebody listens to launches, every launch is Triton's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

RELEASES = ("3.6", "3.7")  # of Triton
_WIDEST = 2**31 - 1  # of numbers of 32 bits

try:
    from triton import knobs
    from triton.compiler import CompiledKernel
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    def _is_observed() -> bool:
        """Whether somebody listens to launches, or has Triton compile for a debugger: such launches are Triton's own."""
        runtime = knobs.runtime
        return bool(
            runtime.launch_enter_hook.calls
            or runtime.launch_exit_hook.calls
            or runtime.add_stages_inspection_hook
            or runtime.debug
            or knobs.compilation.instrumentation_mode
        )

    _is_observed()
    _is_known = triton.__version__.rpartition(".")[0] in RELEASES and torch.version.hip is None
except (ImportError, AttributeError):
    _is_known = False


class _Compiled(NamedTuple):
    """What a launch calls, and with what beside the grid, the stream and the arguments."""

    run: Callable[..., None]
    function: Any
    metadata: Any
    constants: tuple[Any, ...]  # in the order of the parameters, behind the arguments
    owner: Any  # keeps the function loaded


class Kernel:
    """A function that runs on the device: ``kernel[grid](*arguments, **constants)``, arguments being tensors, integers or None."""

    def __init__(self, jit: Any) -> None:
        self.jit = jit
        self.compiled: dict[tuple[Any, ...], _Compiled] = {}
        self._is_direct = _is_known and type(jit) is JITFunction
        self._specialises = (
            [not parameter.do_not_specialize for parameter in jit.params] if self._is_direct else []
        )

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., Any]:
        return partial(self._launch if self._is_direct else self._launch_by_triton, grid)

    def _launch(self, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> Any:
        signature: list[Any] = []
        x = None
        for argument, specialises in zip(arguments, self._specialises, strict=False):
            if argument is None:
                signature.append(None)
            elif type(argument) is int:
                if 0 <= argument <= _WIDEST and (argument != 1 or not specialises):
                    signature.append(specialises and argument % 16 == 0)
                else:
                    signature.append(_rare(argument, specialises))
            elif isinstance(argument, Tensor):
                x = argument
                signature.append(x.dtype)
                signature.append(x.data_ptr() % 16 == 0)
            else:
                return self._launch_by_triton(grid, *arguments, **constants)
        if x is None:
            return self._launch_by_triton(grid, *arguments, **constants)
        device, own = driver.active.get_current_device(), x.get_device()
        if own not in (device, -1):
            with torch.cuda.device(own):
                return self._launch(grid, *arguments, **constants)
        signature.append(device)
        signature += constants.items()
        key = tuple(signature)
        found = self.compiled.get(key)
        if found is None or self.jit.pre_run_hooks or _is_observed():
            compiled = self._launch_by_triton(grid, *arguments, **constants)
            self._remember(key, compiled, len(arguments), constants)
            return compiled
        run, function, metadata, rest, owner = found
        stream = driver.active.get_current_stream(device)
        run(*(*grid, 1, 1)[:3], stream, function, metadata, None, None, None, *arguments, *rest)
        return owner

    def _launch_by_triton(self, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> Any:
        with _device_of(arguments):
            return self.jit[grid](*arguments, **constants)

    def _remember(self, key: tuple[Any, ...], compiled: Any, given: int, constants: dict[str, Any]) -> None:
        """Nothing, if anything is not as it was in the releases that were looked at."""
        try:
            rest = tuple(constants[name] for name in self.jit.arg_names[given:])
            # Triton looks in every launch whether a global variable has changed that was compiled in: of ours none does.
            fixed = all(isinstance(value, tl.constexpr) for value, _ in self.jit.used_global_vals.values())
            if fixed and isinstance(compiled, CompiledKernel) and not _is_observed():
                self.compiled[key] = _Compiled(
                    compiled.run, compiled.function, compiled.packed_metadata, rest, compiled
                )
        except (AttributeError, KeyError):
            pass


def kernel(do_not_specialize: Sequence[str] = ()) -> Callable[[Callable[..., Any]], Kernel]:
    """Makes a kernel of a function that is launched; what only kernels call is ``triton.jit``'s.

    Args:
        do_not_specialize: parameters for whose value nothing is compiled anew.
    """

    def made(function: Callable[..., Any]) -> Kernel:
        return Kernel(triton.jit(function, do_not_specialize=list(do_not_specialize)))

    return made


def _rare(number: int, specialises: bool) -> str:
    """What Triton tells apart of integers that are negative, need 64 bits, or are 1."""
    if specialises and number == 1:
        return "1"
    fits = -(2**31) <= number <= _WIDEST
    width = "i32" if fits else "i64" if number < 2**63 else "u64"
    return width + "D" if specialises and number % 16 == 0 else width


def _device_of(arguments: tuple[Any, ...]) -> AbstractContextManager[Any]:
    """Triton launches on the current device, which need not be that of the tensors."""
    x = next((argument for argument in arguments if isinstance(argument, Tensor)), None)
    return torch.cuda.device(x.device) if x is not None and x.is_cuda else nullcontext()
