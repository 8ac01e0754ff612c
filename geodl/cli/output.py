"""What a command writes: places are checked before the work begins, and nothing that another run wrote is touched."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["free_name", "new_file", "new_folder", "stage", "write"]

_SLOW = 2.0  # seconds after which it is worth saying how long a stage took


def free_name(path: Path) -> Path:
    """The path, or with -2, -3, ... behind it the first that is not there."""
    number, found = 2, path
    while found.exists():
        found, number = path.with_name(f"{path.name}-{number}"), number + 1
    return found


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that is made before the work and taken back if this fails before it has written anything.

    Raises:
        ValueError: there is one already that is not empty.
        OSError: it cannot be made or written to.
    """
    if path.is_dir() and any(path.iterdir()):
        raise ValueError(f"{path} holds another run's files: name an empty or a new folder")
    made = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    _check_writable(path)
    try:
        yield path
    except BaseException:
        if made and not any(path.iterdir()):
            path.rmdir()
        raise


def new_file(path: Path) -> Path:
    """The path of a file that is yet to be written.

    Raises:
        ValueError: it is there already.
        OSError: its folder is not there or cannot be written to.
    """
    if path.exists():
        raise ValueError(f"{path} is there already: remove it or name another file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}")
    _check_writable(path.parent)
    return path


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written to")


def write(path: Path, text: str) -> None:
    """A text file, whole or not at all."""
    from geodl.data.whole_file import whole_file

    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def stage(words: str) -> Iterator[None]:
    """Says on the error stream what goes on: on a terminal a line that moves, else one at the beginning and one if it took long."""
    began = time.monotonic()
    if sys.stderr.isatty():
        try:
            from rich.console import Console
        except ImportError:
            print(f"{words} ...", file=sys.stderr, flush=True)
            yield
        else:
            with Console(stderr=True).status(words):
                yield
        return
    print(f"{words} ...", file=sys.stderr, flush=True)
    yield
    if (spent := time.monotonic() - began) > _SLOW:
        print(f"{words}: {spent:.1f} s", file=sys.stderr, flush=True)
