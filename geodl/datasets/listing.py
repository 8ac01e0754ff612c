"""Files of one's own as a list: what belongs to which class or labels, and to which split."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from geodl.data.formats import FORMATS, is_hidden

Split = Literal["train", "val", "test"]
SPLITS: tuple[str, ...] = get_args(Split)


class Listed(NamedTuple):
    """A file of a shape.

    Attributes:
        name: its path within the set.
        file: where it is.
        label: its class, or the file of its labels; empty where nothing is said.
        split: "train", "val" or "test"; empty where nothing is said.
    """

    name: str
    file: Path
    label: str
    split: str


def shapes_within(folder: Path) -> list[Path]:
    """The files of shapes in a folder and those in it, in order; hidden ones, labels beside a shape, and prose are none."""
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    kinds: dict[tuple[Path, str], set[str]] = {}
    for path in files:
        kinds.setdefault((path.parent, path.stem), set()).add(path.suffix.lower())
    return sorted(
        path
        for path in files
        if path.suffix.lower() in FORMATS
        and not _is_labels(path, kinds[path.parent, path.stem])
        and (path.suffix.lower() not in (".txt", ".csv") or _holds_numbers(path))
    )


def _is_labels(file: Path, beside: set[str]) -> bool:
    """Whether a file that might hold a shape holds the labels of the shape beside it; ``beside`` are the kinds of its name."""
    if file.name.endswith((".labels.npy", ".labels.txt")):
        return True
    lesser = {".txt": (".txt",), ".npy": (".npy", ".txt")}.get(file.suffix.lower())
    return lesser is not None and bool(beside.intersection(FORMATS).difference(lesser))


def _holds_numbers(file: Path) -> bool:
    """Whether one of the first lines begins with a number, as none of a list or of prose does."""
    with file.open("rb") as lines:
        return any(re.match(rb"\s*[-+]?\.?\d", lines.readline(4096)) for _ in range(3))


def split_folders(folder: Path) -> dict[str, Path]:
    """Folders called train, val and test, however they are spelled, by these names.

    Raises:
        ValueError: there are such folders, and others beside them.
    """
    inner = folders_within(folder)
    found = {part.name.lower(): part for part in inner if part.name.lower() in SPLITS}
    if found and (others := [part.name for part in inner if part.name.lower() not in SPLITS]):
        raise ValueError(
            f"{folder} has {', '.join(found)} and beside them {others[0]!r}, which is none of {', '.join(SPLITS)}"
        )
    return found


def folders_within(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_hidden(path))


def text_of(path: Path) -> str:
    """Text in UTF-8 or, as its mark says, UTF-16; else in Latin-1, in which every byte is a letter."""
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read_list(path: Path, column: str) -> list[Listed]:
    """A csv file with a line a shape: ``file`` (from the csv's folder on), ``column`` and, if there is one, ``split``.

    Raises:
        ValueError: a column is missing, a split is none, or a line has no file; with its line.
        FileNotFoundError: a file that is listed is missing.
    """
    text = text_of(path)
    first = text.partition("\n")[0]
    delimiter = next(
        (mark for mark in ",;\t" if mark in first), ","
    )  # as spreadsheets of any country write it
    rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, delimiter=delimiter)
    rows.fieldnames = names = [name.strip().lower() for name in rows.fieldnames or []]
    if missing := [name for name in ("file", column) if name not in names]:
        raise ValueError(
            f"{path} has no column {missing[0]!r}; its first line names {', '.join(names) or 'none'}"
        )
    found: list[Listed] = []
    for row in rows:
        number = rows.line_num
        name, label, split = ((row.get(key) or "").strip() for key in ("file", column, "split"))
        if not name or (split and split not in SPLITS):
            trouble = f"{split!r} is none of {', '.join(SPLITS)}" if name else "it names no file"
            raise ValueError(f"{path}, line {number}: {trouble}")
        if not (path.parent / name).is_file() and (path.parent / name.replace("\\", "/")).is_file():
            name = name.replace("\\", "/")
        if not (path.parent / name).is_file():
            raise FileNotFoundError(f"{path}, line {number}: there is no file {path.parent / name}")
        found.append(Listed(name, path.parent / name, label, split))
    said: dict[str, Listed] = {}
    for one in found:
        if said.setdefault(one.name, one) != one:
            raise ValueError(f"{path} lists {one.name} twice, and not as the same")
    if not found:
        raise ValueError(f"{path} lists no shapes")
    return found


def chosen_split(
    listed: Sequence[Listed],
    classes: Sequence[str],
    split: Split | None,
    test_share: float,
    val_share: float,
    seed: int,
) -> list[Listed]:
    """The shapes of a split: as they say, or else drawn at random, the same share of every one of ``classes``, theirs in order.

    Raises:
        ValueError: no such split, shares that leave nothing to train on, only some that say their split, or none left.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be {', '.join(map(repr, SPLITS))} or None, not {split!r}")
    if not (0 <= test_share < 1 and 0 <= val_share < 1 and test_share + val_share < 1):
        raise ValueError(
            f"test_share and val_share must leave some to train on, got {test_share} and {val_share}"
        )
    if split is None:
        return list(listed)
    told = [one.split for one in listed]
    if any(told) and not all(told):
        first = next(one.name for one in listed if not one.split)
        raise ValueError(f"some shapes say which split they are of, but {first} does not")
    if not any(told):
        told = _drawn(classes, test_share, val_share, seed)
    found = [one for one, of in zip(listed, told, strict=True) if of == split]
    if not found:
        counts = ", ".join(f"{number} {name}" for name, number in Counter(told).items())
        raise ValueError(f"no shapes are of the split {split!r}: there are {counts}")
    return found


def _drawn(labels: Sequence[str], test_share: float, val_share: float, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    found = ["train"] * len(labels)
    for label in sorted(set(labels)):
        of_label = [k for k, one in enumerate(labels) if one == label]
        order = random.permutation(of_label).tolist()
        tested, validated = (round(share * len(order)) for share in (test_share, val_share))
        for k in order[:tested]:
            found[k] = "test"
        for k in order[tested : tested + validated]:
            found[k] = "val"
    return found
