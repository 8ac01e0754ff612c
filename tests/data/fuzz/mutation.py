"""What a damaged file must lead to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tests.data.fuzz.writers import Random


@dataclass
class Mutation:
    """A file and what must come of it.

    Attributes:
        name: what was done.
        data: the file.
        answer: "refused"; "said", i.e. refused or read with a warning; "read"; "same or said"; "any", but in time and in words.
        pos: what "read" must give, NaN included; None if only the counts are known.
        points, faces: how many there must be.
    """

    name: str
    data: bytes
    answer: str
    pos: np.ndarray | None = None
    points: int | None = None
    faces: int | None = None


def counted(data: bytes, pattern: bytes, more: str, fewer: str) -> Iterator[Mutation]:
    """One more and one less than there are, at every number that the pattern finds."""
    for match in re.finditer(pattern, data):
        count = int(match[1])
        for step, answer in ((1, more), (-1, fewer)):
            if count + step >= 0:
                number = str(count + step).encode()
                yield Mutation(
                    f"{match[0]!r} {step:+}", data[: match.start(1)] + number + data[match.end(1) :], answer
                )


def cut(random: Random, data: bytes, begin: int, answer: str) -> Iterator[Mutation]:
    """Bytes behind ``begin`` taken off the end."""
    if len(data) > begin:
        at = int(random.integers(begin, len(data)))
        yield Mutation(f"cut at {at} of {len(data)}", data[:at], answer)
