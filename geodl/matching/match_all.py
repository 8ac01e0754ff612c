"""One shape matched to many: its spectrum made once, on all cores, resumable."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from geodl.data.precompute import cores, single_threaded
from geodl.matching.match import Match, SpectralShape, match

__all__ = ["MatchAllReport", "match_all"]


@dataclass(frozen=True, eq=False)
class MatchAllReport(Mapping[str, Match]):
    """What :func:`match_all` found: a mapping from the names of the shapes to their matches, read from the folder when asked for.

    Attributes:
        folder: where the matches lie.
        names: of the shapes that are matched, in the order given.
        computed: number of them that were not there before.
        failed: what went wrong, by the name of the shape.
        seconds: that it took.
    """

    folder: Path
    names: tuple[str, ...]
    computed: int
    failed: dict[str, str]
    seconds: float

    def __getitem__(self, name: str) -> Match:
        if name not in self.names:
            raise KeyError(self.failed.get(name, name))
        return Match.load(self.folder / f"{name}.safetensors")

    def __iter__(self) -> Any:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        lines = [
            f"{len(self.names)} shapes matched, {self.computed} of them now, in {self.seconds:.1f} s: {self.folder}"
        ]
        if self.failed:
            lines.append(f"{len(self.failed)} shapes FAILED:")
            lines += [f"  {name}: {trouble}" for name, trouble in self.failed.items()]
        return "\n".join(lines)


def match_all(
    shape: Any,
    shapes: Mapping[str, Any] | Sequence[Any],
    folder: str | os.PathLike[str],
    k: int = 120,
    workers: int | None = None,
    keep_shapes: bool = False,
    **options: Any,
) -> MatchAllReport:
    """Matches one shape (shape 1 of every pair) to many, each written to a folder as soon as it is found.

    What the folder holds is not done again, so a run that was killed goes on where it stopped. A shape that cannot be read or
    matched is reported and does not stop the others.

    Args:
        shape: whatever :func:`match` takes.
        shapes: the others by name, or in a row (then named by number), whatever :func:`match` takes; a path for big sets.
        folder: for the matches, ``NAME.safetensors`` each; one for every ``shape`` and ``k``.
        k: as of :func:`match`.
        workers: processes of one thread each; as many as there are cores if not given. 0 computes in this process.
        keep_shapes: whether files hold the shapes too (:meth:`Match.save`), which all of ``transfer`` but "nearest" needs;
            those without are done again.
        options: more arguments of :func:`match`; with workers they must be picklable.

    Returns:
        MatchAllReport.

    Raises:
        ValueError: a negative number of workers, a path alone, a name that is no file name or there twice; what ``shape`` itself
            raises.
    """
    began = time.perf_counter()
    if workers is not None and workers < 0:
        raise ValueError(f"workers must not be negative, got {workers}")
    others = _named(shapes)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    todo = {
        name: other
        for name, other in others.items()
        if not _whole(folder / f"{name}.safetensors", keep_shapes)
    }
    failed: dict[str, str] = {}
    if todo:
        one = shape if isinstance(shape, SpectralShape) else SpectralShape.of(shape, k, options.get("cache"))
        jobs = [(name, other, folder / f"{name}.safetensors") for name, other in todo.items()]
        settings = (one, k, keep_shapes, options)
        outcomes = _in_processes(jobs, settings, cores() if workers is None else workers)
        failed = {name: trouble for name, trouble in outcomes if trouble}
    done = tuple(name for name in others if name not in failed)
    return MatchAllReport(folder, done, len(todo) - len(failed), failed, time.perf_counter() - began)


def _named(shapes: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    if isinstance(shapes, Mapping):
        named = {str(name): other for name, other in shapes.items()}
        if len(named) < len(shapes):
            raise ValueError("two shapes have one name: names are compared as text")
    elif isinstance(shapes, (str, os.PathLike)):
        raise ValueError(f"shapes must be several, by name or in a row, not {shapes!r} alone")
    else:
        named = {f"{number:0{len(str(len(shapes)))}d}": shapes[number] for number in range(len(shapes))}
    for name in named:
        if not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"{name!r} is no file name")
    return named


def _whole(path: Path, shapes: bool) -> bool:
    """Whether a match is there and can be read, with its shapes if they are asked for."""
    try:
        found = Match.load(path)
    except (FileNotFoundError, ValueError):
        return False
    return found.shapes is not None or not shapes


Job = tuple[str, Any, Path]
Settings = tuple[SpectralShape, int, bool, dict[str, Any]]


def _in_processes(jobs: list[Job], settings: Settings, workers: int) -> Iterable[tuple[str, str]]:
    if workers == 0 or len(jobs) == 1:
        return [_attempt(job, settings) for job in jobs]
    context = multiprocessing.get_context("spawn")
    outcomes = []
    with single_threaded():
        pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _begin, (settings,))
        with pool:
            waiting = {pool.submit(_work, job): job[0] for job in jobs}
            for future in as_completed(waiting):
                error = future.exception()
                # A process that dies takes its pool along: what was not done yet is named, and done when called again.
                trouble = (waiting[future], f"{type(error).__name__}: {error}")
                outcomes.append(future.result() if error is None else trouble)
    return outcomes


_settings: list[Settings] = []


def _begin(settings: Settings) -> None:
    torch.set_num_threads(1)
    _settings[:] = [settings]


def _work(job: Job) -> tuple[str, str]:
    return _attempt(job, _settings[0])


def _attempt(job: Job, settings: Settings) -> tuple[str, str]:
    name, other, path = job
    one, k, keep_shapes, options = settings
    try:
        match(one, other, k, **options).save(path, keep_shapes)
    except Exception as error:
        return name, f"{type(error).__name__}: {error}"
    return name, ""
