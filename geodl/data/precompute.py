"""Operators of a whole set, computed ahead: on all cores, on several machines, and never twice."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

import torch

from geodl.data.cache import OperatorCache
from geodl.data.progress import progress as shown
from geodl.data.shapes import as_shape

__all__ = ["PrecomputeReport", "precompute"]

# What is computed of every shape: methods of the cache, and their arguments.
Operators = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class PrecomputeReport:
    """What :func:`precompute` did.

    Attributes:
        shapes: number of shapes in the share of this process.
        computed: number of operators that were computed; the others were in the cache.
        failed: what went wrong, by the name of the shape.
        seconds: that it took.
    """

    shapes: int
    computed: int
    failed: dict[str, str]
    seconds: float

    def __str__(self) -> str:
        lines = [f"{self.shapes} shapes in {self.seconds:.1f} s: {self.computed} operators were computed"]
        if self.failed:
            lines.append(f"{len(self.failed)} shapes FAILED:")
            lines += [f"  {name}: {trouble}" for name, trouble in self.failed.items()]
        return "\n".join(lines)


def precompute(
    shapes: Any,
    cache: OperatorCache,
    k: int | None = 128,
    kind: str | None = None,
    gradient: bool = True,
    others: Operators | None = None,
    workers: int | None = None,
    multiprocessing_context: str = "spawn",
    progress: bool = True,
) -> PrecomputeReport:
    """Puts the operators of all shapes of a set into a cache.

    Shapes are handed out to processes of one thread each. What the cache holds is not done again, so a run that was killed goes
    on where it stopped. A shape that cannot be read, or whose computation fails or kills its process, is reported at the end and
    does not stop the others. Under ``torchrun`` every process of the run does its share (each ``WORLD_SIZE``-th shape, from its
    ``RANK`` on), so machines that share the cache's folder share the work.

    Args:
        shapes: a data set or a list: ``len(shapes)`` and ``shapes[i]`` are asked for, which may be whatever
            :func:`~geodl.data.as_shape` takes, a path included.
        cache: where operators are kept.
        k: number of eigenvalues of the spectrum (the Laplacian is kept as well); None for no spectrum.
        kind: of the Laplacian.
        gradient: whether the gradient is computed.
        others: more operators, methods of the cache by name with their arguments: ``{"charts": {"radius": 0.05}}``.
        workers: number of processes; by default the cores of this machine (over the processes that torchrun started on it).
            0 computes in this process.
        multiprocessing_context: how processes are started: "spawn", "forkserver" or "fork". But for "fork", the set must be
            picklable and the calling script guarded by ``if __name__ == "__main__"``. Forked processes keep the number of
            threads that NumPy's linear algebra has, so start Python with ``OMP_NUM_THREADS=1`` for them.
        progress: whether a bar is shown (under torchrun, by the first process of each machine).

    Returns:
        PrecomputeReport of this process's share.

    Raises:
        ValueError: an unknown operator, a negative number of workers, a RANK beyond WORLD_SIZE, a set that cannot be pickled.
        RuntimeError: processes cannot be started.
    """
    began = time.perf_counter()
    operators: dict[str, Mapping[str, Any]] = {} if k is None else {"spectrum": {"k": k, "kind": kind}}
    if gradient:
        operators["gradient"] = {}
    operators |= others or {}
    if unknown := [name for name in operators if name.startswith("_") or not hasattr(cache, name)]:
        raise ValueError(f"the cache has no operator {unknown[0]!r}")
    if workers is not None and workers < 0:
        raise ValueError(f"workers must not be negative, got {workers}")
    rank, world = _from_environment("RANK", 0), _from_environment("WORLD_SIZE", 1)
    if not 0 <= rank < world:
        raise ValueError(f"RANK is {rank} but WORLD_SIZE is {world}")
    share = range(rank, len(shapes), world)
    if workers is None:
        workers = max(1, cores() // _from_environment("LOCAL_WORLD_SIZE", 1))
    if workers:
        outcomes = _in_processes(shapes, share, cache, operators, workers, multiprocessing_context)
    else:
        outcomes = (_attempt(shapes, index, cache, operators) for index in share)

    hidden = not progress or _from_environment("LOCAL_RANK", 0) > 0
    computed, failed = 0, {}
    for outcome in outcomes if hidden else shown(outcomes, len(share), "operators of shapes"):
        computed += outcome.computed
        if outcome.trouble:
            failed[outcome.name] = outcome.trouble
    return PrecomputeReport(len(share), computed, failed, time.perf_counter() - began)


@dataclass(frozen=True)
class _Outcome:
    """What came of a shape; ``trouble`` is empty if all went well."""

    name: str
    computed: int = 0
    trouble: str = ""


def _attempt(shapes: Any, index: int, cache: OperatorCache, operators: Operators) -> _Outcome:
    name = _name(shapes, index)
    computed, unkept = cache.computed, cache.unkept
    trouble = ""
    try:
        given = shapes[index]
        shape = as_shape(given)
        told = getattr(given, "name", None)
        name = told if isinstance(told, str) and told else name
        for operator, arguments in operators.items():
            getattr(cache, operator)(shape, **arguments)
    except Exception as error:
        trouble = f"{type(error).__name__}: {error}"
    if not trouble and cache.unkept > unkept:
        trouble = f"OSError: what was computed cannot be kept in {cache.folder}"
    return _Outcome(name, cache.computed - computed, trouble)


@dataclass(eq=False)
class _Worker:
    """A process, and the shape that it is at."""

    process: Any
    pipe: Any
    index: int
    ready: bool = False

    def receive(self) -> _Outcome | str | None:
        """What it has sent; None if it died instead."""
        try:
            message: _Outcome | str | None = self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError):
            return None
        return message


def _in_processes(
    shapes: Any,
    share: Sequence[int],
    cache: OperatorCache,
    operators: Operators,
    number: int,
    start_method: str,
) -> Iterator[_Outcome]:
    """The outcomes of the shapes, as they come, from processes that are handed one shape at a time."""
    context: Any = multiprocessing.get_context(start_method)
    # torch would pass every tensor on as an open file, of which a process may only have so many.
    copy = shapes if context.get_start_method() == "fork" else _pickled(shapes)
    todo, remaining = iter(share), len(share)
    busy: list[_Worker] = []
    started = []
    try:
        while remaining:
            while len(busy) < min(number, remaining):
                pipe, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, copy, cache, operators), daemon=True)
                with single_threaded():
                    process.start()
                theirs.close()
                started.append(process)
                busy.append(_Worker(process, pipe, next(todo)))
                _send(pipe, busy[-1].index)
            able = connection.wait([end for worker in busy for end in (worker.pipe, worker.process.sentinel)])
            for worker in [w for w in busy if w.pipe in able or w.process.sentinel in able]:
                message = worker.receive()
                if isinstance(message, str):
                    worker.ready = True
                    continue
                if message is None:
                    worker.process.join()
                    message = _Outcome(_name(shapes, worker.index), trouble=_death(worker))
                    following = None
                else:
                    following = next(todo, None)
                    _send(worker.pipe, following)
                if following is None:
                    busy.remove(worker)
                else:
                    worker.index = following
                remaining -= 1
                yield message
    finally:
        for worker in busy:
            worker.process.terminate()
        for process in started:
            process.join(10)
            if process.is_alive():
                process.kill()


def _pickled(shapes: Any) -> bytes:
    try:
        return pickle.dumps(shapes)
    except Exception as error:  # pickle raises whatever it stumbles over
        raise ValueError(
            f"the set cannot be sent to other processes ({error}): give it functions that a module names, or use workers=0"
        ) from error


def _work(pipe: Any, copy: Any, cache: OperatorCache, operators: Operators) -> None:
    """Life of a process: computes what it is told to, until told to end or left alone."""
    # An interrupt is for the parent, which ends its processes; ending so removes what is half written.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    torch.set_num_threads(1)
    shapes = pickle.loads(copy) if isinstance(copy, bytes) else copy
    parent = multiprocessing.parent_process()
    assert parent is not None
    with contextlib.suppress(EOFError, OSError):
        pipe.send("ready")
        while pipe in connection.wait([pipe, parent.sentinel]):
            index = pipe.recv()
            if index is None:
                return
            pipe.send(_attempt(shapes, index, cache, operators))


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Processes that are started here have one thread, in NumPy's linear algebra too, which reads this when it is loaded."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _send(pipe: Any, index: int | None) -> None:
    with contextlib.suppress(OSError):  # it has died, which is seen when its answer is waited for
        pipe.send(index)


def _death(worker: _Worker) -> str:
    code = worker.process.exitcode
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    if not worker.ready:
        raise RuntimeError(
            f"a process ended before it could work ({how}). If the trouble above speaks of bootstrapping, guard the calling "
            'script by if __name__ == "__main__"; or use workers=0'
        )
    return f"its process died ({how})"


def _name(shapes: Any, index: int) -> str:
    names = getattr(shapes, "names", None)
    return f"shape {index}" if names is None else str(names[index])


def _from_environment(variable: str, default: int) -> int:
    """A number that torchrun tells its processes."""
    told = os.environ.get(variable, "")
    try:
        return int(told) if told else default
    except ValueError as error:
        raise ValueError(f"{variable} must be a number, not {told!r}") from error


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
