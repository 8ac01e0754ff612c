"""Who is told how far a matching has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def told(progress: bool | Callable[[str, float], None]) -> Iterator[Callable[[str, float], None]]:
    """A function of a stage and the share done: the caller's, a bar's, or one that tells nobody."""
    if callable(progress):
        yield progress
    elif progress:
        from rich.progress import Progress

        with Progress(transient=True) as bar:
            task = bar.add_task("preparation", total=1.0)
            yield lambda stage, share: bar.update(task, description=stage, completed=share)
    else:
        yield lambda stage, share: None
