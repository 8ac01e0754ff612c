"""whole_file: files that are there whole or not at all."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A temporary file this old, in seconds, was left behind by a process that was killed, whichever machine it ran on.
_ABANDONED = 3600.0


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside ``path`` for the block to write to, which takes the place of ``path`` when the block has ended.

    A folder that is missing is made. Until the end a reader sees the old file; if the block raises, that stays and nothing else
    is left. Threads and processes that write the same file do not disturb one another: the last one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{platform.node().replace('.', '-')}.{os.getpid()}.{threading.get_ident()}"
    temporary = path.with_name(f".{path.name}.{writer}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def abandoned(temporary: Path) -> bool:
    """Whether a temporary file's process is gone: one of this machine that no longer runs, or any after an hour.

    Raises:
        FileNotFoundError: the file itself is gone.
    """
    node, process, *_ = temporary.name.split(".")[-4:]
    if os.name == "posix" and node == platform.node().replace(".", "-") and process.isdigit():
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # it is another user's, and runs
    return time.time() - temporary.stat().st_mtime > _ABANDONED
