"""progress: what goes over many shapes says how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["progress"]

T = TypeVar("T")
_FIRST, _EVERY = 2.0, 15.0  # seconds until the first line and between lines


def progress(items: Iterable[T], total: int, words: str) -> Iterator[T]:
    """The items one by one: on a terminal with a bar, else with a line on the error stream now and then, none if it is quick."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=words, total=total, leave=False)
        return
    began = time.monotonic()
    due = began + _FIRST
    for number, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now >= due:
            print(f"{words}: {number} of {total}, {now - began:.0f} s", file=sys.stderr, flush=True)
            due = now + _EVERY
